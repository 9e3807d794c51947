// heddle/sealed: the members of a space whose server orders what it cannot read, for a
// database opened with `sync: { …, sealed: true }`. What it is worth: docs/SECURITY.md.

import type { Database } from "../api/database.js";
import type { CallSpec, RequestOf } from "../rpc/call.js";
import * as messages from "../rpc/messages.gen.js";
import { HeddleError } from "../shared/errors.js";
import { concealText, Keyring, revealText } from "../keys/keyring.js";
import type { CallOptions } from "../shared/types.js";
import { checkPassphrase, stretch } from "./passphrase.js";

export { changeLock, forgetKeys, isLocked, openLock, type LockOptions } from "./lock.js";

/** "admin" adds and removes anybody, "write" writes and does so with devices of its own user, "read" reads. */
export type Role = "admin" | "write" | "read";

/** A device, a recovery code or a passphrase. */
export interface Member {
  id: string;
  /** Of a device, as it was told to `create`, `unlock` or `join`. Codes and passphrases have none. */
  name: string;
  role: Role;
  /** It is a recovery code. */
  code: boolean;
  /** It is a passphrase; with `code` one that needs a code as well. */
  passphrase: boolean;
  /** It is this device. */
  self: boolean;
}

/** A device that comes in by a link. */
export interface Joining {
  /** Six digits, which a person compares with those of the device that has made the link. */
  readonly digits: Promise<string>;
  /** Resolves when this device is a member. */
  readonly done: Promise<void>;
  cancel(): void;
}

export interface InviteOptions {
  /** What the device may do: "write" unless told otherwise. No more than this one. */
  role?: Role | undefined;
  /** Whose device it is: "mine" unless told otherwise. */
  user?: "mine" | "other" | undefined;
  /** The app's address, which the link leads to; that of the page unless told otherwise. */
  url?: string | URL | undefined;
}

/** An invitation: it is for one device, and for ten minutes. */
export interface Invitation {
  /** To be opened on the new device. Who gets hold of it can ask to be let in: the digits tell. */
  readonly link: Promise<string>;
  /** A device has opened the link: the name that it gives itself, and the digits that it must show. */
  readonly joining: Promise<{ name: string; digits: string }>;
  /** The new device shows the same digits, a person says: it is let in. */
  confirm(): void;
  cancel(): void;
  /** Resolves when the device is a member. */
  readonly done: Promise<void>;
}

const LINK = /^[^#]*#(?:.*&)?heddle=([\w-]+)/;

/** Whether an address has a link's secret: `location.href`, when the app starts. */
export const hasLink = (url: string | URL): boolean => LINK.test(String(url));

export interface SealedOptions {
  /** argon2.js of the package, where the bundler does not leave it beside the module. It is loaded for passphrases. */
  argon2?: string | URL | undefined;
}

/**
 * The members of the space that db syncs with. As long as this device has no keys, sync stands with HEDDLE_LOCKED, and
 * what is written waits: `create` makes the space, `join` and `unlock` bring the device into one.
 */
export function sealedSpace(db: Database, options: SealedOptions = {}): SealedSpace {
  return new SealedSpace(db, options);
}

export class SealedSpace {
  readonly #db: Database;
  readonly #keyring: Keyring;
  readonly #options: SealedOptions;

  /** @internal */
  constructor(db: Database, options: SealedOptions) {
    this.#db = db;
    this.#keyring = new Keyring(db.name, db.lock);
    this.#options = options;
  }

  /**
   * Makes the space, with this device as its admin. `name` is the device's, which members alone can read. The space
   * comes into being as sync goes on. HEDDLE_SEALED: it exists already, or this device has its keys.
   */
  create(name: string, options: CallOptions = {}): Promise<void> {
    return this.#ask(messages.sealedCreate(checkName(name)), options);
  }

  /** Lets this device in by a recovery code, as it was written down. HEDDLE_BAD_CODE: it is mistyped, or not valid. */
  async unlock(code: string, name: string, options: CallOptions = {}): Promise<void> {
    const concealed = await concealText(this.#keyring, code);
    return this.#ask(messages.sealedUnlock(checkName(name), concealed), options);
  }

  /**
   * Lets this device in by the passphrase of a user. It takes a second or so for each user of the space who has one,
   * and 64 MiB. A passphrase that was set `{ and: "code" }` needs that `code` as well. HEDDLE_BAD_PASSPHRASE: it opens
   * nothing there, or not by itself. HEDDLE_BAD_CODE: the code is mistyped.
   */
  async unlockByPassphrase(
    passphrase: string, name: string, { code, ...options }: CallOptions & { code?: string | undefined } = {},
  ): Promise<void> {
    const concealed = code === undefined ? "" : await concealText(this.#keyring, code);
    return this.#stretching(messages.sealedUnlockBy(checkName(name), concealed), passphrase, options);
  }

  /** Lets this device in by the link of another one: `location.href`, where the app was opened by it. */
  join(link: string | URL, name: string, options: CallOptions = {}): Joining {
    const digits = later<string>();
    const cancel = new AbortController();
    const done = (async () => {
      const secret = LINK.exec(String(link))?.[1];
      if (secret === undefined) throw new HeddleError("HEDDLE_BAD_CODE", "join: the address has no link's secret");
      const request = messages.sealedJoin(checkName(name), await concealText(this.#keyring, secret));
      await this.#ask(request, either(options, cancel), {
        chunk: (r) => digits.resolve(messages.readPairing(r).digits),
      });
    })();
    done.catch(digits.reject);
    return { digits: digits.promise, done, cancel: () => cancel.abort() };
  }

  /** Invites a device. Nothing is sent to it: the app shows the link, as text or as a QR code. */
  invite(invite: InviteOptions = {}, options: CallOptions = {}): Invitation {
    const link = later<string>(), joining = later<{ name: string; digits: string }>();
    const cancel = new AbortController();
    let id: number | undefined;
    const shown = async (concealed: string) => {
      const url = new URL(invite.url ?? location.href);
      url.hash = `heddle=${await revealText(this.#keyring, concealed)}`;
      return url.href;
    };
    const request = messages.sealedInvite(invite.role ?? "write", invite.user === "other");
    const done = this.#ask(request, either(options, cancel), {
      sent: (sent) => { id = sent; },
      chunk: (r) => {
        const pairing = messages.readPairing(r);
        if (pairing.link !== "") shown(pairing.link).then(link.resolve, link.reject);
        else joining.resolve({ name: pairing.name, digits: pairing.digits });
      },
    });
    done.catch((error: unknown) => {
      link.reject(error);
      joining.reject(error);
    });
    return {
      link: link.promise, joining: joining.promise, done,
      confirm: () => {
        if (id !== undefined) this.#db.tell(messages.sealedAnswer(id, ""));
      },
      cancel: () => cancel.abort(),
    };
  }

  /** All members, as far as the space's log is here. */
  members(options: CallOptions = {}): Promise<Member[]> {
    return this.#ask(messages.sealedMembers(), options) as Promise<Member[]>;
  }

  /**
   * Removes members by their ids, and begins with a new key, which they do not get: what is written from then on they
   * cannot read. What they have they keep.
   */
  remove(...ids: string[]): Promise<void> {
    if (ids.length === 0) throw new HeddleError("HEDDLE_BAD_PARAM", "remove takes at least one id");
    return this.#ask(messages.sealedRemove(ids), {});
  }

  /** Begins with a new key. */
  rotate(options: CallOptions = {}): Promise<void> {
    return this.#ask(messages.sealedRemove([]), options);
  }

  /**
   * A code to be written down, for when all devices are lost: with it a device of the same user comes in. Codes made
   * before stay valid until they are removed.
   */
  async newRecoveryCode(options: CallOptions = {}): Promise<string> {
    return revealText(this.#keyring, await this.#ask(messages.sealedCode(), options));
  }

  /**
   * Sets the passphrase of this device's user, of at least 12 characters: with it a device comes in as by a code. Who
   * has the server's data can guess at it, slowly; nobody can guess at a code. One that the user had before opens
   * nothing any more, and there is a new key. HEDDLE_BAD_PASSPHRASE: it is too short.
   *
   * `{ and: "code" }` returns a code to be written down, which is needed as well: neither opens anything alone, so who
   * has the server's data has nothing to guess at. Codes of newRecoveryCode() open the space until they are removed.
   */
  setPassphrase(passphrase: string, options: CallOptions & { and: "code" }): Promise<string>;
  setPassphrase(passphrase: string, options?: CallOptions & { and?: undefined }): Promise<void>;
  async setPassphrase(
    passphrase: string, { and, ...options }: CallOptions & { and?: "code" | undefined } = {},
  ): Promise<string | void> {
    checkPassphrase(passphrase);
    if (and !== undefined && and !== "code") throw new HeddleError("HEDDLE_BAD_PARAM", `setPassphrase: and is "code"`);
    const concealed = await this.#stretching(messages.sealedPassphrase(and === "code"), passphrase, options);
    if (and === "code") return revealText(this.#keyring, concealed);
  }

  /**
   * What has stopped sync last with HEDDLE_TAMPERED, as a file that anyone can check with `heddle evidence FILE`;
   * undefined where nothing has. It has no rows and no keys, but says which devices are members, and what one of them
   * has written, encrypted.
   */
  async evidence(options: CallOptions = {}): Promise<Uint8Array | undefined> {
    const file = await this.#db.ask({ ...messages.sealedEvidence(), ...options, result: (r) => r.bytes.slice(r.at) });
    return file.length > 0 ? file : undefined;
  }

  /**
   * 30 digits of the space's log up to an entry, the last one unless told otherwise: two members who read out the same
   * for one entry have the same history. HEDDLE_NOT_FOUND: the entry is not here yet, or too old.
   */
  fingerprint({ seq = 0, ...options }: CallOptions & { seq?: number } = {}): Promise<{ seq: number; digits: string }> {
    return this.#ask(messages.sealedFingerprint(seq), options);
  }

  /** Makes a call that has this page compute Argon2id of a passphrase. */
  async #stretching<T>(request: RequestOf<T>, passphrase: string, options: CallOptions): Promise<T> {
    const failed = later<never>();
    const over = new AbortController();
    let id = 0;
    const answer = async (kdf: messages.KDF) => {
      const key = await stretch(passphrase, kdf, this.#options.argon2, over.signal);
      this.#db.tell(messages.sealedAnswer(id, await concealText(this.#keyring, key)));
    };
    const done = this.#ask(request, either(options, over), {
      sent: (sent) => { id = sent; },
      chunk: (r) => { answer(messages.readKDF(r)).catch(failed.reject); },
    });
    try {
      return await Promise.race([done, failed.promise]);
    } finally {
      over.abort();
    }
  }

  #ask<T>(
    request: RequestOf<T>, { signal, timeout }: CallOptions, parts: Pick<CallSpec<T>, "sent" | "chunk"> = {},
  ): Promise<T> {
    return this.#db.ask({ ...request, signal, timeout, ...parts });
  }
}

function checkName(name: string): string {
  if (typeof name === "string" && name.trim() !== "" && name.length <= 200) return name;
  throw new HeddleError("HEDDLE_BAD_PARAM", "a device's name has 1 to 200 characters");
}

function either(options: CallOptions, { signal }: AbortController): CallOptions {
  return { ...options, signal: options.signal ? AbortSignal.any([options.signal, signal]) : signal };
}

/** A promise that is settled from outside; nobody has to look at it. */
function later<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: unknown) => void } {
  let resolve!: (value: T) => void, reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  promise.catch(() => {});
  return { promise, resolve, reject };
}
