// Lost, delayed and doubled notifications: half of what goes over a
// BroadcastChannel never arrives. Every live query still shows what is there, and
// every listener learns that it has missed something.
import type { Page } from "@playwright/test";
import { expect, openIn, test, type Profile } from "../fixtures.js";

/**
 * Drops half of all broadcasts of pages and workers, delivers some twice, and counts. A tab's port to its leader goes
 * over a channel of its own where the broker is slow to answer: that one is a connection, and loses nothing.
 */
const lossy = `{
  const post = BroadcastChannel.prototype.postMessage;
  globalThis.dropped = 0;
  BroadcastChannel.prototype.postMessage = function (message) {
    if (this.name.includes(":port:")) return post.call(this, message);
    if (Math.random() < 0.5) { globalThis.dropped++; return; }
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

test("with half of the broadcasts lost, every tab still comes to show what is there",
  async ({ profile, site }) => {
  const device = await profile();
  // What a worker posts is dropped as well.
  await device.context.route("**/heddle/worker.js", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: `${lossy}\n${await response.text()}` });
  });
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
  const workers = await Promise.all(pages.flatMap((page) => page.workers())
    .map((worker) => worker.evaluate(() => (globalThis as unknown as { dropped: number }).dropped)));
  const dropped = (await Promise.all(pages.map((page) => page.evaluate(() =>
    (globalThis as unknown as { dropped: number }).dropped)))).concat(workers).reduce((a, b) => a + b, 0);
  expect(dropped, "nothing was lost, so nothing was shown").toBeGreaterThan(5);
  stale.sort((a, b) => a - b);
  console.log(`lost broadcasts: ${n} commits, ${dropped} broadcasts lost; ` +
    `all tabs up to date after p50 ${stale[stale.length >> 1]} ms, most ${stale.at(-1)} ms`);
});
