// What tabs make of claims: who lives and who leads is told by Web Locks, and a
// flood of claims costs little.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { Admission } from "../../src/worker/admission.js";
import { VersionHandshake } from "../../src/tabs/version-handshake.js";
import type { BuildMessage } from "../../src/shared/messages.js";
import { LockHolders, leads } from "../../src/shared/lock-holders.js";
import { leaderLock, lockName } from "../../src/shared/names.js";
import { Throttle } from "../../src/shared/throttle.js";
import { settle } from "../fake.js";

/** Locks that are held, by name, and how often somebody looked. */
const locks = {
  held: new Map<string, string>(),
  looks: 0,
  async query() {
    locks.looks++;
    await settle();
    return { held: [...locks.held].map(([name, clientId]) => ({ name, clientId })), pending: [] };
  },
};

let navigator: PropertyDescriptor | undefined;
beforeEach(() => {
  locks.held.clear();
  locks.looks = 0;
  navigator = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  Object.defineProperty(globalThis, "navigator", { value: { locks }, configurable: true });
});
afterEach(() => {
  if (navigator) Object.defineProperty(globalThis, "navigator", navigator);
  else Reflect.deleteProperty(globalThis, "navigator");
});

const later = async (turns = 6) => {
  for (let i = 0; i < turns; i++) await settle();
};

test("claims that come together share a look, and one look sees what came before it alone", async () => {
  const lockHolders = new LockHolders();
  const told: string[] = [];
  lockHolders.check("a", () => told.push("a"));
  locks.held.set("late", "x"); // the first look may be under way already
  lockHolders.check("b", (holders) => told.push(`b ${holders.has("late")}`));
  lockHolders.check("b", () => told.push("b again"));
  lockHolders.check("c", () => told.push("c"));
  await later();
  assert.deepEqual(told, ["a", "b again", "c"]);
  assert.equal(locks.looks, 2);
});

test("10,000 claims cost two looks, and who claims after them is heard", async () => {
  const lockHolders = new LockHolders();
  let told = 0;
  for (let i = 0; i < 10_000; i++) lockHolders.check(String(i), () => told++);
  await later();
  assert.equal(locks.looks, 2);
  assert.ok(told > 0 && told <= 257, String(told));
  lockHolders.check("one who lives", () => { told = -1; });
  await later();
  assert.equal(told, -1);
});

test("a browser that will not say holds nobody up", async (t) => {
  const lockHolders = new LockHolders();
  t.mock.method(locks, "query", () => Promise.reject(new Error("no")));
  const told: number[] = [];
  lockHolders.check("a", (holders) => told.push(holders.size));
  await later();
  lockHolders.check("b", (holders) => told.push(holders.size));
  await later();
  assert.deepEqual(told, [0, 0]);
});

test("a leader is who holds the database's lock beside its own", () => {
  const scope = "notes", leader = "a".repeat(32);
  const holders = new Map<string, string>();
  assert.equal(leads(holders, scope, leader), false, "nobody");
  holders.set(leaderLock(scope, leader), "a stranger");
  assert.equal(leads(holders, scope, leader), false, "a lock of its own alone");
  holders.set(lockName(scope), "the worker");
  assert.equal(leads(holders, scope, leader), false, "somebody else has the database");
  holders.set(leaderLock(scope, leader), "the worker");
  assert.equal(leads(holders, scope, leader), true);
  assert.equal(leads(holders, "other", leader), false);
});

test("a tab gets a line if its lock is held, four at most, and all together 1,024", async () => {
  const lines: string[] = [];
  let serving = true;
  const of = (tab: string) => lines.filter((line) => line === tab).length;
  const admission = new Admission(new LockHolders(), (tab) => `lock of ${tab}`,
    () => (serving ? { size: lines.length, of } : undefined));
  const asks = async (tab: string, way: "port" | "channel" = "port") => {
    const before = lines.length;
    admission.ask(tab, way, () => lines.push(tab));
    await later(3);
    return lines.length > before;
  };
  assert.equal(await asks("nobody"), false);
  locks.held.set("lock of a", "a");
  locks.held.set("lock of b", "b");
  for (let i = 0; i < 4; i++) assert.equal(await asks("a", i % 2 ? "port" : "channel"), true);
  assert.equal(await asks("a"), false, "too many of one tab");
  assert.equal(await asks("b"), true);
  serving = false;
  assert.equal(await asks("b"), false, "nobody serves");
  serving = true;
  lines.length = 1_024;
  assert.equal(await asks("b"), false, "too many of all");
  lines.length = 0;
  for (let i = 0; i < 1_000; i++) admission.ask("b", "port", () => lines.push("b"));
  await later();
  assert.ok(lines.length <= 2, "of requests alike one counts");
});

test("a newer build is believed if the tab's lock that it names is held", async () => {
  const newer: string[] = [];
  const handshake = new VersionHandshake(3, "heddle:2:between:tab:me", new LockHolders(),
    ({ lock }) => newer.push(lock));
  handshake.open("between");
  const channel = new BroadcastChannel("heddle:between:builds");
  const heard: BuildMessage[] = [];
  channel.onmessage = (event) => { heard.push((event as MessageEvent<BuildMessage>).data); };
  const say = async (build: unknown) => {
    channel.postMessage(build);
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setTimeout(resolve, 1));
  };
  const build = { t: "build", protocol: 2, migrations: 4, lock: "heddle:2:between:tab:other", answer: true };
  await say(null);
  await say({ ...build, migrations: "many" });
  await say(build);
  assert.deepEqual(newer, [], "nobody holds it");
  locks.held.set(build.lock, "other");
  locks.held.set("heddle:between", "a worker");
  await say({ ...build, lock: "heddle:between" });
  await say({ ...build, protocol: 9 });
  assert.deepEqual(newer, [], "no lock of such a tab");
  await say(build);
  assert.deepEqual(newer, [build.lock]);
  // An older one is answered, and a crowd of them not each.
  heard.length = 0;
  for (let i = 0; i < 500; i++) channel.postMessage({ ...build, migrations: 1 });
  await say({ ...build, migrations: 1 });
  assert.ok(heard.length >= 1 && heard.length <= 20, String(heard.length));
  handshake.close();
  channel.close();
});

test("what is asked too often is done at once, and then once more", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let done = 0;
  const throttle = new Throttle(50, () => done++);
  for (let i = 0; i < 1_000; i++) throttle.run();
  assert.equal(done, 1);
  t.mock.timers.tick(50);
  assert.equal(done, 2);
  t.mock.timers.tick(500);
  assert.equal(done, 2);
  throttle.run();
  assert.equal(done, 3);
  throttle.run();
  throttle.end();
  t.mock.timers.tick(500);
  assert.equal(done, 3);
});
