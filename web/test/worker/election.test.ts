// Each path of docs/TABS.md that is a worker's, as a log: events in, effects out.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Election, type Effect, type Event, type Phase, type Timer } from "../../src/worker/election.js";

const MIB = 1 << 20;
const failure = { code: "HEDDLE_MIGRATION", message: "no such table" };

/** An effect as a line. */
function line([name, ...args]: Effect): string {
  const words = args.flatMap((arg) => (typeof arg === "object" ? Object.values(arg) as unknown[] : [arg]));
  return [name, ...words.map((word) => (word === failure ? failure.code : String(word)))].join(" ");
}

/** A worker whose time is told. */
class Worker {
  readonly machine: Election;
  now = 0;
  readonly #timers = new Map<Timer, number>();

  constructor(visible: boolean) {
    this.machine = new Election("me", "A", visible);
  }

  /** Takes the event, and returns its effects; a timer with its time, or off if it ran. */
  take(event: Event): string[] {
    const lines: string[] = [];
    for (const effect of this.machine.step(event, this.now)) {
      if (effect[0] !== "timer") {
        lines.push(line(effect));
        continue;
      }
      const [, timer, ms] = effect;
      const ran = this.#timers.delete(timer);
      if (ms !== undefined) this.#timers.set(timer, this.now + ms);
      if (ms !== undefined || ran) lines.push(`${timer} ${ms ?? "off"}`);
    }
    return lines;
  }

  wait(ms: number): string[] {
    const lines: string[] = [];
    const end = this.now + ms;
    for (;;) {
      const [next] = [...this.#timers].filter(([, at]) => at <= end).sort(([, a], [, b]) => a - b);
      if (!next) break;
      const [timer, at] = next;
      this.#timers.delete(timer);
      this.now = at;
      lines.push(...this.take([timer]));
    }
    this.now = end;
    return lines;
  }
}

type Step = [event: Event | number, ...effects: string[]];

/** Plays a log: an event, or a time to wait, then the effects that it has; at its end the worker is in that phase. */
function path(name: string, visible: boolean, log: Step[], phase: Phase): void {
  test(name, () => {
    const worker = new Worker(visible);
    log.forEach(([event, ...effects], i) => {
      const got = typeof event === "number" ? worker.wait(event) : worker.take(event);
      assert.deepEqual(got, effects, `${i}: ${JSON.stringify(event)}`);
    });
    assert.equal(worker.machine.phase, phase);
  });
}

const other: Event = ["leader", "other"];
const gone: Event = ["leaderGone"];
const starts: Step = [["start", []], "standby 1000", "yieldTo"];
const queues: Step[] = [starts, [["yielded"], "queue", "requeue 250"]];
const looks: Step[] = [starts, [["yielded"], "look"]];
/** Another tab leads: it is looked at, and believed. */
const follows: Step[] = [[other, "checkLeads"], [["leads"], "requeue off"], [1_000, "checkStandby"]];
const opens: Step[] = [[["granted"], "requeue off", "tell granted", "openFiles"], [["opened"], "runGo"]];
const leads: Step[] = [
  [["granted"], "tell granted", "openFiles"],
  [["opened"], "runGo"],
  [["ready", 40 * MIB], "forget 2000", "tell leading A", "post leader A me"],
];
/** Go has closed the database: then the files, and at last the lock. */
const ends: Step[] = [
  [["goEnded", true], "closeFiles true"],
  [["goEnded", false]], // the program has ended as well
  [["filesClosed"], "post leaderGone A false", "freeLock"],
  [["freed"], "tell stopped", "exit"],
];

// ---- who leads ---------------------------------------------------------------

path("a visible tab queues for the lock and leads; it answers the tabs that ask", true, [
  ...queues, ...opens,
  [["whoLeads"]], // not yet
  [["connect", "A", "other"]],
  [["ready", 40 * MIB], "forget 2000", "tell leading A", "post leader A me"],
  [["whoLeads"], "answer"],
  [["connect", "A", "other"], "admit other"],
  [["connect", "B", "other"]],
  [other], // no script makes a leader doubt that it leads
  [2_000, "forgetDead"],
], "leading");

path("a tab in the queue waits quietly while another leads, and asks again once that has gone", true, [
  ...queues, ...follows,
  [60_000],
  [gone, "requeue 250"], // counted anew
  [250, "withdraw"],
  [["withdrawn"], "queue", "requeue 500"],
  ...opens,
], "opening");

path("while nobody leads, the head of the queue goes to its end, ever more rarely, until somebody does", true, [
  ...queues,
  [250, "withdraw"], [["withdrawn"], "queue", "requeue 500"],
  [500, "withdraw"], [["withdrawn"], "queue", "requeue 1000"],
  [1_000, "checkStandby", "withdraw"], [["withdrawn"], "queue", "requeue 1000"],
  [other, "checkLeads", "standby 1000"], [["leads"], "requeue off"],
], "queued");

path("a hidden tab never queues: it looks at the start, when a leader leaves, and now and then", false, [
  ...looks,
  [["taken"], "lookAgain 10"], // nobody is known to lead
  [10, "look"],
  [other, "checkLeads"], [["leads"]],
  [["taken"], "lookAgain 3000"],
  [3_000, "checkStandby", "look"],
  [["taken"], "lookAgain 3000"],
  [gone, "lookAgain off", "look"],
  [["taken"], "lookAgain 10"], // counted anew
  [["retryLock"], "lookAgain off", "look"],
  ...leads,
], "leading");

path("a tab that is hidden leaves the queue, and one that is shown goes there", true, [
  ...queues, ...follows,
  [["visible", true]],
  [["visible", false], "withdraw"],
  [["withdrawn"], "look"],
  [["visible", true]],
  [["taken"], "queue"], // it was shown meanwhile
  [["visible", false], "withdraw"],
  [["withdrawn"], "look"],
  [["taken"], "lookAgain 3000"],
  [["visible", true], "lookAgain off", "queue"],
], "queued");

path("a lock that is granted in the moment of its withdrawal is taken", true, [
  ...queues, ...follows,
  [["visible", false], "withdraw"],
  ...leads,
], "leading");

path("tabs of newer builds lead first", true, [
  [["start", ["newer"]], "standby 1000", "yieldTo newer"],
  [["visible", false]], [gone], [["visible", true]], // nothing is asked for meanwhile
  [["yielded"], "queue", "requeue 250"],
], "queued");

path("a lock that the browser refuses is a crash", true, [
  ...queues, [["crashed", "SecurityError"], "tell crashed SecurityError"],
], "crashed");

// ---- what ends a leader ------------------------------------------------------

path("close, or another tab shall lead: Go closes the database, then files and lock are freed", false, [
  ...looks, ...leads,
  [["stop"], "stopGo"],
  [["whoLeads"], "answer"], // until it has let go
  ...ends,
  [["whoLeads"]],
], "ended");

path("a worker that waits is told to stop", true, [
  ...queues,
  [["stop"], "withdraw"],
  [["ping"], "tell pong"],
  [["withdrawn"], "requeue off", "tell stopped", "exit"],
], "ended");
path("and one that yields", true, [
  starts, [["stop"], "withdraw"], [["yielded"], "tell stopped", "exit"],
], "ended");
path("and one that looks", false, [
  ...looks, [["stop"]], [["taken"], "tell stopped", "exit"],
], "ended");
path("and one that pauses", false, [
  ...looks, [["taken"], "lookAgain 10"], [["stop"], "lookAgain off", "tell stopped", "exit"],
], "ended");
path("and one that gets the lock at that moment: it frees it again", true, [
  ...queues,
  [["stop"], "withdraw"],
  [["granted"], "requeue off", "freeLock"],
  [["freed"], "tell stopped", "exit"],
], "ended");
path("and one that has the lock, before Go runs", true, [
  ...queues,
  [["granted"], "requeue off", "tell granted", "openFiles"],
  [["stop"], "stopGo"],
  [["opened"], "closeFiles false"],
  [["filesClosed"], "freeLock"],
  [["freed"], "tell stopped", "exit"],
], "ended");
path("and one whose Go opens the database: nobody hears that it leads", true, [
  ...queues, ...opens,
  [["stop"], "stopGo"],
  [["ready", 40 * MIB]],
  [["goEnded", true], "closeFiles true"],
  [["filesClosed"], "freeLock"],
  [["freed"], "tell stopped", "exit"],
], "ended");

path("a database that cannot be opened: the lock is freed for others, and the page ends the worker", true, [
  ...queues, ...opens,
  [["failed", failure], "tell failed HEDDLE_MIGRATION", "closeFiles false"],
  [["crashed", "the program has ended"]],
  [["filesClosed"], "freeLock"],
  [["freed"]],
], "ended");
path("files that cannot be opened, while it is to stop", true, [
  ...queues,
  [["granted"], "requeue off", "tell granted", "openFiles"],
  [["stop"], "stopGo"],
  [["failed", failure], "tell failed HEDDLE_MIGRATION", "closeFiles false"],
  [["filesClosed"], "freeLock"],
  [["freed"], "tell stopped", "exit"],
], "ended");

// ---- dead or busy ------------------------------------------------------------

path("the engine dies: the page hears it once, and ends the worker with lock and files", false, [
  ...looks, ...leads,
  [["crashed", "unreachable"], "tell crashed unreachable"],
  [["crashed", "and what follows from it"]],
  [["ping"]], [["stop"]], [["goEnded", true]],
], "crashed");

path("a ping goes to the engine where there is one", true, [
  [["ping"], "tell pong"],
  ...queues,
  [["ping"], "tell pong"],
  ...opens,
  [["ping"], "probeGo"],
  [["alive", false, 40 * MIB], "tell pong"],
], "opening");

path("an engine that has grown makes room, in a quiet moment", false, [
  ...looks, ...leads,
  [["alive", true, 300 * MIB], "tell pong"], // too soon
  [60_000, "forgetDead"],
  [["alive", false, 300 * MIB], "tell pong"], // it has work to do
  [["alive", true, 256 * MIB], "tell pong"], // it may have that much
  [["alive", true, 300 * MIB], "tell pong", "retire"],
  [["stop"], "stopGo"],
  ...ends,
], "ended");

path("an engine that was large when it had opened the database may double", false, [
  ...looks,
  [["granted"], "tell granted", "openFiles"],
  [["opened"], "runGo"],
  [["ready", 200 * MIB], "forget 2000", "tell leading A", "post leader A me"],
  [60_000, "forgetDead"],
  [["alive", true, 400 * MIB], "tell pong"],
  [["alive", true, 401 * MIB], "tell pong", "retire"],
], "leading");
