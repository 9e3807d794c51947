import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { StallDetector } from "../src/tabs/stall-detector.js";

let now = 0;
let waits = true;
let told: string[] = [];
let detector: StallDetector;

beforeEach(() => {
  now = 0;
  waits = true;
  told = [];
  mock.timers.enable({ apis: ["setInterval"] });
  mock.method(performance, "now", () => now);
  detector = new StallDetector({ waits: () => waits, ask: () => told.push("ask"), blocked: (blocked) => told.push(blocked ? "blocked" : "unblocked") });
});

afterEach(() => {
  detector.end();
  mock.timers.reset();
  mock.restoreAll();
});

/** One tick of the detector's timer, which comes so late. */
function tick(ms: number): void {
  now += ms;
  mock.timers.tick(250);
}

test("silence is asked about, then said within two seconds; a sign ends it", () => {
  detector.begin();
  for (let i = 0; i < 8; i++) tick(250);
  assert.equal(told[0], "ask");
  assert.ok(detector.blocked);
  assert.equal(told.filter((what) => what === "blocked").length, 1);
  detector.heard();
  assert.equal(told.at(-1), "unblocked");
});

test("with a timer a second, as in the background, it is said at the second or third, and asked before", () => {
  detector.begin();
  for (let i = 0; i < 2; i++) tick(1_000);
  assert.deepEqual(told, ["ask", "ask", "blocked"]);
});

test("a tab that was suspended has not waited", () => {
  detector.begin();
  tick(60_000);
  assert.deepEqual(told, ["ask"]);
  detector.heard();
  tick(60_000);
  assert.ok(!detector.blocked);
});

test("nothing is said once nothing waits", () => {
  detector.begin();
  tick(250);
  waits = false;
  for (let i = 0; i < 20; i++) tick(1_000);
  assert.deepEqual(told, []);
});
