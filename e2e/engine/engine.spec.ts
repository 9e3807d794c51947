// Engines that break: the page notices, starts another, and every call
// settles. The package is built with an SQL function that breaks the engine in
// the way it is told, and with shorter bounds (wasm/faults.go, e2e/faults/).
import type { Page } from "@playwright/test";
import { expect, failure, openIn, test } from "../fixtures.js";
import { SILENT_MS } from "../faults/tuning.js";
import { breakable } from "../harness.js";


/** Counts the engines that these pages saw die. */
function deaths(...pages: Page[]): { count: number } {
  const seen = { count: 0 };
  for (const page of pages) page.on("console", (message) => {
    if (message.text().startsWith("heddle: the engine died")) seen.count++;
  });
  return seen;
}

const ids = (page: Page) =>
  page.evaluate(async () => (await db.query<{ id: string }>(`SELECT id FROM notes ORDER BY id`)).map((row) => row.id));
const add = (id: string) => `INSERT INTO notes(id) VALUES ('${id}')`;

// Each of these ends Go, or leaves nothing that could answer.
for (const fault of ["panic", "deadlock", "oom", "stack", "spin"]) {
  test(`${fault}: noticed, answered after the second engine, and work goes on`, async ({ profile, serve }) => {
    const device = await profile(), site = await serve(breakable);
    const a = await device.tab(site), b = await device.tab(site);
    await openIn(a);
    await openIn(b);
    const died = deaths(a, b);
    await a.evaluate((sql) => db.exec(sql), add("1"));
    await b.evaluate((sql) => db.exec(sql), add("2"));
    // The follower asks: its request travels to the next leader, and no further.
    expect(await failure(b, `await db.query("SELECT heddle_fault('${fault}')")`))
      .toMatchObject({ name: "HeddleError", code: "HEDDLE_ENGINE_CRASH" });
    await a.evaluate((sql) => db.exec(sql), add("3"));
    await b.evaluate((sql) => db.exec(sql), add("4"));
    for (const page of [a, b]) expect(await ids(page)).toEqual(["1", "2", "3", "4"]);
    expect(died.count, "engines that died over the request").toBe(2);
    expect(await a.evaluate(() => db.query(`PRAGMA integrity_check`))).toEqual([{ integrity_check: "ok" }]);
  });
}

// A browser runs a hidden page's timers once a minute.
test("spin: noticed while another tab waits, though the page's timers stand still", async ({ profile, serve }) => {
  const device = await profile(), site = await serve(breakable);
  const a = await device.tab(site), b = await device.tab(site);
  await openIn(a);
  await openIn(b);
  const died = deaths(a);
  await a.evaluate((sql) => db.exec(sql), add("1"));
  await a.evaluate(() => {
    const real = globalThis.setTimeout;
    globalThis.setTimeout = ((f: () => void) => real(f, 3_600_000)) as typeof setTimeout;
  });
  expect(await failure(b, `await db.query("SELECT heddle_fault('spin')")`))
    .toMatchObject({ code: "HEDDLE_ENGINE_CRASH" });
  await b.evaluate((sql) => db.exec(sql), add("2"));
  expect(await ids(b)).toEqual(["1", "2"]);
  expect(died.count, "engines that died in the leading page").toBeGreaterThan(0);
});

test("a write that kills is not done, and those beside it are done once", async ({ profile, serve }) => {
  const device = await profile(), site = await serve(breakable);
  const a = await device.tab(site), b = await device.tab(site);
  await openIn(a);
  await openIn(b);
  const died = deaths(a, b);
  const outcomes = await b.evaluate(async () => {
    const calls = [];
    for (let i = 0; i < 20; i++) calls.push(db.exec(`INSERT INTO notes(id) VALUES (?)`, [String(i)]));
    calls.push(db.exec(`INSERT INTO notes(id, body) VALUES ('deadly', heddle_fault('panic'))`));
    for (let i = 20; i < 40; i++) calls.push(db.exec(`INSERT INTO notes(id) VALUES (?)`, [String(i)]));
    const settled = await Promise.allSettled(calls);
    return settled.map((one) => one.status === "fulfilled" ? "ok" : (one.reason as { code: string }).code);
  });
  expect(outcomes.filter((code) => code !== "ok")).toEqual(["HEDDLE_ENGINE_CRASH"]);
  expect(died.count).toBe(2);
  expect(await ids(a)).toHaveLength(40);
  expect(await ids(a)).not.toContain("deadly");
});

test("an engine that waits for ever is noticed though its worker is idle", async ({ profile, serve }) => {
  const page = await (await profile()).tab(await serve(breakable));
  await openIn(page);
  const died = deaths(page);
  await page.evaluate((sql) => db.exec(sql), add("1"));
  await page.evaluate(() => db.query(`SELECT heddle_fault('stuck')`)); // answered; what comes after is not
  await page.evaluate((sql) => db.exec(sql), add("2"));
  expect(await ids(page)).toEqual(["1", "2"]);
  expect(died.count).toBe(1);
});

test("a long statement is no dead engine: its calls wait, and are answered", async ({ profile, serve }) => {
  const device = await profile(), site = await serve(breakable);
  const a = await device.tab(site), b = await device.tab(site);
  await openIn(a);
  await openIn(b);
  const died = deaths(a, b);
  const workers = a.workers();
  const [took, rows] = await a.evaluate(async (ms) => {
    const start = performance.now();
    const [row] = await db.query<{ n: number }>(
      `WITH RECURSIVE n(i, t) AS (SELECT 1, heddle_fault('clock')
         UNION ALL SELECT i + 1, heddle_fault('clock') FROM n WHERE t < ?)
       SELECT count(*) AS n FROM n`, [Date.now() + ms]);
    return [performance.now() - start, row!.n] as const;
  }, 1.5 * SILENT_MS);
  expect(took, "the statement lasted longer than silence may").toBeGreaterThan(SILENT_MS);
  expect(rows).toBeGreaterThan(1000);
  expect(died.count).toBe(0);
  expect(a.workers()).toEqual(workers);
  await b.evaluate((sql) => db.exec(sql), add("1"));
  expect(await ids(a)).toEqual(["1"]);
});

test("engines that die one after another are replaced each time, and what was acknowledged stays",
  async ({ profile, serve }) => {
  const ROUNDS = 8;
  const device = await profile(), site = await serve(breakable);
  const pages = [];
  for (let i = 0; i < 3; i++) pages.push(await device.tab(site));
  for (const page of pages) await openIn(page);
  const died = deaths(...pages);
  const live = pages[1]!;
  await live.evaluate(() => {
    Object.assign(globalThis, { seen: 0 });
    db.live(`SELECT count(*) AS n FROM notes`, [], ([row]) => { Object.assign(globalThis, { seen: row!["n"] }); });
  });
  const took: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const page = pages[round % pages.length]!;
    await page.evaluate(() => db.query(`SELECT heddle_fault('late')`));
    await expect.poll(() => died.count, { intervals: [5] }).toBe(round + 1);
    const start = performance.now();
    await page.evaluate((sql) => db.exec(sql), add(`r${round}`));
    took.push(performance.now() - start);
  }
  expect(await ids(pages[2]!)).toHaveLength(ROUNDS);
  await expect.poll(() => live.evaluate(() => (globalThis as unknown as { seen: number }).seen)).toBe(ROUNDS);
  took.sort((x, y) => x - y);
  console.log(`served again after an engine's death: p50 ${took[ROUNDS >> 1]!.toFixed(0)} ms, most ` +
    `${took.at(-1)!.toFixed(0)} ms (${ROUNDS} deaths)`);
});

test("what ships cannot be told to break", async ({ profile, site }) => {
  const page = await (await profile()).tab(site);
  await openIn(page);
  expect(await failure(page, `await db.query("SELECT heddle_fault('panic')")`))
    .toMatchObject({ code: "SQLITE_ERROR", message: expect.stringContaining("no such function") });
});
