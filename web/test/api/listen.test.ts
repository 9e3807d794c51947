// db.listen() and db.onNotify(): commits, notifications and gaps, on a leader that is the test.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Kind } from "../../src/rpc/codec.js";
import { Method } from "../../src/rpc/messages.gen.js";
import type { Change, Notification } from "../../src/shared/types.js";
import { commit, leads } from "../announcements.js";
import { opened, rejection, settle, type FakeConnection } from "../fake.js";

const short = (change: Change) => (change.missed ? `${change.seq} missed`
  : `${change.seq} ${change.origin} ${Object.keys(change.tables).join()}`);

test("commits come with their origin, to those who listen to their tables", async () => {
  const { db, c } = await opened();
  const all: string[] = [], notes: Change[] = [];
  db.listen(null, (change) => all.push(short(change)));
  const off = db.listen(["NOTES"], (change) => notes.push(change));
  commit(c, { leader: "L1", number: 1, tab: "tab-1" });
  commit(c, { leader: "L1", number: 2, tab: "tab-2", tables: { notes: ["a"], other: ["b"] } });
  commit(c, { leader: "L1", number: 3, sync: true, tables: { other: ["b"] } });
  off();
  commit(c, { leader: "L1", number: 4, tab: "tab-1" });
  assert.deepEqual(all, ["1 local notes", "2 tab notes,other", "3 sync other", "4 local notes"]);
  assert.deepEqual(notes, [
    { seq: 1, origin: "local", missed: false,
      tables: { notes: { inserted: [["k"]], updated: [], deleted: [], more: 0 } } },
    { seq: 2, origin: "tab", missed: false,
      tables: { notes: { inserted: [["a"]], updated: [], deleted: [], more: 0 } } },
  ]);
});

test("what was missed is said once, by whatever sign", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { db, c } = await opened();
  const seen: string[] = [];
  db.listen(["notes"], (change) => seen.push(short(change)));
  const took = (what: () => void) => { seen.length = 0; what(); return [...seen]; };
  assert.deepEqual(took(() => commit(c, { leader: "L1", number: 1 })), ["1 tab notes"]);
  assert.deepEqual(took(() => commit(c, { leader: "L1", number: 1 })), [], "said twice");
  assert.deepEqual(took(() => commit(c, { leader: "L1", number: 3 })), ["3 missed"], "a gap");
  assert.deepEqual(took(() => leads(c, "L1", 3)), [], "nothing new");
  assert.deepEqual(took(() => leads(c, "L1", 5)), ["5 missed"], "the last ones were lost");
  assert.deepEqual(took(() => commit(c, { leader: "L1", number: 6, schema: true, tables: {} })), ["6 missed"],
    "an import");
  assert.deepEqual(took(() => leads(c, "L2", 0)), [], "somebody else says that it leads");
  assert.deepEqual(took(() => commit(c, { leader: "L2", number: 1 })), [], "and that it commits");
  assert.deepEqual(took(() => commit(c, { leader: "L1", number: 7 })), ["7 tab notes"], "the leader is still heard");
  assert.deepEqual(took(() => c.handler.broadcast(new Uint8Array([7, 1, 2]))), ["7 missed"], "another version");
  assert.deepEqual(took(() => { for (let i = 0; i < 1_000; i++) c.handler.broadcast(new Uint8Array([1, 2])); }), [],
    "damaged, and said just now");
  assert.deepEqual(took(() => t.mock.timers.tick(250)), ["7 missed"]);
  assert.deepEqual(took(() => t.mock.timers.tick(60_000)), []);
  c.handler.lost(false);
  await c.lead("L2", { commit: 0 });
  assert.deepEqual(seen, ["1 missed"], "what it committed before it answered");
  seen.length = 0;
  c.handler.lost(false);
  await c.lead("L2", { commit: 1 });
  assert.deepEqual(seen, [], "the same leader, nothing new");
  c.handler.lost(false);
  await c.lead("L3", { commit: 0 });
  await settle();
  assert.deepEqual(seen, ["0 missed"]);
});

test("listen's arguments are checked, and a listener that throws stops nobody", async () => {
  const { db, c } = await opened();
  for (const tables of ["notes", [5], undefined, {}]) assert.throws(() => db.listen(tables as never, () => {}),
    { code: "HEDDLE_BAD_PARAM" });
  assert.throws(() => db.listen(null, 5 as never), { code: "HEDDLE_BAD_PARAM" });
  const errors: unknown[] = [];
  const scope = globalThis as { reportError?: (e: unknown) => void };
  const before = scope.reportError;
  scope.reportError = (e) => errors.push(e);
  let calls = 0;
  db.listen(null, () => { throw new Error("app"); });
  db.listen(null, () => { calls++; });
  commit(c, { leader: "L1", number: 1 });
  scope.reportError = before!;
  assert.deepEqual([errors.length, calls], [1, 1]);
});

test("notify is a write, and tx.notify is part of its transaction", async () => {
  const { db, c } = await opened();
  const done = db.notify("chat", { a: "ü" });
  const q = await c.next(Method.notify);
  assert.deepEqual([q.write, q.r.string(), q.r.string()], [1, "chat", `{"a":"ü"}`]);
  c.reply(q.id, Kind.result);
  assert.equal(await done, undefined);
  const transaction = db.transaction((tx) => tx.notify("chat"));
  const begin = await c.next(Method.txBegin);
  c.reply(begin.id, Kind.result);
  const inside = await c.next(Method.txNotify);
  assert.deepEqual([inside.write, inside.r.u32(), inside.r.string(), inside.r.string()], [0, begin.id, "chat", "null"]);
  c.reply(inside.id, Kind.result);
  c.reply((await c.next(Method.txCommit)).id, Kind.result);
  await transaction;
});

test("notifications come to those who listen to their channel, after the commit's changes", async () => {
  const { db, c } = await opened();
  const seen: unknown[] = [];
  db.listen(null, (change) => seen.push(short(change)));
  const off = db.onNotify("chat", (n) => seen.push(n));
  db.onNotify("other", (n) => seen.push(n));
  commit(c, { leader: "L1", number: 1, tab: "tab-1", notified: [["chat", `{"a":1}`], ["chat", "null"]] });
  const chat = { channel: "chat", origin: "local", missed: false };
  assert.deepEqual(seen.splice(0), ["1 local notes", { ...chat, payload: { a: 1 } }, { ...chat, payload: null }]);
  commit(c, { leader: "L1", number: 2, tab: "tab-2", tables: {}, schema: true,
    notified: [["other", `"x"`], ["third", "1"]] });
  assert.deepEqual(seen.splice(0), ["2 missed", { channel: "other", payload: "x", origin: "tab", missed: false }]);
  off();
  commit(c, { leader: "L1", number: 5, tables: {}, notified: [["chat", "1"]] });
  assert.deepEqual(seen, ["5 missed", { channel: "other", payload: undefined, origin: "tab", missed: true }]);
});

test("a payload that is not JSON is reported, and the next one comes", async () => {
  const { db, c } = await opened();
  const scope = globalThis as { reportError?: (e: unknown) => void };
  const before = scope.reportError;
  const errors: unknown[] = [], seen: Notification[] = [];
  scope.reportError = (e) => errors.push(e);
  db.onNotify("chat", (n) => seen.push(n));
  commit(c, { leader: "L1", number: 1, notified: [["chat", "{"], ["chat", "2"]] });
  scope.reportError = before!;
  assert.deepEqual([errors.length, seen.map((n) => n.payload)], [1, [2]]);
});

test("channels and payloads are checked before anything is sent", async () => {
  const { db, c } = await opened();
  const loop: { self?: unknown } = {};
  loop.self = loop;
  for (const [channel, payload] of [["", 1], [5, 1], ["x".repeat(129), 1], ["c", loop], ["c", 1n],
    ["c", () => {}]] as [string, unknown][]) {
    assert.equal((await rejection(db.notify(channel, payload))).code, "HEDDLE_BAD_PARAM");
  }
  assert.equal((await rejection(db.notify("c", "x".repeat(8_000)))).code, "HEDDLE_TOO_BIG");
  assert.throws(() => db.onNotify("", () => {}), { code: "HEDDLE_BAD_PARAM" });
  assert.throws(() => db.onNotify("c", 5 as never), { code: "HEDDLE_BAD_PARAM" });
  assert.equal(await c.has(Method.notify), false);
});

test("a leader is told when a database begins to listen, and when nothing of it listens any more", async () => {
  const { db, c } = await opened();
  const told = async () => {
    const all: boolean[] = [];
    while (await c.has(Method.listen)) all.push((await c.next(Method.listen)).r.bool());
    return all;
  };
  assert.deepEqual(await told(), []);
  const offs = [db.listen(null, () => {}), db.listen(["notes"], () => {}), db.onNotify("chat", () => {})];
  assert.deepEqual(await told(), [true]);
  c.handler.lost(false);
  await c.lead("L2");
  assert.deepEqual(await told(), [true], "the next leader was not told");
  for (const off of offs) off();
  for (const off of offs) off();
  assert.deepEqual(await told(), [false]);
  db.onNotify("chat", () => {});
  assert.deepEqual(await told(), [true]);
});

test("who begins to listen has missed nothing of what came before", async () => {
  const { db, c } = await opened();
  const seen: string[] = [];
  const begin = () => db.listen(null, (change) => seen.push(short(change)));
  const took = async (what: () => unknown) => { seen.length = 0; await what(); await settle(); return [...seen]; };
  /** The leader's answer to the last word that the page listens. */
  const heardAbove = async (number: number) => {
    const words = c.sent.filter(({ method }) => method === Method.listen).length;
    for (let i = 0; i < words; i++) {
      const { id } = await c.next(Method.listen);
      c.reply(id, Kind.result, (w) => w.u64(number));
    }
  };
  let off = begin();
  assert.deepEqual(await took(() => leads(c, "L1", 7)), [], "nobody listened to the seven commits");
  assert.deepEqual(await took(() => heardAbove(7)), []);
  assert.deepEqual(await took(() => commit(c, { leader: "L1", number: 8 })), ["8 tab notes"]);
  assert.deepEqual(await took(() => leads(c, "L1", 9)), ["9 missed"], "the leader says again where it is");
  off();
  off = begin();
  assert.deepEqual(await took(() => commit(c, { leader: "L1", number: 20 })), ["20 tab notes"], "for another tab");
  assert.deepEqual(await took(() => leads(c, "L1", 20)), []);
  assert.deepEqual(await took(() => heardAbove(19)), [], "all above it were heard");
  assert.deepEqual(await took(() => commit(c, { leader: "L1", number: 22 })), ["22 missed"]);
  c.handler.lost(false);
  await c.lead("L2", { commit: 2 });
  assert.deepEqual(await took(() => leads(c, "L2", 5)), ["5 missed"], "before the new leader knew who listens");
  assert.deepEqual(await took(() => heardAbove(5)), []);
  c.handler.lost(false);
  await c.lead("L3", { commit: 2 });
  assert.deepEqual(await took(() => heardAbove(3)), ["3 missed"], "the same, and its announcement was lost");
  off();
});

test("who begins to listen learns of the commits after that, though their announcements are lost", async () => {
  type Said = (c: FakeConnection) => void;
  const head: Said = (c) => leads(c, "L1", 4);
  const commitOf = (number: number): Said => (c) => commit(c, { leader: "L1", number });
  const cases: [string, before: Said[], after: Said[], told: string[]][] = [
    ["all but where the leader is", [], [head, head], ["4 missed"]],
    ["that it is there came early", [head], [head], ["4 missed"]],
    ["the first three", [], [commitOf(4), head], ["4 missed"]],
    ["the first three, and the last came early", [commitOf(4)], [head], ["4 tab notes", "4 missed"]],
    ["none", [commitOf(1)], [commitOf(2)], ["1 tab notes", "2 tab notes"]],
  ];
  for (const [lost, before, after, told] of cases) {
    const { db, c } = await opened();
    const seen: string[] = [];
    db.listen(null, (change) => seen.push(short(change)));
    const { id } = await c.next(Method.listen);
    for (const say of before) say(c);
    c.reply(id, Kind.result, (w) => w.u64(0));
    await settle();
    for (const say of after) say(c);
    assert.deepEqual(seen, told, lost);
  }
});
