// What one commit changes appears together: in each tab, whoever leads.
import type { Page } from "@playwright/test";
import { expect, openIn, test } from "../fixtures.js";

/** The amounts of all accounts, in both tables, have the sum 100 after each commit. */
const migrations = [`CREATE TABLE giro(id INTEGER PRIMARY KEY, amount INT NOT NULL);
  CREATE TABLE savings(id INTEGER PRIMARY KEY, amount INT NOT NULL);
  INSERT INTO giro VALUES (1, 25), (2, 25); INSERT INTO savings VALUES (1, 25), (2, 25)`];

interface Board {
  /** What was checked: the number of commits that were shown, and of tasks. */
  checks: number;
  broken: string[];
  shown: string;
}

declare global {
  var board: Board;
  var writing: Promise<number>;
  var writes: boolean;
}

/** Opens the database, shows each amount by live queries and by stores, and checks their sum after each task. */
async function watch(page: Page): Promise<void> {
  await openIn(page, { name: "bank", migrations });
  await page.evaluate(() => {
    const board: Board = globalThis.board = { checks: 0, broken: [], shown: "" };
    const statements = ["giro", "savings"].flatMap((table) => [
      `SELECT amount FROM ${table} WHERE id = 1`, `SELECT sum(amount) AS amount FROM ${table} WHERE id > 1`]);
    const amounts = new Map<string, number>();
    let last = 0, queued = false;
    // After all functions of a task, and before the next one.
    const check = () => {
      queued = false;
      if (amounts.size < statements.length) return;
      board.checks++;
      board.shown = [...amounts.values()].join(" ");
      const sum = [...amounts.values()].reduce((a, b) => a + b, 0);
      if (sum !== 100) board.broken.push(`live queries show ${board.shown} at commit ${last}`);
    };
    for (const sql of statements) {
      db.live<{ amount: number }>(sql, [], ([row], { commit }) => {
        amounts.set(sql, row!.amount);
        if (commit < last) board.broken.push(`commit ${commit} after ${last}`);
        last = commit;
        if (!queued) queueMicrotask(check);
        queued = true;
      });
    }
    const stores = statements.map((sql) => db.store<{ amount: number }>(sql));
    for (const store of stores) {
      store.subscribe(() => {
        const shown = stores.map((one) => one.getSnapshot().rows[0]?.amount);
        if (shown.includes(undefined)) return;
        if (shown.reduce((a, b) => a! + b!) !== 100) board.broken.push(`stores show ${shown.join(" ")}`);
      });
    }
  });
  await expect.poll(() => page.evaluate(() => board.checks)).toBeGreaterThan(0);
}

/** Moves amounts from account to account until writes is false; resolves with how often it did. */
const write = (page: Page) => page.evaluate(() => {
  globalThis.writes = true;
  globalThis.writing = (async () => {
    let n = 0;
    for (; writes; n++) {
      const amount = 1 + n % 7, [from, to] = n % 2 ? ["giro", "savings"] : ["savings", "giro"];
      await db.batch([
        [`UPDATE ${from} SET amount = amount - ? WHERE id = ?`, [amount, 1 + n % 2]],
        [`UPDATE ${to} SET amount = amount + ? WHERE id = ?`, [amount, 1 + (n >> 1) % 2]],
      ]);
    }
    return n;
  })();
});

const boardOf = (page: Page) => page.evaluate(() => board);

test("a sum over two tables is never seen broken, in three tabs and under changes of the leader",
  async ({ profile, site }) => {
  const device = await profile();
  let tabs = [await device.tab(site), await device.tab(site), await device.tab(site)];
  for (const tab of tabs) await watch(tab);
  for (let changes = 0; changes < 3; changes++) {
    for (const tab of tabs) await write(tab);
    const before = await Promise.all(tabs.map(boardOf));
    for (const [i, tab] of tabs.entries()) {
      await expect.poll(async () => (await boardOf(tab)).checks).toBeGreaterThan(before[i]!.checks + 5);
    }
    const roles = await Promise.all(tabs.map((tab) => tab.evaluate(() => db.role)));
    const leader = tabs[roles.indexOf("leader")]!;
    const rest = tabs.filter((tab) => tab !== leader);
    expect((await boardOf(leader)).broken).toEqual([]);
    await leader.close(); // in the middle of its writes
    const between = await Promise.all(rest.map(boardOf));
    for (const [i, tab] of rest.entries()) {
      await expect.poll(async () => (await boardOf(tab)).checks).toBeGreaterThan(between[i]!.checks + 5);
      await tab.evaluate(() => { globalThis.writes = false; });
      expect(await tab.evaluate(() => writing)).toBeGreaterThan(0);
    }
    tabs = [...rest, await device.tab(site)];
    await watch(tabs[2]!);
  }
  const [total] = await tabs[0]!.evaluate(() =>
    db.query<{ shown: string }>(`SELECT group_concat(amount, ' ') AS shown FROM (
      SELECT amount FROM giro UNION ALL SELECT amount FROM savings)`));
  for (const tab of tabs) {
    await expect.poll(async () => (await boardOf(tab)).shown).toBe(total!.shown);
    expect((await boardOf(tab)).broken).toEqual([]);
  }
});

/** Makes document.visibilityState what a test says. */
const show = (page: Page, state: "visible" | "hidden") =>
  page.evaluate((value) => {
    Object.defineProperty(document, "visibilityState", { value, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, state);

test("a hidden tab pauses, and catches up with one result of each query", async ({ profile, site }) => {
  const device = await profile();
  const a = await device.tab(site), b = await device.tab(site);
  for (const tab of [a, b]) await watch(tab);
  await show(b, "hidden");
  const before = await boardOf(b);
  for (let i = 0; i < 20; i++) {
    await a.evaluate(() => db.batch([
      [`UPDATE giro SET amount = amount - 1 WHERE id = 1`],
      [`UPDATE savings SET amount = amount + 1 WHERE id = 1`]]));
  }
  await expect.poll(async () => (await boardOf(a)).shown).toBe("5 25 45 25");
  // What one tab asks of the leader comes after what the leader has sent it.
  expect(await b.evaluate(() => db.query(`SELECT amount FROM giro WHERE id = 1`))).toEqual([{ amount: 5 }]);
  const hidden = await boardOf(b);
  expect(hidden.checks - before.checks).toBeLessThanOrEqual(1); // one may have been on its way
  await show(b, "visible");
  await expect.poll(async () => (await boardOf(b)).shown).toBe("5 25 45 25");
  const after = await boardOf(b);
  expect(after.checks - hidden.checks).toBe(1);
  expect(after.broken).toEqual([]);
});
