// Several tabs of one profile: live queries and listeners across tabs, takeover, errors and transactions per tab.
import type { Page } from "@playwright/test";
import { expect, failure, openIn, test } from "../fixtures.js";

/** Collects what a live query and listen report in the page. */
async function watch(page: Page): Promise<void> {
  await page.evaluate(() => {
    const seen = { rows: [] as unknown[][], changes: [] as { origin: string; tables: string[] }[] };
    Object.assign(globalThis, { seen });
    db.live(`SELECT id, body FROM notes ORDER BY id`, [], (rows) => { seen.rows.push(rows); });
    db.listen(["notes"], (change) => {
      seen.changes.push({ origin: change.origin, tables: Object.keys(change.tables) });
    });
  });
  await expect.poll(() => lastRows(page)).not.toBeUndefined();
}

const lastRows = (page: Page) =>
  page.evaluate(() => (globalThis as unknown as { seen: { rows: unknown[][] } }).seen.rows.at(-1));
const changes = (page: Page) =>
  page.evaluate(() => (globalThis as unknown as { seen: { changes: unknown[] } }).seen.changes);

test("a write in tab A reaches tab B's live query and listener, and the other way round", async ({ profile, site }) => {
  const device = await profile();
  const a = await device.tab(site), b = await device.tab(site);
  await openIn(a);
  await openIn(b);
  expect(await a.evaluate(() => db.role)).toBe("leader");
  expect(await b.evaluate(() => db.role)).toBe("follower");
  await watch(a);
  await watch(b);

  await a.evaluate(() => db.exec(`INSERT INTO notes(id, body) VALUES ('x', 'from A')`));
  await expect.poll(() => lastRows(b)).toEqual([{ id: "x", body: "from A" }]);
  await expect.poll(() => changes(b)).toEqual([{ origin: "tab", tables: ["notes"] }]);
  expect(await changes(a)).toEqual([{ origin: "local", tables: ["notes"] }]);

  await b.evaluate(() => db.exec(`UPDATE notes SET body = 'from B' WHERE id = 'x'`));
  await expect.poll(() => lastRows(a)).toEqual([{ id: "x", body: "from B" }]);
  await expect.poll(() => changes(a))
    .toEqual([{ origin: "local", tables: ["notes"] }, { origin: "tab", tables: ["notes"] }]);
});

test("the leader's tab closes and the other goes on", async ({ profile, site }) => {
  const device = await profile();
  const a = await device.tab(site), b = await device.tab(site), c = await device.tab(site);
  for (const page of [a, b, c]) await openIn(page);
  await watch(b);
  await a.evaluate(() => db.exec(`INSERT INTO notes(id, body) VALUES ('1', 'A leads')`));
  await expect.poll(() => lastRows(b)).toHaveLength(1);

  await a.close();
  await b.evaluate(() => db.exec(`INSERT INTO notes(id, body) VALUES ('2', 'A is gone')`));
  expect(await b.evaluate(() => db.query(`SELECT id FROM notes ORDER BY id`))).toEqual([{ id: "1" }, { id: "2" }]);
  await expect.poll(() => lastRows(b)).toHaveLength(2);
  const roles = await Promise.all([b, c].map((page) => page.evaluate(() => db.role)));
  expect(roles.sort()).toEqual(["follower", "leader"]);

  // The live query of B lives on under the new leader, for C's writes as well.
  await c.evaluate(() => db.exec(`INSERT INTO notes(id, body) VALUES ('3', 'from C')`));
  await expect.poll(() => lastRows(b)).toHaveLength(3);
});

test("a refused constraint gives its code to the tab that asked, and to no other", async ({ profile, site }) => {
  const device = await profile();
  const a = await device.tab(site), b = await device.tab(site);
  await openIn(a);
  await openIn(b);
  const errors: string[] = [];
  device.context.on("weberror", (error) => errors.push(error.error().message));
  await a.evaluate(() => db.exec(`INSERT INTO notes(id) VALUES ('x')`));
  expect(await failure(b, `await db.exec("INSERT INTO notes(id) VALUES ('x')")`))
    .toMatchObject({ name: "HeddleError", code: "SQLITE_CONSTRAINT_PRIMARYKEY",
      sql: "INSERT INTO notes(id) VALUES ('x')" });
  expect(await failure(b, `await db.exec("INSERT INTO notes(id, body) VALUES ('y', 'forbidden')")`))
    .toMatchObject({ code: "SQLITE_CONSTRAINT_CHECK" });
  expect(await failure(b, `await db.exec("UPDATE notes SET body = NULL")`))
    .toMatchObject({ code: "SQLITE_CONSTRAINT_NOTNULL" });
  for (const page of [a, b]) {
    expect(await page.evaluate(() => db.query(`SELECT id, body FROM notes`))).toEqual([{ id: "x", body: "" }]);
  }
  expect(errors).toEqual([]);
});

test("a transaction of one tab is whole to the other, and undone when its function throws",
  async ({ profile, site }) => {
  const device = await profile();
  const a = await device.tab(site), b = await device.tab(site);
  await openIn(a);
  await openIn(b);
  await watch(a);
  await b.evaluate(() => db.transaction(async (tx) => {
    await tx.exec(`INSERT INTO notes(id) VALUES ('1')`);
    const [row] = await tx.query<{ n: number }>(`SELECT count(*) AS n FROM notes`);
    await tx.exec(`INSERT INTO notes(id, done) VALUES ('2', ?)`, [row!.n]);
  }));
  await expect.poll(() => lastRows(a)).toHaveLength(2);
  const sizes = await a.evaluate(() =>
    (globalThis as unknown as { seen: { rows: unknown[][] } }).seen.rows.map((rows) => rows.length));
  expect(sizes).not.toContain(1);
  expect(await failure(b, `await db.transaction(async (tx) => { await tx.exec("DELETE FROM notes"); ` +
    `throw new RangeError("changed my mind"); })`))
    .toMatchObject({ name: "RangeError", message: "changed my mind" });
  expect(await b.evaluate(() => db.query(`SELECT id FROM notes ORDER BY id`))).toEqual([{ id: "1" }, { id: "2" }]);
});

test("a page that opens a name twice has one worker, and closes each for itself", async ({ profile, site }) => {
  const page = await (await profile()).tab(site);
  await openIn(page);
  const seen = await page.evaluate(async () => {
    const options = { name: "twice", migrations: [`CREATE TABLE notes(id TEXT PRIMARY KEY, body TEXT)`] };
    const other = await heddle.open(options);
    // What StrictMode and hot reload do: the next one opens before the former is closed.
    const next = heddle.open(options);
    const closed = other.close();
    const again = await next;
    await closed;
    await again.exec(`INSERT INTO notes VALUES ('a', 'kept')`);
    const error = (promise: Promise<unknown>) => promise.then(() => "none", (thrown: Error) =>
      `${(thrown as unknown as { code: string }).code}: ${thrown.message}`);
    const former = await error(other.query(`SELECT 1`)), differs = await error(heddle.open({ name: "twice" }));
    const rows = await again.query(`SELECT body FROM notes`);
    await again.close();
    const last = await heddle.open(options);
    return { former, differs, rows, after: await last.query(`SELECT body FROM notes`) };
  });
  expect(seen.former).toMatch(/^HEDDLE_CLOSED/);
  expect(seen.differs).toMatch(/^HEDDLE_BAD_PARAM.*migrations/);
  expect(seen.rows).toEqual([{ body: "kept" }]);
  expect(seen.after).toEqual(seen.rows);
  expect(page.workers()).toHaveLength(2); // this one's, and that of the page's first database
});
