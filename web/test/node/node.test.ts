// heddle/node, as the tests of an app use it: the built package, in memory and in files, one process and two, and sync
// with a real server.

import assert from "node:assert/strict";
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

import type * as Heddle from "../../src/node/index.js";
import { rejection } from "../fake.js";

const module = new URL("../../dist/node.js", import.meta.url);
const { open, databases, destroy, HeddleError } = await import(module.href) as typeof Heddle;

const temporary = mkdtempSync(join(tmpdir(), "heddle-node-"));
after(() => rmSync(temporary, { recursive: true }));
const migrations = ["CREATE TABLE notes(id TEXT PRIMARY KEY, body TEXT NOT NULL DEFAULT '')"];

let directories = 0;
const directory = () => join(temporary, String(directories++));

test("a database in memory is its open()'s own", async () => {
  const options = { name: "notes", storage: "memory", migrations } as const;
  const [a, b] = [await open(options), await open(options)];
  await a.exec("INSERT INTO notes VALUES (?, ?)", ["a", "one"]);
  assert.deepEqual(await a.query("SELECT * FROM notes"), [{ id: "a", body: "one" }]);
  assert.deepEqual(await b.query("SELECT * FROM notes"), []);
  assert.deepEqual([a.role, a.storage, a.name], ["leader", "memory", "notes"]);
  await Promise.all([a.close(), b.close()]);
  assert.equal((await rejection(a.query("SELECT 1"))).code, "HEDDLE_CLOSED");
});

test("files keep what was written, and any sqlite3 reads them", async () => {
  const options = { name: "notes", directory: directory(), migrations };
  let db = await open(options);
  await db.bulk("INSERT INTO notes VALUES (?, 'x')", Array.from({ length: 5000 }, (_, i) => [`k${i}`]));
  await db.close();
  db = await open(options);
  assert.deepEqual(await db.query("SELECT count(*) AS n FROM notes"), [{ n: 5000 }]);
  assert.equal((await db.health()).ok, true);
  const file = await db.export();
  assert.equal(new TextDecoder().decode(file.slice(0, 15)), "SQLite format 3");
  await db.exec("DELETE FROM notes");
  await db.import(file);
  assert.deepEqual(await db.query("SELECT count(*) AS n FROM notes"), [{ n: 5000 }]);
  await db.close();
  assert.deepEqual(readdirSync(join(options.directory, "heddle")), ["notes"]);
  await destroy("notes", options);
  assert.deepEqual(readdirSync(join(options.directory, "heddle")), []);
});

test("schema() and databases() tell what there is", async () => {
  const options = { directory: directory(), name: "tables é", migrations: [
    "CREATE TABLE a(id INTEGER PRIMARY KEY, body TEXT NOT NULL DEFAULT 'x', n INT AS (id * 2)) STRICT",
    "CREATE VIEW v AS SELECT id FROM a",
    "CREATE UNIQUE INDEX a_body ON a(body, lower(body)) WHERE id > 1; CREATE VIRTUAL TABLE f USING fts5(body)",
  ] };
  assert.deepEqual(await databases(options), []);
  const db = await open(options);
  const { tables } = await db.schema();
  assert.deepEqual(tables.map(({ name, type, strict }) => [name, type, strict]),
    [["a", "table", true], ["f", "virtual", false], ["v", "view", false]]);
  assert.deepEqual(tables[0]!.columns, [
    { name: "id", type: "INTEGER", notNull: false, default: null, key: 1, generated: false },
    { name: "body", type: "TEXT", notNull: true, default: "'x'", key: 0, generated: false },
    { name: "n", type: "INT", notNull: false, default: null, key: 0, generated: true },
  ]);
  assert.deepEqual(tables[0]!.indexes,
    [{ name: "a_body", unique: true, partial: true, made: true, columns: ["body", null] }]);
  assert.match(tables[2]!.sql, /^CREATE VIEW v/);
  await db.close();
  assert.deepEqual(await databases(options), ["tables é"]);
});

test("a database as SQL text is the same when it is imported", async () => {
  const made = [`CREATE TABLE lists(id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT UNIQUE);
    CREATE TABLE cards(list INTEGER REFERENCES lists(id), body, twice AS (body || body),
      PRIMARY KEY(list, body)) WITHOUT ROWID;
    CREATE VIRTUAL TABLE words USING fts5(body);
    CREATE INDEX cards_body ON cards(body) WHERE list > 0; CREATE VIEW titles AS SELECT title FROM lists;
    CREATE TRIGGER cards_words AFTER INSERT ON cards BEGIN INSERT INTO words(body) VALUES (new.body); END`];
  const options = { storage: "memory", migrations: made } as const;
  const [from, to] = [await open({ name: "from", ...options }), await open({ name: "to", ...options })];
  const values = [0, -1.5, 2n ** 62n, 1e300, Infinity, "it's", "line\nend; --", "nul\0in", "",
    new Uint8Array([0, 255])];
  await from.bulk("INSERT INTO lists(title) VALUES (?)", [["a"], ["it's"]]);
  await from.bulk("INSERT INTO cards(list, body) VALUES (1, ?)", values.map((value) => [value]));
  await from.exec("DELETE FROM lists WHERE id = 2");
  const text = await from.export("sql");
  await to.import(text);
  for (const sql of ["SELECT * FROM lists", "SELECT list, body, typeof(body), hex(body) FROM cards ORDER BY 2",
    "SELECT rowid, body FROM words ORDER BY rowid, body", "SELECT * FROM sqlite_sequence"]) {
    assert.deepEqual(await to.query(sql), await from.query(sql), sql);
  }
  assert.deepEqual(await to.query("SELECT body FROM words WHERE words MATCH 'line'"), [{ body: "line\nend; --" }]);
  assert.deepEqual(await to.schema(), await from.schema());
  assert.equal(await to.export("sql"), text);
  assert.match(text, /^PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n[^]*COMMIT;\n$/);
  assert.doesNotMatch(text, /heddle_(?!migration|column)/);
  await Promise.all([from.close(), to.close()]);
});

test("a second open() with other migrations of the same number is refused, with what to do", async () => {
  const options = { name: "notes", directory: directory(), migrations };
  const db = await open(options);
  const refused = await rejection(open({ ...options, migrations: ["CREATE TABLE other(id)"] }));
  assert.equal(refused.code, "HEDDLE_MIGRATION");
  assert.match(refused.message, /reload the older tab.*destroy\(\)/);
  assert.deepEqual(await db.query("SELECT * FROM notes"), []);
  await db.close();
});

test("two open() of one name share a database, as two tabs do", async () => {
  const options = { name: "notes", directory: directory(), migrations };
  const [a, b] = await Promise.all([open(options), open(options)]);
  const seen: number[] = [];
  const two = new Promise<void>((resolve) => {
    b.live("SELECT id FROM notes", [], (rows) => {
      seen.push(rows.length);
      if (rows.length === 2) resolve();
    });
  });
  const change = new Promise<Heddle.Change>((resolve) => b.listen(["notes"], resolve));
  await b.query("SELECT 1"); // the engine has heard by then that b listens
  await a.exec("INSERT INTO notes(id) VALUES ('a')");
  assert.deepEqual([(await change).origin, (await change).tables["notes"]!.inserted], ["tab", [["a"]]]);
  await a.transaction(async (tx) => { await tx.exec("INSERT INTO notes(id) VALUES ('b')"); });
  await two;
  assert.equal(seen.at(-1), 2);
  await a.close();
  assert.equal((await b.query("SELECT * FROM notes")).length, 2, "the other one goes on");
  await b.close();
});

test("an abort takes effect inside a statement", async () => {
  const db = await open({ name: "notes", storage: "memory" });
  const abort = new AbortController();
  const endless = rejection(db.exec(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n", [],
    { signal: abort.signal }));
  setTimeout(() => abort.abort(), 20);
  assert.equal((await endless).code, "HEDDLE_ABORTED");
  assert.deepEqual(await db.query("SELECT 1 AS a"), [{ a: 1 }]);
  await db.close();
});

test("wrong options and a migration that fails are errors, and leave nothing open", async () => {
  assert.match((await rejection(open({ name: "notes" }))).message, /directory must name .*it is missing.*memory/);
  assert.equal((await rejection(open({ name: "", storage: "memory" }))).code, "HEDDLE_BAD_PARAM");
  const options = { name: "notes", directory: directory() };
  const failed = await rejection(open({ ...options, migrations: ["CREATE TABLE"] }));
  assert.ok(failed instanceof HeddleError);
  assert.equal(failed.code, "HEDDLE_MIGRATION");
  const db = await open({ ...options, migrations });
  await db.close();
});

/** Runs a script that has `open` and `options` in a process of its own. */
function script(text: string, options: object): [string, ...string[]] {
  const whole = `import { open } from "${module.href}"; const options = ${JSON.stringify(options)}; ${text}`;
  return [process.execPath, "--input-type=module", "-e", whole];
}

async function line(child: ChildProcess): Promise<string> {
  for await (const text of createInterface(child.stdout!)) return text;
  return assert.fail("the process said nothing");
}

test("a process ends once its databases are closed", () => {
  const [command, ...args] = script(`const db = await open(options); await db.query("SELECT 1"); await db.close();
    console.log("closed")`, { name: "notes", storage: "memory" });
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8", timeout: 120_000 });
  assert.deepEqual([status, stdout, stderr], [0, "closed\n", ""]);
});

test("files belong to one process; one that was killed holds up nobody, and has lost nothing", async () => {
  const options = { name: "notes", directory: directory(), migrations };
  const [command, ...args] = script(`const db = await open(options);
    await db.exec("INSERT INTO notes(id) VALUES ('kept')");
    console.log("written");
    setInterval(() => {}, 1000);`, options);
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  try {
    assert.equal(await line(child), "written");
    const blocked = await rejection(open(options));
    assert.deepEqual([blocked.code, blocked.message.includes(`process ${child.pid}`)], ["HEDDLE_BLOCKED", true]);
    assert.equal((await rejection(destroy("notes", options))).code, "HEDDLE_BLOCKED");
  } finally {
    child.kill("SIGKILL");
  }
  await new Promise((resolve) => child.once("close", resolve));
  const db = await open(options);
  assert.deepEqual(await db.query("SELECT id FROM notes"), [{ id: "kept" }]);
  assert.equal((await db.health()).lastExit, "unclean");
  await db.close();
});

test("two devices meet at a server", async () => {
  const binary = fileURLToPath(new URL("../../../bin/heddle", import.meta.url)); // `make build` leaves it there
  const server = spawn(binary, ["serve", "--dev", "--addr", "127.0.0.1:0", "--data", directory()],
    { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const url = /http:\/\/[\d.:]+/.exec(await line(server))![0];
    const device = () => open({
      name: "notes", directory: directory(), migrations, sync: { url, space: "s", tables: { notes: true } },
    });
    const [a, b] = await Promise.all([device(), device()]);
    await a.exec("INSERT INTO notes(id, body) VALUES ('a', 'from a')");
    await b.exec("INSERT INTO notes(id, body) VALUES ('b', 'from b')");
    await a.sync.now();
    await b.sync.now();
    await a.sync.now();
    for (const db of [a, b]) {
      assert.deepEqual(await db.query("SELECT * FROM notes ORDER BY id"),
        [{ id: "a", body: "from a" }, { id: "b", body: "from b" }]);
    }
    assert.deepEqual(await a.sync.digest(), await b.sync.digest());
    await Promise.all([a.close(), b.close()]);
  } finally {
    server.kill("SIGKILL");
  }
});
