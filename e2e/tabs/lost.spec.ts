// Lost, delayed and doubled notifications: half of what goes over a
// BroadcastChannel never arrives. Every live query still shows what is there, and
// every listener learns that it has missed something.
import type { Page } from "@playwright/test";
import { expect, openIn, test, type Profile } from "../fixtures.js";

/**
 * Drops half of all broadcasts of pages and workers, or what part `loss` says, delivers some twice, and counts. A tab's
 * port to its leader goes over a channel of its own where the broker is slow to answer: that one is a connection, and
 * loses nothing.
 */
const lossy = `{
  const post = BroadcastChannel.prototype.postMessage;
  globalThis.dropped = 0;
  globalThis.loss = 0.5;
  BroadcastChannel.prototype.postMessage = function (message) {
    if (this.name.includes(":port:")) return post.call(this, message);
    if (Math.random() < globalThis.loss) { globalThis.dropped++; return; }
    post.call(this, message);
    if (Math.random() < 0.2) post.call(this, message);
  };
}`;

async function lossyTab(device: Profile, site: string): Promise<Page> {
  const page = await device.tab(site);
  await page.evaluate(lossy);
  return page;
}

/** Follows the database in the page: by a live query, and by listen and a query. */
async function follow(page: Page): Promise<void> {
  await openIn(page);
  await page.evaluate(() => {
    const seen = { live: -1, listened: -1 };
    Object.assign(globalThis, { seen });
    db.live<{ n: number }>(`SELECT count(*) AS n FROM notes`, [], ([row]) => { seen.live = row!.n; });
    db.listen(["notes"], () => {
      void db.query<{ n: number }>(`SELECT count(*) AS n FROM notes`).then(([row]) => { seen.listened = row!.n; },
        () => {});
    });
  });
}

const seen = (page: Page) =>
  page.evaluate(() => (globalThis as unknown as { seen: { live: number; listened: number } }).seen);

/** What a worker posts is dropped as well. */
async function lossyWorkers(device: Profile): Promise<void> {
  await device.context.route("**/heddle/worker.js", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: `${lossy}\n${await response.text()}` });
  });
}

interface Lossy { dropped: number; loss: number }

/** How many broadcasts were lost: those of the pages and of their workers. */
async function dropped(pages: Page[]): Promise<number> {
  const count = () => (globalThis as unknown as Lossy).dropped;
  const counts = await Promise.all([...pages.map((page) => page.evaluate(count)),
    ...pages.flatMap((page) => page.workers()).map((worker) => worker.evaluate(count))]);
  return counts.reduce((a, b) => a + b, 0);
}

test("a listener learns of commits of which it has heard nothing, from its first one on", async ({ profile, site }) => {
  const device = await profile();
  await lossyWorkers(device);
  const pages = [await lossyTab(device, site), await lossyTab(device, site)];
  for (const page of pages) await openIn(page);
  const lose = (loss: number) => Promise.all(pages.flatMap((page) => page.workers())
    .map((worker) => worker.evaluate((loss) => { (globalThis as unknown as Lossy).loss = loss; }, loss)));
  await lose(1);
  const before = await dropped(pages);
  for (const page of pages) await follow(page);
  for (const id of ["1", "2", "3", "4"]) {
    await pages[0]!.evaluate((id) => db.exec(`INSERT INTO notes(id) VALUES (?)`, [id]), id);
  }
  for (const page of pages) await expect.poll(async () => (await seen(page)).live).toBe(4);
  expect(await dropped(pages) - before, "no announcement was lost").toBeGreaterThanOrEqual(4);
  await lose(0);
  for (const page of pages) await expect.poll(() => seen(page)).toEqual({ live: 4, listened: 4 });
});

test("with half of the broadcasts lost, every tab still comes to show what is there",
  async ({ profile, site }) => {
  const device = await profile();
  await lossyWorkers(device);
  const pages: Page[] = [];
  for (let i = 0; i < 3; i++) pages.push(await lossyTab(device, site));
  for (const page of pages) await follow(page);
  let n = 0;
  const stale: number[] = [];
  for (let round = 0; round < 6; round++) {
    if (round === 3) { // a leader that goes without a word
      const roles = await Promise.all(pages.map((page) => page.evaluate(() => db.role)));
      const [leader] = pages.splice(roles.indexOf("leader"), 1);
      await leader!.close();
      pages.push(await lossyTab(device, site));
      await follow(pages.at(-1)!);
    }
    const writer = pages[round % pages.length]!;
    for (let i = 0; i < 4; i++) {
      await writer.evaluate((id) => db.exec(`INSERT INTO notes(id) VALUES (?)`, [id]), `${++n}`);
    }
    const start = Date.now();
    for (const page of pages) {
      await expect.poll(() => seen(page), { intervals: [20] }).toEqual({ live: n, listened: n });
    }
    stale.push(Date.now() - start);
  }
  const lost = await dropped(pages);
  expect(lost, "nothing was lost, so nothing was shown").toBeGreaterThan(5);
  stale.sort((a, b) => a - b);
  console.log(`lost broadcasts: ${n} commits, ${lost} broadcasts lost; ` +
    `all tabs up to date after p50 ${stale[stale.length >> 1]} ms, most ${stale.at(-1)} ms`);
});
