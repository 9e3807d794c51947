// What lasts: statements that run into their time, aborts, and rows that are
// taken one by one, while short calls go on.
import type { Page } from "@playwright/test";
import { expect, failure, openIn, test } from "../fixtures.js";

const ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS n FROM n";
const MANY = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"; // row by row, for ever
const ROWS = 100_000;
const numbers = ["CREATE TABLE numbers(n INTEGER PRIMARY KEY, square INTEGER, text TEXT)"];

const fill = (page: Page) => page.evaluate((n) => db.exec(
  `INSERT INTO numbers WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${n}) SELECT i, i * ` +
    `i, 'number ' || i FROM n`), ROWS);
const count = (page: Page) =>
  page.evaluate(async () => (await db.query<{ n: number }>("SELECT count(*) AS n FROM numbers"))[0]!.n);

test("a statement that never ends is stopped when its time is over, and the engine goes on",
  async ({ profile, site }) => {
  const device = await profile();
  const page = await device.tab(site), other = await device.tab(site);
  await openIn(page, { migrations: numbers });
  await openIn(other, { migrations: numbers });
  const [worker] = page.workers();
  for (const tab of [page, other]) {
    for (const call of [
      `db.query("${ENDLESS}", [], { timeout: 100 })`,
      `db.query("${MANY}", [], { timeout: 100 })`,
      `db.exec("INSERT INTO numbers(text) SELECT i FROM (${MANY})", [], { timeout: 100 })`,
      `db.batch([["INSERT INTO numbers(n) VALUES (1)"], ["UPDATE numbers SET square = (${ENDLESS})"]], { timeout: ` +
        `100 })`,
      `db.transaction((tx) => tx.query("${ENDLESS}"), { timeout: 100 })`,
      `(async () => { for await (const row of db.iterate("${ENDLESS}", [], { timeout: 100 })); })()`,
    ]) {
      expect(await failure(tab, `await ${call}`), call).toMatchObject({ code: "HEDDLE_TIMEOUT" });
      expect(await count(tab), call).toBe(0); // the engine itself was stopped: it answers
    }
  }
  expect(page.workers()).toEqual([worker]);
});

test("an abort takes effect between batches", async ({ profile, site }) => {
  const page = await (await profile()).tab(site);
  await openIn(page, { migrations: numbers });
  // Each would go on for ever; that the next one is served says that it does not.
  for (const call of [
    `db.query("${MANY}", [], { signal })`,
    `(async () => { for await (const row of db.iterate("${MANY}", [], { signal })); })()`,
  ]) {
    expect(await failure(page, `
      const abort = new AbortController(), { signal } = abort;
      const call = ${call};
      setTimeout(() => abort.abort(), 50);
      await call;`), call).toMatchObject({ code: "HEDDLE_ABORTED" });
    expect(await count(page)).toBe(0);
  }
});

test("on an isolated page an abort takes effect inside a statement", async ({ profile, serve }) => {
  const site = await serve({ headers: { "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp" } });
  const page = await (await profile()).tab(site);
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
  await openIn(page, { migrations: numbers });
  const [worker] = page.workers();
  for (const call of [`db.query("${ENDLESS}", [], { signal })`,
    `db.exec("UPDATE numbers SET square = (${ENDLESS})", [], { signal })`]) {
    await page.evaluate(() => db.exec("INSERT OR IGNORE INTO numbers(n) VALUES (1)"));
    expect(await failure(page, `
      const abort = new AbortController(), { signal } = abort;
      const call = ${call};
      setTimeout(() => abort.abort(), 50);
      await call;`), call).toMatchObject({ code: "HEDDLE_ABORTED" });
    expect(await count(page)).toBe(1);
  }
  expect(page.workers()).toEqual([worker]);
});

test("a slow consumer of many rows holds up no other call", async ({ profile, site }) => {
  const device = await profile();
  const leader = await device.tab(site), follower = await device.tab(site);
  await openIn(leader, { migrations: numbers });
  await openIn(follower, { migrations: numbers });
  await fill(leader);
  for (const page of [leader, follower]) {
    const seen = await page.evaluate(async (rows) => {
      const before = await db.query<{ n: number }>("SELECT count(*) AS n FROM numbers");
      let taken = 0, inOrder = true, between = 0, longest = 0;
      for await (const row of db.iterate<{ n: number; square: number;
        text: string }>("SELECT * FROM numbers WHERE n <= ? ORDER BY n", [rows])) {
        taken++;
        inOrder &&= row.n === taken && row.square === taken * taken && row.text === `number ${taken}`;
        if (taken % 5_000 !== 0) continue;
        // The consumer dawdles: meanwhile a write and a read that sees it.
        const start = performance.now();
        await db.exec("UPDATE numbers SET text = 'changed' WHERE n = ?", [taken + 4_000]);
        const changed = await db.query<{ n: number }>("SELECT count(*) AS n FROM numbers WHERE text = 'changed'");
        longest = Math.max(longest, performance.now() - start);
        between += changed[0]!.n > 0 ? 1 : 0;
      }
      const after = await db.query<{ n: number }>("SELECT count(*) AS n FROM numbers");
      return { taken, inOrder, between, same: before[0]!.n === after[0]!.n, longest };
    }, ROWS);
    expect(seen).toMatchObject({ taken: ROWS, inOrder: page === leader, between: ROWS / 5_000, same: true });
  }
});

test("an iteration that is left is freed, and many can be had one after the other", async ({ profile, site }) => {
  const page = await (await profile()).tab(site);
  await openIn(page, { migrations: numbers });
  await fill(page);
  expect(await page.evaluate(async () => {
    let sum = 0;
    for (let round = 0; round < 50; round++) {
      for await (const row of db.iterate<{ n: number }>("SELECT n FROM numbers ORDER BY n")) {
        sum += row.n;
        if (row.n === 3) break;
      }
    }
    return sum;
  })).toBe(50 * 6);
  // As many at a time as there may be, and one more.
  const codes = await page.evaluate(async () => {
    const all = Array.from({ length: 9 }, () => db.iterate("SELECT n FROM numbers", [], { batch: 1 }));
    const firsts = await Promise.allSettled(all.map((it) => it.next()));
    await Promise.all(all.map((it) => it.return!()));
    return firsts.map((one) => (one.status === "fulfilled" ? "ok" : (one.reason as { code: string }).code));
  });
  expect(codes.sort()).toEqual(["HEDDLE_BUSY", ...Array<string>(8).fill("ok")]);
});
