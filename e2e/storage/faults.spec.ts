// Storage that goes away, was never there, or loses its browser in the middle.
// KILLS=200 kills the browser so often.
import { readdirSync, readFileSync } from "node:fs";
import { expect, failure, notes, openIn, test, type Profile } from "../fixtures.js";
import { TEST_MS } from "../limits.js";

const KILLS = Number(process.env["KILLS"] ?? 3);
test.describe.configure({ timeout: TEST_MS + KILLS * 60_000 });

/** Ends every process of the profile's browser, as a crash of the machine's would. Returns how many there were. */
function kill(profile: Profile): number {
  let killed = 0;
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      if (!readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(profile.dir)) continue;
      process.kill(Number(pid), "SIGKILL");
      killed++;
    } catch {} // it has ended
  }
  return killed;
}

test("the browser is killed while it writes: what was acknowledged is there", async ({ profile, site }) => {
  const device = await profile();
  let page = await device.tab(site);
  const acked = new Set<string>();
  const reopened: number[] = [];
  let processes = 0;
  for (let round = 0; round <= KILLS; round++) {
    const start = Date.now();
    await openIn(page);
    const found = await page.evaluate(async () =>
      (await db.query<{ id: string }>(`SELECT id FROM notes`)).map((row) => row.id));
    if (round > 0) reopened.push(Date.now() - start);
    const there = new Set(found);
    expect([...acked].filter((id) => !there.has(id)), `acknowledged before kill ${round}, and gone`).toEqual([]);
    const { ok, lastExit } = await page.evaluate(() => db.health({ full: true }));
    expect({ ok, lastExit }).toEqual({ ok: true, lastExit: round === 0 ? "new" : "unclean" });
    if (round === KILLS) break;

    const before = acked.size;
    await page.exposeFunction("ack", (id: string) => void acked.add(id));
    await page.evaluate((round) => {
      for (let w = 0; w < 4; w++) {
        void (async () => {
          for (let i = 0; ; i++) {
            const id = `${round}-${w}-${i}`;
            await db.exec(`INSERT INTO notes(id, body) VALUES (?, hex(randomblob(?)))`, [id, 1 + (i * 577) % 6000]);
            void (globalThis as unknown as { ack(id: string): Promise<void> }).ack(id);
          }
        })();
      }
    }, round);
    await expect.poll(() => acked.size - before).toBeGreaterThan(20 + 13 * (round % 7));
    processes += kill(device);
    await device.restart();
    page = await device.tab(site);
  }
  expect(processes).toBeGreaterThanOrEqual(KILLS);
  reopened.sort((a, b) => a - b);
  console.log(`${KILLS} kills (${processes} processes), ${acked.size} acknowledged, 0 lost; ` +
    `open after a kill: median ${reopened[reopened.length >> 1]} ms, most ${reopened.at(-1)} ms`);
});

test("the site's data is cleared while it writes: noticed, nothing acknowledged from then on, what is unsent can be " +
  "had", async ({ profile, wire, site }) => {
  const device = await profile(), line = await wire();
  const page = await device.tab(site), other = await device.tab(site);
  const options = { sync: { url: line.url, space: "cleared" } };
  await openIn(page, options);
  line.pull();
  await page.evaluate(() => db.exec(`INSERT INTO notes(id) VALUES ('unsent')`));
  await openIn(other, options);
  const cdp = await device.context.newCDPSession(page);
  const writing = page.evaluate(async () => {
    let acked = 0, cleared = 0;
    addEventListener("cleared", () => { cleared = performance.now(); });
    for (;; acked++) {
      try {
        await db.exec(`INSERT INTO notes(id) VALUES (?)`, [`w${acked}`]);
        await new Promise((resolve) => setTimeout(resolve, 5));
      } catch (error) {
        const code = (error as { code: string }).code, after = performance.now() - cleared;
        let later = 0;
        for (let i = 0; i < 30; i++) {
          await db.exec(`INSERT INTO notes(id) VALUES (?)`, [`late${i}`]).then(() => later++, () => {});
        }
        return { acked, cleared: cleared > 0, code, after, later };
      }
    }
  });
  await expect.poll(() => page.evaluate(() => db.query(`SELECT 1 FROM notes WHERE id LIKE 'w%' LIMIT 3`)))
    .toHaveLength(3);
  await cdp.send("Storage.clearDataForOrigin", { origin: new URL(site).origin, storageTypes: "all" });
  await page.evaluate(() => dispatchEvent(new Event("cleared")));
  const { acked, cleared, code, after, later } = await writing; // it ends when that is noticed
  console.log(`cleared after ${acked} writes, noticed in ${after.toFixed(0)} ms, ${later} acknowledged since`);
  expect({ cleared, code, later }).toEqual({ cleared: true, code: "HEDDLE_STORAGE_LOST", later: 0 });
  expect(acked).toBeGreaterThan(0);
  // No second database: the other tab meets the same one.
  expect(await failure(other, `await db.exec("INSERT INTO notes(id) VALUES ('split')")`))
    .toMatchObject({ code: "HEDDLE_STORAGE_LOST" });
  const saved = await page.evaluate(async () => ({
    unsent: (await db.sync.pending()).flatMap((tx) => tx.operations.map((op) => op.key[0])),
    document: (await db.sync.export()).includes("unsent"),
    file: (await db.export()).length,
    rows: (await db.query<{ n: number }>(`SELECT count(*) AS n FROM notes WHERE id LIKE 'w%'`))[0]!.n,
  }));
  expect(saved.unsent).toContain("unsent");
  expect(saved.document).toBe(true);
  expect(saved.file).toBeGreaterThan(8192);
  expect(saved.rows).toBe(acked);
});

test("without storage open says so; memory is had only by asking for it", async ({ profile, site }) => {
  const device = await profile();
  const cases: [name: string, script: string][] = [
    ["no origin private file system", `delete StorageManager.prototype.getDirectory`],
    ["refused, as in Firefox's private windows", `StorageManager.prototype.getDirectory = async () => { throw new ` +
      `DOMException("Security error when calling GetDirectory", "SecurityError"); }`],
    ["an error, as in Safari's", `StorageManager.prototype.getDirectory = async () => { throw new DOMException("The ` +
      `operation failed for an unknown transient reason", "UnknownError"); }`],
  ];
  for (const [name, script] of cases) {
    const page = await device.context.newPage();
    await page.addInitScript(script);
    await page.goto(site);
    await page.waitForSelector("html[data-ready]");
    expect(await failure(page, `await heddle.open({ name: "none", migrations: ${JSON.stringify(notes)} })`), name)
      .toMatchObject({ code: "HEDDLE_STORAGE", message: expect.stringContaining("memory") });
    expect(await page.evaluate(async (migrations) => {
      const db = await heddle.open({ name: "none", migrations, storage: "memory" });
      await db.exec(`INSERT INTO notes(id) VALUES ('a')`);
      const { ok, quota, quarantined } = await db.health();
      const seen = [db.storage, (await db.query(`SELECT id FROM notes`)).length, ok, quota, quarantined.length];
      await db.close();
      return seen;
    }, notes), name).toEqual(["memory", 1, true, undefined, 0]);
    await page.close();
  }

  // The handles alone are missing: only the worker finds out.
  const page = await device.context.newPage();
  await page.route("**/worker.js", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response,
      body: `delete FileSystemFileHandle.prototype.createSyncAccessHandle;\n${await response.text()}` });
  });
  await page.goto(site);
  await page.waitForSelector("html[data-ready]");
  expect(await failure(page, `await heddle.open({ name: "none" })`)).toMatchObject({ code: "HEDDLE_STORAGE" });
  await page.close();
});
