// The key ring as Go sees it (jsbridge/keyring_js.go, wasm/keyring.go): bytes in,
// bytes out. Private keys stay here, and Go names them by number: 0 is the device.

import { importSealKeys, newSealKeys, signStatement, unwrapKey, verifyClaims, wrapKey, type Claim, type SealKeys,
} from "../keys/seal-suite.js";
import { Keyring } from "../keys/keyring.js";

const NOTHING = new Uint8Array();

export class KeyHost {
  readonly #ring: Keyring;
  readonly #identities: SealKeys[] = [];

  /** @param database the name that open() was given */
  constructor(database: string) {
    this.#ring = new Keyring(database);
  }

  /** The device's number and public keys. They are made once. */
  async device(): Promise<Uint8Array> {
    this.#identities[0] = await this.#ring.once("keys", newSealKeys);
    return this.#public(0);
  }

  /** The same of the keys that a recovery code opens. */
  async identity(signSeed: Uint8Array, boxKey: Uint8Array): Promise<Uint8Array> {
    if (this.#identities.length === 0) await this.device();
    this.#identities.push(await importSealKeys({ signSeed, boxKey }));
    return this.#public(this.#identities.length - 1);
  }

  sign(identity: number, statement: Uint8Array): Promise<Uint8Array> {
    return signStatement(this.#identities[identity]!, statement);
  }

  unwrap(identity: number, info: Uint8Array, wrapped: Uint8Array): Promise<Uint8Array> {
    return unwrapKey(this.#identities[identity]!, info, wrapped);
  }

  wrap(to: Uint8Array, info: Uint8Array, key: Uint8Array): Promise<Uint8Array> {
    return wrapKey(to, info, key);
  }

  /** 1 for each claim that holds. Of each: key, signature, u32 length of the statement, statement. */
  async verify(packed: Uint8Array): Promise<Uint8Array> {
    const claims: Claim[] = [];
    const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
    for (let at = 0; at < packed.length;) {
      const take = (length: number) => packed.slice(at, at += length);
      const key = take(32), signature = take(64), length = view.getUint32(at, true);
      at += 4;
      claims.push({ key, signature, statement: take(length) });
    }
    return Uint8Array.from(await verifyClaims(claims), Number);
  }

  async load(): Promise<Uint8Array> {
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
