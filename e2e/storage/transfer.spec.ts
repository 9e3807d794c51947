// A database that is larger than what the worker may take in memory, out and in
// again as a stream. TRANSFER_MIB=2048 tries one of 2 GiB.
import { readFile } from "node:fs/promises";
import type { Page } from "@playwright/test";
import { expect, failure, openIn, test } from "../fixtures.js";
import { TEST_MS } from "../limits.js";

const MIB = Number(process.env["TRANSFER_MIB"] ?? 96);
test.describe.configure({ timeout: TEST_MS + MIB * 15_000 });

const migrations = [`CREATE TABLE big(id INTEGER PRIMARY KEY, body BLOB)`];

/** Has every worker of the page keep Go's memory where a test finds it. */
async function watchMemory(page: Page): Promise<void> {
  await page.route("**/worker.js", async (route) => {
    const response = await route.fetch();
    const body = `{
      const real = WebAssembly.instantiate;
      WebAssembly.instantiate = async (...args) => {
        const made = await real(...args);
        if (made.exports?.mem && made.exports.run) globalThis.goMemory = made.exports.mem;
        return made;
      };
    }\n${await response.text()}`;
    await route.fulfill({ response, body });
  });
}

/** The largest memory of the page's workers, in MiB. */
async function memory(page: Page): Promise<number> {
  const sizes = await Promise.all(page.workers().map((worker) =>
    worker.evaluate(() => (globalThis as { goMemory?: WebAssembly.Memory }).goMemory?.buffer.byteLength ?? 0)));
  return Math.max(...sizes) / 2 ** 20;
}

test("a large database passes through a worker of bounded memory", async ({ profile, site }) => {
  const device = await profile();
  const page = await device.context.newPage();
  await watchMemory(page);
  await page.goto(site);
  await page.waitForSelector("html[data-ready]");
  await openIn(page, { name: "from", migrations });
  await page.evaluate(async (mib) => {
    for (let at = 0; at < mib; at += 8) {
      await db.exec(`WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO ` +
        `big(body) SELECT randomblob(1048576) FROM n`, [Math.min(8, mib - at)]);
    }
  }, MIB);
  const before = await memory(page);
  expect(before).toBeGreaterThan(0);

  const start = Date.now();
  const out = await page.evaluate(async () => {
    let bytes = 0, parts = 0;
    const first = new Uint8Array(16);
    for await (const part of db.exportStream() as unknown as AsyncIterable<Uint8Array>) {
      if (bytes === 0) first.set(part.subarray(0, 16));
      bytes += part.length;
      parts++;
    }
    return { bytes, parts, first: new TextDecoder().decode(first) };
  });
  const exported = Date.now();
  expect(out.first).toBe("SQLite format 3\0");
  expect(out.bytes).toBeGreaterThan(MIB * 2 ** 20);
  expect(out.parts).toBeGreaterThanOrEqual(MIB);

  const same = await page.evaluate(async (migrations) => {
    const to = await heddle.open({ name: "to", migrations });
    await to.exec(`INSERT INTO big(body) VALUES (x'00')`);
    await to.import(db.exportStream());
    const sum = `SELECT count(*) AS n, sum(length(body)) AS bytes, group_concat(hex(substr(body, 1000000, 4))) AS ` +
      `some FROM big`;
    const [a, b] = [await db.query(sum), await to.query(sum)];
    await to.exec(`INSERT INTO big(body) VALUES (x'01')`);
    const { ok, checksums } = await to.health();
    return { equal: JSON.stringify(a) === JSON.stringify(b), n: a[0]!["n"], ok, checksums };
  }, migrations);
  expect(same).toEqual({ equal: true, n: MIB, ok: true, checksums: true });
  const after = await memory(page);
  console.log(`${MIB} MiB: export ${exported - start} ms, export and import ${Date.now() - exported} ms, worker ` +
    `from ${before.toFixed(0)} to ${after.toFixed(0)} MiB`);
  expect(after - before, "MiB that the worker grew").toBeLessThan(64);
  expect(after).toBeLessThan(256);

  // The copies are gone, also one that was not read to its end.
  await page.evaluate(async () => {
    const reader = db.exportStream().getReader();
    await reader.read();
    await reader.cancel();
  });
  await expect.poll(() => page.evaluate(async () => {
    const names: string[] = [];
    const all = await (await navigator.storage.getDirectory()).getDirectoryHandle("heddle");
    for (const name of ["from", "to"]) {
      for await (const entry of (await all.getDirectoryHandle(name) as unknown as { keys(): AsyncIterable<string> })
        .keys()) names.push(entry);
    }
    return names.filter((name) => name.includes("-side-"));
  })).toEqual([]);
});

test("an import that breaks off leaves what was there", async ({ profile, site }) => {
  const page = await (await profile()).tab(site);
  await openIn(page, { migrations });
  await page.evaluate(() => db.exec(`INSERT INTO big(body) VALUES (randomblob(3000000))`));
  const code = (stream: string) => failure(page, `await db.import(${stream})`);
  expect((await code(`new ReadableStream({ async start(c) { const bytes = await db.export(); ` +
    `c.enqueue(bytes.subarray(0, 2000000)); c.close(); } })`)).code).toMatch(/^SQLITE_(CORRUPT|NOTADB|IOERR_DATA)/);
  expect(await code(`new ReadableStream({ start(c) { c.enqueue(new Uint8Array(5000)); c.close(); } })`))
    .toMatchObject({ code: "HEDDLE_BAD_PARAM" });
  expect((await code(`new ReadableStream({ async start(c) { const bytes = await db.export(); ` +
    `c.enqueue(bytes.subarray(0, 2000000)); c.error(new Error("the wire broke")); } })`)).message)
    .toContain("the wire broke");
  expect((await code(`new Blob([(await db.export()).subarray(0, 1500000)])`)).code)
    .toMatch(/^SQLITE_(CORRUPT|NOTADB|IOERR_DATA)/);
  // The worker dies in the middle: a crash.
  await page.evaluate(async () => {
    const bytes = await db.export();
    let went: () => void;
    const half = new Promise<void>((resolve) => { went = resolve; });
    const stuck = db.import(new ReadableStream({ async pull(c) {
      c.enqueue(bytes.subarray(0, 1 << 20));
      went();
      await new Promise(() => {});
    } }));
    stuck.catch(() => {});
    await half;
  });
  await page.reload();
  await page.waitForSelector("html[data-ready]");
  await openIn(page, { migrations });
  expect(await page.evaluate(() => db.query(`SELECT count(*) AS n, sum(length(body)) AS bytes FROM big`)))
    .toEqual([{ n: 1, bytes: 3_000_000 }]);
});

test("a dump of sqlite3 is imported, and its pages get checksums", async ({ profile, site }) => {
  const dump = await readFile(new URL("../../internal/store/script/testdata/dump.sql", import.meta.url), "utf8");
  const device = await profile();
  const page = await device.context.newPage();
  await page.goto(site);
  await page.waitForSelector("html[data-ready]");
  await openIn(page,
    { name: "dump", migrations: [`CREATE TABLE IF NOT EXISTS notes(id INTEGER PRIMARY KEY, body TEXT)`] });
  const seen = await page.evaluate(async (dump) => {
    await db.import(dump);
    const rows = await db.query(`SELECT (SELECT count(*) FROM books) AS books,
      (SELECT title FROM books WHERE id = 3) AS title,
      (SELECT count(*) FROM search WHERE search MATCH 'volume') AS found,
      (SELECT id FROM places WHERE x0 > 2) AS place`);
    await db.exec(`INSERT INTO books(id, title) VALUES(100, 'heddles')`);
    const indexed = await db.query(`SELECT rowid FROM search WHERE search MATCH 'heddles'`);
    await db.import(new Blob([dump]));
    const again = await db.query(`SELECT count(*) AS n FROM books`);
    const { ok, checksums } = await db.health({ full: true });
    return { rows, indexed, again, ok, checksums };
  }, dump);
  expect(seen).toEqual({
    rows: [{ books: 54, title: "\u00dcn\u00efc\u00f6d\u00e9 \u{1f600} ; END", found: 51, place: 2 }],
    indexed: [{ rowid: 100 }], again: [{ n: 54 }], ok: true, checksums: true,
  });
  expect(await failure(page, `await db.import("CREATE TABLE t(a); INSERT INTO t VALUES(1, 2);")`))
    .toMatchObject({ code: "SQLITE_ERROR" });
  expect(await failure(page, `await db.exec("BEGIN")`))
    .toMatchObject({ code: "HEDDLE_TX_CONTROL", message: expect.stringContaining("import") });
  expect(await page.evaluate(() => db.query(`SELECT count(*) AS n FROM books`))).toEqual([{ n: 54 }]);
});

test("a file of sqlite3 with other pages, in WAL, gets checksums", async ({ profile, site }) => {
  const file = await readFile(new URL("../../internal/store/testdata/foreign.db", import.meta.url));
  const device = await profile();
  const page = await device.context.newPage();
  await page.goto(site);
  await page.waitForSelector("html[data-ready]");
  await openIn(page,
    { name: "foreign", migrations: [`CREATE TABLE IF NOT EXISTS notes(id INTEGER PRIMARY KEY, body TEXT)`] });
  const seen = await page.evaluate(async (bytes) => {
    await db.import(new Uint8Array(bytes));
    const before = await db.health({ full: true });
    await db.exec(`VACUUM`);
    const after = await db.health({ full: true });
    const rows = await db.query(`SELECT count(*) AS n, sum(a) AS sum FROM foreigners`);
    return [rows, before.ok, before.checksums, before.pageSize, after.checksums];
  }, [...file]);
  expect(seen).toEqual([[{ n: 200, sum: 20100 }], true, true, 4096, true]);
});
