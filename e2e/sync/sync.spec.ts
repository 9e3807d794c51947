// Two devices and a real server: convergence, offline writes, merges, new devices, pauses, a server that dies.
import type { Page } from "@playwright/test";
import { digest, expect, notes, openIn, synced, test } from "../fixtures.js";

const rows = (page: Page) => page.evaluate(() => db.query(`SELECT id, body, done FROM notes ORDER BY id`));
const pending = (page: Page) => page.evaluate(() => db.sync.status.pending);
/** The status of each page counts n transactions that the log does not hold yet. */
async function waiting(n: number, ...pages: Page[]): Promise<void> {
  for (const page of pages) await expect.poll(() => pending(page)).toBe(n);
}

const state = (page: Page) => page.evaluate(() => db.sync.status.state);

/** Syncs both until nothing is left to say, and checks that they are the same. */
async function converge(a: Page, b: Page): Promise<{ seq: number; digest: string }> {
  for (const page of [a, b, a, b]) await synced(page);
  const one = await digest(a);
  expect(await digest(b)).toEqual(one);
  expect(await rows(b)).toEqual(await rows(a));
  await waiting(0, a, b);
  return one;
}

test("two devices converge, live and in both directions", async ({ profile, server, site }) => {
  const sync = { url: server.url, space: "s" };
  const a = await (await profile()).tab(site), b = await (await profile()).tab(site);
  await openIn(a, { sync });
  await openIn(b, { sync });
  await a.evaluate(() => db.exec(`INSERT INTO notes(id, body) VALUES ('a', 'from A')`));
  await expect.poll(() => rows(b)).toEqual([{ id: "a", body: "from A", done: 0 }]);
  await b.evaluate(() => db.exec(`UPDATE notes SET done = 1 WHERE id = 'a'`));
  await expect.poll(() => rows(a)).toEqual([{ id: "a", body: "from A", done: 1 }]);
  await a.evaluate(() => db.exec(`DELETE FROM notes`));
  await expect.poll(() => rows(b)).toEqual([]);
  const { seq, digest: both } = await converge(a, b);
  expect(seq).toBe(3);
  expect(await server.run("digest", "--server", server.url, "--space", "s")).toContain(both);
});

test("both wrote offline to the same row: after the network is back they are the same",
  async ({ profile, site, wire }) => {
  const one = await wire(), two = await wire();
  const a = await (await profile()).tab(site), b = await (await profile()).tab(site);
  await openIn(a, { sync: { url: one.url, space: "s" } });
  await openIn(b, { sync: { url: two.url, space: "s" } });
  await a.evaluate(() => db.bulk(`INSERT INTO notes(id, body) VALUES (?, ?)`,
    [["x", "start"], ["y", "start"], ["z", "start"]]));
  await converge(a, b);

  one.pull();
  two.pull();
  for (const page of [a, b]) await expect.poll(() => state(page)).toBe("offline");
  await a.evaluate(() => db.batch([[`UPDATE notes SET body = 'A' WHERE id = 'x'`],
    [`UPDATE notes SET body = 'A' WHERE id = 'y'`], [`INSERT INTO notes(id, body) VALUES ('n', 'A')`]]));
  await b.evaluate(() => db.batch([[`UPDATE notes SET body = 'B', done = 1 WHERE id = 'x'`],
    [`DELETE FROM notes WHERE id = 'y'`], [`INSERT INTO notes(id, done) VALUES ('n', 5)`]]));
  await waiting(1, a, b);
  expect(await rows(a)).toContainEqual({ id: "x", body: "A", done: 0 });
  expect(await rows(b)).toContainEqual({ id: "x", body: "B", done: 1 });

  // A's transaction is first in the log, then B's: each cell is the last one's,
  // and an insert writes all of its cells.
  one.plug();
  await synced(a);
  two.plug();
  await converge(a, b);
  expect(await rows(a)).toEqual([
    { id: "n", body: "", done: 5 },
    { id: "x", body: "B", done: 1 },
    { id: "z", body: "start", done: 0 },
  ]);
});

test("both counted and tagged offline: the counts add up and the tags unite", async ({ profile, site, wire }) => {
  const one = await wire(), two = await wire();
  const a = await (await profile()).tab(site), b = await (await profile()).tab(site);
  const migrations = [`CREATE TABLE posts(id TEXT PRIMARY KEY, likes INTEGER NOT NULL DEFAULT 0, top INTEGER, low ` +
    `INTEGER, tags TEXT NOT NULL DEFAULT '[]')`];
  const tables = { posts: { likes: "counter", top: "max", low: "min", tags: "set" } } as const;
  const post = (page: Page) => page.evaluate(() => db.query(`SELECT * FROM posts`));
  await openIn(a, { migrations, sync: { url: one.url, space: "s", tables } });
  await openIn(b, { migrations, sync: { url: two.url, space: "s", tables } });
  await a.evaluate(() => db.exec(`INSERT INTO posts VALUES ('p', 10, 5, 5, '["new","odd"]')`));
  for (const page of [a, b]) await synced(page);
  one.pull();
  two.pull();
  for (const page of [a, b]) await expect.poll(() => state(page)).toBe("offline");
  await a.evaluate(() => db.exec(`UPDATE posts SET likes = likes + 1, top = 3, low = 3, tags = '["new", "odd", "a"]'`));
  await b.evaluate(() => db.exec(`UPDATE posts SET likes = likes + 2, top = 9, low = 4, tags = '["b", "new"]'`));
  expect(await post(a)).toEqual([{ id: "p", likes: 11, top: 5, low: 3, tags: `["a","new","odd"]` }]);
  one.plug();
  two.plug();
  for (const page of [a, b, a]) await synced(page);
  for (const page of [a, b]) {
    expect(await post(page)).toEqual([{ id: "p", likes: 13, top: 9, low: 3, tags: `["a","b","new"]` }]);
  }
  expect(await digest(b)).toEqual(await digest(a));
});

test("a new device takes the state and not the log, and says how far it is", async ({ profile, server, site }) => {
  const sync = { url: server.url, space: "s" };
  const a = await (await profile()).tab(site), b = await (await profile()).tab(site);
  await openIn(a, { sync });
  const count = 6000;
  for (let round = 0; round < 2; round++) { // so that the log is larger than its rows
    await a.evaluate(([count, round]) => db.bulk(
      `INSERT INTO notes(id, body) VALUES (?, ?) ON CONFLICT DO UPDATE SET body = excluded.body`,
      Array.from({ length: count! }, (_, i) => [`note ${i}`, `${round} ${"word ".repeat(60)}`])), [count, round]);
  }
  await synced(a);
  await b.evaluate(async (options) => {
    const seen = { states: [] as string[], done: 0, total: 0 };
    Object.assign(globalThis, { seen });
    globalThis.db = await heddle.open(options);
    db.sync.on("status", ({ state }) => seen.states.push(state));
    db.sync.on("progress", ({ phase, done, total }) => {
      if (phase === "snapshot") { seen.done = done; seen.total = total ?? 0; }
    });
  }, { name: "test", migrations: notes, sync: { ...sync, tables: { notes: true as const } } });
  await synced(b);
  const seen = await b.evaluate(() =>
    (globalThis as unknown as { seen: { states: string[]; done: number; total: number } }).seen);
  expect(seen).toMatchObject({ done: count, total: count });
  expect(seen.states).toContain("bootstrapping");
  expect(await b.evaluate(() => db.query(`SELECT count(*) AS n FROM notes WHERE body LIKE '1 %'`)))
    .toEqual([{ n: count }]);
  await b.evaluate(() => db.exec(`UPDATE notes SET done = 1 WHERE id = 'note 7'`));
  await synced(b);
  await synced(a);
  expect(await digest(b)).toEqual(await digest(a));
});

test("pause holds back, resume catches up", async ({ profile, server, site }) => {
  const sync = { url: server.url, space: "s" };
  const a = await (await profile()).tab(site), b = await (await profile()).tab(site);
  await openIn(a, { sync });
  await openIn(b, { sync });
  await converge(a, b);
  await a.evaluate(() => db.sync.pause());
  await expect.poll(() => state(a)).toBe("paused");
  await a.evaluate(() => db.exec(`INSERT INTO notes(id) VALUES ('held')`));
  await b.evaluate(() => db.exec(`INSERT INTO notes(id) VALUES ('sent')`));
  await synced(b);
  expect(await rows(b)).toEqual([{ id: "sent", body: "", done: 0 }]);
  expect(await rows(a)).toEqual([{ id: "held", body: "", done: 0 }]);
  await waiting(1, a);
  await a.evaluate(() => db.sync.resume());
  await expect.poll(() => rows(b)).toHaveLength(2);
  await converge(a, b);
});

test("the server dies and comes back: nothing is lost, nothing twice", async ({ profile, server, site }) => {
  const sync = { url: server.url, space: "s" };
  const a = await (await profile()).tab(site), b = await (await profile()).tab(site);
  await openIn(a, { sync });
  await openIn(b, { sync });
  await a.evaluate(() => db.exec(`INSERT INTO notes(id) VALUES ('before')`));
  await converge(a, b);
  await server.stop();
  for (const [page, name] of [[a, "a"], [b, "b"]] as const) {
    for (let i = 0; i < 5; i++) {
      await page.evaluate((id) => db.exec(`INSERT INTO notes(id) VALUES (?)`, [id]), `${name}${i}`);
    }
  }
  await waiting(5, a, b);
  await server.start();
  const { seq } = await converge(a, b);
  expect(seq).toBe(11);
  expect(await rows(a)).toHaveLength(11);
});

test("what a follower writes syncs, and a reload goes on where it was", async ({ profile, server, site }) => {
  const sync = { url: server.url, space: "s" };
  const device = await profile();
  const leader = await device.tab(site), follower = await device.tab(site);
  await openIn(leader, { sync });
  await openIn(follower, { sync });
  await server.stop();
  await follower.evaluate(() => db.exec(`INSERT INTO notes(id) VALUES ('f')`));
  await waiting(1, follower);
  await leader.close();
  await follower.close();
  await server.start();
  const again = await device.tab(site);
  await openIn(again, { sync });
  await synced(again);
  const b = await (await profile()).tab(site);
  await openIn(b, { sync });
  await converge(again, b);
  expect(await rows(b)).toEqual([{ id: "f", body: "", done: 0 }]);
});
