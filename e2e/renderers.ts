// Which process renders a page: the one that works while the page does.
import { readdir, readFile } from "node:fs/promises";
import type { RawChrome, RawPage } from "./rawchrome.js";

/** The time that each renderer below a process has computed so far, in ticks. */
async function renderers(root: number): Promise<Map<number, number>> {
  const parents = new Map<number, number>(), ticks = new Map<number, number>();
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, "utf8").catch(() => "");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (fields.length < 20) continue;
    parents.set(Number(name), Number(fields[1]));
    const command = await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "");
    if (command.includes("--type=renderer")) ticks.set(Number(name), Number(fields[11]) + Number(fields[12]));
  }
  for (const pid of [...ticks.keys()]) {
    let at: number | undefined = pid;
    while (at !== undefined && at > 1 && at !== root) at = parents.get(at);
    if (at !== root) ticks.delete(pid);
  }
  return ticks;
}

/**
 * The process id of the renderer of a page: the process that uses far more CPU time than any other while the page
 * works. Throws if none stands out.
 */
export async function rendererOf(chrome: RawChrome, page: RawPage): Promise<number> {
  let worked: [pid: number, ticks: number][] = [];
  for (let i = 0; i < 10; i++) { // other pages may be starting, or a machine busy
    const before = await renderers(chrome.pid);
    await page.evaluate(`(() => { let sum = 0; for (let i = 0; i < 5e8; i++) sum += i % 7; return sum; })()`);
    const after = await renderers(chrome.pid);
    worked = [...after].map(([pid, ticks]): [number, number] => [pid, ticks - (before.get(pid) ?? 0)])
      .sort((a, b) => b[1] - a[1]);
    const [first, second] = worked;
    if (first && first[1] >= 5 && first[1] >= 5 * (second?.[1] ?? 0)) return first[0];
  }
  throw new Error(`no renderer stands out: ${worked.join("; ")}`);
}
