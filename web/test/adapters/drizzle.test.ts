// heddle/drizzle: what apps do with Drizzle, on Heddle and on SQLite beside it. Every result has to be the same.

import assert from "node:assert/strict";
import { test } from "node:test";

import { and, asc, count, eq, gt, inArray, relations, sql, sum } from "drizzle-orm";
import { drizzle as d1 } from "drizzle-orm/d1";
import { blob, integer, real, sqliteTable, text, union } from "drizzle-orm/sqlite-core";
import initSqlJs from "sql.js";

import { drizzle, live, migrations, type HeddleDatabase } from "../../src/adapters/drizzle.js";
import type { Database } from "../../src/api/database.js";
import type * as Heddle from "../../src/node/index.js";

const { open } = await import(new URL("../../dist/node.js", import.meta.url).href) as typeof Heddle;
const SqlJs = await initSqlJs();

const list = sqliteTable("list", {
  id: integer().primaryKey(), title: text().notNull().unique(), created: integer({ mode: "timestamp_ms" }),
});
const card = sqliteTable("card", {
  id: integer().primaryKey(), list: integer().notNull().references(() => list.id), title: text().notNull(),
  done: integer({ mode: "boolean" }).notNull().default(false), weight: real(), big: blob({ mode: "bigint" }),
  data: blob({ mode: "buffer" }), meta: text({ mode: "json" }).$type<{ tags: string[] }>(),
});
const schema = {
  list, card,
  listRelations: relations(list, ({ many }) => ({ cards: many(card) })),
  cardRelations: relations(card, ({ one }) => ({ list: one(list, { fields: [card.list], references: [list.id] }) })),
};

// As drizzle-kit writes them.
const files = {
  "./drizzle/0001_more.sql": "CREATE INDEX `card_list` ON `card` (`list`);",
  "./drizzle/0000_first.sql": [
    "CREATE TABLE `list` (", "\t`id` integer PRIMARY KEY NOT NULL,", "\t`title` text NOT NULL,",
    "\t`created` integer", ");", "--> statement-breakpoint",
    "CREATE UNIQUE INDEX `list_title_unique` ON `list` (`title`);--> statement-breakpoint",
    "CREATE TABLE `card` (", "\t`id` integer PRIMARY KEY NOT NULL,", "\t`list` integer NOT NULL,",
    "\t`title` text NOT NULL,", "\t`done` integer DEFAULT false NOT NULL,", "\t`weight` real,", "\t`big` blob,",
    "\t`data` blob,", "\t`meta` text,", "\tFOREIGN KEY (`list`) REFERENCES `list`(`id`)", ");", "",
  ].join("\n"),
};

/** SQLite's JSON, of which Drizzle makes relations, holds none. */
const noBlobs = { big: false, data: false } as const;

type Drizzle = HeddleDatabase<typeof schema>;

/** SQLite by itself, behind the interface that Drizzle's driver for D1 takes. */
function native(): Drizzle {
  const db = new SqlJs.Database();
  for (const step of migrations(files)) db.run(step);
  db.run("PRAGMA foreign_keys = on");
  const prepare = (text: string) => {
    const raw = (params: unknown[]) => {
      const statement = db.prepare(text, params as never);
      const rows: unknown[][] = [];
      while (statement.step()) rows.push(statement.get());
      const columns = statement.getColumnNames();
      statement.free();
      return { rows, columns };
    };
    const objects = (params: unknown[]) => {
      const { rows, columns } = raw(params);
      return rows.map((row) => Object.fromEntries(columns.map((name, i) => [name, row[i]])));
    };
    return { bind: (...params: unknown[]) => ({
      raw: async () => raw(params).rows,
      all: async () => ({ results: objects(params) }),
      run: async () => objects(params),
    }) };
  };
  return d1({ prepare } as never, { schema }) as unknown as Drizzle;
}

let databases = 0;
async function heddle(): Promise<{ d: Drizzle; db: Database }> {
  const db = await open({ name: `drizzle-${databases++}`, storage: "memory", migrations: migrations(files) });
  return { d: drizzle(db, { schema }), db };
}

async function seed(d: Drizzle): Promise<void> {
  await d.insert(list).values([{ title: "To do", created: new Date(1_767_000_000_000) }, { title: "Doing" }]).run();
  await d.insert(card).values([
    { list: 1, title: "warp", weight: 1.5, meta: { tags: ["a", "b"] } },
    { list: 1, title: "weft", done: true, data: Buffer.from([0, 1, 255]) },
    { list: 2, title: "loom", big: 2n ** 70n },
  ]).run();
}

const patterns: Record<string, (d: Drizzle) => unknown> = {
  "select, where, order, limit": (d) => d.select().from(card).where(and(eq(card.done, false), gt(card.id, 1)))
    .orderBy(asc(card.title)).limit(5).all(),
  "one row, and none": async (d) => [
    await d.select().from(list).where(eq(list.id, 2)).get(),
    await d.select().from(list).where(eq(list.id, 9)).get() ?? null,
  ],
  "joins keep two columns of one name": async (d) => [
    await d.select().from(card).innerJoin(list, eq(card.list, list.id)).orderBy(card.id).all(),
    await d.select().from(list).leftJoin(card, and(eq(card.list, list.id), eq(card.done, true))).orderBy(list.id).all(),
    await d.select({ title: card.title, list: { id: list.id, title: list.title } }).from(card)
      .innerJoin(list, eq(card.list, list.id)).orderBy(card.id).all(),
  ],
  "aggregates": (d) => d.select({ list: list.title, cards: count(card.id), weight: sum(card.weight) }).from(list)
    .leftJoin(card, eq(card.list, list.id)).groupBy(list.id).orderBy(list.id).all(),
  "subqueries, CTEs, unions": async (d) => {
    const open = d.$with("open").as(d.select().from(card).where(eq(card.done, false)));
    return [
      await d.with(open).select({ title: open.title }).from(open).orderBy(open.title).all(),
      await d.select({ title: list.title }).from(list)
        .where(inArray(list.id, d.select({ id: card.list }).from(card))).orderBy(list.id).all(),
      await union(d.select({ title: list.title }).from(list), d.select({ title: card.title }).from(card))
        .orderBy(sql`title`).all(),
    ];
  },
  "relational queries": async (d) => [
    await d.query.list.findMany({
      with: { cards: { columns: noBlobs, orderBy: asc(card.id) } }, orderBy: asc(list.id),
    }),
    await d.query.card.findFirst({ where: eq(card.title, "loom"), with: { list: true }, columns: { title: true } }),
    await d.query.card.findFirst({ where: eq(card.title, "none") }) ?? null,
  ],
  "returning": async (d) => [
    await d.insert(list).values([{ title: "x" }, { title: "y" }]).returning().all(),
    await d.update(card).set({ done: true }).where(eq(card.list, 1)).returning({ id: card.id }).all(),
    await d.delete(card).where(eq(card.id, 3)).returning().get(),
  ],
  "upsert": async (d) => [
    await d.insert(list).values({ title: "To do", created: new Date(0) })
      .onConflictDoUpdate({ target: list.title, set: { created: sql`excluded.created` } }).returning().all(),
    await d.insert(list).values({ title: "To do" }).onConflictDoNothing().returning().all(),
    await d.select().from(list).orderBy(list.id).all(),
  ],
  "JSON, dates, large integers, blobs": async (d) => [
    await d.select({ meta: card.meta, big: card.big, data: card.data }).from(card).orderBy(card.id).all(),
    await d.select({ tag: sql<string>`json_extract(${card.meta}, '$.tags[1]')` }).from(card).where(eq(card.id, 1))
      .all(),
    await d.select({ created: list.created }).from(list).where(eq(list.created, new Date(1_767_000_000_000))).all(),
  ],
  "prepared, with placeholders": async (d) => {
    const byTitle = d.select().from(card).where(eq(card.title, sql.placeholder("title"))).prepare();
    return [await byTitle.all({ title: "weft" }), await byTitle.get({ title: "loom" })];
  },
  "raw SQL": async (d) => [
    await d.all(sql`SELECT title, done FROM card WHERE list = ${1} ORDER BY id`),
    await d.get(sql`SELECT count(*) AS n FROM card`),
    await d.values(sql`SELECT id, title FROM list ORDER BY id`),
    await d.$count(card, eq(card.list, 1)),
  ],
  "an error": async (d) => {
    try {
      await d.insert(list).values({ title: "To do" }).run();
      return "no error";
    } catch (error) {
      const texts = [(error as Error).message, String((error as Error).cause)].join("\n");
      return /UNIQUE constraint failed: list\.title/.exec(texts)?.[0];
    }
  },
};

for (const [name, pattern] of Object.entries(patterns)) {
  test(name, async () => {
    const reference = native();
    const { d, db } = await heddle();
    await seed(reference);
    await seed(d);
    assert.deepEqual(await pattern(d), await pattern(reference));
    await db.close();
  });
}

test("run tells what it has changed", async () => {
  const { d, db } = await heddle();
  assert.deepEqual(await d.insert(list).values({ title: "a" }), { changes: 1, lastInsertRowid: 1 });
  assert.deepEqual(await d.update(list).set({ title: "b" }).run(), { changes: 1, lastInsertRowid: 1 });
  await db.close();
});

test("transactions, nested ones and their errors", async () => {
  const { d, db } = await heddle();
  await seed(d);
  const titles = async () =>
    (await d.select({ title: list.title }).from(list).orderBy(list.id)).map(({ title }) => title);
  await d.transaction(async (tx) => {
    await tx.insert(list).values({ title: "outer" });
    await assert.rejects(tx.transaction(async (inner) => {
      await inner.insert(list).values({ title: "inner" });
      assert.equal((await inner.select().from(list)).length, 4);
      inner.rollback();
    }), { message: "Rollback" });
    await tx.transaction(async (inner) => { await inner.insert(list).values({ title: "kept" }); });
    assert.equal((await tx.query.list.findMany()).length, 4);
  });
  assert.deepEqual(await titles(), ["To do", "Doing", "outer", "kept"]);
  await assert.rejects(d.transaction(async (tx) => {
    await tx.delete(card);
    throw new RangeError("mine");
  }), { message: "mine" });
  assert.equal((await d.select().from(card)).length, 3);
  await db.close();
});

test("batch is one transaction, with each query's result", async () => {
  const { d, db } = await heddle();
  const [, made, all, one] = await d.batch([
    d.insert(list).values({ title: "a" }), d.insert(list).values({ title: "b" }).returning(),
    d.select().from(list).orderBy(list.id), d.query.list.findFirst({ where: eq(list.title, "b") }),
  ]);
  assert.deepEqual([made, all.length, one?.title], [[{ id: 2, title: "b", created: null }], 2, "b"]);
  await assert.rejects(d.batch([d.insert(list).values({ title: "c" }), d.insert(list).values({ title: "a" })]));
  assert.equal((await d.select().from(list)).length, 2);
  await db.close();
});

test("live follows a query, mapped and typed", async () => {
  const { d, db } = await heddle();
  const dates: (Date | null)[][] = [];
  const two = new Promise<void>((resolve) => {
    live(db, d.select().from(list).orderBy(list.id), (rows) => {
      dates.push(rows.map(({ created }) => created));
      if (rows.length === 2) resolve();
    });
  });
  let first: { title: string; cards: { title: string }[] } | undefined;
  const complete = new Promise<void>((resolve) => {
    live(db, d.query.list.findFirst({ with: { cards: { columns: noBlobs } } }), (found) => {
      first = found;
      if (found?.cards.length === 2) resolve();
    });
  });
  await seed(d);
  await Promise.all([two, complete]);
  assert.deepEqual(dates.at(-1), [new Date(1_767_000_000_000), null]);
  assert.deepEqual([first!.title, first!.cards.map(({ title }) => title)], ["To do", ["warp", "weft"]]);
  await db.close();
});
