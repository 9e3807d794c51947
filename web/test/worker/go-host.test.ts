// What reaches Go, in which order, and what does not once its program has ended.
import { deepEqual } from "node:assert/strict";
import { test } from "node:test";
import type { TabPort } from "../../src/shared/port.js";
import { GoHost } from "../../src/worker/go-host.js";

/** A host for a program of JavaScript, and what became of it. */
class Fixture {
  readonly seen: string[] = [];
  readonly mem = new WebAssembly.Memory({ initial: 1 });
  readonly host: GoHost;

  /** @param wake and resume stand for the program's */
  constructor(wake: () => void, resume: () => void) {
    const unused = () => { throw new Error("not used here"); };
    this.host = new GoHost(
      { database: "d", leader: "l", channel: "c", storage: "persistent", exit: "new", open: new Uint8Array() },
      { tab: "tab:", record: "record:" },
      {
        answered: () => {}, rest: unused, sealed: unused, ready: unused, failed: unused, quarantine: unused,
        openScratch: unused,
        recoded: unused, closeScratch: unused, damaged: unused,
        stopped: (inOrder) => void this.seen.push(`stopped ${inOrder}`),
        crashed: (error) => void this.seen.push(`crashed ${String(error)}`),
      },
    );
    this.host.attach({ exports: { mem: this.mem, heddle_wake: wake, heddle_turn: unused }, resume });
    this.go.serve(() => {});
  }

  get go() {
    return this.host.forGo as { serve(deliver: () => void): void; stopped(inOrder: boolean): void };
  }

  /** Connects the worker's own tab, and returns how its messages come. */
  connect(): Parameters<TabPort["open"]>[0]["bytes"] {
    let bytes: Parameters<TabPort["open"]>[0]["bytes"];
    this.host.connect({
      open: (receiver: Parameters<TabPort["open"]>[0]) => { ({ bytes } = receiver); },
      say: () => {}, send: (reply) => void this.seen.push(`send ${reply[0]}`), close: () => {},
      flush: () => void this.seen.push("flush"),
    }, "t", true);
    return bytes!;
  }
}

test("a message that comes after the program's end is no crash", () => {
  let ended = false;
  const f = new Fixture(() => {
    if (ended) throw new Error("Go program has already exited");
    f.seen.push("wake");
  }, () => {});
  const bytes = f.connect();
  bytes(new Uint8Array(4), 0);
  f.go.stopped(true);
  ended = true;
  bytes(new Uint8Array(4), 0);
  f.host.setStorage("persistent");
  f.host.close();
  deepEqual(f.seen, ["wake", "stopped true"]);
});

test("messages that came together are taken in order, not in the call that wakes, and answered together", () => {
  const taken: number[][] = [];
  const f: Fixture = new Fixture(() => void f.seen.push("wake"), () => {
    const { next, take, send } = f.host.imports.lines;
    for (let size = next(); size >= 0; size = next()) {
      const session = take(8);
      taken.push([session, ...new Uint8Array(f.mem.buffer, 8, size)]);
      send(session, 8, 1);
    }
  });
  const bytes = f.connect();
  bytes(Uint8Array.of(1), 2);
  bytes(Uint8Array.of(2, 2), 1);
  deepEqual([f.seen, taken], [[], []]);
  bytes(Uint8Array.of(3), 0);
  deepEqual(taken, [[1, 1], [1, 2, 2], [1, 3]]);
  deepEqual(f.seen, ["wake", "send 1", "send 2", "send 3", "flush"]);
  bytes(Uint8Array.of(4), 0);
  deepEqual(f.seen.slice(5), ["wake", "send 4", "flush"]);
  f.host.close();
});
