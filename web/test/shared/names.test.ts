import assert from "node:assert/strict";
import { test } from "node:test";

import { checkName, databaseFolder, databaseName, portChannel, lockName, randomId } from "../../src/shared/names.js";

test("a database's folder is what opfs.Encode makes of its name", () => {
  for (const [name, folder] of [
    ["notes", "notes"], ["a-b_c9", "a-b_c9"], ["Notes", "=4eotes"], ["a b", "a=20b"], ["..", "=2e=2e"],
    ["a/b", "a=2fb"], ["a=b", "a=3db"], ["é", "=c3=a9"], ["日", "=e6=97=a5"],
  ] as const) {
    assert.equal(databaseFolder(name), folder);
    assert.equal(databaseName(folder), name);
  }
  for (const folder of ["", "A", "=zz", "=61", "=ff", "a.lock"]) assert.equal(databaseName(folder), undefined, folder);
});

test("names that no file can have are refused", () => {
  for (const [name, says] of [
    [undefined, /not a string/], [7, /not a string/], ["", /empty/], ["x".repeat(201), /too long/],
    ["日".repeat(23), /too long/], ["e\u0301", /normal form/], ["\ud800", /Unicode/],
  ] as const) assert.throws(() => checkName(name), { name: "HeddleError", code: "HEDDLE_BAD_PARAM", message: says });
  for (const name of ["notes", "My notes.2", "x".repeat(200), "日".repeat(22), "..", "a/b"]) checkName(name);
});

test("names that tabs share tell databases, leaders and tabs apart", () => {
  assert.equal(lockName("notes"), "heddle:notes");
  const different = [["n", "l", "t"], ["m", "l", "t"], ["n", "k", "t"], ["n", "l", "s"]] as const;
  const lines = new Set(different.map(([name, leader, tab]) => portChannel(name, leader, tab)));
  assert.equal(lines.size, 4);
  assert.match(randomId(), /^[0-9a-f]{32}$/);
  assert.notEqual(randomId(), randomId());
});
