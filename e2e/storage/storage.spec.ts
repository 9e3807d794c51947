// What a profile keeps: reloads, the end of the browser, migrations, export and import, destroy.
import { expect, openIn, test } from "../fixtures.js";

test("a reload keeps the data, and so does the end of the browser", async ({ profile, site }) => {
  const device = await profile();
  let page = await device.tab(site);
  await openIn(page);
  const before = await page.evaluate(async () => {
    await db.exec(`INSERT INTO notes(id, body) VALUES (?, ?)`, ["a", "kept"]);
    return { role: db.role, storage: db.storage };
  });
  expect(before.role).toBe("leader");
  expect(["persistent", "best-effort"]).toContain(before.storage);

  await page.reload();
  await page.waitForSelector("html[data-ready]");
  await openIn(page);
  const rows = () => page.evaluate(() => db.query(`SELECT id, body FROM notes ORDER BY id`));
  expect(await rows()).toEqual([{ id: "a", body: "kept" }]);
  await page.evaluate(() => db.exec(`INSERT INTO notes(id, body) VALUES ('b', 'kept as well')`));

  await device.restart();
  page = await device.tab(site);
  await openIn(page);
  expect(await rows()).toEqual([{ id: "a", body: "kept" }, { id: "b", body: "kept as well" }]);
});

test("a migration runs once, and the next version's adds to it", async ({ profile, site }) => {
  const device = await profile();
  const page = await device.tab(site);
  const first = `CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t(v) VALUES ('seed')`;
  await openIn(page, { migrations: [first] });
  await page.reload();
  await page.waitForSelector("html[data-ready]");
  await openIn(page, { migrations: [first, `ALTER TABLE t ADD COLUMN n INTEGER NOT NULL DEFAULT 7`] });
  expect(await page.evaluate(() => db.query(`SELECT * FROM t`))).toEqual([{ id: 1, v: "seed", n: 7 }]);
});

test("export gives a file that import takes, in another database", async ({ profile, site }) => {
  const device = await profile();
  const page = await device.tab(site);
  await openIn(page);
  const outcome = await page.evaluate(async (migrations) => {
    await db.bulk(`INSERT INTO notes(id, body) VALUES (?, ?)`,
      Array.from({ length: 5000 }, (_, i) => [`n${i}`, `body ${i}`]));
    const bytes = await db.export();
    const other = await heddle.open({ name: "copy", migrations });
    await other.import(bytes);
    const [sum] = await other.query(`SELECT count(*) AS n, max(body) AS last FROM notes`);
    const head = new TextDecoder().decode(bytes.subarray(0, 15));
    await other.close();
    return { sum, head };
  }, [`CREATE TABLE notes(id TEXT PRIMARY KEY, body TEXT NOT NULL DEFAULT '' CHECK (body <> 'forbidden'), done ` +
    `INTEGER NOT NULL DEFAULT 0)`]);
  expect(outcome).toEqual({ head: "SQLite format 3", sum: { n: 5000, last: "body 999" } });
});

test("destroy leaves nothing", async ({ profile, site }) => {
  const device = await profile();
  const page = await device.tab(site);
  await openIn(page);
  const left = await page.evaluate(async () => {
    await db.exec(`INSERT INTO notes(id) VALUES ('a')`);
    await db.close();
    await heddle.destroy("test");
    const names: string[] = [];
    const walk = async (dir: FileSystemDirectoryHandle) => {
      for await (const entry of (dir as unknown as { values(): AsyncIterable<FileSystemHandle> }).values()) {
        if (entry.kind === "directory") await walk(entry as FileSystemDirectoryHandle);
        else names.push(entry.name);
      }
    };
    await walk(await navigator.storage.getDirectory());
    return names;
  });
  expect(left).toEqual([]);
  await openIn(page);
  expect(await page.evaluate(() => db.query(`SELECT * FROM notes`))).toEqual([]);
});
