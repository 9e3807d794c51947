// The server's disk is lost: work goes on, and the devices bring a new one what they have.
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digest, expect, openIn, synced, test } from "../fixtures.js";
import { startServer } from "../harness.js";

test("accept() goes on with a server whose data directory was deleted", async ({ profile, site }) => {
  const data = mkdtempSync(join(tmpdir(), "heddle-lost-"));
  const server = await startServer(data);
  try {
    const sync = { url: server.url, space: "s" };
    const a = await (await profile()).tab(site), b = await (await profile()).tab(site);
    for (const page of [a, b]) await openIn(page, { sync });
    await a.evaluate(() => db.bulk(`INSERT INTO notes(id, body) VALUES (?, ?)`, [["x", "one"], ["y", "two"]]));
    for (const page of [a, b]) await synced(page);

    await server.stop();
    rmSync(data, { recursive: true, force: true });
    mkdirSync(data);
    await server.start();
    for (const page of [a, b]) {
      expect(await page.evaluate(() => db.sync.now().catch((thrown) => thrown.code))).toBe("HEDDLE_DIVERGED");
      await expect.poll(() => page.evaluate(() => [db.sync.status.state, db.sync.status.lastError?.code]),
        { timeout: 90_000 })
        .toEqual(["error", "HEDDLE_DIVERGED"]);
    }

    // Nothing local depends on sync.
    await a.evaluate(() => db.exec(`INSERT INTO notes(id, body) VALUES ('meanwhile', 'of a')`));
    await b.evaluate(() => db.exec(`UPDATE notes SET done = 1 WHERE id = 'y'`));
    expect(await a.evaluate(async () => (await db.export()).length)).toBeGreaterThan(4096);
    expect(await a.evaluate(async () => (await db.sync.export()).includes("meanwhile"))).toBe(true);

    await a.evaluate(() => db.sync.accept());
    await synced(a);
    await b.evaluate(() => db.sync.accept());
    for (const page of [b, a, b]) await synced(page);
    for (const page of [a, b]) {
      expect(await page.evaluate(() => db.query(`SELECT id, body, done FROM notes ORDER BY id`))).toEqual([
        { id: "meanwhile", body: "of a", done: 0 }, { id: "x", body: "one", done: 0 },
          { id: "y", body: "two", done: 1 },
      ]);
      expect(await page.evaluate(() => db.sync.status.lastError)).toBeUndefined();
    }
    expect(await digest(b)).toEqual(await digest(a));
    const c = await (await profile()).tab(site);
    await openIn(c, { sync });
    await synced(c);
    expect(await digest(c)).toEqual(await digest(a));
  } finally {
    await server.stop();
    rmSync(data, { recursive: true, force: true });
  }
});

test("import and destroy work while the server has another log; a pause lasts if asked to",
  async ({ profile, site }) => {
  const data = mkdtempSync(join(tmpdir(), "heddle-lost-"));
  const server = await startServer(data);
  try {
    const sync = { url: server.url, space: "s" };
    const page = await (await profile()).tab(site);
    await openIn(page, { sync });
    await page.evaluate(() => db.exec(`INSERT INTO notes(id) VALUES ('x')`));
    await synced(page);
    await server.stop();
    rmSync(data, { recursive: true, force: true });
    mkdirSync(data);
    await server.start();
    expect(await page.evaluate(() => db.sync.now().catch((thrown) => thrown.code))).toBe("HEDDLE_DIVERGED");
    await page.evaluate(async () => {
      const bytes = await db.export();
      await db.exec(`DELETE FROM notes`);
      await db.import(bytes);
    });
    expect(await page.evaluate(() => db.query(`SELECT id FROM notes`))).toEqual([{ id: "x" }]);

    await page.evaluate(async () => {
      await db.sync.pause({ persist: true });
      await db.close();
    });
    await openIn(page, { sync });
    await expect.poll(() => page.evaluate(() => db.sync.status.state)).toBe("paused");
    await page.evaluate(async () => {
      await db.sync.resume();
      await db.close();
      await heddle.destroy("test");
    });
    await openIn(page, { sync });
    await synced(page);
    expect(await page.evaluate(() => db.query(`SELECT id FROM notes`))).toEqual([]);
  } finally {
    await server.stop();
    rmSync(data, { recursive: true, force: true });
  }
});
