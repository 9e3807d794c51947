import { deepEqual, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { checkSealSuite } from "./seal-check.js";

const read = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../../sync/seal/testdata/${name}`, import.meta.url), "utf8"));

test("Node's WebCrypto agrees with the vectors of the RFCs and of Go", async () => {
  const { wrong, looked } = await checkSealSuite({ rfc: read("rfc.json"), ours: read("vectors.json") });
  deepEqual(wrong, []);
  ok(looked >= 25, `only ${looked} things were looked at`);
});
