// Go's memory never shrinks, so a worker whose engine has grown too large makes
// room for a new one: at a moment without calls, and unseen.
import type { Page } from "@playwright/test";
import { expect, openIn, test } from "../fixtures.js";
import { breakable } from "../harness.js";


/** Counts the workers of these pages that ended: the news of one's start may come late. */
function ended(...pages: Page[]): { count: number } {
  const seen = { count: 0 };
  for (const page of pages) {
    for (const worker of page.workers()) worker.on("close", () => seen.count++);
    page.on("worker", (worker) => worker.on("close", () => seen.count++));
  }
  return seen;
}

const grow = (page: Page) => page.evaluate(() => db.query(`SELECT heddle_fault('grow')`));

/** Counts the rows of a live query's last result, and its errors. */
const watch = (page: Page) => page.evaluate(() => {
  Object.assign(globalThis, { seen: 0, errors: 0 });
  db.live(`SELECT id FROM notes`, [], (rows) => {
    Object.assign(globalThis, { seen: rows.length });
  }, { onError: () => {
    Object.assign(globalThis, { errors: 1 });
  } });
});
const seen = (page: Page) => page.evaluate(() => {
  const { seen, errors } = globalThis as unknown as { seen: number; errors: number };
  return { seen, errors };
});

test("a worker that has grown is replaced, and no call notices", async ({ profile, serve }) => {
  const ROUNDS = 3;
  const device = await profile(), site = await serve(breakable);
  const a = await device.tab(site), b = await device.tab(site);
  for (const page of [a, b]) {
    await openIn(page);
    await watch(page);
  }
  const said: string[] = [];
  for (const page of [a, b]) page.on("console", (message) => {
    if (message.type() === "error") said.push(message.text());
  });
  const replaced = ended(a, b);

  let written = 0;
  for (let round = 0; round < ROUNDS; round++) {
    await grow(b);
    // Each call goes its way and none fails, whenever the worker may be replaced.
    for (let after = 0; after < 3; after += replaced.count > round ? 1 : 0) {
      for (const page of [a, b]) {
        await page.evaluate((id) => db.exec(`INSERT INTO notes(id) VALUES (?)`, [id]), String(written++));
        expect(await page.evaluate(() => db.query(`SELECT count(*) AS n FROM notes`))).toEqual([{ n: written }]);
      }
    }
    for (const page of [a, b]) await expect.poll(() => seen(page)).toEqual({ seen: written, errors: 0 });
  }
  expect(said).toEqual([]);
  const roles = await Promise.all([a, b].map((page) => page.evaluate(() => db.role)));
  expect(roles.sort()).toEqual(["follower", "leader"]);
});

test("an open transaction is not a good moment", async ({ profile, serve }) => {
  const device = await profile(), site = await serve(breakable);
  const a = await device.tab(site), b = await device.tab(site);
  for (const page of [a, b]) await openIn(page);
  const replaced = ended(a, b);
  await b.evaluate(async () => {
    await db.transaction(async (tx) => {
      await tx.exec(`INSERT INTO notes(id) VALUES ('in the middle')`);
      await tx.query(`SELECT heddle_fault('grow')`);
      // Long enough for the page to ask its worker many times.
      for (const end = performance.now() + 2_000; performance.now() < end; ) await tx.query(`SELECT 1`);
    });
  });
  await expect.poll(() => replaced.count).toBe(1);
  for (const page of [a, b]) {
    expect(await page.evaluate(() => db.query(`SELECT id FROM notes`))).toEqual([{ id: "in the middle" }]);
  }
});
