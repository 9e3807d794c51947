// make first-part: writes the names of the functions that a start enters into
// wasm/first.txt. engine/split puts them into the first part of the program.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../harness.js";
import { entered } from "./entered.js";

/** What depends on the moment, as a collection that comes in between, differs from round to round. */
const ROUNDS = 5;

const HEAD = `# The functions of Go's program that a start enters: opening, migrating, writing, reading,
# live queries and transactions, with sync, up to its first request, and without; the first time, the
# next, and after the leading tab has gone. Made by "make first-part".
`;

const list = await entered(ROUNDS, console.log);
writeFileSync(join(root, "wasm/first.txt"), HEAD + list.join("\n") + "\n");
