// Two versions of an app in two tabs: the newer one leads, the older one is
// told, no write is lost, and no column that only the newer one knows.
import type { Page } from "@playwright/test";
import { expect, failure, openIn, test } from "../fixtures.js";
import { twoVersions } from "../harness.js";

const old = [`CREATE TABLE notes(id TEXT PRIMARY KEY, body TEXT NOT NULL)`];
const later = [...old, `ALTER TABLE notes ADD COLUMN colour TEXT NOT NULL DEFAULT 'plain'`];

/** Opens the database and notes what the page is told. */
async function open(page: Page, migrations: readonly string[]): Promise<void> {
  await openIn(page, { migrations });
  await page.evaluate(() => {
    const told: string[] = [];
    Object.assign(globalThis, { told });
    db.on("outdated", ({ message }) => told.push(message));
  });
}

const told = (page: Page) => page.evaluate(() => (globalThis as unknown as { told: string[] }).told);
const role = (page: Page) => page.evaluate(() => db.role);

/** Writes until stopped. The stop function returns the acknowledged writes and the error of the first that failed. */
async function writing(page: Page): Promise<() => Promise<{ written: string[]; code: string }>> {
  await page.evaluate(() => {
    const state = { written: [] as string[], code: "" }, me = crypto.randomUUID();
    Object.assign(globalThis, { writing: state });
    void (async () => {
      for (let n = 0; state.code === ""; n++) {
        const ids = [`${me} ${n} a`, `${me} ${n} b`, `${me} ${n} c`];
        const done = await Promise.allSettled(ids.map((id) =>
          db.exec(`INSERT INTO notes(id, body) VALUES (?, 'from the old one')`, [id])));
        done.forEach((d, i) => {
          if (d.status === "fulfilled") state.written.push(ids[i]!);
          else state.code = (d.reason as { code: string }).code;
        });
      }
    })();
  });
  return async () => {
    const state = () =>
      page.evaluate(() => (globalThis as unknown as { writing: { written: string[]; code: string } }).writing);
    await expect.poll(async () => (await state()).code).not.toBe("");
    return state();
  };
}

test("a build with a new migration takes over from an older one, which reads on and writes no more",
  async ({ profile, site }) => {
  const device = await profile();
  const a = await device.tab(site), b = await device.tab(site), c = await device.tab(site);
  await open(a, old);
  await open(c, old);
  const ends = [await writing(a), await writing(c)];
  await open(b, later);
  await expect.poll(() => role(b)).toBe("leader");
  for (const [i, page] of [a, c].entries()) {
    const { written, code } = await ends[i]!();
    expect(code).toBe("HEDDLE_OUTDATED");
    await expect.poll(() => told(page)).toHaveLength(1);
    expect(await role(page)).toBe("follower");
    const found = await page.evaluate(() => db.query<{ id: string; body: string }>(`SELECT id, body FROM notes`));
    const ids = new Set(found.map((row) => row.id));
    expect(written.filter((id) => !ids.has(id)), "acknowledged and lost").toEqual([]);
  }
  // What would empty the column that the old build has never heard of.
  await b.evaluate(() => db.exec(`INSERT INTO notes(id, body, colour) VALUES ('x', 'from the new one', 'red')`));
  expect(await failure(a, `await db.exec("INSERT OR REPLACE INTO notes(id, body) VALUES ('x', 'again')")`))
    .toMatchObject({ code: "HEDDLE_OUTDATED" });
  expect(await failure(a, `await db.transaction(async (tx) => { await tx.exec("DELETE FROM notes"); })`))
    .toMatchObject({ code: "HEDDLE_OUTDATED" });
  expect(await b.evaluate(() => db.query(`SELECT body, colour FROM notes WHERE id = 'x'`)))
    .toEqual([{ body: "from the new one", colour: "red" }]);
  // Reloaded, with the new build, it works.
  await a.reload();
  await a.waitForSelector("html[data-ready]");
  await open(a, later);
  await a.evaluate(() => db.exec(`UPDATE notes SET colour = 'blue' WHERE id = 'x'`));
  expect(await told(a)).toEqual([]);
  expect(await b.evaluate(() => db.query(`SELECT colour FROM notes WHERE id = 'x'`))).toEqual([{ colour: "blue" }]);
});

test("a tab of an older build that comes later is told at once, and never leads", async ({ profile, site }) => {
  const device = await profile();
  const a = await device.tab(site), b = await device.tab(site), c = await device.tab(site);
  await open(a, later);
  await open(b, old);
  await open(c, later);
  await expect.poll(() => told(b)).toHaveLength(1);
  expect(await failure(b, `await db.exec("INSERT INTO notes(id, body) VALUES ('y', '')")`))
    .toMatchObject({ code: "HEDDLE_OUTDATED" });
  await a.close();
  await expect.poll(() => role(c)).toBe("leader");
  await c.evaluate(() => db.exec(`INSERT INTO notes(id, body) VALUES ('z', '')`));
  expect(await b.evaluate(() => db.query(`SELECT id FROM notes`))).toEqual([{ id: "z" }]);
  // When the last one that knows the schema has gone, the old one cannot read it, and says so.
  await c.close();
  expect(await failure(b, `await db.query("SELECT * FROM notes")`))
    .toMatchObject({ code: "HEDDLE_MIGRATION", message: expect.stringContaining("newer build") });
});

test("a newer build whose migration fails leaves the lead to the older one", async ({ profile, site }) => {
  const device = await profile();
  const a = await device.tab(site), b = await device.tab(site);
  await open(a, old);
  await a.evaluate(() => db.exec(`INSERT INTO notes(id, body) VALUES ('1', '')`));
  expect(await failure(b, `await heddle.open({ name: "test", migrations: ` +
    `${JSON.stringify([...old, "CREATE TABLE notes(again)"])} })`)).toMatchObject({ code: "HEDDLE_MIGRATION" });
  await a.evaluate(() => db.exec(`INSERT INTO notes(id, body) VALUES ('2', '')`));
  expect(await a.evaluate(() => db.query(`SELECT count(*) AS n FROM notes`))).toEqual([{ n: 2 }]);
  expect(await told(a)).toEqual([]);
});

test("a build that speaks another protocol takes over; the older one ends and says why", async ({ profile, serve }) => {
  const device = await profile(), site = await serve(twoVersions), next = `${site}?heddle=./next/index.js`;
  const a = await device.tab(site), b = await device.tab(site), c = await device.tab(next);
  await open(a, old);
  await open(b, old);
  const ends = [await writing(a), await writing(b)];
  await open(c, old);
  await expect.poll(() => role(c)).toBe("leader");
  const ids = new Set((await c.evaluate(() => db.query<{ id: string }>(`SELECT id FROM notes`))).map((row) => row.id));
  for (const [i, page] of [a, b].entries()) {
    const { written, code } = await ends[i]!();
    expect(code).toBe("HEDDLE_OUTDATED");
    expect(written.length).toBeGreaterThan(0);
    expect(written.filter((id) => !ids.has(id)), "acknowledged and lost").toEqual([]);
    expect(await told(page)).toHaveLength(1);
    expect(await failure(page, `await db.query("SELECT 1")`)).toMatchObject({ code: "HEDDLE_OUTDATED" });
  }
  // And in the other order.
  const d = await device.tab(site);
  expect(await failure(d, `await heddle.open({ name: "test", migrations: ${JSON.stringify(old)} })`))
    .toMatchObject({ code: "HEDDLE_OUTDATED", message: expect.stringContaining("reload") });
  await c.evaluate(() => db.exec(`INSERT INTO notes(id, body) VALUES ('goes on', '')`));
  // The newer one gone, the older one may lead again: the files are the same.
  await c.close();
  await open(d, old);
  expect(await d.evaluate(() => db.query(`SELECT id FROM notes WHERE id = 'goes on'`))).toEqual([{ id: "goes on" }]);
});
