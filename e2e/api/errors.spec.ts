// Errors that an app can meet, each with its code: the database works afterwards.
// A call that hangs meets the spec's own limit, which is far below Playwright's.
import { expect, failure, notes, openIn, test } from "../fixtures.js";

test("bad SQL, bad parameters, a closed database", async ({ profile, site }) => {
  const page = await (await profile()).tab(site);
  await openIn(page);
  expect(await failure(page, `await db.query("SELEC 1")`)).toMatchObject({ name: "HeddleError", code: "SQLITE_ERROR",
    sql: "SELEC 1", message: expect.stringContaining("syntax error") });
  expect(await failure(page, `await db.query("SELECT * FROM nowhere")`))
    .toMatchObject({ code: "SQLITE_ERROR", message: expect.stringContaining("no such table: nowhere") });
  for (const call of [
    `await db.exec("INSERT INTO notes(id) VALUES (?)", [])`,
    `await db.exec("INSERT INTO notes(id) VALUES (?)", ["a", "b"])`,
    `await db.exec("INSERT INTO notes(id) VALUES (:id)", { other: 1 })`,
    `await db.exec("INSERT INTO notes(id) VALUES (?)", [{}])`,
    `await db.exec("INSERT INTO notes(id) VALUES (?)", [Symbol("no")])`,
    `await db.exec("INSERT INTO notes(id) VALUES (?)", [2n ** 64n])`,
  ]) expect(await failure(page, call), call).toMatchObject({ name: "HeddleError", code: "HEDDLE_BAD_PARAM" });
  expect(await failure(page, `await db.exec("COMMIT")`)).toMatchObject({ code: "HEDDLE_TX_CONTROL" });
  expect(await page.evaluate(() => db.query(`SELECT count(*) AS n FROM notes`))).toEqual([{ n: 0 }]);

  const failed = await page.evaluate(() => new Promise<string>((resolve) => {
    db.live(`SELECT * FROM nowhere`, [], () => resolve("a result"), { onError: (error) => resolve(error.code) });
  }));
  expect(failed).toBe("SQLITE_ERROR");

  await page.evaluate(() => db.close());
  for (const call of [`await db.query("SELECT 1")`, `await db.exec("DELETE FROM notes")`,
    `await db.batch([["SELECT 1"]])`,
    `await db.bulk("INSERT INTO notes(id) VALUES (?)", [["a"]])`,
      `await db.transaction(async (tx) => tx.query("SELECT 1"))`, `await db.export()`]) {
    expect(await failure(page, call), call).toMatchObject({ name: "HeddleError", code: "HEDDLE_CLOSED" });
  }
});

test("a migration that fails, and one that was edited", async ({ profile, site }) => {
  const page = await (await profile()).tab(site);
  const open = (migrations: string[]) => `await heddle.open({ name: "m", migrations: ${JSON.stringify(migrations)} })`;
  expect(await failure(page, open(["CREATE TABLE t(a)", "CREATE TABLE t(b)"])))
    .toMatchObject({ code: "HEDDLE_MIGRATION", message: expect.stringContaining("already exists") });
  await openIn(page, { name: "m", migrations: ["CREATE TABLE t(a)"] });
  await page.evaluate(() => db.close());
  expect(await failure(page, open(["CREATE TABLE t(z)"]))).toMatchObject({ code: "HEDDLE_MIGRATION" });
});

test("a synced table that breaks a rule of sync is refused with the reason", async ({ profile, server, site }) => {
  const page = await (await profile()).tab(site);
  const refused = (table: string) => failure(page, `await heddle.open({ name: "r" + Math.random(), migrations: ` +
    `[${JSON.stringify(table)}], sync: { url: ${JSON.stringify(server.url)}, space: "s", tables: { t: true } } })`);
  for (const [table, reason] of [
    ["CREATE TABLE t(a TEXT)", /key/i],
    ["CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT)", /integerKey/],
    ["CREATE TABLE t(id TEXT PRIMARY KEY, a TEXT UNIQUE)", /unique/i],
  ] as const) {
    const error = await refused(table);
    expect(error, table).toMatchObject({ name: "HeddleError", code: "HEDDLE_SYNC_SCHEMA" });
    expect(error.message).toMatch(reason);
  }
});

test("a wrong server URL: local work goes on, the status says why", async ({ profile, serve, site }) => {
  const page = await (await profile()).tab(site);
  // Nobody listens on the discard port; the other answers, and is no Heddle server.
  const stranger = await serve({ headers: { "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "*" } });
  for (const [name, url] of [["nobody", "http://127.0.0.1:9"], ["stranger", stranger.replace(/\/$/, "")]] as const) {
    await openIn(page, { name, migrations: notes, sync: { url, space: "s" } });
    await page.evaluate(() => db.exec(`INSERT INTO notes(id) VALUES ('local')`));
    await expect.poll(() => page.evaluate(() => db.sync.status.lastError?.code), { message: name })
      .toMatch(/^HEDDLE_(NETWORK|SERVER|PROTOCOL)$/);
    const status = await page.evaluate(() => db.sync.status);
    expect(["offline", "error", "connecting"]).toContain(status.state);
    expect(status.pending).toBe(1);
    const now = await failure(page, `await db.sync.now({ signal: AbortSignal.timeout(5000) })`);
    expect(now.code).toMatch(/^HEDDLE_(NETWORK|SERVER|PROTOCOL|ABORTED)$/);
    expect(await page.evaluate(() => db.query(`SELECT id FROM notes`))).toEqual([{ id: "local" }]);
    await page.evaluate(() => db.close());
  }
  expect(await failure(page, `await heddle.open({ name: "bad", sync: { url: "no url at all", space: "s", tables: {} ` +
    `} })`)).toMatchObject({ name: "HeddleError", code: expect.stringMatching(/^HEDDLE_/) });
});

test("a full disk: the write fails with SQLITE_FULL, what was there stays, and room lets it go on",
  async ({ profile, site }) => {
  const device = await profile();
  const page = await device.tab(site);
  await openIn(page);
  await page.evaluate(() => db.exec(`INSERT INTO notes(id, body) VALUES ('first', 'stays')`));
  const cdp = await device.context.newCDPSession(page);
  const origin = new URL(site).origin;
  await cdp.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 12 * 1024 * 1024 });
  const full = await page.evaluate(async () => {
    for (let written = 0; ; written++) {
      try {
        await db.exec(`INSERT INTO notes(id, body) VALUES (?, hex(randomblob(262144)))`, [`big${written}`]);
      } catch (error) {
        const [row] = await db.query<{ n: number }>(`SELECT count(*) AS n FROM notes WHERE id LIKE 'big%'`);
        return { code: (error as { code: string }).code, written, found: row!.n };
      }
      if (written > 200) throw new Error("the quota was never met");
    }
  });
  expect(full.code).toBe("SQLITE_FULL");
  expect(full.written).toBeGreaterThan(0);
  expect(full.written, "each is half a MiB, the quota 12 MiB").toBeLessThan(30);
  // Each insert that resolved is there; the one that failed is not.
  expect(full.found).toBe(full.written);
  expect(await page.evaluate(() => db.query(`SELECT body FROM notes WHERE id = 'first'`))).toEqual([{ body: "stays" }]);
  expect(await page.evaluate(() => db.query(`PRAGMA quick_check`))).toEqual([{ quick_check: "ok" }]);
  await cdp.send("Storage.overrideQuotaForOrigin", { origin });
  await page.evaluate(() => db.exec(`INSERT INTO notes(id, body) VALUES ('after', 'goes on')`));
  expect(await page.evaluate(() => db.query(`SELECT id FROM notes WHERE id IN ('first', 'after') ORDER BY id`)))
    .toEqual([{ id: "after" }, { id: "first" }]);
});

test("an aborted call rejects at once, and the database goes on when the statement has ended",
  async ({ profile, site }) => {
  const page = await (await profile()).tab(site);
  await openIn(page);
  const slow = `WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 5000000) SELECT count(*) ` +
    `FROM n`;
  expect(await failure(page, `await db.query(${JSON.stringify(slow)}, [], { signal: AbortSignal.timeout(50) })`))
    .toMatchObject({ code: "HEDDLE_ABORTED" });
  expect(await page.evaluate(() => db.query(`SELECT 1 AS one`))).toEqual([{ one: 1 }]);
});

test("a write on the database inside its own transaction fails at once, and holds up no call",
  async ({ profile, site }) => {
  const device = await profile();
  const a = await device.tab(site), b = await device.tab(site);
  await openIn(a);
  await openIn(b);
  for (const page of [a, b]) {
    expect(await page.evaluate(async () => {
      const codes: string[] = [];
      const failed = (error: { code: string }) => { codes.push(error.code); };
      await db.transaction(async (tx) => {
        await db.exec(`INSERT INTO notes(id) VALUES ('at the start')`).catch(failed);
        await tx.exec(`INSERT INTO notes(id) VALUES (?)`, [`in it ${db.role}`]);
        await db.exec(`INSERT INTO notes(id) VALUES ('after a statement')`).catch(failed);
        await db.transaction(() => {}).catch(failed);
      });
      return codes;
    })).toEqual(Array.from({ length: 3 }, () => "HEDDLE_TX_NESTED"));
  }
  // Where it is not known whose the write is, it waits for as long as the transaction may go on by itself.
  const outcome = await b.evaluate(async () => {
    const codes: string[] = [];
    await db.transaction(async (tx) => {
      await tx.exec(`INSERT INTO notes(id) VALUES ('outer')`);
      await new Promise((resolve) => setTimeout(resolve, 1));
      await db.exec(`INSERT INTO notes(id) VALUES ('inner')`)
        .catch((error: { code: string }) => { codes.push(error.code); });
      await tx.exec(`INSERT INTO notes(id) VALUES ('outer again')`);
    });
    return codes;
  });
  expect(outcome).toEqual(["HEDDLE_TX_NESTED"]);
  expect(await a.evaluate(() => db.query(`SELECT id FROM notes ORDER BY id`)))
    .toEqual([{ id: "in it follower" }, { id: "in it leader" }, { id: "outer" }, { id: "outer again" }]);
});
