// Resident memory of a browser's renderers, from /proc; Linux only.
import { readdir, readFile } from "node:fs/promises";

async function processes() {
  const found = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const command = await readFile(`/proc/${name}/cmdline`, "utf8");
      const stat = await readFile(`/proc/${name}/stat`, "utf8");
      found.push({ pid: name, parent: stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1], command });
    } catch { /* it ended meanwhile */ }
  }
  return found;
}

/** Bytes that the renderers of the browser on this profile hold for themselves. */
export async function residentOf(profile) {
  const all = await processes();
  const mine = new Set(all.filter(({ command }) => command.includes(`--user-data-dir=${profile}`))
    .map(({ pid }) => pid));
  for (let grown = true; grown;) {
    grown = false;
    for (const { pid, parent } of all) if (mine.has(parent) && !mine.has(pid)) { mine.add(pid); grown = true; }
  }
  let total = 0;
  for (const { pid, command } of all) {
    if (!mine.has(pid) || !command.includes("--type=renderer")) continue;
    const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => "");
    for (const [, kib] of rollup.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB/gm)) total += Number(kib) * 1024;
  }
  return total;
}
