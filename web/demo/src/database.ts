// How the demo opens its database, and where its second device is.
import { open, type Database } from "heddle";
import { migrations, tables } from "./schema.js";

const query = new URLSearchParams(location.search);

/** "": the database of this origin's first device; else another one beside it. */
export const device = query.get("device") ?? "";
const space = query.get("space") ?? "demo";

export interface Note {
  id: string;
  title: string;
  body: string;
  pinned: number;
  created: number;
  updated: number;
}

export function openDatabase(): Promise<Database> {
  return open({
    name: device ? `notes-${device}` : "notes",
    migrations,
    sync: { url: location.origin, space, tables },
  });
}

/** Where "a second device" is: the same server by its other name, which is another
 * origin with a storage of its own; elsewhere another database in this origin. */
export function secondDevice(): URL {
  const url = new URL(location.href);
  if (url.hostname === "localhost") url.hostname = "127.0.0.1";
  else if (url.hostname === "127.0.0.1") url.hostname = "localhost";
  else if (device) url.searchParams.delete("device");
  else url.searchParams.set("device", "second");
  return url;
}

/** What this device is called on its own screen. */
export function deviceName(): string {
  if (device) return `device “${device}”`;
  return location.hostname;
}

/** Turns what a person types into an FTS5 query: every word, the last by its beginning. */
export function ftsQuery(text: string): string {
  return text.split(/\s+/).filter(Boolean).map((word) => `"${word.replaceAll('"', '""')}"*`).join(" ");
}

/** Inserts a note, whole. */
export const insert = `INSERT INTO notes(id, title, body, pinned, created, updated) VALUES (?, ?, ?, ?, ?, ?)`;
