// Each path of docs/TABS.md that is a worker's, as a log: events in, effects out.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Election, type Event, type Phase } from "../../src/worker/election.js";
import { EventLog, type Step as LogStep } from "../event-log.js";

const MIB = 1 << 20;
const failure = { code: "HEDDLE_MIGRATION", message: "no such table" };

type Step = LogStep<Event>;

/** Plays a log; at its end the worker is in that phase. */
function path(name: string, visible: boolean, log: Step[], phase: Phase): void {
  test(name, () => {
    assert.equal(new EventLog<Event, Election>(new Election("me", "A", visible)).play(log).machine.phase, phase);
  });
}

const other: Event = ["leader", "other"];
const gone: Event = ["leaderGone"];
const starts: Step = [["start", []], "timer standby 1000", "yieldTo"];
const queues: Step[] = [starts, [["yielded"], "queue", "timer requeue 250"]];
const looks: Step[] = [starts, [["yielded"], "look"]];
/** Another tab leads: it is looked at, and believed. */
const follows: Step[] = [[other, "checkLeads"], [["leads"], "timer requeue"], [1_000, "checkStandby"]];
const opens: Step[] = [[["granted"], "timer requeue", "tell granted", "openFiles"], [["opened"], "runGo"]];
const leads: Step[] = [
  [["granted"], "tell granted", "openFiles"],
  [["opened"], "runGo"],
  [["ready", 40 * MIB], "timer forget 2000", "tell leading A", "post leader A me"],
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
  [["ready", 40 * MIB], "timer forget 2000", "tell leading A", "post leader A me"],
  [["whoLeads"], "answer"],
  [["connect", "A", "other"], "admit other"],
  [["connect", "B", "other"]],
  [other], // no script makes a leader doubt that it leads
  [2_000, "forgetDead"],
], "leading");

path("a tab in the queue waits quietly while another leads, and asks again once that has gone", true, [
  ...queues, ...follows,
  [60_000],
  [gone, "timer requeue 250"], // counted anew
  [250, "withdraw"],
  [["withdrawn"], "queue", "timer requeue 500"],
  ...opens,
], "opening");

path("while nobody leads, the head of the queue goes to its end, ever more rarely, until somebody does", true, [
  ...queues,
  [250, "withdraw"], [["withdrawn"], "queue", "timer requeue 500"],
  [500, "withdraw"], [["withdrawn"], "queue", "timer requeue 1000"],
  [1_000, "checkStandby", "withdraw"], [["withdrawn"], "queue", "timer requeue 1000"],
  [other, "checkLeads", "timer standby 1000"], [["leads"], "timer requeue"],
], "queued");

path("a hidden tab never queues: it looks at the start, when a leader leaves, and now and then", false, [
  ...looks,
  [["taken"], "timer lookAgain 10"], // nobody is known to lead
  [10, "look"],
  [other, "checkLeads"], [["leads"]],
  [["taken"], "timer lookAgain 3000"],
  [3_000, "checkStandby", "look"],
  [["taken"], "timer lookAgain 3000"],
  [gone, "timer lookAgain", "look"],
  [["taken"], "timer lookAgain 10"], // counted anew
  [["retryLock"], "timer lookAgain", "look"],
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
  [["taken"], "timer lookAgain 3000"],
  [["visible", true], "timer lookAgain", "queue"],
], "queued");

path("a lock that is granted in the moment of its withdrawal is taken", true, [
  ...queues, ...follows,
  [["visible", false], "withdraw"],
  ...leads,
], "leading");

path("tabs of newer builds lead first", true, [
  [["start", ["newer"]], "timer standby 1000", "yieldTo newer"],
  [["visible", false]], [gone], [["visible", true]], // nothing is asked for meanwhile
  [["yielded"], "queue", "timer requeue 250"],
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
  [["withdrawn"], "timer requeue", "tell stopped", "exit"],
], "ended");
path("and one that yields", true, [
  starts, [["stop"], "withdraw"], [["yielded"], "tell stopped", "exit"],
], "ended");
path("and one that looks", false, [
  ...looks, [["stop"]], [["taken"], "tell stopped", "exit"],
], "ended");
path("and one that pauses", false, [
  ...looks, [["taken"], "timer lookAgain 10"], [["stop"], "timer lookAgain", "tell stopped", "exit"],
], "ended");
path("and one that gets the lock at that moment: it frees it again", true, [
  ...queues,
  [["stop"], "withdraw"],
  [["granted"], "timer requeue", "freeLock"],
  [["freed"], "tell stopped", "exit"],
], "ended");
path("and one that has the lock, before Go runs", true, [
  ...queues,
  [["granted"], "timer requeue", "tell granted", "openFiles"],
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
  [["granted"], "timer requeue", "tell granted", "openFiles"],
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
  [["ready", 200 * MIB], "timer forget 2000", "tell leading A", "post leader A me"],
  [60_000, "forgetDead"],
  [["alive", true, 400 * MIB], "tell pong"],
  [["alive", true, 401 * MIB], "tell pong", "retire"],
], "leading");
