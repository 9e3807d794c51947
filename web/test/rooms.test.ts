// The import table of ARCHITECTURE.md for web/src: folders are named by where
// their code runs, imports run downward only, and modules make no circle.
import { deepEqual } from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const src = fileURLToPath(new URL("../src/", import.meta.url));

/** Which folders each folder may import. "" is the package's face. */
const allowed: Record<string, readonly string[]> = {
  "": ["api", "shared"],
  api: ["tabs", "rpc", "shared"],
  tabs: ["rpc", "shared"],
  rpc: ["shared"],
  sealed: ["api", "tabs", "rpc", "keys", "shared"],
  adapters: ["api", "rpc", "shared"],
  node: ["api", "tabs", "rpc", "worker", "shared"],
  worker: ["keys", "shared"],
  keys: ["shared"],
  broker: ["shared"],
  shared: [],
};

const modules = readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts") && !name.endsWith(".d.ts"));
const folder = (module: string) => (module.includes("/") ? module.slice(0, module.indexOf("/")) : "");

function imports(module: string): string[] {
  const text = readFileSync(join(src, module), "utf8");
  return [...text.matchAll(/ from "(\.[^"]+)\.js"/g)].map(([, path]) => normalize(join(dirname(module), `${path}.ts`)));
}

const graph = new Map(modules.map((module) => [module, imports(module)]));

test("every module lies in a folder of the table", () => {
  deepEqual(modules.filter((module) => !(folder(module) in allowed)), []);
});

test("imports run downward", () => {
  const upward: string[] = [];
  for (const [module, targets] of graph) {
    const from = folder(module);
    for (const target of targets) {
      const to = folder(target);
      if (to !== from && !allowed[from]?.includes(to)) upward.push(`${module} imports ${target}`);
    }
  }
  deepEqual(upward, []);
});

test("modules make no circle", () => {
  const state = new Map<string, "open" | "done">();
  const circles: string[] = [];
  const visit = (module: string, path: string[]) => {
    if (state.get(module) === "done") return;
    if (state.get(module) === "open") {
      circles.push([...path.slice(path.indexOf(module)), module].join(" -> "));
      return;
    }
    state.set(module, "open");
    for (const target of graph.get(module) ?? []) visit(target, [...path, module]);
    state.set(module, "done");
  };
  for (const module of modules) visit(module, []);
  deepEqual(circles, []);
});

test("no folder has twenty modules", () => {
  const count: Record<string, number> = {};
  for (const module of modules) count[folder(module)] = (count[folder(module)] ?? 0) + 1;
  deepEqual(Object.entries(count).filter(([, n]) => n >= 20), []);
});
