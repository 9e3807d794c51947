// Bits that flip on the disk: the browser ends, a byte of the database's file in
// its profile is changed, and it starts again. Nothing wrong is ever answered;
// the file is kept; what the server does not have is rescued from it.
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { expect, failure, notes, openIn, synced, test, type Profile } from "../fixtures.js";


const migrations = [...notes, `CREATE TABLE drafts(id INTEGER PRIMARY KEY, body TEXT NOT NULL)`];
const note = (i: number) => `note ${i} ${"x".repeat(600)}`;
const draft = (i: number) => `draft ${i} ${"y".repeat(600)}`;

/** Files below the profile's folder of origin private files that hold the text. */
function filesWith(profile: Profile, text: string): string[] {
  const found: string[] = [];
  const walk = (dir: string) => {
    for (const name of readdirSync(dir)) {
      const path = join(dir, name);
      if (statSync(path).isDirectory()) walk(path);
      else if (readFileSync(path).includes(text)) found.push(path);
    }
  };
  walk(join(profile.dir, "Default", "File System"));
  return found;
}

/** Flips a bit right where the text is, in each place. Returns how many there were. */
function flip(profile: Profile, text: string): number {
  let hits = 0;
  for (const path of filesWith(profile, text)) {
    const bytes = readFileSync(path);
    for (let at = bytes.indexOf(text); at >= 0; at = bytes.indexOf(text, at + 1)) {
      bytes[at]! ^= 4;
      hits++;
    }
    writeFileSync(path, bytes);
  }
  return hits;
}

/** Closes the database in order, so that no log is left, and with it the browser; flips; starts both again. */
async function rot(device: Profile, page: Page, site: string, text: string): Promise<Page> {
  await page.evaluate(() => db.close());
  await device.context.close();
  expect(flip(device, text), "bits flipped").toBeGreaterThan(0);
  await device.restart();
  return device.tab(site);
}

async function fill(page: Page): Promise<void> {
  await page.evaluate(async ([notes, drafts]) => {
    await db.bulk(`INSERT INTO notes(id, body) VALUES (?, ?)`,
      notes!.map((body, i) => [`n${String(i).padStart(3, "0")}`, body]));
    await db.bulk(`INSERT INTO drafts(body) VALUES (?)`, drafts!.map((body) => [body]));
  }, [Array.from({ length: 200 }, (_, i) => note(i)), Array.from({ length: 60 }, (_, i) => draft(i))]);
}

/** Tells when the database has put itself right. */
const recovered = (page: Page) => page.evaluate(() => new Promise<Record<string, unknown>>((resolve) => {
  db.on("recovered", (r) => resolve({ ...r }));
}));

test("with sync a damaged database comes back whole, and nothing wrong is answered before",
  async ({ profile, wire, site }) => {
  const device = await profile(), line = await wire();
  let page = await device.tab(site);
  const options = { migrations, sync: { url: line.url, space: "rot" } };
  await openIn(page, options);
  await fill(page);
  await synced(page);
  line.pull();
  await page.evaluate(() => db.exec(`INSERT INTO notes(id, body) VALUES ('unsent', 'only here')`));

  page = await rot(device, page, site, "note 100 x");
  await openIn(page, options);
  const told = recovered(page);
  // The damaged row is asked for: an error, or what was written, never anything else.
  const answer = await page.evaluate(async () => {
    try {
      return (await db.query<{ body: string }>(`SELECT body FROM notes WHERE id = 'n100'`))[0]?.body ??
        "no such row yet";
    } catch (error) {
      return (error as { code: string }).code;
    }
  });
  expect([note(100), "no such row yet", "SQLITE_IOERR_DATA", "HEDDLE_ENGINE_CRASH", "HEDDLE_LEADER_LOST"])
    .toContain(answer);
  const report = await told;
  expect(report).toMatchObject({ pending: 1, rejected: 0, lost: false, rows: 60, tables: [] });
  expect(await page.evaluate(() => db.query(`SELECT body FROM notes WHERE id = 'unsent'`)))
    .toEqual([{ body: "only here" }]);
  line.plug();
  await synced(page);
  expect((await page.evaluate(() => db.query<{ body: string }>(`SELECT body FROM notes ORDER BY id`)))
    .map((row) => row.body))
    .toEqual([...Array.from({ length: 200 }, (_, i) => note(i)), "only here"]);
  expect((await page.evaluate(() => db.query<{ body: string }>(`SELECT body FROM drafts ORDER BY id`)))
    .map((row) => row.body))
    .toEqual(Array.from({ length: 60 }, (_, i) => draft(i)));

  const kept = await page.evaluate(async () => {
    const health = await db.health({ full: true });
    const files = await heddle.quarantinedFiles("test");
    const bytes = new Uint8Array(await files[0]!.file.arrayBuffer());
    return { ok: health.ok, quarantined: health.quarantined, checksums: health.checksums,
      recovered: health.recovered?.file, names: files.map((f) => f.name),
      head: new TextDecoder().decode(bytes.subarray(0, 15)) };
  });
  expect(kept).toMatchObject({ ok: true, checksums: true, recovered: report["file"], head: "SQLite format 3" });
  expect(kept.names).toContain(report["file"]);
  expect(kept.quarantined.map((f) => f.name)).toEqual(kept.names.filter((name) => name.includes("-quarantined-")));

  // It is told once; the file stays until the app drops it.
  await page.reload();
  await page.waitForSelector("html[data-ready]");
  await openIn(page, options);
  const after = await page.evaluate(async () => {
    const before = (await db.health()).recovered;
    for (const file of await heddle.quarantinedFiles("test")) {
      if (file.name.includes("-quarantined-")) await file.remove();
    }
    return { before, left: (await db.health()).quarantined };
  });
  expect(after).toEqual({ before: undefined, left: [] });
});

test("without sync open fails and leaves the file alone, until it may begin with a new file",
  async ({ profile, site }) => {
  const device = await profile();
  let page = await device.tab(site);
  await openIn(page, { migrations });
  await fill(page);

  page = await rot(device, page, site, "CREATE TABLE drafts");
  const open = `globalThis.db = await heddle.open({ name: "test", migrations: ${JSON.stringify(migrations)}`;
  for (let i = 0; i < 2; i++) {
    expect(await failure(page, `${open} })`))
      .toMatchObject({ code: "HEDDLE_DAMAGED", message: expect.stringContaining("recover: true") });
  }
  const own = await page.evaluate(async () =>
    (await heddle.quarantinedFiles("test")).map((f) => ({ name: f.name, big: f.size > 100_000 })));
  expect(own).toEqual([{ name: "test.db", big: true }]);

  await page.evaluate(`(async () => { ${open}, recover: true }) })()`);
  expect(await recovered(page)).toMatchObject({ pending: 0 });
  await page.evaluate(() => db.exec(`INSERT INTO notes(id) VALUES ('new')`));
  expect(await page.evaluate(async () => (await heddle.quarantinedFiles("test"))
    .some((f) => f.name.startsWith("test.db-quarantined-") && f.size > 100_000))).toBe(true);
});

test("a damaged row without sync: its table is taken over around it", async ({ profile, site }) => {
  const device = await profile();
  let page = await device.tab(site);
  await openIn(page, { migrations });
  await fill(page);
  page = await rot(device, page, site, "draft 30 y");
  // The table cannot be read whole: the database is taken out of use, and says so.
  await openIn(page, { migrations });
  expect((await failure(page, `for (;;) { await db.query("SELECT sum(length(body)) FROM drafts"); }`)).code)
    .toMatch(/^(SQLITE_IOERR_DATA|HEDDLE_DAMAGED|HEDDLE_ENGINE_CRASH|HEDDLE_LEADER_LOST)$/);
  await expect.poll(() => page.evaluate(async () => {
    try { await db.query(`SELECT 1`); return ""; } catch (error) { return (error as { code: string }).code; }
  })).toBe("HEDDLE_DAMAGED");
  await page.evaluate(async (migrations) => {
    globalThis.db = await heddle.open({ name: "test", migrations, recover: true });
  }, migrations);
  const report = await recovered(page);
  expect(report["tables"]).toEqual(["drafts"]);
  const rows = await page.evaluate(() => db.query<{ id: number; body: string }>(`SELECT * FROM drafts`));
  expect(rows.length).toBeGreaterThan(45);
  for (const row of rows) expect(row.body).toBe(draft(row.id - 1));
  expect(await page.evaluate(() => db.query(`SELECT count(*) AS n FROM notes`))).toEqual([{ n: 200 }]);
});
