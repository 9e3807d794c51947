// A server of sealed spaces that lies when it is told to: e2e/liar, a real one with a wrapper around it.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, test as base } from "../fixtures.js";
import { root } from "../harness.js";

interface Liar {
  url: string;
  attacks: { name: string; kind: string; seq: number }[];
  /** What it does from now on: a query of /lie; "" is nothing. */
  lie(how: string): Promise<void>;
}

export const test = base.extend<{ liar: Liar; liarFlags: string[] }>({
  /** More of the program's flags. */
  liarFlags: [[], { option: true }],
  liar: async ({ liarFlags }, use) => {
    const data = mkdtempSync(join(tmpdir(), "heddle-liar-")), binary = join(root, ".cache/liar");
    mkdirSync(join(root, ".cache"), { recursive: true });
    execFileSync("go", ["build", "-o", binary, "./e2e/liar"], { cwd: root });
    const child = spawn(binary, ["-data", data, ...liarFlags], { stdio: ["ignore", "pipe", "inherit"] });
    const [url] = await once(createInterface(child.stdout), "line") as [string];
    const attacks = await (await fetch(`${url}/lies`)).json() as Liar["attacks"];
    await use({ url, attacks, async lie(how) {
      expect((await fetch(`${url}/lie?${how}`, { method: "POST" })).status).toBe(200);
    } });
    child.kill("SIGKILL");
    await once(child, "exit");
    rmSync(data, { recursive: true, force: true });
  },
});
