// Writes take effect once, whatever ends the leader: tabs write in a loop
// while the leader's page crashes, is closed or is reloaded. Each tab checks
// its answers: a counter of its own must grow by one with each write.
import type { Page } from "@playwright/test";
import { expect, test, type Profile } from "../fixtures.js";


const migrations = [`CREATE TABLE counts(tab TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID; ` +
  `CREATE TABLE log(tab TEXT NOT NULL, write INTEGER NOT NULL)`];

/** What one tab found out; written by its page as it goes. */
interface Report { tab: string; writes: number; wrong: string[]; longest: number }

/** Opens the database in a page and has it write without end. */
async function writer(page: Page, tab: string): Promise<void> {
  await page.evaluate(async ({ tab, migrations }) => {
    globalThis.db = await heddle.open({ name: "once", migrations });
    const report: Report = { tab, writes: 0, wrong: [], longest: 0 };
    const state = { report, stop: false, done: Promise.resolve() };
    Object.assign(globalThis, { writer: state });
    await db.exec(`INSERT INTO counts VALUES (?, 0)`, [tab]);
    // Three writes on their way at a time, of different kinds.
    let next = 0;
    const one = async () => {
      const n = ++next;
      const start = performance.now();
      if (n % 7 === 0) {
        const done = await db.batch([[`UPDATE counts SET n = n + 1 WHERE tab = ?`, [tab]],
          [`INSERT INTO log VALUES (?, ?)`, [tab, n]]]);
        if (done.length !== 2 || done[0]!.changes !== 1) report.wrong.push(`batch ${n}: ${JSON.stringify(done)}`);
      } else {
        const [row] = await db.query<{ n: number }>(`UPDATE counts SET n = n + 1 WHERE tab = ? RETURNING n`, [tab]);
        if (row!.n !== n) report.wrong.push(`write ${n} counted to ${row!.n}`);
      }
      report.writes++;
      report.longest = Math.max(report.longest, performance.now() - start);
    };
    const line = async () => { while (!state.stop) await one(); };
    state.done = Promise.all([line(), line(), line()]).then(() => {}, (error: unknown) => {
      report.wrong.push(String(error));
    });
  }, { tab, migrations });
}

/** The longest that a write of this tab has waited since the last time. */
const longestWait = (page: Page) => page.evaluate(() => {
  const { report } = (globalThis as unknown as { writer: { report: Report } }).writer;
  const { longest } = report;
  report.longest = 0;
  return longest;
});

const report = (page: Page) => page.evaluate(async () => {
  const { writer } = globalThis as unknown as { writer: { report: Report; stop: boolean; done: Promise<void> } };
  writer.stop = true;
  await writer.done;
  return writer.report;
});

async function leaderOf(pages: readonly Page[]): Promise<Page> {
  for (;;) {
    for (const page of pages) if (await page.evaluate(() => db.role) === "leader") return page;
  }
}

/** Ends the leader's page in one way after another, and returns what came of it. */
async function storm(device: Profile, site: string, deaths: number,
  ends: readonly ((leader: Page) => Promise<void>)[]): Promise<void> {
  let pages: Page[] = [];
  for (let i = 0; i < 5; i++) pages.push(await device.tab(site));
  let tabs = 0;
  const open = async (page: Page) => writer(page, `tab ${++tabs}`);
  for (const page of pages) await open(page);
  const served: number[] = [];
  await Promise.all(pages.map(longestWait));
  for (let death = 0; death < deaths; death++) {
    const leader = await leaderOf(pages);
    const others = pages.filter((page) => page !== leader);
    const writes = await Promise.all(others.map(progress));
    await ends[death % ends.length]!(leader);
    for (const [i, page] of others.entries()) {
      await expect.poll(() => progress(page), { intervals: [5], message: "a tab hangs" })
        .toBeGreaterThan(writes[i]! + 6);
    }
    served.push(...await Promise.all(others.map(longestWait)));
    const fresh = await device.tab(site);
    pages = [...others, fresh];
    await open(fresh);
  }
  const reports = await Promise.all(pages.map(report));
  expect(reports.flatMap(({ wrong }) => wrong)).toEqual([]);
  const counts = await pages[0]!.evaluate(() => db.query<{ tab: string; n: number }>(`SELECT tab, n FROM counts`));
  for (const { tab, writes } of reports) {
    expect(counts.find((c) => c.tab === tab)?.n, `${tab}: lost or doubled`).toBe(writes);
  }
  expect(await pages[0]!.evaluate(() => db.query(`PRAGMA integrity_check`))).toEqual([{ integrity_check: "ok" }]);
  served.sort((a, b) => a - b);
  const total = reports.reduce((sum, { writes }) => sum + writes, 0);
  console.log(`${deaths} leaders ended, ${total} writes by tabs that outlived them, lost 0, doubled 0, hung 0; ` +
    `all tabs served again: p50 ${served[served.length >> 1]!.toFixed(0)} ms, p99 ` +
    `${served[Math.floor(served.length * 0.99)]!.toFixed(0)} ms, most ${served.at(-1)!.toFixed(0)} ms`);
}

const progress = (page: Page) =>
  page.evaluate(() => (globalThis as unknown as { writer: { report: Report } }).writer.report.writes);

const crash = async (leader: Page) => {
  const crashed = new Promise((resolve) => leader.once("crash", resolve));
  const cdp = await leader.context().newCDPSession(leader);
  cdp.send("Page.crash").catch(() => {});
  await crashed;
};

test("the leader's renderer crashes while five tabs write", async ({ profile, site }) => {
  await storm(await profile(), site, 5, [crash]);
});

test("the leader is closed, leaves for another page, or reloads while five tabs write",
  async ({ profile, site }) => {
  await storm(await profile(), site, 6, [
    (leader) => leader.close(),
    (leader) => leader.goto("about:blank").then(() => {}),
    (leader) => leader.reload().then(() => {}),
  ]);
});

test("eight tabs are reloaded again and again, and all come up; no lock is left behind",
  async ({ profile, site }) => {
  const ROUNDS = 5;
  const device = await profile();
  const pages: Page[] = [];
  for (let i = 0; i < 8; i++) pages.push(await device.tab(site));
  // Each page opens the database as soon as it is loaded, and writes.
  await device.context.addInitScript((migrations) => {
    addEventListener("load", async () => {
      // its module is still coming
      while (!("heddle" in globalThis)) await new Promise((resolve) => setTimeout(resolve, 5));
      const start = performance.now();
      globalThis.db = await heddle.open({ name: "once", migrations });
      await db.exec(`INSERT INTO log VALUES ('storm', 1)`);
      Object.assign(globalThis, { up: performance.now() - start });
    });
  }, migrations);
  for (let round = 0; round < ROUNDS; round++) {
    for (const page of pages) {
      page.reload({ waitUntil: "commit" }).catch(() => {});
      await new Promise((resolve) => setTimeout(resolve, 50)); // the storm's own pace
    }
  }
  const up: number[] = [];
  for (const page of pages) {
    up.push(await (await page.waitForFunction(() => (globalThis as unknown as { up?: number }).up))
      .jsonValue() as number);
  }
  const [row] = await pages[0]!.evaluate(() => db.query<{ n: number }>(`SELECT count(*) AS n FROM log`));
  expect(row!.n).toBeGreaterThanOrEqual(pages.length);
  for (const page of pages) await page.evaluate(() => db.close());
  const held = () => pages[0]!.evaluate(async () => {
    const { held, pending } = await navigator.locks.query();
    return [...held ?? [], ...pending ?? []].map(({ name }) => name).filter((name) => name?.startsWith("heddle:"));
  });
  await expect.poll(held).toEqual([]);
  up.sort((a, b) => a - b);
  console.log(`reloads: ${ROUNDS * pages.length} reloads, hung 0; ` +
    `open after p50 ${up[4]!.toFixed(0)} ms, most ${up.at(-1)!.toFixed(0)} ms`);
});
