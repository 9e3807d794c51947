// SQL of one tab that used to stop the others, and what the engine does with it.
import { expect, failure, openIn, test } from "../fixtures.js";

const migrations = [`CREATE TABLE t(a, b)`];

test("what one tab asks of SQLite does not stop another's writes, nor the engine", async ({ profile, site }) => {
  const device = await profile();
  const a = await device.tab(site), b = await device.tab(site);
  for (const page of [a, b]) await openIn(page, { name: "sql", migrations });
  const engine = await a.evaluate(async () => (await db.query<{ n: number }>(`SELECT total_changes() AS n`)).length);
  expect(engine).toBe(1);
  const cases: [call: string, code: string][] = [
    [`await db.exec("ATTACH ? AS x", ["/nowhere/at.all"])`, "HEDDLE_UNSUPPORTED"],
    [`await db.exec("PRAGMA wal_autocheckpoint = ''")`, "SQLITE_AUTH"],
    [`await db.exec("CREATE TEMP TABLE t(a)")`, "HEDDLE_UNSUPPORTED"],
    [`await db.query("SELECT 'aaaa' LIKE ?", ["%a".repeat(25000)])`, "SQLITE_ERROR"],
    [`await db.query("SELECT 'aaaa' GLOB ?", ["*a".repeat(25000)])`, "SQLITE_ERROR"],
    [`await db.query("SELECT " + "1+".repeat(100000) + "1")`, "SQLITE_ERROR"],
    [`await db.query("SELECT " + "(".repeat(100000) + "1" + ")".repeat(100000))`, "SQLITE_ERROR"],
    [`await db.query("SELECT " + "1 UNION ALL SELECT ".repeat(20000) + "1")`, "SQLITE_ERROR"],
    [`await db.query("SELECT zeroblob(67108865)")`, "SQLITE_TOOBIG"],
    [`await db.query('SELECT 1 AS "' + "n".repeat(1000001) + '"')`, "SQLITE_TOOBIG"],
    [`await db.query("SELECT ?40000")`, "SQLITE_ERROR"],
  ];
  for (const [call, code] of cases) {
    expect((await failure(a, call)).code, call).toBe(code);
    await b.evaluate(() => db.exec(`INSERT INTO t VALUES (1, 'written')`));
  }
  // Within the limits, in the browser's engine as well.
  await a.evaluate(async () => {
    await db.query(`SELECT ` + `1+`.repeat(990) + `1`);
    await db.query(`SELECT ` + `1 UNION ALL SELECT `.repeat(499) + `1`);
    await db.query(`SELECT 'aaaa' LIKE ?`, ["%a".repeat(500)]);
    await db.exec(`/* tidy */ VACUUM main; -- up`);
  });
  expect(await b.evaluate(() => db.query(`SELECT count(*) AS n FROM t`))).toEqual([{ n: cases.length }]);
  expect(await b.evaluate(async () => (await db.health()).lastExit)).toBe("new"); // no engine died over it
});

test("live rows have the new names after RENAME COLUMN; temporary tables are an error at once",
  async ({ profile, site }) => {
  const page = await (await profile()).tab(site);
  await openIn(page, { name: "live", migrations });
  const seen = await page.evaluate(async () => {
    await db.exec(`INSERT INTO t VALUES (1, 'x')`);
    await db.exec(`CREATE TEMP TABLE cart(a)`);
    const temporary = await new Promise<string>((done) => {
      db.live(`SELECT * FROM cart`, [], () => done("a result"),
        { onError: (error) => done(`${error.code}: ${error.message}`) });
    });
    const results: unknown[] = [];
    await new Promise<void>((done) => {
      db.live(`SELECT * FROM t`, [], (rows) => {
        results.push(rows.map((row) => ({ ...(row as object) })));
        if (results.length === 1) void db.exec(`ALTER TABLE t RENAME COLUMN b TO body`);
        else done();
      });
    });
    return { temporary, results };
  });
  expect(seen.temporary).toMatch(/^HEDDLE_UNSUPPORTED: .*temporary/);
  expect(seen.results).toEqual([[{ a: 1, b: "x" }], [{ a: 1, body: "x" }]]);
});

test("a large log that a killed worker left is recovered once, and cut off", async ({ profile, site }) => {
  const device = await profile();
  let page = await device.tab(site);
  await openIn(page, { name: "log", migrations });
  await page.evaluate(async () => {
    await db.exec(`INSERT INTO t VALUES (1, 'kept')`);
    await new Promise<void>((written) => {
      void db.transaction(async (tx) => {
        for (let i = 0; i < 12; i++) await tx.exec(`INSERT INTO t VALUES (2, randomblob(4194304))`);
        written();
        await new Promise(() => {}); // until the browser ends
      }).catch(() => {});
    });
  });
  const before = await page.evaluate(async () => (await db.health()).logBytes);
  expect(before).toBeGreaterThan(16 << 20);
  await device.restart();
  page = await device.tab(site);
  await openIn(page, { name: "log", migrations });
  const { rows, log } = await page.evaluate(async () =>
    ({ rows: await db.query(`SELECT a, b FROM t`), log: (await db.health()).logBytes }));
  expect(rows).toEqual([{ a: 1, b: "kept" }]);
  expect(log).toBeLessThan(1 << 20);
});
