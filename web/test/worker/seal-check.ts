// What WebCrypto must do for sealed spaces, against the vectors of sync/seal: run in
// Node, Chromium and Firefox.

import {
  importSealKeys, newSealKeys, signStatement, unwrapKey, verifyClaims, wrapKey,
} from "../../src/keys/seal-suite.js";

/** sync/seal/testdata/rfc.json and vectors.json, as far as they are used. */
export interface SealVectors {
  rfc: {
    ed25519: { seed: string; public: string; message: string; signature: string }[];
    hpke: { skEm: string; pkEm: string; skRm: string; pkRm: string; info: string; plaintext: string; wrapped: string };
  };
  ours: {
    key: string; wrapInfo: string; wrapped: string; signatureOfWrapInfo: string;
    sealed: Signed[]; batch: Signed[];
    devices: { signSeed: string; boxKey: string; sign: string; box: string }[];
  };
}

interface Signed { name: string; statement: string; signature: string }

const unhex = (s: string) => Uint8Array.from(s.match(/../g) ?? [], (hex) => parseInt(hex, 16));
const hex = (b: Uint8Array) => [...b].map((v) => v.toString(16).padStart(2, "0")).join("");

/** A key pair that is fixed, as a test of wrapping needs it: from Go's vectors, with its public half. */
async function pair(secret: string, open: string): Promise<CryptoKeyPair> {
  const { box } = await importSealKeys({ signSeed: unhex(secret), boxKey: unhex(secret) });
  return { privateKey: box, publicKey: await crypto.subtle.importKey("raw", unhex(open), "X25519", true, []) };
}

/** Returns what is wrong, and how many things were looked at. */
export async function checkSealSuite({ rfc, ours }: SealVectors): Promise<{ wrong: string[]; looked: number }> {
  const wrong: string[] = [];
  let looked = 0;
  const expect = (what: string, is: unknown, want: unknown) => {
    looked++;
    if (is !== want) wrong.push(`${what}: ${String(is)}, want ${String(want)}`);
  };
  const refuses = async (what: string, f: () => Promise<unknown>) =>
    expect(what, await f().then(() => "taken", (e: { code?: string }) => e.code), "HEDDLE_BAD_SEAL");

  for (const v of rfc.ed25519) {
    const keys = await importSealKeys({ signSeed: unhex(v.seed), boxKey: unhex(rfc.hpke.skRm) });
    expect("RFC 8032: a public key", hex(keys.signPublic), v.public);
    const statement = unhex(v.message), signature = unhex(v.signature);
    expect("RFC 8032: a signature", hex(await signStatement(keys, statement)), v.signature);
    const altered = signature.slice();
    altered[40]! ^= 1;
    const key = keys.signPublic;
    const [good, bad, none] = await verifyClaims([{ key, statement, signature },
      { key, statement, signature: altered }, { key: key.slice(1), statement, signature }]);
    expect("RFC 8032: a valid one", good, true);
    expect("RFC 8032: an altered one", bad, false);
    expect("a key that is cut short", none, false);
  }

  const r = rfc.hpke;
  const to = await importSealKeys({ signSeed: unhex(r.skRm), boxKey: unhex(r.skRm) });
  expect("RFC 9180: a public key", hex(to.boxPublic), r.pkRm);
  const ephemeral = await pair(r.skEm, r.pkEm);
  const again = await wrapKey(to.boxPublic, unhex(r.info), unhex(r.plaintext), ephemeral);
  expect("RFC 9180: wrapped", hex(again), r.wrapped);
  expect("RFC 9180: opened", hex(await unwrapKey(to, unhex(r.info), unhex(r.wrapped))), r.plaintext);

  const d = ours.devices[0]!;
  const device = await importSealKeys({ signSeed: unhex(d.signSeed), boxKey: unhex(d.boxKey) });
  expect("Go's public keys", hex(device.signPublic) + hex(device.boxPublic), d.sign + d.box);
  const info = unhex(ours.wrapInfo);
  expect("Go's wrapped key", hex(await unwrapKey(device, info, unhex(ours.wrapped))), ours.key);
  expect("Go's signature", hex(await signStatement(device, info)), ours.signatureOfWrapInfo);

  for (const v of [...ours.sealed, ...ours.batch]) {
    const claim = { key: device.signPublic, statement: unhex(v.statement), signature: unhex(v.signature) };
    const holds = await verifyClaims([claim, { ...claim, statement: claim.statement.map((b, i) => b ^ +(i === 20)) }]);
    expect(`Go's signature of ${v.name}`, holds.join(), "true,false");
    expect(`the same of ${v.name}`, hex(await signStatement(device, claim.statement)), v.signature);
  }

  const fresh = await newSealKeys();
  expect("the signing key can be read", fresh.sign.extractable, false);
  expect("the box key can be read", fresh.box.extractable, false);
  const wrapped = await wrapKey(fresh.boxPublic, info, unhex(ours.key));
  expect("a wrapped key's size", wrapped.length, 80);
  expect("a round trip", hex(await unwrapKey(fresh, info, wrapped)), ours.key);
  expect("two wraps are alike", hex(await wrapKey(fresh.boxPublic, info, unhex(ours.key))) === hex(wrapped), false);
  await refuses("another device's", () => unwrapKey(device, info, wrapped));
  await refuses("another info", () => unwrapKey(fresh, info.slice(1), wrapped));
  for (const at of [0, 31, 32, 79]) {
    const altered = wrapped.slice();
    altered[at]! ^= 1;
    await refuses(`byte ${at} altered`, () => unwrapKey(fresh, info, altered));
  }
  await refuses("cut short", () => unwrapKey(fresh, info, wrapped.slice(0, 60)));
  const zero = await wrapKey(new Uint8Array(32), info, unhex(ours.key)).then(() => "taken", () => "refused");
  expect("a public key of zeros", zero, "refused");
  return { wrong, looked };
}
