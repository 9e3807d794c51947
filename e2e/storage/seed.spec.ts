// open({ seed }): the rows that a new database begins with, and, with sync, a new space.
import type { Page } from "@playwright/test";
import { digest, expect, failure, notes, synced, test } from "../fixtures.js";

const rows = (page: Page) =>
  page.evaluate(() => db.query<{ id: string; body: string }>(`SELECT id, body FROM notes ORDER BY id`));

async function openSeeded(page: Page, body: string, url?: string): Promise<void> {
  await page.evaluate(async ({ migrations, body, url }) => {
    globalThis.db = await heddle.open({
      name: "seeded", migrations,
      seed: [[`INSERT INTO notes(id, body) VALUES ('welcome', ?)`, [body]], `INSERT INTO notes(id) VALUES ('empty')`],
      ...(url ? { sync: { url, space: "seeded", tables: { notes: true as const } } } : {}),
    });
  }, { migrations: notes, body, url });
}

test("a new database begins with its seed, once", async ({ profile, site }) => {
  const page = await (await profile()).tab(site);
  await openSeeded(page, "first");
  expect(await rows(page)).toEqual([{ id: "empty", body: "" }, { id: "welcome", body: "first" }]);
  await page.evaluate(() => db.exec(`DELETE FROM notes WHERE id = 'empty'`));
  await page.evaluate(() => db.close());
  await openSeeded(page, "second");
  expect(await rows(page)).toEqual([{ id: "welcome", body: "first" }]);
});

test("a seed that fails is an error of open, and leaves nothing", async ({ profile, site }) => {
  const page = await (await profile()).tab(site);
  const error = await failure(page, `await heddle.open({ name: "bad", migrations: ${JSON.stringify(notes)}, seed: ` +
    `["INSERT INTO notes(id) VALUES ('a')", "INSERT INTO notes(id) VALUES ('a')"] })`);
  expect(error.code).toBe("SQLITE_CONSTRAINT_PRIMARYKEY");
  const left = await page.evaluate(async (migrations) => {
    globalThis.db = await heddle.open({ name: "bad", migrations, seed: [`INSERT INTO notes(id) VALUES ('b')`] });
    return db.query(`SELECT id FROM notes`);
  }, notes);
  expect(left).toEqual([{ id: "b" }]);
});

test("with sync a space begins with one seed: the first device's", async ({ profile, server, site }) => {
  const a = await (await profile()).tab(site), b = await (await profile()).tab(site);
  await Promise.all([openSeeded(a, "of A", server.url), openSeeded(b, "of B", server.url)]);
  for (const page of [a, b, a]) await synced(page);
  const both = await rows(a);
  expect(both).toHaveLength(2);
  expect(["of A", "of B"]).toContain(both[1]!.body);
  expect(await rows(b)).toEqual(both);
  expect(await digest(b)).toEqual(await digest(a));
  expect((await digest(a)).seq).toBe(1);
  expect(await a.evaluate(() => db.sync.status.pending)).toBe(0);
});
