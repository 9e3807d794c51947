import { HeddleDialect, live } from "heddle/kysely";
import { Kysely, sql } from "kysely";

import { labelsOf, words, type MakeBoard } from "./board.js";
import type { Tables } from "./tables.js";

export const kyselyBoard: MakeBoard = (db) => {
  const k = new Kysely<Tables>({ dialect: new HeddleDialect(db) });
  const last = (table: "list" | "card") => sql<number>`(SELECT ifnull(max(place), 0) + 1 FROM ${sql.table(table)})`;
  const labels = sql<string | null>`(SELECT group_concat(name) FROM label WHERE label.card = card.id)`;
  const lists = k.selectFrom("list").leftJoin("card", "card.list", "list.id").groupBy("list.id").orderBy("list.place")
    .select(({ fn }) => ["list.id", "list.title", fn.count<number>("card.id").as("cards"),
      sql<number>`ifnull(sum(card.done), 0)`.as("done")]);
  const cards = k.selectFrom("card").select(["id", "list", "title", "done", labels.as("labels")]).orderBy("place");
  return {
    onLists: (fn) => live(db, lists, (rows) => fn(rows)),
    onCards: (fn) => live(db, cards, (rows) =>
      fn(rows.map((card) => ({ ...card, done: card.done === 1, labels: labelsOf(card.labels) })))),
    search: async (text) => {
      const found = k.selectFrom("search").select("card").where(sql<boolean>`search MATCH ${words(text)}`);
      return (await found.orderBy("rank" as never).execute()).map(({ card }) => card as string);
    },
    addList: async (title) => {
      const made = k.insertInto("list").values({ title, place: last("list") }).returning("id");
      return (await made.executeTakeFirstOrThrow()).id;
    },
    addCard: async (list, title) => {
      const made = k.insertInto("card").values({ list, title, place: last("card") }).returning("id");
      return (await made.executeTakeFirstOrThrow()).id;
    },
    moveCard: async (id, list) => {
      await k.updateTable("card").set({ list, place: last("card") }).where("id", "=", id).execute();
    },
    setDone: async (id, done) => {
      await k.updateTable("card").set({ done: done ? 1 : 0 }).where("id", "=", id).execute();
    },
    toggleLabel: (card, name) => k.transaction().execute(async (trx) => {
      const gone = await trx.deleteFrom("label").where("card", "=", card).where("name", "=", name)
        .executeTakeFirstOrThrow();
      if (gone.numDeletedRows === 0n) await trx.insertInto("label").values({ card, name }).execute();
    }),
    removeCard: async (id) => {
      await k.deleteFrom("card").where("id", "=", id).execute();
    },
  };
};
