// heddle/kysely: what apps do with Kysely, on Heddle and on SQLite beside it. Every result has to be the same.

import assert from "node:assert/strict";
import { test } from "node:test";

import { type Generated, Kysely, SqliteDialect, sql } from "kysely";
import initSqlJs from "sql.js";

import { HeddleDialect, live, migrations } from "../../src/adapters/kysely.js";
import type { Database } from "../../src/api/database.js";
import type * as Heddle from "../../src/node/index.js";
import { rejection } from "../fake.js";

const { open } = await import(new URL("../../dist/node.js", import.meta.url).href) as typeof Heddle;
const SqlJs = await initSqlJs();

interface Tables {
  list: { id: Generated<number>; title: string; created: string | null };
  card: { id: Generated<number>; list: number; title: string; done: Generated<number>; size: number | bigint | null;
    data: Uint8Array | null; meta: string | null };
}

const steps = migrations(
  (db) => [
    db.schema.createTable("list")
      .addColumn("id", "integer", (c) => c.primaryKey())
      .addColumn("title", "text", (c) => c.notNull().unique())
      .addColumn("created", "text", (c) => c.defaultTo(sql`'2026-01-02'`)),
    db.schema.createTable("card")
      .addColumn("id", "integer", (c) => c.primaryKey())
      .addColumn("list", "integer", (c) => c.notNull().references("list.id").onDelete("cascade"))
      .addColumn("title", "text", (c) => c.notNull())
      .addColumn("done", "integer", (c) => c.notNull().defaultTo(0))
      .addColumn("size", "integer")
      .addColumn("data", "blob")
      .addColumn("meta", "text"),
  ],
  (db) => db.schema.createIndex("card_list").on("card").columns(["list", "done"]),
);

/** SQLite by itself, behind the interface that Kysely's own dialect takes. */
function native(): Kysely<Tables> {
  const db = new SqlJs.Database();
  db.run("PRAGMA foreign_keys = on");
  for (const step of steps) db.run(step);
  return new Kysely<Tables>({ dialect: new SqliteDialect({ database: {
    close: () => db.close(),
    prepare: (text) => {
      const all = (params: readonly unknown[]) => {
        const statement = db.prepare(text, params as never);
        const rows: unknown[] = [];
        while (statement.step()) rows.push(statement.getAsObject());
        statement.free();
        return rows;
      };
      const probe = db.prepare(text);
      const reader = probe.getColumnNames().length > 0;
      probe.free();
      return {
        reader, all, iterate: (params) => all(params)[Symbol.iterator]() as never,
        run: (params) => {
          all(params);
          const [[{ values: [[rowid]] }]] = [db.exec("SELECT last_insert_rowid()")] as never as
            [[{ values: [[number]] }]];
          return { changes: db.getRowsModified(), lastInsertRowid: rowid };
        },
      };
    },
  } }) });
}

let databases = 0;
async function heddle(): Promise<{ k: Kysely<Tables>; db: Database }> {
  const db = await open({ name: `kysely-${databases++}`, storage: "memory", migrations: steps });
  return { k: new Kysely<Tables>({ dialect: new HeddleDialect(db) }), db };
}

async function seed(k: Kysely<Tables>): Promise<void> {
  await k.insertInto("list").values([{ title: "To do" }, { title: "Doing" }, { title: "Done" }]).execute();
  await k.insertInto("card").values([
    { list: 1, title: "warp", done: 0, size: 3, meta: `{"tags": ["a", "b"], "due": "2026-03-01T10:00:00.000Z"}` },
    { list: 1, title: "weft", done: 1, data: new Uint8Array([0, 1, 255]) },
    { list: 2, title: "loom", done: 0, size: 2 ** 40 },
  ]).execute();
}

const patterns: Record<string, (k: Kysely<Tables>) => Promise<unknown>> = {
  "select, where, order, limit": (k) => k.selectFrom("card").selectAll().where("done", "=", 0).orderBy("title", "desc")
    .limit(2).execute(),
  "one row, and none": async (k) => [
    await k.selectFrom("list").selectAll().where("id", "=", 2).executeTakeFirst(),
    await k.selectFrom("list").selectAll().where("id", "=", 9).executeTakeFirst() ?? null,
  ],
  "joins": async (k) => [
    await k.selectFrom("list as l").innerJoin("card as c", "c.list", "l.id")
      .select(["l.title as list", "c.title as card", "c.id"]).orderBy("c.id").execute(),
    await k.selectFrom("list").leftJoin("card", "card.list", "list.id")
      .select(({ fn }) => ["list.title", fn.count("card.id").as("cards")])
      .groupBy("list.id").orderBy("list.id").execute(),
  ],
  "subqueries, CTEs, unions": async (k) => [
    await k.with("open", (q) => q.selectFrom("card").selectAll().where("done", "=", 0)).selectFrom("open")
      .select(["title"]).orderBy("title").execute(),
    await k.selectFrom("list").select("title").where("id", "in", k.selectFrom("card").select("list")).execute(),
    await k.selectFrom("list").select("title").union(k.selectFrom("card").select("title")).orderBy("title").execute(),
  ],
  "insert: what it tells": async (k) => {
    const done = await k.insertInto("list").values({ title: "new" }).executeTakeFirstOrThrow();
    return [done.insertId, done.numInsertedOrUpdatedRows];
  },
  "returning": async (k) => [
    await k.insertInto("list").values([{ title: "x" }, { title: "y" }]).returning(["id", "title"]).execute(),
    await k.updateTable("card").set({ done: 1 }).where("list", "=", 1).returning("id").execute(),
    await k.deleteFrom("card").where("id", "=", 3).returningAll().executeTakeFirst(),
  ],
  "update and delete: what they tell": async (k) => [
    (await k.updateTable("card").set((eb) => ({ size: eb("size", "+", 1) })).executeTakeFirstOrThrow()).numUpdatedRows,
    (await k.deleteFrom("list").where("id", "=", 1).executeTakeFirstOrThrow()).numDeletedRows,
    await k.selectFrom("card").select("title").execute(),
  ],
  "upsert": async (k) => [
    await k.insertInto("list").values({ title: "To do", created: "never" })
      .onConflict((c) => c.column("title").doUpdateSet({ created: (eb) => eb.ref("excluded.created") }))
      .returningAll().execute(),
    await k.insertInto("list").values({ title: "To do" }).onConflict((c) => c.doNothing()).returningAll().execute(),
    await k.replaceInto("list").values({ id: 2, title: "Replaced" }).execute().then(() => null),
    await k.selectFrom("list").selectAll().orderBy("id").execute(),
  ],
  "JSON, dates, large integers, blobs": async (k) => [
    await k.selectFrom("card").select(sql<string>`json_extract(meta, '$.tags[1]')`.as("tag"))
      .where("id", "=", 1).execute(),
    await k.selectFrom("card").select(sql<string>`date(json_extract(meta, '$.due'), '+1 day')`.as("due"))
      .where("id", "=", 1).execute(),
    await k.selectFrom("card").select(["size"]).where("size", ">", 1000).execute(),
    await k.selectFrom("card").select(["data"]).where("id", "=", 2).execute(),
    await k.selectFrom("card").select(sql<string>`typeof(data)`.as("type")).orderBy("id").execute(),
  ],
  "a transaction is kept, and one that throws is not": async (k) => {
    const kept = await k.transaction().execute(async (trx) => {
      await trx.insertInto("list").values({ title: "kept" }).execute();
      return trx.selectFrom("list").select((eb) => eb.fn.countAll().as("n")).executeTakeFirst();
    });
    const thrown = await k.transaction().execute(async (trx) => {
      await trx.deleteFrom("card").execute();
      throw new RangeError("mine");
    }).catch((error: Error) => error.message);
    return [kept, thrown, await k.selectFrom("card").select("id").execute()];
  },
  "controlled transactions and savepoints": async (k) => {
    const trx = await k.startTransaction().execute();
    await trx.insertInto("list").values({ title: "one" }).execute();
    const saved = await trx.savepoint("inner").execute();
    await saved.insertInto("list").values({ title: "two" }).execute();
    await saved.rollbackToSavepoint("inner").execute();
    await trx.insertInto("list").values({ title: "three" }).execute();
    await trx.commit().execute();
    const other = await k.startTransaction().execute();
    await other.deleteFrom("list").execute();
    await other.rollback().execute();
    return k.selectFrom("list").select("title").orderBy("id").execute();
  },
  "a stream": async (k) => {
    const titles: string[] = [];
    for await (const { title } of k.selectFrom("card").select("title").orderBy("id").stream()) titles.push(title);
    return titles;
  },
  "raw SQL": async (k) => [
    (await sql<{ n: number }>`SELECT count(*) AS n FROM ${sql.table("card")} WHERE list = ${1}`.execute(k)).rows,
    (await sql`UPDATE card SET done = ${1}`.execute(k)).rows,
  ],
  "an error": (k) => k.insertInto("list").values({ title: "To do" }).execute()
    .then(() => "no error", (error: Error) => /UNIQUE constraint failed: list\.title/.exec(error.message)?.[0]),
};

for (const [name, pattern] of Object.entries(patterns)) {
  test(name, async () => {
    const reference = native();
    const { k, db } = await heddle();
    await seed(reference);
    await seed(k);
    assert.deepEqual(await pattern(k), await pattern(reference));
    await db.close();
  });
}

test("introspection shows the app's tables alone", async () => {
  const reference = native();
  const { k, db } = await heddle();
  assert.deepEqual(await k.introspection.getTables(), await reference.introspection.getTables());
  assert.deepEqual((await k.introspection.getTables()).map(({ name }) => name), ["card", "list"]);
  await db.close();
});

test("live follows a query, typed", async () => {
  const { k, db } = await heddle();
  const results: string[][] = [];
  const three = new Promise<void>((resolve) => {
    live(db, k.selectFrom("list").select("title").orderBy("id"), (rows) => {
      results.push(rows.map(({ title }) => title));
      if (rows.length === 3) resolve();
    });
  });
  await seed(k);
  await three;
  assert.deepEqual(results.at(-1), ["To do", "Doing", "Done"]);
  await db.close();
});

test("a migration with parameters is refused, with what to write", async () => {
  assert.throws(() => migrations((db) => db.insertInto("list").values({ title: "x" })),
    /step 0 has parameters.*sql\.lit/);
  const bad = await rejection(open({ name: "bad", storage: "memory",
    migrations: migrations((db) => db.schema.createTable("t")) }));
  assert.equal(bad.code, "HEDDLE_MIGRATION");
});
