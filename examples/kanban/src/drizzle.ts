import { and, asc, count, eq, sql } from "drizzle-orm";
import { integer, primaryKey, real, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { drizzle, live } from "heddle/drizzle";

import { labelsOf, words, type MakeBoard } from "./board.js";

const id = () => text().primaryKey().default(sql`(uuid7())`);
const list = sqliteTable("list", { id: id(), title: text().notNull(), place: real().notNull() });
const card = sqliteTable("card", {
  id: id(), list: text().notNull().references(() => list.id), title: text().notNull(),
  done: integer({ mode: "boolean" }).notNull().default(false), place: real().notNull(),
});
const label = sqliteTable("label", { card: text().notNull(), name: text().notNull() },
  (table) => [primaryKey({ columns: [table.card, table.name] })]);

export const drizzleBoard: MakeBoard = (db) => {
  const d = drizzle(db);
  const last = (table: typeof list | typeof card) => sql<number>`(SELECT ifnull(max(place), 0) + 1 FROM ${table})`;
  const labels = sql<string | null>`(SELECT group_concat(name) FROM label WHERE label.card = ${card.id})`;
  const lists = d.select({
    id: list.id, title: list.title, cards: count(card.id), done: sql<number>`ifnull(sum(${card.done}), 0)`,
  }).from(list).leftJoin(card, eq(card.list, list.id)).groupBy(list.id).orderBy(asc(list.place));
  const cards = d.select({ id: card.id, list: card.list, title: card.title, done: card.done, labels }).from(card)
    .orderBy(asc(card.place));
  return {
    onLists: (fn) => live(db, lists, (rows) => fn(rows)),
    onCards: (fn) => live(db, cards, (rows) =>
      fn(rows.map((row) => ({ ...row, labels: labelsOf(row.labels) })))),
    search: async (query) => {
      const found = sql`SELECT card FROM search WHERE search MATCH ${words(query)} ORDER BY rank`;
      return (await d.all<{ card: string }>(found)).map((row) => row.card);
    },
    addList: async (title) =>
      (await d.insert(list).values({ title, place: last(list) }).returning({ id: list.id }))[0]!.id,
    addCard: async (into, title) =>
      (await d.insert(card).values({ list: into, title, place: last(card) }).returning({ id: card.id }))[0]!.id,
    moveCard: async (moved, to) => {
      await d.update(card).set({ list: to, place: last(card) }).where(eq(card.id, moved));
    },
    setDone: async (changed, done) => {
      await d.update(card).set({ done }).where(eq(card.id, changed));
    },
    toggleLabel: (of, name) => d.transaction(async (tx) => {
      const { changes } = await tx.delete(label).where(and(eq(label.card, of), eq(label.name, name)));
      if (changes === 0) await tx.insert(label).values({ card: of, name });
    }),
    removeCard: async (removed) => {
      await d.delete(card).where(eq(card.id, removed));
    },
  };
};
