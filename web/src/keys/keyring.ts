// Where a database keeps its device's keys to a sealed space: an IndexedDB of its
// own. The private keys cannot be read out of it; the rest is encrypted with a key
// that cannot be read out either. Pages use that key as well: what they say to
// their leader of codes and links may pass through other tabs, and is concealed.

import { HeddleError } from "../shared/errors.js";
import { keyringName } from "../shared/names.js";

const STORE = "device";
const IV = 12;

/** What is kept, by name. */
type Entry = "aes" | "keys" | "pass";

const encoder = new TextEncoder();

export class Keyring {
  readonly #name: string;
  #aes: Promise<CryptoKey> | undefined;

  /** @param database the name that open() was given */
  constructor(database: string) {
    this.#name = keyringName(database);
    if (typeof indexedDB === "undefined" || globalThis.crypto?.subtle === undefined) {
      throw new HeddleError("HEDDLE_UNSUPPORTED", "sealed spaces need IndexedDB and WebCrypto: a browser, and https");
    }
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
    const iv = crypto.getRandomValues(new Uint8Array(IV));
    const box = await crypto.subtle.encrypt({ name: "AES-GCM", iv }, await this.#key(), bytes as BufferSource);
    const all = new Uint8Array(IV + box.byteLength);
    all.set(iv);
    all.set(new Uint8Array(box), IV);
    return all;
  }

  /** Undoes conceal(). Fails with HEDDLE_BAD_SEAL. */
  async reveal(concealed: Uint8Array): Promise<Uint8Array> {
    try {
      const iv = concealed.slice(0, IV);
      return new Uint8Array(
        await crypto.subtle.decrypt({ name: "AES-GCM", iv }, await this.#key(), concealed.slice(IV)));
    } catch (cause) {
      throw new HeddleError("HEDDLE_BAD_SEAL", "what was concealed is not of this database", { cause });
    }
  }

  /** conceal() of a text, as base64url. */
  async concealText(text: string): Promise<string> {
    const bytes = await this.conceal(encoder.encode(text));
    return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  }

  async revealText(concealed: string): Promise<string> {
    const bytes = Uint8Array.from(atob(concealed.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
    return new TextDecoder().decode(await this.reveal(bytes));
  }

  #key(): Promise<CryptoKey> {
    return this.#aes ??= this.once("aes", () =>
      crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]));
  }

  async #store<T>(mode: IDBTransactionMode, use: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
    const opening = indexedDB.open(this.#name, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
    const database = await done(opening);
    try {
      const transaction = database.transaction(STORE, mode);
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

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error!);
  });
}
