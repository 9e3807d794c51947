// The worker of one open database in one tab. It waits for the database's lock;
// with the lock in hand it opens the files, runs Go and serves every tab. Lock
// and files live here, so that ending the worker frees both at once.

import { STANDBY_MS } from "../shared/bounds.js";
import { Election } from "./election.js";
import { LockHolders } from "../shared/lock-holders.js";
import { Leader } from "./leader.js";
import { whenFree } from "../shared/locks.js";
import { lockName, tabsChannel } from "../shared/names.js";
import { HeddleError } from "../shared/errors.js";
import type { FromWorker, Modules, ToWorker } from "../shared/messages.js";
import { takeTabs } from "../shared/message-shapes.js";

type Start = Extract<ToWorker, { t: "start" }>;

const page = globalThis as unknown as {
  postMessage(message: FromWorker): void;
  close(): void;
};

/** How many tabs get ready to lead: the next leader may die soon as well. */
const STANDBYS = 2;

let start: Start | undefined;
let election: Election | undefined;
let leader: Leader | undefined;
let stopping = false;
const leaving = new AbortController();
const lockHolders = new LockHolders();
/** A look at the queue of the lock is due. */
let looks = false;
let gotModules: (modules: Modules) => void;
let modulesFailed: (error: HeddleError) => void;

function begin(message: Start): void {
  start = message;
  const tabs = new BroadcastChannel(tabsChannel(message.scope));
  tabs.onmessage = ({ data: received }: MessageEvent<unknown>) => {
    const data = takeTabs(received);
    if (!data) return;
    if (data.t === "leaderGone") election?.retryLock();
    if (data.t === "leader") {
      lockHolders.check("leader", (holders) => {
        if (holders.has(lockName(message.scope))) election?.leaderKnown();
      });
      if (data.tab !== message.tab) lookSoon(message.scope);
    }
    leader?.tabsMessage(data);
  };
  election = new Election(lockName(message.scope), message.visible, async () => {
    const modules = new Promise<Modules>((resolve, reject) => {
      gotModules = resolve;
      modulesFailed = reject;
    });
    page.postMessage({ t: "granted" });
    leader = new Leader(message, modules, tabs, (m) => page.postMessage(m), stop);
    await leader.run();
    leader = undefined;
  });
  lookSoon(message.scope);
  const run = async () => {
    for (const lock of message.yieldTo) await whenFree(lock, leaving.signal).catch(() => {});
    await election!.run();
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

// Ends in order: the page gets "stopped" when lock and files are free.
function stop(): void {
  stopping = true;
  leaving.abort();
  election?.withdraw();
  leader?.stop();
}

function lookSoon(scope: string): void {
  if (looks) return;
  looks = true;
  setTimeout(() => {
    looks = false;
    void tellIfStandby(scope);
  }, STANDBY_MS);
}

// A lock of this worker's own tells which waiter in the queue this worker is. A
// wrong answer costs a download that comes too early or late.
async function tellIfStandby(scope: string): Promise<void> {
  if (leader || stopping) return;
  const mark = `${lockName(scope)}:${crypto.randomUUID()}`;
  const { held, pending } = await navigator.locks.request(mark, () => navigator.locks.query());
  const own = held?.find((lock) => lock.name === mark)?.clientId;
  const standbys = pending?.filter((lock) => lock.name === lockName(scope)).slice(0, STANDBYS);
  if (own !== undefined && standbys?.some((lock) => lock.clientId === own)) page.postMessage({ t: "standby" });
}

addEventListener("message", ({ data, ports }: MessageEvent<ToWorker>) => {
  switch (data.t) {
    case "start":
      begin(data);
      break;
    case "modules":
      gotModules(data.modules);
      break;
    case "modulesFailed":
      modulesFailed(new HeddleError(data.failure.code as HeddleError["code"], data.failure.message));
      break;
    case "ping":
      if (leader) leader.ping();
      else page.postMessage({ t: "pong" });
      break;
    case "visible":
      election?.setVisible(data.visible);
      break;
    case "retryLock":
      election?.retryLock();
      break;
    case "retire":
      stop();
      break;
    case "storage":
      if (start) start.storage = data.storage;
      leader?.setStorage(data.storage);
      break;
    case "connect":
      leader?.connectOwn(ports[0]!, data.tab);
      break;
    case "registry":
      leader?.setRegistry(ports[0]!);
      break;
    case "stop":
      stop();
      break;
  }
});

page.postMessage({ t: "loaded" });
