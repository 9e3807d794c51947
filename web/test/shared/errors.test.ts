import assert from "node:assert/strict";
import { test } from "node:test";

import { EventType } from "../../src/rpc/messages.gen.js";
import { HeddleError } from "../../src/shared/errors.js";
import { opened, rejection, writeStatus } from "../fake.js";

test("an error written as JSON keeps code, operation, SQL and causes", () => {
  const cause = new TypeError("Failed to fetch", { cause: "the cable" });
  const error = new HeddleError("HEDDLE_NETWORK", "the server could not be reached",
    { op: "sync: pull", sql: "SELECT 1", cause });
  const record = {
    name: "HeddleError", message: "the server could not be reached", code: "HEDDLE_NETWORK", op: "sync: pull",
      sql: "SELECT 1",
    cause: { name: "TypeError", message: "Failed to fetch", cause: { name: "string", message: "the cable" } },
  };
  assert.deepEqual(error.toJSON(), record);
  assert.deepEqual(JSON.parse(JSON.stringify({ error })), { error: record });
  assert.deepEqual(structuredClone(error.toJSON()), record);
  // A clone has the same cause, not itself.
  assert.deepEqual(error.clone().clone().toJSON(), record);
});

test("causes that go round, or are nothing of the kind, end somewhere", () => {
  const round = new HeddleError("HEDDLE_INTERNAL", "a");
  Object.assign(round, { cause: new Error("b", { cause: round }) });
  assert.ok(JSON.stringify(round).length < 2_000);
  const itself = new HeddleError("HEDDLE_INTERNAL", "a");
  Object.assign(itself, { cause: itself });
  assert.ok(JSON.stringify(itself).length < 2_000);
  assert.deepEqual(new HeddleError("HEDDLE_INTERNAL", "a", { cause: 5n }).toJSON().cause,
    { name: "bigint", message: "5" });
});

test("what a call rejects with says itself whole", async () => {
  const { db, c } = await opened();
  const done = rejection(db.exec("INSERT 1"));
  c.error(c.sent.at(-1)!.id, "SQLITE_FULL", "the disk is full");
  assert.deepEqual((await done).toJSON(),
    { name: "HeddleError", message: "the disk is full", code: "SQLITE_FULL", op: "test", sql: "INSERT 1" });
});

test("a status with an error can be posted and logged", async () => {
  const { db, c } = await opened({ sync: { url: "https://x.test", space: "s", tables: { notes: true } } });
  const lastError = new HeddleError("HEDDLE_FORBIDDEN", "not this space", { op: "sync: push" }).toJSON();
  c.event(0, EventType.status, (w) => writeStatus(w, { state: "error", seq: 1, pending: 2, lastError }));
  const { status } = db.sync;
  assert.deepEqual(status.lastError, lastError);
  assert.deepEqual(structuredClone(status), status);
  assert.deepEqual(JSON.parse(JSON.stringify(status)), status);
});
