// Three browsers and two Go programs write to one space at one real server, each
// through a network of its own on which things go wrong, while the server
// is killed, pages are reloaded and the programs are killed. In the end
// all of them and the server hold the same, each acknowledged transaction once.
// One browser runs the version of the app before, until the end.
//
// STORM_SECONDS and STORM_SEED make it longer and another: `make sync-soak`.
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Page } from "@playwright/test";
import { expect, test, type Profile } from "../fixtures.js";
import { root } from "../harness.js";
import { TEST_MS } from "../limits.js";
import { pause, pick, random, startStorm, type Storm } from "./storm.js";

const seconds = Number(process.env["STORM_SECONDS"] ?? 6);
const seed = Number(process.env["STORM_SEED"] ?? 1);

const versions = [`
CREATE TABLE marks(id TEXT PRIMARY KEY, note TEXT NOT NULL);
CREATE TABLE items(list TEXT, n INTEGER, body TEXT COLLATE NOCASE, size REAL DEFAULT 1,
  PRIMARY KEY(list, n)) WITHOUT ROWID;
CREATE TABLE parts(id TEXT PRIMARY KEY, list TEXT, n INTEGER,
  FOREIGN KEY(list, n) REFERENCES items(list, n) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE totals(id TEXT PRIMARY KEY, hits INTEGER NOT NULL DEFAULT 0, high INTEGER, tags TEXT DEFAULT '[]');
-- Local: kept by triggers, also for what others write.
CREATE TABLE by_body(list TEXT, n INTEGER, body TEXT, PRIMARY KEY(list, n));
CREATE TRIGGER items_i AFTER INSERT ON items BEGIN
  INSERT OR REPLACE INTO by_body VALUES (new.list, new.n, new.body); END;
CREATE TRIGGER items_u AFTER UPDATE ON items BEGIN
  DELETE FROM by_body WHERE list = old.list AND n = old.n;
  INSERT OR REPLACE INTO by_body VALUES (new.list, new.n, new.body); END;
CREATE TRIGGER items_d AFTER DELETE ON items BEGIN DELETE FROM by_body WHERE list = old.list AND n = old.n; END`, `
ALTER TABLE items ADD COLUMN note TEXT NOT NULL DEFAULT 'none';
CREATE TABLE extra(id TEXT PRIMARY KEY, v)`];
const merge = { totals: { hits: "counter", high: "max", tags: "set" } } as const;
const synced = (version: number) => ["marks", "items", "parts", "totals", ...(version === 2 ? ["extra"] : [])];

type Statement = [sql: string, params: (string | number)[]];

/** What a device shows of its sync. */
interface Shown { state: string; seq: number; pending: number; digest: string }

interface Device {
  readonly name: string;
  version: number;
  /** False if a constraint stood against it: a row that is named may be gone. */
  write(statements: Statement[]): Promise<boolean>;
  rows(sql: string): Promise<unknown[][]>;
  now(): Promise<void>;
  shown(): Promise<Shown>;
  /** Ends the app without warning and starts it again, perhaps as another version. */
  again(version: number): Promise<void>;
  close(): Promise<void>;
}

/** A transaction of the app's: it counts itself, and leaves its mark. */
function transaction(rng: () => number, mark: string, version: number): Statement[] {
  const list = () => pick(rng, ["a", "b"]), n = () => Math.floor(rng() * 5),
    text = () => pick(rng, ["x", "X", "", "long ".repeat(200)]);
  const all: Statement[] = [];
  for (let i = Math.floor(rng() * 4); i > 0; i--) {
    switch (Math.floor(rng() * (version === 2 ? 11 : 9))) {
      case 0: case 1: all.push([`INSERT INTO items(list, n, body) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET body = ` +
        `excluded.body`, [list(), n(), text()]]); break;
      case 2: all.push([`INSERT OR REPLACE INTO items(list, n, size) VALUES (?, ?, ?)`, [list(), n(), n()]]); break;
      case 3: all.push([`UPDATE items SET size = size + 0.5 WHERE list = ?`, [list()]]); break;
      case 4: all.push([`DELETE FROM items WHERE list = ? AND n = ?`, [list(), n()]]); break;
      case 5: all.push([`UPDATE OR IGNORE items SET n = n + 1 WHERE list = ?`, [list()]]); break;
      case 6: all.push([`INSERT OR IGNORE INTO parts SELECT ?, list, n FROM items WHERE list = ? LIMIT 1`,
        [`${mark}.${i}`, list()]]); break;
      case 7: all.push([`UPDATE totals SET high = ?`, [n()]]); break;
      case 8: all.push([`UPDATE totals SET tags = json_insert(tags, '$[#]', ?)`, [list()]]); break;
      case 9: all.push([`UPDATE items SET note = ? WHERE n = ?`, [text(), n()]]); break;
      case 10: all.push([`INSERT INTO extra VALUES (?, ?) ON CONFLICT DO UPDATE SET v = excluded.v`,
        [list(), n()]]); break;
    }
  }
  all.push([`INSERT INTO totals(id, hits) VALUES ('all', 1) ON CONFLICT DO UPDATE SET hits = hits + 1`, []]);
  all.push([`INSERT INTO marks VALUES (?, ?)`, [mark, String(n())]]);
  return all;
}

async function browser(name: string, profile: Profile, site: string, url: string, version: number): Promise<Device> {
  let page: Page;
  const open = async () => {
    page = await profile.tab(site);
    const sync = { url, space: "storm", tables: Object.fromEntries(synced(device.version)
      .map((t) => [t, t === "totals" ? merge.totals : true as const])) };
    await page.evaluate(async (o) => { globalThis.db = await heddle.open(o); },
      { name: "storm", migrations: versions.slice(0, device.version), sync });
  };
  const device: Device = {
    name, version,
    write: (statements) => page.evaluate(async (statements) => {
      try {
        await db.batch(statements);
        return true;
      } catch (error) {
        if (String((error as { code?: string }).code).startsWith("SQLITE_CONSTRAINT")) return false;
        throw error;
      }
    }, statements),
    rows: (sql) => page.evaluate(async (sql) => (await db.query<Record<string, unknown>>(sql))
      .map((row) => Object.values(row)), sql),
    now: () => page.evaluate(() => db.sync.now({ signal: AbortSignal.timeout(20_000) })),
    shown: () => page.evaluate(async () =>
      ({ state: db.sync.status.state, pending: db.sync.status.pending, ...await db.sync.digest() })),
    async again(version) {
      await page.close();
      device.version = version;
      await open();
    },
    close: () => page.close(),
  };
  await open();
  return device;
}

interface Reply { error?: string; message?: string; rows?: unknown[][]; state?: string; seq: number; pending: number;
  digest?: string }

async function program(name: string, file: string, url: string, version: number): Promise<Device> {
  let child: ChildProcess, next: () => Promise<Reply>;
  const start = async () => {
    const mine = child = spawn(join(root, ".cache/nativeclient"), ["-drive", "-limit", "24h", "-server", url, "-space",
      "storm", "-db", file], { stdio: ["pipe", "pipe", "inherit"] });
    mine.stdin.on("error", () => {}); // it was killed
    const lines = createInterface({ input: mine.stdout })[Symbol.asyncIterator]();
    next = async () => {
      const line = await lines.next();
      if (line.done) throw new Error(`${name} has ended`);
      return JSON.parse(line.value) as Reply;
    };
    mine.stdin.write(JSON.stringify({ migrations: versions.slice(0, device.version), tables: synced(device.version),
      merge }) + "\n");
    await next();
  };
  let turn: Promise<unknown> = Promise.resolve();
  const ask = (command: object): Promise<Reply> => {
    const mine = turn.then(async () => {
      child.stdin!.write(JSON.stringify(command) + "\n");
      const reply = await next();
      if (reply.error && !reply.error.startsWith("SQLITE_CONSTRAINT")) {
        throw new Error(`${name}: ${reply.error}: ${reply.message}`);
      }
      return reply;
    });
    turn = mine.catch(() => {});
    return mine;
  };
  const batch = (statements: Statement[]) => statements.map(([sql, params]) => ({ sql, params }));
  const device: Device = {
    name, version,
    write: async (statements) => !(await ask({ do: "batch", statements: batch(statements) })).error,
    rows: async (sql) => (await ask({ do: "query", statements: batch([[sql, []]]) })).rows ?? [],
    now: async () => { await ask({ do: "now" }); },
    shown: async () => {
      const r = await ask({ do: "status" });
      return { state: r.state!, seq: r.seq, pending: r.pending, digest: r.digest! };
    },
    async again(version) {
      child.kill("SIGKILL");
      await turn;
      device.version = version;
      await start();
    },
    async close() { child.kill("SIGKILL"); await turn; },
  };
  await start();
  return device;
}

/** All rows of all tables, in order, as SQL literals. */
const everything = `SELECT 'items', quote(list) || quote(n) || quote(body) || quote(size) || quote(note) FROM items
  UNION ALL SELECT 'parts', quote(id) || quote(list) || quote(n) FROM parts
  UNION ALL SELECT 'totals', quote(id) || quote(hits) || quote(high) || quote(tags) FROM totals
  UNION ALL SELECT 'extra', quote(id) || quote(v) FROM extra
  UNION ALL SELECT 'marks', quote(id) || quote(note) FROM marks ORDER BY 1, 2`;

test("five devices and a server in a storm end up the same", async ({ profile, server, site }, info) => {
  test.setTimeout(TEST_MS + seconds * 1000);
  execFileSync("go", ["build", "-o", join(root, ".cache/nativeclient"), "./e2e/nativeclient"], { cwd: root });
  const dir = mkdtempSync(join(tmpdir(), "heddle-storm-"));
  const hits = new Map<string, number>();
  const hit = (fault: string) => { hits.set(fault, (hits.get(fault) ?? 0) + 1); };
  const rng = random(seed), devices: Device[] = [], storms: Storm[] = [];
  const acked = new Set<string>(), failed = new Set<string>();
  let unheard = 0;
  try {
    for (let i = 0; i < 5; i++) storms.push(await startStorm(server.url, seed * 10 + i, hit));
    devices.push(...await Promise.all([
      ...[0, 1, 2].map(async (i) => browser(`browser ${i}`, await profile(), site, storms[i]!.url, i === 0 ? 1 : 2)),
      ...[3, 4].map((i) => program(`program ${i}`, join(dir, `${i}.db`), storms[i]!.url, i === 3 ? 1 : 2)),
    ]));
    // In a few seconds not every kind of fault has its chance. On a slow machine the storm lasts until enough have had
    // it.
    const kinds = ["app ended", "server killed", "broken off", "slow", "reply lost", "cut short", "reset"];
    const enough = () => kinds.filter((kind) => hits.has(kind)).length >= (seconds >= 60 ? kinds.length : 4);
    const until = Date.now() + seconds * 1000;
    const over = () => Date.now() >= until && enough();
    // Each device writes, and now and then ends in the middle of it.
    const life = async (device: Device, i: number) => {
      const own = random(seed * 1000 + i);
      for (let n = 1; !over() || n < 5; n++) {
        const mark = `${i}:${n}`;
        if (own() < 1 / 12 || n === 4) {
          hit("app ended");
          const last = device.write(transaction(own, mark, device.version)).then((ok) => {
            (ok ? acked : failed).add(mark);
          }, () => { unheard++; });
          await Promise.all([last, pause(own() * 30).then(() => device.again(device.version))]);
        } else {
          (await device.write(transaction(own, mark, device.version)) ? acked : failed).add(mark);
        }
        await pause(own() * 150);
      }
    };
    const weather = async () => {
      for (let n = 0; !over() || n < 4; n++) {
        const storm = pick(rng, storms);
        switch (n % 4) {
          case 0: storm.partition(pick(rng, ["partition out", "partition in", "partition"] as const),
            200 + rng() * Math.min(10_000, seconds * 200)); break;
          case 1: case 3: storm.breakOff(); break;
          case 2:
            hit("server killed");
            await server.stop();
            await pause(rng() * 500);
            await server.start();
        }
        await pause(300 + rng() * 700);
      }
    };
    await Promise.all([...devices.map(life), weather()]);

    // The storm is over.
    for (const storm of storms) storm.calm();
    const calm = Date.now();
    await expect.poll(async () => {
      await Promise.allSettled(devices.map((d) => d.now()));
      const all = await Promise.all(devices.map((d) => d.shown()));
      return all.every((s) => s.pending === 0 && s.seq === all[0]!.seq && s.digest === all[0]!.digest) ? "the same"
        : all;
    }).toBe("the same");
    const healed = Date.now() - calm;
    // The old version's turn to catch up.
    for (const d of devices) if (d.version === 1) await d.again(2);
    await expect.poll(async () => {
      await Promise.allSettled(devices.map((d) => d.now()));
      const all = await Promise.all(devices.map((d) => d.shown()));
      return all.every((s) => s.pending === 0 && s.seq === all[0]!.seq && s.digest === all[0]!.digest) ? "the same"
        : all;
    }).toBe("the same");
    const { seq, digest } = await devices[0]!.shown();
    expect(await server.run("digest", "--server", server.url, "--space", "storm")).toContain(digest);
    const rows = await devices[0]!.rows(everything);
    for (const d of devices) {
      expect(await d.rows(everything), d.name).toEqual(rows);
      expect(await d.rows(`SELECT * FROM by_body ORDER BY list, n`), d.name)
        .toEqual(await d.rows(`SELECT list, n, body FROM items ORDER BY list, n`));
    }
    // Each acknowledged transaction is there, and each that is there took effect once.
    const marks = new Set((await devices[0]!.rows(`SELECT id FROM marks`)).map(([id]) => id as string));
    expect([...acked].filter((mark) => !marks.has(mark)), "acknowledged and lost").toEqual([]);
    expect([...failed].filter((mark) => marks.has(mark)), "failed and there").toEqual([]);
    expect(marks.size).toBeLessThanOrEqual(acked.size + unheard);
    expect(await devices[0]!.rows(`SELECT hits FROM totals WHERE id = 'all'`)).toEqual([[marks.size]]);
    expect(seq).toBe(marks.size);
    const counts = [...hits].sort().map(([fault, n]) => `${fault} ${n}`).join(", ");
    info.annotations.push({ type: "storm", description: counts });
    if (seconds >= 60) {
      console.log(`seed ${seed}: ${seconds} s, ${seq} transactions (${acked.size} acknowledged, ${unheard} whose ` +
        `answer was lost); all the same after ${healed} ms of calm\nfaults: ${counts}`);
    }
  } finally {
    for (const device of devices) await device.close().catch(() => {});
    for (const storm of storms) storm.close();
    rmSync(dir, { recursive: true, force: true });
  }
});
