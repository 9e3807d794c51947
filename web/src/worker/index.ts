// The worker of one open database in one tab. It waits for the database's lock;
// with the lock in hand it opens the files, runs Go and serves every tab. Lock
// and files live here, so that ending the worker frees both at once. What it does
// when is decided by election.ts; this carries it out.

import { DatabaseLock } from "./database-lock.js";
import { Election, type Effects, type Event, type Timer } from "./election.js";
import { LockHolders } from "../shared/lock-holders.js";
import { Leader } from "./leader.js";
import { lockName, randomId, tabsChannel } from "../shared/names.js";
import { HeddleError } from "../shared/errors.js";
import type { Failure, FromWorker, Modules, TabsMessage, ToWorker } from "../shared/messages.js";
import { takeTabs } from "../shared/message-shapes.js";

type Start = Extract<ToWorker, { t: "start" }>;

const page = globalThis as unknown as {
  postMessage(message: FromWorker): void;
  close(): void;
};

/** How many tabs get ready to lead: the next leader may die soon as well. */
const STANDBYS = 2;

let worker: { start: Start; take: (event: Event) => void } | undefined;
let leader: Leader | undefined;
let gotModules: (modules: Modules) => void;
let modulesFailed: (error: HeddleError) => void;

function begin(start: Start): void {
  const id = randomId();
  const election = new Election(start.tab, id, start.visible);
  const name = lockName(start.scope);
  const lock = new DatabaseLock(name, take);
  const lockHolders = new LockHolders();
  const timers = new Map<Timer, ReturnType<typeof setTimeout>>();
  const tabs = new BroadcastChannel(tabsChannel(start.scope));
  const post = (message: TabsMessage) => tabs.postMessage(message);
  const serving = () => election.phase === "opening" || election.phase === "leading";

  const effects: Effects = {
    tell: (message) => page.postMessage(message),
    post,
    timer: (timer, ms) => {
      clearTimeout(timers.get(timer));
      if (ms !== undefined) timers.set(timer, setTimeout(() => take([timer]), ms));
    },
    yieldTo: (locks) => void lock.yieldTo(locks),
    queue: () => lock.queue(),
    look: () => lock.look(),
    withdraw: () => lock.withdraw(),
    freeLock: () => {
      leader?.freeLock();
      lock.free();
    },
    checkLeads: () => lockHolders.check("leader", (holders) => {
      if (holders.has(name)) take(["leads"]);
    }),
    checkStandby: () => void tellIfStandby(name),
    openFiles: () => {
      const modules = new Promise<Modules>((resolve, reject) => {
        gotModules = resolve;
        modulesFailed = reject;
      });
      leader = new Leader(start, id, modules, post, serving, take,
        (part) => page.postMessage({ t: "wantsPart", part }));
      void leader.open();
    },
    runGo: () => void leader!.runGo(),
    stopGo: () => leader!.stopGo(),
    closeFiles: (inOrder) => void leader!.closeFiles(inOrder),
    probeGo: () => leader!.probeGo(),
    answer: () => leader!.answer(),
    admit: (tab) => leader!.admit(tab),
    forgetDead: () => leader!.forgetDead(),
    retire: () => queueMicrotask(() => take(["stop"])), // Go is on the stack: nothing may call it now
    exit: () => page.close(),
  };

  // An event that an effect causes is taken after the other effects.
  const events: Event[] = [];
  let busy = false;
  function take(event: Event): void {
    events.push(event);
    if (busy) return;
    busy = true;
    try {
      for (let next; (next = events.shift());) {
        for (const [effect, ...args] of election.step(next, performance.now())) {
          (effects[effect] as (...args: unknown[]) => void)(...args);
        }
      }
    } finally {
      busy = false;
    }
  }

  tabs.onmessage = ({ data: received }: MessageEvent<unknown>) => {
    const data = takeTabs(received);
    switch (data?.t) {
      case "leader":
        take([data.t, data.tab]);
        break;
      case "connect":
        take([data.t, data.leader, data.tab]);
        break;
      case "leaderGone":
      case "whoLeads":
        take([data.t]);
        break;
      default: // for pages
    }
  };
  worker = { start, take };
  take(["start", start.yieldTo]);
}

// A lock of this worker's own tells which waiter in the queue this worker is. A
// wrong answer costs a download that comes too early or late.
async function tellIfStandby(name: string): Promise<void> {
  const mark = `${name}:${crypto.randomUUID()}`;
  const { held, pending } = await navigator.locks.request(mark, () => navigator.locks.query());
  const own = held?.find((lock) => lock.name === mark)?.clientId;
  const standbys = pending?.filter((lock) => lock.name === name).slice(0, STANDBYS);
  if (own !== undefined && standbys?.some((lock) => lock.clientId === own)) page.postMessage({ t: "standby" });
}

const errorOf = ({ code, message }: Failure) => new HeddleError(code as HeddleError["code"], message);

addEventListener("message", ({ data, ports }: MessageEvent<ToWorker>) => {
  switch (data.t) {
    case "start":
      begin(data);
      break;
    case "modules":
      gotModules(data.modules);
      break;
    case "part":
      leader?.givePart(data.part, data.module);
      break;
    case "partFailed":
      leader?.givePart(data.part, errorOf(data.failure));
      break;
    case "modulesFailed":
      modulesFailed(errorOf(data.failure));
      break;
    case "ping":
      if (worker) worker.take(["ping"]);
      else page.postMessage({ t: "pong" });
      break;
    case "visible":
      worker?.take(["visible", data.visible]);
      break;
    case "retryLock":
      worker?.take(["retryLock"]);
      break;
    case "retire":
    case "stop":
      worker?.take(["stop"]);
      break;
    case "storage":
      if (worker) worker.start.storage = data.storage;
      leader?.setStorage(data.storage);
      break;
    case "connect":
      leader?.connectOwn(ports[0]!, data.tab);
      break;
    case "registry":
      leader?.setRegistry(ports[0]!);
      break;
  }
});

page.postMessage({ t: "loaded" });
