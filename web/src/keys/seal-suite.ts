// The cryptography with public keys of sealed spaces, by WebCrypto: what package
// sync/seal calls a Suite. Private keys are made here and cannot be read out.
//
// HPKE is RFC 9180's base mode for one message: DHKEM(X25519, HKDF-SHA256),
// HKDF-SHA256, AES-256-GCM. Everything that it derives is one HMAC long or shorter.

import { HeddleError } from "../shared/errors.js";

/** A device's keys. */
export interface SealKeys {
  /** Ed25519; it cannot be exported. */
  sign: CryptoKey;
  /** X25519; it cannot be exported. */
  box: CryptoKey;
  /** The public keys, 32 bytes each. */
  signPublic: Uint8Array;
  boxPublic: Uint8Array;
}

/** A signature with what it is said to be of. */
export interface Claim {
  /** Ed25519 public key, 32 bytes. */
  key: Uint8Array;
  statement: Uint8Array;
  /** 64 bytes. */
  signature: Uint8Array;
}

const OP = "seal";
const KEM = suiteId("KEM", 0x0020);
const HPKE = suiteId("HPKE", 0x0020, 0x0001, 0x0002);
const EMPTY = new Uint8Array();
/** HMAC pads its key with zeros, and WebCrypto takes no empty one. */
const NO_SALT = new Uint8Array(32);
/** What stands before 32 bytes of a private key in PKCS #8 (RFC 8410, section 7). */
const PKCS8 = { Ed25519: "302e020100300506032b657004220420", X25519: "302e020100300506032b656e04220420" } as const;

/**
 * New keys for a device.
 * @throws HeddleError HEDDLE_UNSUPPORTED where the browser has no Ed25519 or X25519.
 */
export async function newSealKeys(): Promise<SealKeys> {
  try {
    const sign = await crypto.subtle.generateKey("Ed25519", false, ["sign", "verify"]);
    const box = await crypto.subtle.generateKey("X25519", false, ["deriveBits"]);
    return { sign: sign.privateKey, box: box.privateKey, signPublic: await raw(sign), boxPublic: await raw(box) };
  } catch (cause) {
    throw new HeddleError("HEDDLE_UNSUPPORTED", "this browser has no Ed25519 or X25519: sealed spaces need both",
      { op: OP, cause });
  }
}

/** The keys of a slot, from the 32 bytes of each private key. They cannot be exported again. */
export async function importSealKeys(keys: { signSeed: Uint8Array; boxKey: Uint8Array }): Promise<SealKeys> {
  const [sign, signPublic] = await importPrivate("Ed25519", keys.signSeed, ["sign"]);
  const [box, boxPublic] = await importPrivate("X25519", keys.boxKey, ["deriveBits"]);
  return { sign, box, signPublic, boxPublic };
}

/** Signs a statement: 64 bytes. */
export async function signStatement(keys: SealKeys, statement: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.sign("Ed25519", keys.sign, bytes(statement)));
}

/** Reports for each claim whether its signature is valid. */
export function verifyClaims(claims: readonly Claim[]): Promise<boolean[]> {
  return Promise.all(claims.map(async ({ key, statement, signature }) => {
    try {
      const imported = await crypto.subtle.importKey("raw", bytes(key), "Ed25519", false, ["verify"]);
      return await crypto.subtle.verify("Ed25519", imported, bytes(signature), bytes(statement));
    } catch (e) {
      if (e instanceof DOMException && e.name === "NotSupportedError") throw e;
      return false; // no key at all
    }
  }));
}

/**
 * Encrypts the key of an epoch for who has the private key of `to`: the encapsulated key, then the box, 80 bytes.
 * @param ephemeral drawn anew each time; tests fix it
 */
export async function wrapKey(to: Uint8Array, info: Uint8Array, key: Uint8Array, ephemeral?: CryptoKeyPair):
  Promise<Uint8Array> {
  ephemeral ??= await crypto.subtle.generateKey("X25519", false, ["deriveBits"]);
  const enc = await raw(ephemeral);
  const { aes, iv } = await schedule(await exchange(ephemeral.privateKey, to), enc, to, info, "encrypt");
  return join(enc, new Uint8Array(await crypto.subtle.encrypt({ name: "AES-GCM", iv }, aes, bytes(key))));
}

/**
 * Opens what wrapKey has made.
 * @throws HeddleError HEDDLE_BAD_SEAL where it is for another device, epoch or space, or altered.
 */
export async function unwrapKey(keys: SealKeys, info: Uint8Array, wrapped: Uint8Array): Promise<Uint8Array> {
  try {
    const enc = wrapped.slice(0, 32);
    const { aes, iv } = await schedule(await exchange(keys.box, enc), enc, keys.boxPublic, info, "decrypt");
    return new Uint8Array(await crypto.subtle.decrypt({ name: "AES-GCM", iv }, aes, bytes(wrapped.slice(32))));
  } catch (cause) {
    throw new HeddleError("HEDDLE_BAD_SEAL", "the key is wrapped for another device, or was altered",
      { op: OP, cause });
  }
}

/** X25519. WebCrypto refuses a secret of zeros itself. */
async function exchange(mine: CryptoKey, theirs: Uint8Array): Promise<Uint8Array> {
  const key = await crypto.subtle.importKey("raw", bytes(theirs), "X25519", true, []);
  return new Uint8Array(await crypto.subtle.deriveBits({ name: "X25519", public: key }, mine, 256));
}

/** The key and the nonce of the one message: RFC 9180, sections 4.1 and 5.1. */
async function schedule(dh: Uint8Array, enc: Uint8Array, to: Uint8Array, info: Uint8Array,
  usage: "encrypt" | "decrypt"): Promise<{ aes: CryptoKey; iv: Uint8Array<ArrayBuffer> }> {
  const prk = await extract(KEM, NO_SALT, "eae_prk", dh);
  const shared = await expand(KEM, prk, "shared_secret", join(enc, to), 32);
  const context = join(Uint8Array.of(0), await extract(HPKE, NO_SALT, "psk_id_hash", EMPTY),
    await extract(HPKE, NO_SALT, "info_hash", info));
  const secret = await extract(HPKE, shared, "secret", EMPTY);
  const key = await expand(HPKE, secret, "key", context, 32);
  return { iv: await expand(HPKE, secret, "base_nonce", context, 12),
    aes: await crypto.subtle.importKey("raw", key, "AES-GCM", false, [usage]) };
}

/** LabeledExtract of RFC 9180, section 4. */
const extract = (suite: Uint8Array, salt: Uint8Array, label: string, ikm: Uint8Array) =>
  hmac(salt, join(text("HPKE-v1"), suite, text(label), ikm));

/** LabeledExpand of RFC 9180, section 4, for at most 32 bytes. */
const expand = async (suite: Uint8Array, prk: Uint8Array, label: string, info: Uint8Array, length: number) =>
  (await hmac(prk, join(Uint8Array.of(0, length), text("HPKE-v1"), suite, text(label), info, Uint8Array.of(1))))
    .slice(0, length);

async function hmac(key: Uint8Array, message: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const imported = await crypto.subtle.importKey("raw", bytes(key), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", imported, bytes(message)));
}

/** The key, which cannot be exported, and its public half, which one that can be exported tells. */
async function importPrivate(name: keyof typeof PKCS8, key: Uint8Array, usages: KeyUsage[]):
  Promise<[CryptoKey, Uint8Array]> {
  const head = Uint8Array.from(PKCS8[name].match(/../g)!, (hex) => parseInt(hex, 16));
  const read = (extractable: boolean) =>
    crypto.subtle.importKey("pkcs8", bytes(join(head, key)), name, extractable, usages);
  const { x } = await crypto.subtle.exportKey("jwk", await read(true));
  const half = atob(x!.replace(/-/g, "+").replace(/_/g, "/"));
  return [await read(false), Uint8Array.from(half, (c) => c.charCodeAt(0))];
}

async function raw(pair: CryptoKeyPair): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
}

function suiteId(name: string, ...ids: number[]): Uint8Array {
  return join(text(name), ...ids.map((id) => Uint8Array.of(id >> 8, id & 0xff)));
}

function text(s: string): Uint8Array {
  return new TextEncoder().encode(s);
}

function join(...parts: Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** WebCrypto takes no views of shared memory: none of ours is. */
const bytes = (b: Uint8Array) => b as Uint8Array<ArrayBuffer>;
