// The lock of a database's keys: what a passphrase opens. This page computes it, and the
// rest of Heddle is given a CryptoKey that cannot be read out: the passphrase goes no
// further than the worker that computes Argon2id.

import { decrypt, done, encrypt, Keyring, type LockRecord } from "../keys/keyring.js";
import { DESTROY_MS } from "../shared/bounds.js";
import { abortError, HeddleError, timeoutError } from "../shared/errors.js";
import { atRestKeys, checkName, keyringName, lockName } from "../shared/names.js";
import type { CallOptions } from "../shared/types.js";
import { checkPassphrase, stretch } from "./passphrase.js";

export interface LockOptions extends CallOptions {
  /** argon2.js of the package, where the bundler does not leave it beside the module. */
  argon2?: string | URL | undefined;
}

/** What a new lock is computed with, and the bounds beyond which none is: those of a space's passphrases. */
const TIME = 3, MEMORY = 64 << 10;
const bounded = ({ time, memory }: LockRecord) =>
  time >= 2 && time <= 16 && memory >= 19 << 10 && memory <= 256 << 10;

const KEY = 32, SALT = 16;

const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));

/** Whether the keys of a database are locked: openLock() asks for their passphrase then, and makes a lock otherwise. */
export async function isLocked(name: string): Promise<boolean> {
  checkName(name);
  const kept = await new Keyring(name).get<CryptoKey | LockRecord>("aes");
  return kept !== undefined && !(kept instanceof CryptoKey);
}

/**
 * Opens the lock of a database's keys by its passphrase, for open({ lock }); makes one, with a new passphrase of at
 * least 12 characters, where the database has no keys yet. It takes a second or so, and 64 MiB.
 *
 * - HEDDLE_BAD_PASSPHRASE: it is another one, or too short for a new one
 * - HEDDLE_BAD_PARAM: the database has keys without a lock. They cannot be taken out of WebCrypto
 * - HEDDLE_ASSETS: argon2.js cannot be loaded
 */
export function openLock(name: string, passphrase: string, options: LockOptions = {}): Promise<CryptoKey> {
  return bound(options, async (signal) => {
    const ring = new Keyring(name);
    const record = await lockOf(name, ring) ?? await create(name, ring, passphrase, options, signal);
    const raw = await open(name, record, passphrase, options, signal);
    try {
      return await aes(raw);
    } finally {
      raw.fill(0);
    }
  }, name);
}

/**
 * Has another passphrase open the lock, and the one of before no more. The keys stay what they are: the database may be
 * open. HEDDLE_BAD_PASSPHRASE: `passphrase` is wrong, or `next` is too short. HEDDLE_LOCKED: there is no lock.
 */
export function changeLock(
  name: string, passphrase: string, next: string, options: LockOptions = {},
): Promise<void> {
  return bound(options, async (signal) => {
    checkPassphrase(next);
    const ring = new Keyring(name);
    const record = await lockOf(name, ring);
    if (!record) throw new HeddleError("HEDDLE_LOCKED", `the keys of the database "${name}" have no lock`);
    const raw = await open(name, record, passphrase, options, signal);
    try {
      await ring.put("aes", await seal(name, raw, next, options, signal));
    } finally {
      raw.fill(0);
    }
  }, name);
}

/**
 * Deletes the keys that this browser profile has for a database, for which no passphrase is needed: for one who has
 * forgotten it. Files that were encrypted with `encryptAtRest: true` are lost; of a sealed space the rows stay, and the
 * device has to begin as a new one. destroy() deletes files and keys. HEDDLE_BLOCKED: the database is open, and was not
 * closed in time; the timeout is ten seconds unless told otherwise.
 */
export async function forgetKeys(name: string, { signal, timeout = DESTROY_MS }: CallOptions = {}): Promise<void> {
  checkName(name);
  const late = AbortSignal.timeout(timeout);
  try {
    const either = signal ? AbortSignal.any([signal, late]) : late;
    await navigator.locks.request(lockName(name), { signal: either }, async () => {
      for (const keys of [keyringName(name), atRestKeys(name)]) await done(indexedDB.deleteDatabase(keys));
    });
  } catch (error) {
    if (signal?.aborted) throw abortError(signal);
    if (!late.aborted) throw error;
    throw new HeddleError("HEDDLE_BLOCKED", `forgetKeys: the database "${name}" is open`);
  }
}

/** The lock of a ring; undefined where the ring is empty. */
async function lockOf(name: string, ring: Keyring): Promise<LockRecord | undefined> {
  const kept = await ring.get<CryptoKey | LockRecord>("aes");
  if (!(kept instanceof CryptoKey)) return kept;
  throw new HeddleError("HEDDLE_BAD_PARAM", `the database "${name}" has keys without a lock, which cannot be taken `
    + "out of WebCrypto: a lock is for a database from its first open() on");
}

async function create(
  name: string, ring: Keyring, passphrase: string, options: LockOptions, signal: AbortSignal,
): Promise<LockRecord> {
  checkPassphrase(passphrase);
  const raw = random(KEY);
  const made = await seal(name, raw, passphrase, options, signal);
  raw.fill(0);
  await ring.once("aes", async () => made);
  return (await lockOf(name, ring))!; // another tab may have been first
}

/** Puts a key under a passphrase. */
async function seal(
  name: string, raw: Uint8Array, passphrase: string, options: LockOptions, signal: AbortSignal,
): Promise<LockRecord> {
  const kdf = { time: TIME, memory: MEMORY, salt: random(SALT) };
  const wrapping = await wrappingKey(kdf, passphrase, options, signal);
  return { ...kdf, box: await encrypt(wrapping, raw, about(name, kdf)),
    check: await encrypt(await aes(raw), new Uint8Array()) };
}

async function open(
  name: string, record: LockRecord, passphrase: string, options: LockOptions, signal: AbortSignal,
): Promise<Uint8Array> {
  if (!bounded(record)) {
    throw new HeddleError("HEDDLE_BAD_PASSPHRASE", "what the lock is to be computed with is beyond the bounds");
  }
  const wrapping = await wrappingKey(record, passphrase, options, signal);
  try {
    return await decrypt(wrapping, record.box, about(name, record));
  } catch {
    throw new HeddleError("HEDDLE_BAD_PASSPHRASE", `the passphrase is not that of the database "${name}"`);
  }
}

type Parameters = Pick<LockRecord, "time" | "memory" | "salt">;

/** What is bound to the box: the salt is by the key. */
const about = (name: string, { time, memory }: Parameters) =>
  new TextEncoder().encode(`heddle/1/lock\0${time}\0${memory}\0${name}`);

async function wrappingKey(
  { time, memory, salt }: Parameters, passphrase: string, { argon2 }: LockOptions, signal: AbortSignal,
): Promise<CryptoKey> {
  const hex = (bytes: Uint8Array) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
  const key = await stretch(passphrase, { time, memory, salt: hex(salt) }, argon2, signal);
  return aes(Uint8Array.from(key.match(/../g)!, (byte) => parseInt(byte, 16)));
}

const aes = (raw: Uint8Array) =>
  crypto.subtle.importKey("raw", raw as BufferSource, "AES-GCM", false, ["encrypt", "decrypt"]);

/** Runs f with a signal that is the caller's, and its time. */
async function bound<T>(
  { signal, timeout }: CallOptions, f: (signal: AbortSignal) => Promise<T>, name: string,
): Promise<T> {
  checkName(name);
  const late = new AbortController();
  const timer = timeout === undefined ? undefined : setTimeout(() => late.abort(timeoutError(timeout)), timeout);
  try {
    return await f(signal ? AbortSignal.any([signal, late.signal]) : late.signal);
  } catch (error) {
    throw signal?.aborted ? abortError(signal) : late.signal.aborted ? late.signal.reason : error;
  } finally {
    clearTimeout(timer);
  }
}
