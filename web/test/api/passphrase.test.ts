// argon2.js against the vectors of Go, in Node's WebAssembly.
import { deepEqual, throws } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { Argon2Answer, Argon2Request } from "../../src/sealed/argon2.js";
import { checkPassphrase } from "../../src/sealed/passphrase.js";

interface Vector { text: string; time: number; memory: number; salt: string; stretched: string }

test("argon2.js computes what Go does, of a text in NFC", async () => {
  const vectors = new URL("../../../sync/seal/testdata/vectors.json", import.meta.url);
  const { passphrase: v } = JSON.parse(readFileSync(vectors, "utf8")) as { passphrase: Vector };
  const worker = globalThis as unknown as { onmessage: (event: { data: Argon2Request }) => void };
  const answered = new Promise<Argon2Answer>((resolve) => Object.assign(globalThis, { postMessage: resolve }));
  await import("../../src/sealed/argon2.js");
  worker.onmessage({ data: { passphrase: v.text.normalize("NFC"), time: v.time, memory: v.memory, salt: v.salt } });
  deepEqual(await answered, { key: v.stretched });
});

test("a new passphrase has twelve characters in NFC", () => {
  checkPassphrase("twelve chars");
  for (const short of ["eleven char", "u\u0308".repeat(6), ""]) {
    throws(() => checkPassphrase(short), { code: "HEDDLE_BAD_PASSPHRASE" });
  }
  throws(() => checkPassphrase(undefined as unknown as string), { code: "HEDDLE_BAD_PARAM" });
});
