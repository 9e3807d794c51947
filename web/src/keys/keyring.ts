// Where a database keeps its device's keys to a sealed space: an IndexedDB of its
// own. The private keys cannot be read out of it; the rest is encrypted with a key
// that cannot be read out either. Pages use that key as well: what they say to
// their leader of codes and links may pass through other tabs, and is concealed.
//
// Browsers keep keys that cannot be read out in plain files all the same. In a locked
// ring that key is not kept, but what a passphrase opens (sealed/lock.ts), and the
// private keys are kept as the rest is: encrypted with it.

import { HeddleError } from "../shared/errors.js";
import { keyringName } from "../shared/names.js";

const STORE = "device";
const IV = 12;

/** What is kept, by name. */
type Entry = "aes" | "keys" | "pass";

/** What a locked ring has in the place of its key. */
export interface LockRecord {
  /** What Argon2id is computed with: passes, KiB, and 16 bytes. */
  time: number;
  memory: number;
  salt: Uint8Array;
  /** An IV, and the key under that of the passphrase. */
  box: Uint8Array;
  /** Nothing, concealed: it tells the key. */
  check: Uint8Array;
}

export class Keyring {
  readonly #name: string;
  readonly #database: string;
  readonly #lock: CryptoKey | undefined;
  #aes: Promise<CryptoKey> | undefined;

  /**
   * @param database the name that open() was given
   * @param lock the key of a locked ring
   */
  constructor(database: string, lock?: CryptoKey) {
    this.#name = keyringName(database);
    this.#database = database;
    this.#lock = lock;
    if (typeof indexedDB === "undefined" || globalThis.crypto?.subtle === undefined) {
      throw new HeddleError("HEDDLE_UNSUPPORTED", "sealed spaces need IndexedDB and WebCrypto: a browser, and https");
    }
  }

  get locked(): boolean {
    return this.#lock !== undefined;
  }

  /** Fails with HEDDLE_LOCKED where the ring is locked, and this is not its key. */
  async check(): Promise<void> {
    await this.#key();
  }

  get<T>(entry: Entry): Promise<T | undefined> {
    return this.#store("readonly", (store) => store.get(entry) as IDBRequest<T | undefined>);
  }

  async put(entry: Entry, value: unknown): Promise<void> {
    if (value === undefined) await this.#store("readwrite", (store) => store.delete(entry));
    else await this.#store("readwrite", (store) => store.put(value, entry));
  }

  /** What is there, or what `make` makes; where two tabs make it at once, what came first. */
  async once<T>(entry: Entry, make: () => Promise<T>): Promise<T> {
    const found = await this.get<T>(entry);
    if (found !== undefined) return found;
    const made = await make();
    await this.#store("readwrite", (store) => store.add(made, entry)).catch((error: unknown) => {
      if ((error as DOMException).name !== "ConstraintError") throw error;
    });
    return (await this.get<T>(entry))!;
  }

  /** Encrypts bytes for whoever has this key ring. */
  async conceal(bytes: Uint8Array): Promise<Uint8Array> {
    return encrypt(await this.#key(), bytes);
  }

  /** Undoes conceal(). Fails with HEDDLE_BAD_SEAL. */
  async reveal(concealed: Uint8Array): Promise<Uint8Array> {
    try {
      return await decrypt(await this.#key(), concealed);
    } catch (cause) {
      if (cause instanceof HeddleError) throw cause;
      throw new HeddleError("HEDDLE_BAD_SEAL", "what was concealed is not of this database", { cause });
    }
  }

  #key(): Promise<CryptoKey> {
    return this.#aes ??= this.#open();
  }

  async #open(): Promise<CryptoKey> {
    const lock = this.#lock;
    const kept = lock ? await this.get<CryptoKey | LockRecord>("aes")
      : await this.once<CryptoKey | LockRecord>("aes", () =>
        crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]));
    if (!lock && kept instanceof CryptoKey) return kept;
    if (lock && await decrypt(lock, (kept as LockRecord)?.check).catch(() => undefined)) return lock;
    throw new HeddleError("HEDDLE_LOCKED", `the keys of the database "${this.#database}" are under `
      + `${lock ? "another lock, or none" : "a lock"}: open({ lock: await openLock(…) })`);
  }

  async #store<T>(mode: IDBTransactionMode, use: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
    const opening = indexedDB.open(this.#name, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
    const database = await done(opening);
    try {
      const transaction = database.transaction(STORE, mode, { durability: "strict" }); // before what it encrypts
      const kept = new Promise<void>((resolve, reject) => {
        transaction.oncomplete = () => resolve();
        transaction.onabort = () => reject(transaction.error ?? new DOMException("aborted", "AbortError"));
      });
      kept.catch(() => {}); // the request fails as well
      const result = await done(use(transaction.objectStore(STORE)));
      await kept;
      return result;
    } finally {
      database.close();
    }
  }
}

/** Conceals a text, as base64url. The worker does not: it stays out of its script. */
export async function concealText(ring: Keyring, text: string): Promise<string> {
  const bytes = await ring.conceal(new TextEncoder().encode(text));
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

/** Undoes concealText(). */
export async function revealText(ring: Keyring, concealed: string): Promise<string> {
  const bytes = Uint8Array.from(atob(concealed.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  return new TextDecoder().decode(await ring.reveal(bytes));
}

/** Encrypts by AES-GCM: a random IV, then the box. */
export async function encrypt(key: CryptoKey, bytes: Uint8Array, about = new Uint8Array()):
  Promise<Uint8Array<ArrayBuffer>> {
  const iv = crypto.getRandomValues(new Uint8Array(IV));
  const box = await crypto.subtle.encrypt({ name: "AES-GCM", iv, additionalData: about }, key, bytes as BufferSource);
  const all = new Uint8Array(IV + box.byteLength);
  all.set(iv);
  all.set(new Uint8Array(box), IV);
  return all;
}

/** Undoes encrypt(). */
export async function decrypt(key: CryptoKey, concealed: Uint8Array, about = new Uint8Array()):
  Promise<Uint8Array<ArrayBuffer>> {
  const algorithm = { name: "AES-GCM", iv: concealed.slice(0, IV), additionalData: about };
  return new Uint8Array(await crypto.subtle.decrypt(algorithm, key, concealed.slice(IV)));
}

/** The result of a request, once it is there. */
export function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error!);
  });
}
