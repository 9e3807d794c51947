// The board without a browser: each query builder on heddle/node, and two devices that meet at a server.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

import { migrations } from "heddle/drizzle";
import { open } from "heddle/node";
import { expect, inject, test } from "vitest";

import { files, tables, type Board, type Card, type List, type MakeBoard } from "../src/board.js";
import { drizzleBoard } from "../src/drizzle.js";
import { kyselyBoard } from "../src/kysely.js";

const device = (sync?: { url: string; space: string }) => open({
  name: "kanban", storage: "memory", migrations: migrations(files), ...(sync ? { sync: { ...sync, tables } } : {}),
});

/** Waits until what is followed is as wanted. */
const until = <T>(follow: (fn: (value: T) => void) => () => void, wanted: (value: T) => boolean) =>
  new Promise<T>((resolve) => {
    const stop = follow((value) => {
      if (!wanted(value)) return;
      queueMicrotask(() => stop());
      resolve(value);
    });
  });

async function fill(board: Board): Promise<{ todo: string; doing: string; warp: string; weft: string }> {
  const [todo, doing] = [await board.addList("To do"), await board.addList("Doing")];
  const [warp, weft] = [await board.addCard(todo, "Warp the loom"), await board.addCard(todo, "Wind the weft")];
  return { todo, doing, warp, weft };
}

test.each<[string, MakeBoard]>([["Kysely", kyselyBoard], ["Drizzle", drizzleBoard]])("%s", async (_name, make) => {
  const db = await device();
  const board = make(db);
  const { todo, doing, warp, weft } = await fill(board);
  await board.setDone(warp, true);
  await board.toggleLabel(warp, "wool");
  await board.toggleLabel(warp, "blue");
  await board.toggleLabel(warp, "blue");
  await board.moveCard(warp, doing);
  expect(await until<Card[]>(board.onCards, (cards) => cards.length === 2)).toEqual([
    { id: weft, list: todo, title: "Wind the weft", done: false, labels: [] },
    { id: warp, list: doing, title: "Warp the loom", done: true, labels: ["wool"] },
  ]);
  expect(await until<List[]>(board.onLists, (lists) => lists.length === 2)).toEqual([
    { id: todo, title: "To do", cards: 1, done: 0 }, { id: doing, title: "Doing", cards: 1, done: 1 },
  ]);
  expect(await board.search("wa loo")).toEqual([warp]);
  expect(await board.search("nothing \"odd")).toEqual([]);
  const fewer = until<List[]>(board.onLists, (lists) => lists[0]?.cards === 0);
  await board.removeCard(weft);
  expect((await fewer).map(({ cards }) => cards)).toEqual([0, 1]);
  expect(await board.search("weft")).toEqual([]);
  await db.close();
});

test("a device with Kysely and one with Drizzle show one board", async () => {
  const sync = { url: inject("server" as never), space: crypto.randomUUID() };
  const [a, b] = await Promise.all([device(sync), device(sync)]);
  const { warp } = await fill(kyselyBoard(a));
  const other = drizzleBoard(b);
  await until<Card[]>(other.onCards, (cards) => cards.length === 2);
  expect(await other.search("loom")).toEqual([warp]);
  const back = until<Card[]>(kyselyBoard(a).onCards, (cards) => cards.some(({ labels }) => labels.includes("wool")));
  await other.toggleLabel(warp, "wool");
  expect((await back).find(({ id }) => id === warp)?.labels).toEqual(["wool"]);
  await Promise.all([a.close(), b.close()]);
});

test("the types of the tables are those of the migrations", () => {
  const made = execFileSync(process.env["HEDDLE"] ?? "heddle", ["types", "--kysely", "--migrations", "migrations"],
    { encoding: "utf8" });
  expect(readFileSync("src/tables.ts", "utf8")).toBe(made);
});
