// What differs between browsers, in Firefox: files, locks, channels, workers, the
// machine's stack, the quota, private windows. Run by `make test-firefox`.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, notes, test as base } from "../fixtures.js";
import { launchFirefox, type Firefox, type FirefoxTab, type Preferences } from "./firefox.js";
import { breakable } from "../harness.js";
import { sealSite, type SealReport } from "../seal/site.js";

interface Fixtures {
  /** Starts a Firefox of the test's own, on the profile directory or a new one. */
  launch(options?: { profile?: string; preferences?: Preferences }): Promise<Firefox>;
}

/** One Firefox does for the tests that need no settings: each has an origin of its own. */
const test = base.extend<Fixtures, { firefox: Firefox }>({
  firefox: [async ({}, use) => {
    const profile = mkdtempSync(join(tmpdir(), "heddle-firefox-"));
    const firefox = await launchFirefox(profile);
    await use(firefox);
    await firefox.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }, { scope: "worker" }],

  launch: async ({}, use) => {
    const ends: (() => Promise<void>)[] = [];
    await use(async ({ profile, preferences } = {}) => {
      const dir = profile ?? mkdtempSync(join(tmpdir(), "heddle-firefox-"));
      const firefox = await launchFirefox(dir, preferences);
      ends.push(async () => {
        await firefox.kill().catch(() => {}); // it may have ended already
        rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
      });
      return firefox;
    });
    for (const end of ends) await end();
  },
});


const open = (tab: FirefoxTab, options: object = {}) =>
  tab.evaluate<string>(`(async () => { globalThis.db = await ` +
    `heddle.open(${JSON.stringify({ name: "test", migrations: notes, ...options })}); return db.role; })()`);
const add = (tab: FirefoxTab, id: string) =>
  tab.evaluate(`db.exec("INSERT INTO notes(id) VALUES (?)", [${JSON.stringify(id)}])`);
const ids = (tab: FirefoxTab) =>
  tab.evaluate<string>(`db.query("SELECT id FROM notes ORDER BY id").then((rows) => rows.map((row) => row.id).join())`);
const watch = (tab: FirefoxTab) => tab.evaluate(`db.live("SELECT id FROM notes ORDER BY id", [], (rows) => { ` +
  `globalThis.seen = rows.map((row) => row.id).join(); }) && 1`);
const seen = (tab: FirefoxTab) => tab.evaluate<string>(`globalThis.seen`);
const integrity = (tab: FirefoxTab) =>
  tab.evaluate(`db.query("PRAGMA integrity_check").then(([row]) => row.integrity_check)`);

test("what was written is there after a reload, of every type", async ({ firefox, site }) => {
  const tab = await firefox.tab(site);
  expect(await open(tab)).toBe("leader");
  await tab.evaluate(`db.exec("CREATE TABLE v(a, b, c, d)").then(() => db.exec("INSERT INTO v VALUES (?, ?, ?, ?)", ` +
    `[2n ** 60n, 1.5, "ß", new Uint8Array([1, 2])]))`);
  await tab.evaluate(`db.bulk("INSERT INTO notes(id) VALUES (?)", Array.from({ length: 20000 }, (_, i) => ["n" + i]))`);
  await tab.visit(site);
  await open(tab);
  expect(await tab.evaluate(`db.query("SELECT a, b, c, d FROM v").then(([row]) => [String(row.a), row.b, row.c, ` +
    `[...row.d]])`)).toEqual([String(2n ** 60n), 1.5, "ß", [1, 2]]);
  expect(await tab.evaluate(`db.query("SELECT id FROM notes").then((rows) => rows.length)`)).toBe(20000);
  expect(await integrity(tab)).toBe("ok");
  await tab.close();
});

test("tabs follow one leader, see each other's writes, and take over", async ({ firefox, site }) => {
  const a = await firefox.tab(site), b = await firefox.tab(site), c = await firefox.tab(site);
  expect([await open(a), await open(b), await open(c)]).toEqual(["leader", "follower", "follower"]);
  await watch(b);
  await add(a, "1");
  await expect.poll(() => seen(b)).toBe("1");
  await b.evaluate(`db.transaction(async (tx) => { await tx.exec("INSERT INTO notes(id) VALUES ('2')"); ` +
    `await tx.query("SELECT 1"); })`);
  expect(await ids(c)).toBe("1,2");

  await a.close();
  await Promise.all([add(b, "3"), add(c, "4")]);
  expect(await ids(b)).toBe("1,2,3,4");
  await expect.poll(() => seen(b)).toBe("1,2,3,4");
  expect([await b.evaluate(`db.role`), await c.evaluate(`db.role`)].sort()).toEqual(["follower", "leader"]);
  await Promise.all([b.close(), c.close()]);
});

test("listeners and live queries converge though half of the announcements are lost", async ({ firefox, site }) => {
  const a = await firefox.tab(site), b = await firefox.tab(site);
  await open(a);
  await b.evaluate(`(() => {
    globalThis.dropped = 0;
    globalThis.BroadcastChannel = class extends BroadcastChannel {
      constructor(name) {
        super(name);
        if (!name.endsWith(":commits")) return;
        this.addEventListener("message", (event) => {
          if (!(globalThis.even = !globalThis.even)) return;
          dropped++;
          event.stopImmediatePropagation();
        });
      }
    };
  })()`);
  await open(b);
  await watch(b);
  // Commits are announced while somebody listens.
  await b.evaluate(`db.listen(["notes"], () => db.query("SELECT count(*) AS n FROM notes").then(([row]) => { ` +
    `globalThis.listened = row.n; })) && 1`);
  for (let i = 0; i < 21; i++) await add(a, String(100 + i));
  await expect.poll(() => seen(b)).toBe(await ids(a));
  await expect.poll(() => b.evaluate<number>(`globalThis.listened`)).toBe(21);
  expect(await b.evaluate<number>(`dropped`)).toBeGreaterThan(5);
  await Promise.all([a.close(), b.close()]);
});

test("a storm of reloads leaves every tab ready, and no lock behind", async ({ firefox, site }) => {
  const tabs = await Promise.all([1, 2, 3, 4].map(() => firefox.tab(site)));
  for (let round = 0; round < 4; round++) {
    await Promise.all(tabs.map(async (tab, i) => {
      await tab.visit(site);
      await open(tab);
      await add(tab, `${round} ${i}`);
    }));
  }
  expect((await ids(tabs[0]!)).split(",")).toHaveLength(16);
  for (const tab of tabs.slice(1)) await tab.evaluate(`db.close()`);
  await tabs[0]!.evaluate(`db.close()`);
  await expect.poll(() => tabs[0]!.evaluate(
    `navigator.locks.query().then(({ held, pending }) => [...held, ...pending].map((lock) => lock.name))`)).toEqual([]);
  await Promise.all(tabs.map((tab) => tab.close()));
});

for (const fault of ["panic", "stack", "stuck"]) {
  test(`an engine that dies is replaced: ${fault}`, async ({ firefox, serve }) => {
    const site = await serve(breakable);
    const a = await firefox.tab(site), b = await firefox.tab(site);
    await open(a);
    await open(b);
    await add(a, "1");
    const code = await b.evaluate<string>(
      `db.query("SELECT heddle_fault('${fault}')").then(() => "answered", (error) => error.code)`);
    expect(code).toBe(fault === "stuck" ? "answered" : "HEDDLE_ENGINE_CRASH"); // stuck breaks it after the answer
    await add(a, "2");
    await add(b, "3");
    expect(await ids(a)).toBe("1,2,3");
    await Promise.all([a.close(), b.close()]);
  });
}

test("triggers that nest nearly as deep as they may fit on this browser's stack", async ({ firefox, serve }) => {
  const tab = await firefox.tab(await serve(breakable));
  const chain = (n: number) => {
    const list = Array.from({ length: n }, (_, i) => `CREATE TABLE c${i}(a);`);
    for (let i = 1; i < n; i++) {
      list.push(`CREATE TRIGGER t${i} AFTER INSERT ON c${i - 1} BEGIN INSERT INTO c${i} VALUES (new.a); END;`);
    }
    return list.join("\n");
  };
  await open(tab, { name: "fits", migrations: [chain(245)] });
  await tab.evaluate(`db.exec("INSERT INTO c0 VALUES (1)")`);
  expect(await tab.evaluate(`db.query("SELECT a FROM c244")`)).toEqual([{ a: 1 }]);
  await tab.evaluate(`db.close()`);
  await open(tab, { name: "does not", migrations: [chain(900)] });
  await expect(tab.evaluate(`db.exec("INSERT INTO c0 VALUES (1)")`)).rejects.toMatchObject({ code: "SQLITE_ERROR" });
  await tab.close();
});

test("devices sync, and hold the same", async ({ firefox, server, site }) => {
  const sync = { url: server.url, space: "firefox", tables: { notes: true } };
  // Another origin is another device.
  const a = await firefox.tab(site), b = await firefox.tab(site.replace("localhost", "127.0.0.1"));
  await open(a, { sync });
  await open(b, { sync });
  await watch(b);
  for (let i = 0; i < 5; i++) await add(a, `a${i}`);
  await add(b, "b");
  await a.evaluate(`db.sync.now()`);
  await b.evaluate(`db.sync.now()`);
  await expect.poll(() => seen(b)).toBe("a0,a1,a2,a3,a4,b");
  await expect.poll(() => ids(a)).toBe("a0,a1,a2,a3,a4,b");
  const [x, y] = [await a.evaluate(`db.sync.digest()`), await b.evaluate(`db.sync.digest()`)];
  expect(x).toEqual(y);
  await Promise.all([a.close(), b.close()]);
});

test("the browser is killed while it writes, and everything acknowledged is there", async ({ launch, site }) => {
  const profile = mkdtempSync(join(tmpdir(), "heddle-firefox-"));
  const first = await launch({ profile });
  const tab = await first.tab(site);
  await open(tab);
  await tab.evaluate(`((async () => { globalThis.acked = 0; for (let i = 0; ; ` +
    `i++) { await db.exec("INSERT INTO notes(id) VALUES (?)", [i]); acked = i + 1; } })(), 1)`);
  let acked = 0;
  for (const end = Date.now() + 1_500; Date.now() < end || acked <= 10; ) acked = await tab.evaluate<number>(`acked`);
  await first.kill();
  expect(acked).toBeGreaterThan(10);

  const second = await launch({ profile });
  const again = await second.tab(site);
  await open(again);
  const rows = await again.evaluate<number>(`db.query("SELECT count(*) AS n FROM notes").then(([row]) => row.n)`);
  expect(rows).toBeGreaterThanOrEqual(acked);
  expect(await again.evaluate<number>(
    `db.query("SELECT max(CAST(id AS INTEGER)) + 1 AS n FROM notes").then(([row]) => row.n)`)).toBe(rows);
  expect(await integrity(again)).toBe("ok");
  await second.close();
});

test("a full quota is SQLITE_FULL; what was acknowledged stays, and room lets work go on", async ({ launch, site }) => {
  // In KiB, for all sites; one site may have a fifth of it.
  const firefox = await launch({ preferences: { "dom.quotaManager.temporaryStorage.fixedLimit": 102_400 } });
  const tab = await firefox.tab(site);
  await open(tab);
  const full = await tab.evaluate<{ code: string; written: number; found: number }>(`(async () => {
    for (let written = 0; written < 400; written++) {
      try {
        await db.exec("INSERT INTO notes(id, body) VALUES (?, hex(randomblob(262144)))", [String(written)]);
      } catch ({ code }) {
        const [row] = await db.query("SELECT count(*) AS n FROM notes");
        return { code, written, found: row.n };
      }
    }
  })()`);
  expect(full).toMatchObject({ code: "SQLITE_FULL" });
  expect(full.written).toBeGreaterThan(0);
  expect(full.found).toBe(full.written);
  await tab.evaluate(`db.exec("DELETE FROM notes")`);
  await add(tab, "goes on");
  expect(await ids(tab)).toBe("goes on");
  expect(await integrity(tab)).toBe("ok");
  await firefox.close();
});

test("a private window keeps nothing, and says so", async ({ launch, site }) => {
  const firefox = await launch({ preferences: { "browser.privatebrowsing.autostart": true } });
  const tab = await firefox.tab(site);
  await expect(open(tab)).rejects.toMatchObject({ code: "HEDDLE_STORAGE" });
  await open(tab, { storage: "memory" });
  expect(await tab.evaluate(`db.storage`)).toBe("memory");
  await add(tab, "1");
  expect(await ids(tab)).toBe("1");
  await firefox.close();
});

test("WebCrypto signs, verifies, wraps and unwraps as Go does", async ({ firefox, serve }) => {
  const tab = await firefox.tab(await serve(await sealSite("firefox")));
  const { wrong, looked } = await tab.evaluate<SealReport>("checkSeal()");
  expect(wrong).toEqual([]);
  expect(looked).toBeGreaterThanOrEqual(25);
  await tab.close();
});
