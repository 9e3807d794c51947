// More calls at once than the leader takes of one tab: the page paces them.
import { expect, openIn, test } from "../fixtures.js";

const MANY = 1_600;

test("1,600 live queries started at once live, in the leading tab and in one that follows",
  async ({ profile, site }) => {
  const device = await profile();
  const leader = await device.tab(site), follower = await device.tab(site);
  await openIn(leader);
  await openIn(follower);
  await leader.evaluate(() => db.exec(`INSERT INTO notes(id, body) VALUES ('x', 'one')`));
  for (const page of [leader, follower]) {
    await page.evaluate((n) => {
      const seen: string[] = Array.from({ length: n }, () => "");
      const errors: string[] = [];
      Object.assign(globalThis, { seen, errors });
      for (let i = 0; i < n; i++) {
        db.live<{ body: string }>(`SELECT body FROM notes`, [], (rows) => {
          seen[i] = rows[0]?.body ?? "";
        }, { onError: (e) => errors.push(e.code) });
      }
    }, MANY);
  }
  const result = (body: string) => ({ errors: [], live: MANY, body });
  const state = (body: string) => () => Promise.all([leader, follower].map((page) => page.evaluate((body) => {
    const { seen, errors } = globalThis as unknown as { seen: string[]; errors: string[] };
    return { errors, live: seen.filter((one) => one === body).length, body };
  }, body)));
  await expect.poll(state("one")).toEqual([result("one"), result("one")]);
  await follower.evaluate(() => db.exec(`UPDATE notes SET body = 'two'`));
  await expect.poll(state("two")).toEqual([result("two"), result("two")]);
});

test("thousands of other calls at once are all answered", async ({ profile, site }) => {
  const page = await (await profile()).tab(site);
  await openIn(page, { migrations: ["CREATE TABLE numbers(n INTEGER PRIMARY KEY)"] });
  expect(await page.evaluate(async (n) => {
    const each = Array.from({ length: n }, (_, i) => i);
    await Promise.all(each.map((i) => db.exec(`INSERT INTO numbers VALUES (?)`, [i])));
    await db.transaction((tx) => Promise.all(each.map((i) => tx.exec(`INSERT INTO numbers VALUES (?)`, [n + i]))));
    const rows = await Promise.all(each.map((i) =>
      db.query<{ n: number }>(`SELECT n FROM numbers WHERE n = ?`, [2 * i])));
    return rows.every(([row], i) => row!.n === 2 * i);
  }, 3_000)).toBe(true);
});
