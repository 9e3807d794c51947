// This device and its diary: one database, one sealed space. The diary's number stands in the address, and is no
// secret: who has the address alone sees that there is a diary.
import { destroy, open, type Database, type ErrorRecord } from "heddle";
import { sealedSpace, type SealedSpace } from "heddle/sealed";

const LAST = "heddle-diary";

/** What one device has. */
export interface Opened { db: Database; space: SealedSpace }

export interface Place { diary: string; device: string }

/** Random letters that are not taken for one another. */
function random(length: number): string {
  const letters = "abcdefghjkmnpqrstuvwxyz23456789";
  return Array.from(crypto.getRandomValues(new Uint8Array(length)), (b) => letters[b % letters.length]).join("");
}

/** Which diary and device the address names. Without one: the last of this browser, or a new one. */
export function place(): Place {
  const query = new URLSearchParams(location.search);
  const diary = query.get("diary")?.replace(/[^a-z0-9]/g, "") || localStorage.getItem(LAST) || random(10);
  const device = query.get("device")?.replace(/[^a-z0-9]/g, "") || "1";
  localStorage.setItem(LAST, diary);
  if (query.get("diary") !== diary) history.replaceState(null, "", addressOf({ diary, device }) + location.hash);
  return { diary, device };
}

export function addressOf({ diary, device }: Place): string {
  const url = new URL(location.pathname, location.href);
  url.searchParams.set("diary", diary);
  if (device !== "1") url.searchParams.set("device", device);
  return url.href;
}

/** The address that a new device opens: in this browser, too, it is another one. */
export const addressOfNew = ({ diary }: Place): string => addressOf({ diary, device: random(4) });

const nameOf = ({ diary, device }: Place) => `diary-${diary}-${device}`;

export async function openDiary(at: Place): Promise<Opened> {
  const db = await open({
    name: nameOf(at),
    migrations: [`CREATE TABLE entries(id TEXT PRIMARY KEY DEFAULT (uuid7()), text TEXT NOT NULL DEFAULT '',
      created INTEGER NOT NULL DEFAULT 0)`],
    sync: { url: location.origin, space: `diary-${at.diary}`, sealed: true, tables: { entries: true } },
  });
  return { db, space: sealedSpace(db) };
}

/** Removes the diary and its keys from this device. */
export async function forget({ db }: Opened, at: Place): Promise<void> {
  await db.close();
  await destroy(nameOf(at));
  location.replace(addressOf(at));
}

const WORDS: { [code: string]: string } = {
  HEDDLE_BAD_CODE: "This does not open the diary. Compare it with what you wrote down, symbol by symbol.",
  HEDDLE_SEALED: "This diary exists already. Open it with a link from one of its devices, or with its recovery code.",
  HEDDLE_NOT_ALLOWED: "The other device said no.",
  HEDDLE_TIMEOUT: "Nobody answered for ten minutes. Make a new link, and try again.",
  HEDDLE_TAMPERED: "Somebody is between the two devices. Nothing was let in.",
  HEDDLE_NETWORK: "The server does not answer. Try again when you are online.",
  HEDDLE_UNSUPPORTED: "This browser cannot keep keys safely. A newer one can.",
};

/** An error in words for a person; "" for a call that somebody ended. */
export function inWords(error: unknown): string {
  const { code = "", message = String(error) } = (error ?? {}) as Partial<ErrorRecord>;
  return code === "HEDDLE_ABORTED" ? "" : WORDS[code] ?? message;
}
