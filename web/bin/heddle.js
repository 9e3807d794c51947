#!/usr/bin/env node
// `npx heddle dev`: the sync server for development, without Go. The program itself is in a package for each platform,
// of which npm installs the one that fits; every command of `heddle help` is passed on to it.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { basename } from "node:path";

const platform = `${process.platform}-${process.arch}`;

/** The program: HEDDLE_BINARY, or that of the platform's package. */
function program() {
  const given = process.env.HEDDLE_BINARY;
  if (given) return given;
  const file = process.platform === "win32" ? "heddle.exe" : "heddle";
  try {
    return createRequire(import.meta.url).resolve(`@heddle/${platform}/bin/${file}`);
  } catch {
    console.error(`heddle: the package @heddle/${platform} is not installed. Install heddle without --omit=optional, ` +
      `or build the program with Go (go build ./cmd/heddle) and name it in HEDDLE_BINARY.`);
    process.exit(1);
  }
}

/** `dev` is `serve --dev` with its data beside the app; flags that follow count. */
function commandLine([command, ...rest]) {
  return command === "dev" ? ["serve", "--dev", "--data", ".heddle", ...rest] : [command ?? "help", ...rest];
}

const path = program();
const child = spawn(path, commandLine(process.argv.slice(2)), { stdio: "inherit" });
child.on("error", (error) => {
  console.error(`heddle: cannot start ${basename(path)}: ${error.message}`);
  process.exit(1);
});
// A terminal's Ctrl-C reaches both; the program ends in order, and this one after it.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) => process.exit(signal ? 1 : code));
