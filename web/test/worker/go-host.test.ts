// What reaches Go, and what does not once its program has ended.
import { deepEqual } from "node:assert/strict";
import { test } from "node:test";
import type { TabPort } from "../../src/shared/port.js";
import { GoHost } from "../../src/worker/go-host.js";

test("a message that comes after the program's end is no crash", () => {
  const seen: string[] = [];
  const unused = () => { throw new Error("not used here"); };
  const host = new GoHost(
    { database: "d", leader: "l", channel: "c", storage: "persistent", exit: "new", open: new Uint8Array() },
    { tab: "tab:", record: "record:" },
    {
      answered: () => {}, rest: unused, ready: unused, failed: unused, quarantine: unused, openScratch: unused,
      recoded: unused, closeScratch: unused, damaged: unused,
      stopped: (inOrder) => void seen.push(`stopped ${inOrder}`),
      crashed: (error) => void seen.push(`crashed ${String(error)}`),
    },
  );
  let ended = false;
  const enter = (what: string) => () => {
    if (ended) throw new Error("Go program has already exited");
    seen.push(what);
  };
  const mem = new WebAssembly.Memory({ initial: 1 });
  host.attach({ exports: { mem, heddle_message: enter("message"), heddle_turn: enter("turn") }, resume: () => {} });
  const go = host.forGo as { serve(deliver: () => void): void; stopped(inOrder: boolean): void };
  go.serve(() => {});
  let bytes: Parameters<TabPort["open"]>[0]["bytes"];
  host.connect({
    open: (receiver: Parameters<TabPort["open"]>[0]) => { ({ bytes } = receiver); },
    say: () => {}, send: () => {}, flush: () => {}, close: () => {},
  }, "t", true);

  bytes!(new Uint8Array(4), 0);
  go.stopped(true);
  ended = true;
  bytes!(new Uint8Array(4), 0);
  host.setStorage("persistent");
  host.close();
  deepEqual(seen, ["message", "stopped true"]);
});
