// The worker of one open database in one tab. It waits for the database's lock;
// with the lock in hand it opens the files, runs Go and serves every tab. Lock
// and files live here, so that ending the worker frees both at once.

import { NEXT_MS } from "../shared/bounds.js";
import { Candidate } from "./election.js";
import { Census } from "../shared/lock-holders.js";
import { Lead } from "./leader.js";
import { whenFree } from "../shared/locks.js";
import { lockName, tabsChannel } from "../shared/names.js";
import { HeddleError } from "../shared/errors.js";
import type { FromWorker, Modules, ToWorker } from "../shared/messages.js";
import { take } from "../shared/message-shapes.js";

type Start = Extract<ToWorker, { t: "start" }>;

const page = globalThis as unknown as {
  postMessage(message: FromWorker): void;
  close(): void;
};

/** How many do: the next leader may die soon as well. */
const HEIRS = 2;

let start: Start | undefined;
let candidate: Candidate | undefined;
let lead: Lead | undefined;
let stopping = false;
const leaving = new AbortController();
const census = new Census();
/** A look at the queue is due. */
let looks = false;
let gotModules: (modules: Modules) => void;
let noModules: (error: HeddleError) => void;

function begin(message: Start): void {
  start = message;
  const tabs = new BroadcastChannel(tabsChannel(message.scope));
  tabs.onmessage = ({ data: received }: MessageEvent<unknown>) => {
    const data = take.tabs(received);
    if (!data) return;
    if (data.t === "bye") candidate?.nudge();
    if (data.t === "leader") {
      census.ask("led", (holders) => {
        if (holders.has(lockName(message.scope))) candidate?.led();
      });
      if (data.tab !== message.tab) lookSoon(message.scope);
    }
    lead?.tabsMessage(data);
  };
  candidate = new Candidate(lockName(message.scope), message.visible, async () => {
    const modules = new Promise<Modules>((resolve, reject) => {
      gotModules = resolve;
      noModules = reject;
    });
    page.postMessage({ t: "granted" });
    lead = new Lead(message, modules, tabs, (m) => page.postMessage(m), stop);
    await lead.run();
    lead = undefined;
  });
  lookSoon(message.scope);
  const run = async () => {
    for (const lock of message.aside) await whenFree(lock, leaving.signal).catch(() => {});
    await candidate!.run();
  };
  run().then(
    () => {
      if (!stopping) return;
      page.postMessage({ t: "stopped" });
      page.close();
    },
    (error: unknown) => page.postMessage({ t: "crashed", message: String(error) }),
  );
}

// Ends in order: the page hears "stopped" when everything is let go of.
function stop(): void {
  stopping = true;
  leaving.abort();
  candidate?.withdraw();
  lead?.stop();
}

function lookSoon(scope: string): void {
  if (looks) return;
  looks = true;
  setTimeout(() => {
    looks = false;
    void tellIfNext(scope);
  }, NEXT_MS);
}

// A lock of this worker's own tells which waiter in the queue it is. A wrong
// answer costs a download too early, or one that comes late.
async function tellIfNext(scope: string): Promise<void> {
  if (lead || stopping) return;
  const mark = `${lockName(scope)}:${crypto.randomUUID()}`;
  const { held, pending } = await navigator.locks.request(mark, () => navigator.locks.query());
  const own = held?.find((lock) => lock.name === mark)?.clientId;
  const heirs = pending?.filter((lock) => lock.name === lockName(scope)).slice(0, HEIRS);
  if (own !== undefined && heirs?.some((lock) => lock.clientId === own)) page.postMessage({ t: "next" });
}

addEventListener("message", ({ data, ports }: MessageEvent<ToWorker>) => {
  switch (data.t) {
    case "start":
      begin(data);
      break;
    case "modules":
      gotModules(data.modules);
      break;
    case "noModules":
      noModules(new HeddleError(data.failure.code as HeddleError["code"], data.failure.message));
      break;
    case "ask":
      if (lead) lead.ask();
      else page.postMessage({ t: "alive" });
      break;
    case "visible":
      candidate?.setVisible(data.visible);
      break;
    case "nudge":
      candidate?.nudge();
      break;
    case "retire":
      stop();
      break;
    case "storage":
      if (start) start.storage = data.storage;
      lead?.setStorage(data.storage);
      break;
    case "connect":
      lead?.connectOwn(ports[0]!, data.tab);
      break;
    case "registry":
      lead?.setRegistry(ports[0]!);
      break;
    case "stop":
      stop();
      break;
  }
});

page.postMessage({ t: "alive" });
