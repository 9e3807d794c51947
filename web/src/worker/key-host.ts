// The key ring as Go sees it (jsbridge/keyring_js.go, wasm/keyring.go): bytes in,
// bytes out. Private keys stay here, and Go names them by number: 0 is the device.

import { importSealKeys, newSealKeys, signStatement, unwrapKey, verifyClaims, wrapKey, type Claim, type SealKeys,
} from "../keys/seal-suite.js";
import { Keyring } from "../keys/keyring.js";

const NOTHING = new Uint8Array();
const SIGNATURE = 64, SEED = 32;

/** Takes what Go has put together, from the first byte on. */
function unpacked(packed: Uint8Array) {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  let at = 0;
  const bytes = (length: number) => packed.slice(at, at += length);
  return {
    get done() { return at >= packed.length; },
    bytes,
    /** What has its length before it. */
    long() {
      const length = view.getUint32(at, true);
      at += 4;
      return bytes(length);
    },
  };
}

/** The private keys of a new device, for a ring that is locked. */
const newDevice = () => crypto.getRandomValues(new Uint8Array(2 * SEED));

async function importDevice(secret: Uint8Array): Promise<SealKeys> {
  const keys = await importSealKeys({ signSeed: secret.subarray(0, SEED), boxKey: secret.subarray(SEED) });
  secret.fill(0);
  return keys;
}

export class KeyHost {
  readonly #ring: Keyring;
  readonly #identities: SealKeys[] = [];

  /**
   * @param database the name that open() was given
   * @param lock the key of a locked ring
   */
  constructor(database: string, lock: CryptoKey | undefined) {
    this.#ring = new Keyring(database, lock);
  }

  /** The device's number and public keys. They are made once. */
  async device(): Promise<Uint8Array> {
    const ring = this.#ring;
    this.#identities[0] = ring.locked
      ? await importDevice(await ring.reveal(await ring.once("keys", () => ring.conceal(newDevice()))))
      : await ring.once("keys", newSealKeys);
    return this.#public(0);
  }

  /** The same of the keys that a recovery code opens. */
  async identity(signSeed: Uint8Array, boxKey: Uint8Array): Promise<Uint8Array> {
    if (this.#identities.length === 0) await this.device();
    this.#identities.push(await importSealKeys({ signSeed, boxKey }));
    return this.#public(this.#identities.length - 1);
  }

  /** The signatures of statements, each with its length before it as a u32. */
  async sign(identity: number, packed: Uint8Array): Promise<Uint8Array> {
    const keys = this.#identities[identity]!, take = unpacked(packed);
    const signing: Promise<Uint8Array>[] = [];
    while (!take.done) signing.push(signStatement(keys, take.long()));
    const signatures = await Promise.all(signing), all = new Uint8Array(signatures.length * SIGNATURE);
    signatures.forEach((signature, i) => all.set(signature, i * SIGNATURE));
    return all;
  }

  unwrap(identity: number, info: Uint8Array, wrapped: Uint8Array): Promise<Uint8Array> {
    return unwrapKey(this.#identities[identity]!, info, wrapped);
  }

  wrap(to: Uint8Array, info: Uint8Array, key: Uint8Array): Promise<Uint8Array> {
    return wrapKey(to, info, key);
  }

  /** 1 for each claim that holds. Of each: key, signature, u32 length of the statement, statement. */
  async verify(packed: Uint8Array): Promise<Uint8Array> {
    const claims: Claim[] = [], take = unpacked(packed);
    while (!take.done) claims.push({ key: take.bytes(32), signature: take.bytes(SIGNATURE), statement: take.long() });
    return Uint8Array.from(await verifyClaims(claims), Number);
  }

  async load(): Promise<Uint8Array> {
    await this.#ring.check();
    const kept = await this.#ring.get<Uint8Array>("pass");
    return kept === undefined ? NOTHING : this.#ring.reveal(kept);
  }

  async save(data: Uint8Array): Promise<Uint8Array> {
    await this.#ring.put("pass", data.length === 0 ? undefined : await this.#ring.conceal(data));
    return NOTHING;
  }

  conceal(bytes: Uint8Array): Promise<Uint8Array> {
    return this.#ring.conceal(bytes);
  }

  reveal(bytes: Uint8Array): Promise<Uint8Array> {
    return this.#ring.reveal(bytes);
  }

  #public(identity: number): Uint8Array {
    const { signPublic, boxPublic } = this.#identities[identity]!;
    return Uint8Array.of(identity, ...signPublic, ...boxPublic);
  }
}
