// Names that tabs share: locks, channels, folders. The number in them is the
// version of the protocol between tabs; tabs that differ in it do not meet
// there, but they do meet at the lock and the folder, which have none.

import { HeddleError } from "./errors.js";
import { PROTOCOL } from "./version.js";

/** The folder of the origin private file system that holds a folder for each database. */
export const FOLDER = "heddle";

/** The longest name of a database's folder (opfs.MaxName). */
const MAX_FOLDER = 200;

/** Refuses names that no file can have, and those that look alike and are not. */
export function checkName(name: unknown): asserts name is string {
  const bad =
    typeof name !== "string" ? "is not a string"
    : name === "" ? "is empty"
    : /\p{Cs}/u.test(name) || name !== name.normalize("NFC") ? "is not Unicode in normal form C"
    : databaseFolder(name).length > MAX_FOLDER ? "is too long"
    : "";
  if (bad) throw new HeddleError("HEDDLE_BAD_PARAM", `the database name ${JSON.stringify(name) ?? "undefined"} ${bad}`);
}

/** The name of a database's folder: opfs.Encode has the same rule. */
export function databaseFolder(name: string): string {
  let folder = "";
  for (const byte of new TextEncoder().encode(name)) {
    const c = String.fromCharCode(byte);
    folder += /[a-z0-9_-]/.test(c) ? c : `=${byte.toString(16).padStart(2, "0")}`;
  }
  return folder;
}

/** The name of the database in that folder; undefined if databaseFolder() makes no such name. */
export function databaseName(folder: string): string | undefined {
  const bytes = folder.match(/[a-z0-9_-]|=[0-9a-f]{2}/g) ?? [];
  const codes = bytes.map((part) => (part.length === 1 ? part.charCodeAt(0) : parseInt(part.slice(1), 16)));
  const name = new TextDecoder("utf-8", { ignoreBOM: true }).decode(new Uint8Array(codes));
  return name !== "" && databaseFolder(name) === folder ? name : undefined;
}

/** What follows the database's name in the name of a file that was quarantined; a time comes after it. */
export const QUARANTINE_MARK = "-quarantined-";

/** The IndexedDB database with the key that `encryptAtRest: true` makes. */
export const atRestKeys = (name: string) => `heddle-at-rest:${name}`;

/** The Web Lock whose holder owns the database's files. */
export const lockName = (name: string) => `heddle:${name}`;

/** Start of the name of the Web Lock that a tab (its id follows) holds while it lives: it tells of the tab's end. */
export const tabLockPrefix = (name: string) => `heddle:${PROTOCOL}:${name}:tab:`;

/** Start of the name of the Web Lock that a tab holds while it lives, and while it is suspended if it waits for the
 * outcome of a write: meanwhile the record of its writes is kept. No request ever waits for it. */
export const recordLockPrefix = (name: string) => `heddle:${PROTOCOL}:${name}:record:`;

/** The Web Lock that a leader holds until its end. */
export const leaderLock = (name: string, leader: string) => `heddle:${PROTOCOL}:${name}:leader:${leader}`;

/** Where tabs of one database find each other. */
export const tabsChannel = (name: string) => `heddle:${PROTOCOL}:${name}:tabs`;

/** Where the leader announces each commit (the broadcast package's bytes). */
export const commitsChannel = (name: string) => `heddle:${PROTOCOL}:${name}:commits`;

/** A port between one tab and one leader, where no MessagePort can be had. */
export const portChannel = (name: string, leader: string, tab: string) =>
  `heddle:${PROTOCOL}:${name}:port:${leader}:${tab}`;

/** The IndexedDB with the keys of a database's device to a sealed space. */
export const keyringName = (name: string) => `heddle-keys:${name}`;

/** A random name, 128 bits. */
export function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}
