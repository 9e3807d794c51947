// A sync server for the tests: HEDDLE names the program, which `make build` leaves in bin/.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

export default async function setup({ provide }) {
  const data = mkdtempSync(join(tmpdir(), "notes-server-"));
  const server = spawn(process.env.HEDDLE ?? "heddle", ["serve", "--dev", "--addr", "127.0.0.1:0", "--data", data],
    { stdio: ["ignore", "pipe", "inherit"] });
  for await (const line of createInterface(server.stdout)) {
    const [url] = /http:\/\/[\d.:]+/.exec(line) ?? [];
    if (!url) continue;
    provide("server", url);
    break;
  }
  return () => {
    server.kill();
    rmSync(data, { recursive: true });
  };
}
