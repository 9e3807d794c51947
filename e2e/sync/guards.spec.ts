// What one device's schema refuses and the log holds: two real devices, each
// with its own constraints, and what the app is told.
import type { Page } from "@playwright/test";
import { digest, expect, failure, openIn, synced, test } from "../fixtures.js";

interface Told { kind: string; table: string; key: unknown[]; code?: string; constraint?: string }

/** Opens the database and notes the conflicts. */
async function open(page: Page, migrations: readonly string[], url: string, tables: Record<string,
  unknown>): Promise<void> {
  await openIn(page, { migrations, sync: { url, space: "s", tables } as never });
  await page.evaluate(() => {
    const told: unknown[] = [];
    Object.assign(globalThis, { told });
    db.sync.on("conflict", (conflict) => told.push(conflict));
  });
}

const told = (page: Page) => page.evaluate(() => (globalThis as unknown as { told: Told[] }).told);
const query = (page: Page, sql: string) => page.evaluate((q) => db.query(q), sql);
const exec = (page: Page, sql: string) => page.evaluate((q) => db.exec(q).then(() => undefined), sql);
const quarantined = (page: Page) => page.evaluate(() => db.sync.quarantined());

async function same(a: Page, b: Page): Promise<void> {
  for (const page of [a, b, a, b]) await synced(page);
  expect(await digest(b)).toEqual(await digest(a));
  for (const page of [a, b]) expect(await page.evaluate(() => db.sync.status.repairs ?? 0)).toBe(0);
}

const stock = `CREATE TABLE stock(id TEXT PRIMARY KEY, n INTEGER NOT NULL DEFAULT 0)`;
const guard = (when: string) => `CREATE TRIGGER guard BEFORE UPDATE OF n ON stock WHEN ${when} new.n < 0
  BEGIN SELECT RAISE(ABORT, 'out of stock'); END`;

test("a counter with a guard, sold twice offline, is below zero everywhere and stops no device",
  async ({ profile, site, wire }) => {
  const one = await wire(), two = await wire();
  const a = await (await profile()).tab(site), b = await (await profile()).tab(site);
  const refused = await failure(a, `await heddle.open(${JSON.stringify({
    name: "refused", migrations: [stock, guard("")], sync: { url: one.url, space: "s", tables: { stock: true } },
  })})`);
  expect(refused).toMatchObject({ code: "HEDDLE_SYNC_SCHEMA" });
  expect(refused.message).toContain("WHEN NOT heddle_applying()");

  const migrations = [stock, guard("NOT heddle_applying() AND")], tables = { stock: { n: "counter" } };
  await open(a, migrations, one.url, tables);
  await open(b, migrations, two.url, tables);
  await exec(a, `INSERT INTO stock VALUES ('shoe', 1)`);
  await same(a, b);
  one.pull();
  two.pull();
  for (const page of [a, b]) {
    await exec(page, `UPDATE stock SET n = n - 1`);
    expect(await failure(page, `await db.exec("UPDATE stock SET n = n - 1")`))
      .toMatchObject({ code: "SQLITE_CONSTRAINT_TRIGGER" });
  }
  one.plug();
  two.plug();
  await same(a, b);
  for (const page of [a, b]) expect(await query(page, `SELECT n FROM stock`)).toEqual([{ n: -1 }]);
});

test("two columns of a row set on two devices, guarded by a trigger", async ({ profile, site, wire }) => {
  const one = await wire(), two = await wire();
  const a = await (await profile()).tab(site), b = await (await profile()).tab(site);
  const migrations = [`CREATE TABLE slots(id TEXT PRIMARY KEY, begins INTEGER, ends INTEGER)`,
    `CREATE TRIGGER guard BEFORE UPDATE ON slots WHEN NOT heddle_applying() AND new.begins > new.ends
      BEGIN SELECT RAISE(ABORT, 'ends before it begins'); END`];
  await open(a, migrations, one.url, { slots: true });
  await open(b, migrations, two.url, { slots: true });
  await exec(a, `INSERT INTO slots VALUES ('s', 5, 9)`);
  await same(a, b);
  one.pull();
  two.pull();
  await exec(a, `UPDATE slots SET begins = 8`);
  await exec(b, `UPDATE slots SET ends = 6`);
  one.plug();
  two.plug();
  await same(a, b);
  for (const page of [a, b]) {
    expect(await query(page, `SELECT begins, ends FROM slots`)).toEqual([{ begins: 8, ends: 6 }]);
  }
});

test("an old version beside a new one: what the new one's schema refuses is quarantined, and comes back",
  async ({ profile, server, site }) => {
  const old = await (await profile()).tab(site), later = await (await profile()).tab(site);
  const plain = `CREATE TABLE notes(id TEXT PRIMARY KEY, n, body TEXT)`;
  await open(old, [plain], server.url, { notes: true });
  await exec(old, `INSERT INTO notes VALUES ('a', 1, '{"tag":"x"}'), ('b', 2, '{"tag":"y"}')`);
  await synced(old);
  // An index on an expression, a generated column and a full text index that triggers keep.
  await open(later, [plain, `CREATE INDEX tags ON notes(json_extract(body, '$.tag'));
    ALTER TABLE notes ADD COLUMN twice AS (n * 2);
    CREATE VIRTUAL TABLE words USING fts5(id UNINDEXED, body);
    CREATE TRIGGER words_i AFTER INSERT ON notes BEGIN INSERT INTO words VALUES (new.id, new.body); END;
    CREATE TRIGGER words_u AFTER UPDATE ON notes BEGIN UPDATE words SET body = new.body WHERE id = new.id; END;
    CREATE TRIGGER words_d AFTER DELETE ON notes BEGIN DELETE FROM words WHERE id = old.id; END`],
    server.url, { notes: true });
  await same(old, later);
  await exec(old, `UPDATE notes SET body = 'no json' WHERE id = 'a'`);
  await exec(old, `INSERT INTO notes VALUES ('c', 3, 'none either'), ('d', 4, '{"tag":"z"}')`);
  await same(old, later);
  expect(await query(later, `SELECT id, twice FROM notes ORDER BY id`))
    .toEqual([{ id: "b", twice: 4 }, { id: "d", twice: 8 }]);
  expect(await query(later, `SELECT id FROM words WHERE words MATCH 'tag' ORDER BY id`))
    .toEqual([{ id: "b" }, { id: "d" }]);
  const why = { table: "notes", code: "SQLITE_ERROR", constraint: "malformed JSON" };
  expect(await quarantined(later)).toEqual([
    { ...why, key: ["a"], cells: { n: 1, body: "no json" } },
      { ...why, key: ["c"], cells: { n: 3, body: "none either" } }]);
  expect(await told(later)).toEqual([
    { counter: 0, kind: "constraint", ...why, key: ["a"] }, { counter: 0, kind: "constraint", ...why, key: ["c"] }]);

  await exec(old, `UPDATE notes SET body = '{"tag":"a"}' WHERE id = 'a'`);
  await exec(later, `INSERT INTO notes VALUES ('c', 5, '{"tag":"c"}')`); // over the one that it cannot see
  await same(old, later);
  for (const page of [old, later]) {
    expect(await query(page, `SELECT id, n FROM notes ORDER BY id`)).toEqual([
      { id: "a", n: 1 }, { id: "b", n: 2 }, { id: "c", n: 5 }, { id: "d", n: 4 }]);
  }
  expect(await quarantined(later)).toEqual([]);
  expect(await query(later, `SELECT count(*) AS n FROM words WHERE words MATCH 'tag'`)).toEqual([{ n: 4 }]);
});

test("a client that is not Heddle writes NULL, text and keys that the app's tables cannot hold",
  async ({ profile, server, site }) => {
  const own = await (await profile()).tab(site), app = await (await profile()).tab(site);
  const tables = { notes: true, marks: true };
  await open(own, [`CREATE TABLE notes(id TEXT PRIMARY KEY, n); CREATE TABLE marks(id TEXT PRIMARY KEY, n)`],
    server.url, tables);
  await exec(own, `INSERT INTO notes VALUES ('fits', 1), ('null', NULL), ('text', 'many')`);
  await exec(own, `INSERT INTO marks VALUES ('1', 1), ('x', 2)`);
  await synced(own);
  // A new device, whose first rows come in a snapshot or with the log.
  await openIn(app, { migrations: [
    `CREATE TABLE notes(id TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT;
     CREATE TABLE marks(id INTEGER PRIMARY KEY, n)`],
    sync: { url: server.url, space: "s", tables, integerKey: true } as never });
  await same(own, app);
  expect(await query(app, `SELECT id FROM notes`)).toEqual([{ id: "fits" }]);
  expect(await query(app, `SELECT id FROM marks`)).toEqual([]);
  expect((await quarantined(app)).map(({ table, key, code }) => [table, key[0], code])).toEqual([
    ["marks", "1", "SQLITE_MISMATCH"], ["marks", "x", "SQLITE_MISMATCH"],
    ["notes", "null", "SQLITE_CONSTRAINT_NOTNULL"], ["notes", "text", "SQLITE_CONSTRAINT_DATATYPE"]]);
  await exec(own, `UPDATE notes SET n = 2 WHERE id = 'null'`);
  await same(own, app);
  expect(await query(app, `SELECT id, n FROM notes ORDER BY id`)).toEqual([{ id: "fits", n: 1 }, { id: "null", n: 2 }]);
});
