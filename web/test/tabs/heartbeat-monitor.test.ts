import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { Heartbeat } from "../../src/worker/heartbeat.js";
import { PING_MS, SILENT_MS, SILENT_PINGS, STUCK_PINGS } from "../../src/shared/tuning.js";
import { HeartbeatMonitor } from "../../src/tabs/heartbeat-monitor.js";

let now = 0;

beforeEach(() => {
  now = 0;
  mock.timers.enable({ apis: ["setTimeout"] });
  mock.method(performance, "now", () => now);
});

afterEach(() => {
  mock.timers.reset();
  mock.restoreAll();
});

/** Lets the timer fire, the browser having slept so much longer. */
function tick(late = 0): void {
  now += PING_MS + late;
  mock.timers.tick(PING_MS);
}

function watched() {
  const seen = { asked: 0, dead: 0 };
  const monitor = new HeartbeatMonitor(() => { seen.asked++; }, () => { seen.dead++; });
  return { monitor, seen };
}

test("a worker that answers is asked for ever", () => {
  const { monitor, seen } = watched();
  for (let i = 0; i < 100; i++) {
    tick();
    monitor.heard();
  }
  monitor.end();
  tick();
  assert.deepEqual(seen, { asked: 100, dead: 0 });
});

test("one that falls silent is dead after its time, and reported once", () => {
  const { monitor, seen } = watched();
  tick();
  monitor.heard();
  while (now < PING_MS + SILENT_MS) {
    assert.equal(seen.dead, 0, `after ${now} ms`);
    tick();
  }
  assert.equal(seen.dead, 1);
  for (let i = 0; i < 50; i++) tick();
  assert.equal(seen.dead, 1);
});

test("timers that come late, as after a sleep, are no silence", () => {
  const { monitor, seen } = watched();
  for (let i = 0; i < SILENT_PINGS; i++) tick(10 * SILENT_MS);
  assert.deepEqual(seen, { asked: SILENT_PINGS, dead: 0 });
  monitor.heard();
  for (let i = 0; i < SILENT_PINGS; i++) tick(10 * SILENT_MS);
  assert.equal(seen.dead, 0);
  tick();
  assert.equal(seen.dead, 1);
  monitor.end();
});

test("where another tab waits, a dead worker is found in time though the page's timers stand still", () => {
  const { monitor, seen } = watched();
  while (now < SILENT_MS) {
    assert.equal(seen.dead, 0, `after ${now} ms`);
    now += 250;
    monitor.check();
  }
  assert.equal(seen.dead, 1);
  assert.equal(seen.asked, SILENT_MS / PING_MS - 1);
  for (let i = 0; i < 50; i++) {
    now += PING_MS;
    monitor.check();
    mock.timers.tick(PING_MS);
  }
  assert.equal(seen.dead, 1);
});

test("one that answers is asked no more often for it", () => {
  const { monitor, seen } = watched();
  for (let i = 0; i < 1_000; i++) {
    now += 250;
    monitor.check();
    monitor.heard();
  }
  assert.deepEqual(seen, { asked: 250 * 1_000 / PING_MS, dead: 0 });
});

/** A heartbeat over a program whose goroutines answer, or do not. */
function heartbeat(answers: () => boolean) {
  const seen = { alive: 0, dead: [] as string[], resumed: 0 };
  const p = new Heartbeat(() => { seen.alive++; }, (error) => { seen.dead.push(String(error)); });
  let asked = false;
  const program = {
    exports: { heddle_probe: () => { asked = true; } },
    resume: () => {
      seen.resumed++;
      if (asked && answers()) {
        asked = false;
        p.imports.heartbeat.pong(0);
      }
    },
  };
  return { p, seen, program };
}

test("a worker that still loads its program answers by itself", () => {
  const { p, seen } = heartbeat(() => true);
  for (let i = 0; i < 10; i++) p.ping();
  assert.deepEqual(seen, { alive: 10, dead: [], resumed: 0 });
});

test("Go answers once it can, and one answer is for all that was asked", () => {
  let free = true;
  const { p, seen, program } = heartbeat(() => free);
  p.attach(program);
  p.ping();
  assert.equal(seen.alive, 1);
  free = false;
  for (let i = 0; i < STUCK_PINGS; i++) p.ping();
  assert.deepEqual(seen.dead, []);
  free = true;
  program.resume();
  for (let i = 0; i < STUCK_PINGS; i++) p.ping();
  assert.deepEqual([seen.alive, seen.dead], [2 + STUCK_PINGS, []]);
});

test("an idle worker whose program never answers is stuck", () => {
  const { p, seen, program } = heartbeat(() => false);
  p.attach(program);
  for (let i = 0; i < STUCK_PINGS; i++) p.ping();
  assert.deepEqual(seen.dead, []);
  p.ping();
  assert.equal(seen.dead.length, 1);
  assert.equal(seen.alive, 0);
});

test("a program that has ended is dead, with what it throws", () => {
  const { p, seen } = heartbeat(() => true);
  const exited = () => { throw new Error("Go program has already exited"); };
  p.attach({ exports: { heddle_probe: exited }, resume: () => {} });
  p.ping();
  assert.deepEqual(seen.dead, ["Error: Go program has already exited"]);
});

test("a long statement speaks up, and not too often", () => {
  const { p, seen } = heartbeat(() => true);
  now = 10 * PING_MS;
  for (let i = 0; i < 100_000; i++) p.imports.heartbeat.progress();
  assert.equal(seen.alive, 1);
  for (let i = 0; i < 10; i++) {
    now += PING_MS;
    for (let j = 0; j < 1_000; j++) p.imports.heartbeat.progress();
  }
  assert.equal(seen.alive, 11);
});
