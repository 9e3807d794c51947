// The key of a database whose files are encrypted on the disk. Go encrypts with a
// random key of the files (internal/opfs/atrest). That one lies in the database's
// folder, encrypted with the app's key: so whether the app's key is right is known
// before a file is touched, and another one is taken without encrypting a file anew.

import { decrypt, encrypt } from "../keys/keyring.js";
import { HeddleError } from "../shared/errors.js";
import { atRestKeys } from "../shared/names.js";
import type { AtRest, AtRestKey } from "../shared/types.js";

/** Where the database's files are. */
interface Place {
  name: string;
  folder: FileSystemDirectoryHandle;
  /** Opens a file for this worker alone, and creates it if need be. */
  open(folder: FileSystemDirectoryHandle, name: string): Promise<FileSystemSyncAccessHandle>;
  /** Go's journal while the files become what they were not (atrest.Recoding). */
  journal: string;
}

/** What the database's other files are. */
export const enum FileState {
  encrypted = 1,
  /** Some are still plain, from when the app had no key. */
  encrypting = 2,
  /** Some are plain already. */
  decrypting = 3,
}

/**
 * The file of the key has two slots, of which the one is written while the other still counts. A slot is the files'
 * state, an IV, and the key under AES-GCM with its tag; zeros: none.
 */
const KEY_FILE = "key";
const SLOTS = [0, 4096] as const;
const KEY = 32, IV = 12, TAG = 16, SLOT = 1 + IV + KEY + TAG;

type Bytes = Uint8Array<ArrayBuffer>;

export class AtRestFile {
  /** The key of the files. */
  readonly key: Bytes;
  readonly #place: Place;
  readonly #wrapping: CryptoKey;
  #state: FileState;

  private constructor(place: Place, wrapping: CryptoKey, key: Bytes, state: FileState) {
    this.#place = place;
    this.#wrapping = wrapping;
    this.key = key;
    this.#state = state;
  }

  /** What the files are. */
  get state(): FileState {
    return this.#state;
  }

  /**
   * Reads the key; undefined if the files are plain. Fails with HEDDLE_LOCKED where the app has no key, or another one:
   * then nothing has changed.
   */
  static async read(place: Place, option: AtRest | undefined): Promise<AtRestFile | undefined> {
    const slots = await readSlots(place);
    if (slots.length === 0) return undefined;
    const { key, was } = parts(option);
    const found = await unlock(place, slots, key) ?? await unlock(place, slots, was);
    if (!found) {
      const what = key || was ? "with another key, or without its lock" : "without its key";
      throw new HeddleError("HEDDLE_LOCKED",
        `the database "${place.name}" is encrypted at rest, and was opened ${what}`);
    }
    const [wrapping, bytes, state] = found;
    if (state === (key === null ? FileState.encrypting : FileState.decrypting)) {
      const half = key === null ? "encrypted" : "decrypted";
      throw new HeddleError("HEDDLE_LOCKED",
        `open: encryptAtRest: the files are half ${half}: open them once more as the last time`);
    }
    if (key !== null) {
      const newest = (await wrappingKey(place.name, key, true))!;
      const file = new AtRestFile(place, newest, bytes, state);
      if (slots.length > 1 || newest !== wrapping) await file.#write(state);
      return file;
    }
    const file = new AtRestFile(place, wrapping, bytes, state);
    if (state === FileState.encrypted) await file.#begin(FileState.decrypting);
    return file;
  }

  /** Makes a key for files that are plain, or empty; undefined where the app wants none. */
  static async create(place: Place, option: AtRest | undefined, empty: boolean): Promise<AtRestFile | undefined> {
    const wrapping = await wrappingKey(place.name, parts(option).key, true);
    if (!wrapping) return undefined;
    const file = new AtRestFile(place, wrapping, crypto.getRandomValues(new Uint8Array(KEY)), FileState.encrypted);
    await (empty ? file.#write(FileState.encrypted) : file.#begin(FileState.encrypting));
    return file;
  }

  /** The files are now what they were to be. */
  async done(): Promise<void> {
    if (this.#state === FileState.encrypting) await this.#write(FileState.encrypted);
    else await this.#place.folder.removeEntry(KEY_FILE);
  }

  // The journal of a recoding that was done before says nothing of this one.
  async #begin(state: FileState): Promise<void> {
    const journal = await this.#place.open(this.#place.folder, this.#place.journal);
    journal.truncate(0);
    journal.flush();
    journal.close();
    await this.#write(state);
  }

  // A crash leaves one slot or both, each of which opens the files.
  async #write(state: FileState): Promise<void> {
    const box = await encrypt(this.#wrapping, this.key, about(this.#place, state));
    const handle = await this.#place.open(this.#place.folder, KEY_FILE);
    try {
      const [first, second] = SLOTS;
      const free = readSlot(handle, first)[0] === 0 ? first : second;
      if (handle.write(Uint8Array.of(state, ...box), { at: free }) !== SLOT) {
        throw new DOMException("no space for the key", "QuotaExceededError");
      }
      handle.flush();
      handle.write(new Uint8Array(SLOT), { at: free === first ? second : first });
      handle.flush();
    } finally {
      handle.close();
    }
    this.#state = state;
  }
}

/** The option as the key from now on (null: none) and the one of before. */
function parts(option: AtRest | undefined): { key: AtRestKey | null; was?: AtRestKey | undefined } {
  if (option === undefined || option === false) return { key: null };
  if (option === true || option instanceof Uint8Array || option instanceof CryptoKey) return { key: option };
  return option;
}

async function readSlots(place: Place): Promise<Bytes[]> {
  try {
    await place.folder.getFileHandle(KEY_FILE); // it is not made by looking for it
  } catch (error) {
    if ((error as DOMException).name === "NotFoundError") return [];
    throw error;
  }
  const handle = await place.open(place.folder, KEY_FILE);
  try {
    return SLOTS.map((at) => readSlot(handle, at)).filter((slot) => slot[0] !== 0);
  } finally {
    handle.close();
  }
}

function readSlot(handle: FileSystemSyncAccessHandle, at: number): Bytes {
  const slot = new Uint8Array(SLOT);
  handle.read(slot, { at });
  return slot;
}

/** What the key's box is bound to. */
const about = ({ name }: Place, state: FileState) => new TextEncoder().encode(`heddle/1/at-rest\0${state}\0${name}`);

/** Opens a slot with the app's key. */
async function unlock(
  place: Place, slots: Bytes[], key: AtRestKey | null | undefined,
): Promise<[CryptoKey, Bytes, FileState] | undefined> {
  const wrapping = await wrappingKey(place.name, key, false);
  if (!wrapping) return undefined;
  for (const slot of slots) {
    const state = slot[0] as FileState;
    try {
      return [wrapping, await decrypt(wrapping, slot.subarray(1), about(place, state)), state];
    } catch {
      // It is under another key, or was torn.
    }
  }
  return undefined;
}

/** The app's key for WebCrypto; for true the one of this browser, which is made if need be. */
async function wrappingKey(
  name: string, key: AtRestKey | null | undefined, create: boolean,
): Promise<CryptoKey | undefined> {
  if (key === null || key === undefined) return undefined;
  if (key === true) return browserKey(name, create);
  if (key instanceof CryptoKey && key.algorithm.name === "AES-GCM"
    && key.usages.includes("encrypt") && key.usages.includes("decrypt")) return key;
  if (key instanceof Uint8Array && key.length === KEY) {
    return crypto.subtle.importKey("raw", key as Bytes, "AES-GCM", false, ["encrypt", "decrypt"]);
  }
  throw new HeddleError("HEDDLE_BAD_PARAM", "open: encryptAtRest is true, a key of 32 bytes, "
    + "a CryptoKey of AES-GCM that encrypts and decrypts, or { key, was } of such");
}

const noKeys = (cause: DOMException | null) =>
  new HeddleError("HEDDLE_STORAGE", `open: encryptAtRest: IndexedDB fails: ${cause?.message}`, { cause });

const settled = <T>(request: IDBRequest<T>) => new Promise<T>((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(noKeys(request.error));
});

async function browserKey(name: string, create: boolean): Promise<CryptoKey | undefined> {
  if (typeof indexedDB === "undefined") {
    throw new HeddleError("HEDDLE_UNSUPPORTED", "open: encryptAtRest: there is no place for a key here: give one");
  }
  const opening = indexedDB.open(atRestKeys(name));
  opening.onupgradeneeded = () => opening.result.createObjectStore("keys");
  const db = await settled(opening);
  try {
    const found = await settled<CryptoKey | undefined>(db.transaction("keys").objectStore("keys").get(0));
    if (found || !create) return found;
    const made = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
    // On the disk before what it encrypts.
    const transaction = db.transaction("keys", "readwrite", { durability: "strict" });
    transaction.objectStore("keys").put(made, 0);
    await new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(noKeys(transaction.error));
    });
    return made;
  } finally {
    db.close();
  }
}
