// What the app does with its data, whichever query builder does it: kysely.ts and drizzle.ts.

import type { Database, SyncOptions } from "heddle";

export interface List {
  id: string;
  title: string;
  /** Its cards, and those of them that are done. */
  cards: number;
  done: number;
}

export interface Card {
  id: string;
  list: string;
  title: string;
  done: boolean;
  labels: string[];
}

export interface Board {
  /** Calls fn now and after each change, by this tab, another one or another device. */
  onLists(fn: (lists: List[]) => void): () => void;
  onCards(fn: (cards: Card[]) => void): () => void;
  /** Ids of the cards with words that begin like those of the text. */
  search(text: string): Promise<string[]>;
  addList(title: string): Promise<string>;
  addCard(list: string, title: string): Promise<string>;
  /** To the end of a list. */
  moveCard(card: string, list: string): Promise<void>;
  setDone(card: string, done: boolean): Promise<void>;
  /** Adds the label, or takes it off. */
  toggleLabel(card: string, name: string): Promise<void>;
  removeCard(card: string): Promise<void>;
}

export type MakeBoard = (db: Database) => Board;

export const files: Record<string, string> =
  import.meta.glob("../migrations/*.sql", { query: "?raw", import: "default", eager: true });

/** The index of the search is each device's own. */
export const tables: SyncOptions["tables"] = { list: true, card: true, label: true };

/** The text as a query of FTS5: each word by its beginning. */
export const words = (text: string) =>
  (text.match(/[\p{L}\p{N}]+/gu) ?? []).map((word) => `"${word}"*`).join(" ");

export const labelsOf = (names: string | null) => names?.split(",") ?? [];
