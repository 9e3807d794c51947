// What the pages of all frameworks have in common: the database, what the tests count, and what they call.

import { open, type Database } from "heddle";

export interface Note { id: string; body: string; list: number }

export const LISTS = 200;
export const NOTES = 1000;

export const ofList = "SELECT id, body, list FROM notes WHERE list = ? ORDER BY id";
/** No other part of the page asks this. */
export const ofChosen = `${ofList} LIMIT 100`;
export const total = "SELECT count(*) AS n FROM notes";
export const all = "SELECT id, body, list FROM notes";
export const pages = { key: ["list", "id"], size: 20 };

const renders = new Map<string, number>();

/** Counts that a part of the page was made, or made anew; returns what it shows. */
export function shown(what: string, text = ""): string {
  renders.set(what, (renders.get(what) ?? 0) + 1);
  return text;
}

export const options = {
  name: "frameworks", migrations: ["CREATE TABLE notes(id TEXT PRIMARY KEY, body TEXT, list INTEGER)"],
};

/** Opens the database, for the page and for the test. */
export async function start(): Promise<Database> {
  const db = await open(options);
  await db.bulk("INSERT OR IGNORE INTO notes VALUES (?, ?, ?)",
    Array.from({ length: NOTES }, (_, i) => [`n${i}`, `note ${i}`, i % LISTS]));
  const rendered = () => {
    const counts = Object.fromEntries(renders);
    renders.clear();
    return counts;
  };
  Object.assign(globalThis, { db, rendered });
  return db;
}

/** Hands the test what changes the page: each resolves, or returns, when the page shows it. */
export const controls = (called: {
  /** Chooses the list of #chosen; null: none. */
  choose?(list: number | null): unknown;
  /** Mounts the lists, or unmounts them. */
  show?(now: boolean): unknown;
}) => Object.assign(globalThis, called);
