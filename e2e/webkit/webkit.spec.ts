// What can be had of WebKit on Linux: the engine, live queries, sync and cryptography in WebKitGTK, with databases in
// memory. It opens no synchronous access handles, so nothing that is about files runs. Run by `make test-webkit`.
import { expect, notes, test as base } from "../fixtures.js";
import { sealSite, type SealReport } from "../seal/site.js";
import { launchWebKit, type WebKit, type WebKitTab } from "./webkit.js";

/** One browser does for all tests: a database in memory is its page's own. */
const test = base.extend<{ tab(url?: string): Promise<WebKitTab> }, { webkit: WebKit }>({
  webkit: [async ({}, use) => {
    const webkit = await launchWebKit();
    console.log(`WebKitGTK ${webkit.version}`);
    await use(webkit);
    await webkit.close();
  }, { scope: "worker" }],

  tab: async ({ webkit, site }, use) => {
    const tabs: WebKitTab[] = [];
    await use(async (url = site) => {
      const tab = await webkit.tab(url);
      tabs.push(tab);
      return tab;
    });
    for (const tab of tabs) await tab.close();
  },
});

const open = (tab: WebKitTab, options: object = {}) =>
  tab.evaluate<string>(`(async () => { globalThis.db = await heddle.open(${JSON.stringify(
    { name: "test", storage: "memory", migrations: notes, ...options })}); return db.storage; })()`);
const query = <T>(tab: WebKitTab, sql: string) => tab.evaluate<T[]>(`db.query(${JSON.stringify(sql)})`);
const add = (tab: WebKitTab, id: string) =>
  tab.evaluate(`db.exec("INSERT INTO notes(id) VALUES (?)", [${JSON.stringify(id)}])`);
const ids = async (tab: WebKitTab) =>
  (await query<{ id: string }>(tab, "SELECT id FROM notes ORDER BY id")).map(({ id }) => id).join();
const watch = (tab: WebKitTab) => tab.evaluate(`db.live("SELECT id FROM notes ORDER BY id", [], (rows) => { ` +
  `globalThis.seen = rows.map((row) => row.id).join(); }) && 1`);
const seen = (tab: WebKitTab) => tab.evaluate<string>(`globalThis.seen`);

test("without access handles it says so, and keeps nothing by itself", async ({ tab }) => {
  const page = await tab();
  // Should this fail, WebKitGTK has learnt it: then the tests of tabs and reloads can run here as well.
  await expect(open(page, { storage: "persistent" })).rejects.toMatchObject({ code: "HEDDLE_STORAGE" });
  expect(await open(page)).toBe("memory");
});

test("values of every type, many rows, a search and a check of the file", async ({ tab }) => {
  const page = await tab();
  await open(page);
  await page.evaluate(`db.exec("CREATE TABLE v(a, b, c, d)").then(() => db.exec("INSERT INTO v VALUES (?, ?, ?, ?)", ` +
    `[2n ** 60n, 1.5, "ß", new Uint8Array([1, 2])]))`);
  expect(await page.evaluate(`db.query("SELECT a, b, c, d FROM v").then(([row]) => [String(row.a), row.b, row.c, ` +
    `[...row.d]])`)).toEqual([String(2n ** 60n), 1.5, "ß", [1, 2]]);
  await page.evaluate(`db.bulk("INSERT INTO notes(id, body) VALUES (?, ?)", ` +
    `Array.from({ length: 20000 }, (_, i) => ["n" + i, "warp " + i]))`);
  await page.evaluate(`db.exec("CREATE VIRTUAL TABLE words USING fts5(body)")` +
    `.then(() => db.exec("INSERT INTO words SELECT body FROM notes"))`);
  expect(await query(page, "SELECT count(*) AS n FROM words WHERE words MATCH '1999*'")).toEqual([{ n: 11 }]);
  expect(await query(page, "PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
});

test("transactions, errors, timeouts", async ({ tab }) => {
  const page = await tab();
  await open(page);
  await expect(page.evaluate(`db.transaction(async (tx) => { await tx.exec("INSERT INTO notes(id) VALUES ('1')"); ` +
    `throw new Error("no"); })`)).rejects.toThrow("no");
  await page.evaluate(`db.transaction(async (tx) => { await tx.exec("INSERT INTO notes(id) VALUES ('2')"); })`);
  expect(await ids(page)).toBe("2");
  await expect(add(page, "2")).rejects.toMatchObject({ code: "SQLITE_CONSTRAINT_PRIMARYKEY" });
  await expect(page.evaluate(`db.query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) ` +
    `SELECT count(*) FROM n", [], { timeout: 100 })`)).rejects.toMatchObject({ code: "HEDDLE_TIMEOUT" });
  await add(page, "3");
  expect(await ids(page)).toBe("2,3");
});

test("triggers that nest nearly as deep as they may fit on this browser's stack", async ({ tab }) => {
  const page = await tab();
  const chain = (n: number) => {
    const list = Array.from({ length: n }, (_, i) => `CREATE TABLE c${i}(a);`);
    for (let i = 1; i < n; i++) {
      list.push(`CREATE TRIGGER t${i} AFTER INSERT ON c${i - 1} BEGIN INSERT INTO c${i} VALUES (new.a); END;`);
    }
    return list.join("\n");
  };
  await open(page, { name: "fits", migrations: [chain(245)] });
  await page.evaluate(`db.exec("INSERT INTO c0 VALUES (1)")`);
  expect(await query(page, "SELECT a FROM c244")).toEqual([{ a: 1 }]);
  await open(page, { name: "does not", migrations: [chain(900)] });
  await expect(page.evaluate(`db.exec("INSERT INTO c0 VALUES (1)")`)).rejects.toMatchObject({ code: "SQLITE_ERROR" });
});

test("live queries follow commits; a reload begins anew", async ({ tab, site }) => {
  const page = await tab();
  await open(page);
  await watch(page);
  for (const id of ["1", "2", "3"]) await add(page, id);
  await expect.poll(() => seen(page)).toBe("1,2,3");
  await page.evaluate(`db.exec("DELETE FROM notes WHERE id = '2'")`);
  await expect.poll(() => seen(page)).toBe("1,3");
  await page.visit(site);
  await open(page);
  expect(await ids(page)).toBe("");
});

test("a file that is exported is imported in another page", async ({ tab }) => {
  const page = await tab();
  await open(page);
  await add(page, "1");
  const dump = await page.evaluate<string>(`db.export("sql")`);
  const bytes = await page.evaluate<string>(`db.export().then((file) => btoa(String.fromCharCode(...file)))`);
  const other = await tab();
  await open(other);
  await other.evaluate(`db.import(Uint8Array.from(atob("${bytes}"), (c) => c.charCodeAt(0)))`);
  expect(await ids(other)).toBe("1");
  expect(await other.evaluate(`db.export("sql")`)).toBe(dump);
});

test("devices sync, and hold the same", async ({ tab, server }) => {
  const sync = { url: server.url, space: "webkit", tables: { notes: true } };
  const a = await tab(), b = await tab();
  await open(a, { sync });
  await open(b, { sync });
  await watch(b);
  for (let i = 0; i < 5; i++) await add(a, `a${i}`);
  await add(b, "b");
  await a.evaluate(`db.sync.now()`);
  await b.evaluate(`db.sync.now()`);
  await expect.poll(() => seen(b)).toBe("a0,a1,a2,a3,a4,b");
  await expect.poll(() => ids(a)).toBe("a0,a1,a2,a3,a4,b");
  expect(await a.evaluate(`db.sync.digest()`)).toEqual(await b.evaluate(`db.sync.digest()`));
});

test("WebCrypto signs, verifies, wraps and unwraps as Go does", async ({ tab, serve }) => {
  const page = await tab(await serve(await sealSite("webkit")));
  const { wrong, looked } = await page.evaluate<SealReport>("checkSeal()");
  expect(wrong).toEqual([]);
  expect(looked).toBeGreaterThanOrEqual(25);
});
