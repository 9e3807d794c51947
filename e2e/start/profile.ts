// make first-part: writes the functions that a start enters into wasm/first.txt, by
// name, and into engine/first.txt, by number. engine/split puts them into the first
// part of each program.

import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../harness.js";
import { entered } from "./entered.js";

/** What depends on the moment, as a collection that comes in between, differs from round to round. */
const ROUNDS = 5;

const HEAD = `# The functions of Go's program that a start enters: opening, migrating, writing, reading,
# live queries and transactions, with sync, up to its first request, and without; the first time, the
# next, and after the leading tab has gone; and what answers with errors. Made by "make first-part".
`;

const ENGINE_HEAD = `# The functions of sqlite3.wasm that a start and everyday statements enter, by number,
# for the build with this SHA-256. Made by "make first-part".
`;

/** Numbers as ranges, as many a line as fit. */
function ranges(numbers: readonly number[]): string {
  const out: string[] = [];
  for (let i = 0; i < numbers.length; i++) {
    const from = numbers[i]!;
    while (numbers[i + 1] === numbers[i]! + 1) i++;
    out.push(numbers[i] === from ? `${from}` : `${from}-${numbers[i]}`);
  }
  return out.join(" ").replace(/(.{1,110})( |$)/g, "$1\n");
}

const { go, sqlite } = await entered(ROUNDS, console.log);
writeFileSync(join(root, "wasm/first.txt"), HEAD + go.join("\n") + "\n");
const engine = readFileSync(join(root, "engine/sqlite3.wasm"));
const sum = createHash("sha256").update(engine).digest("hex");
writeFileSync(join(root, "engine/first.txt"), `${ENGINE_HEAD}${sum}\n${ranges(sqlite)}`);
