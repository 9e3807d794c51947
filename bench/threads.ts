// What the threads of a browser's pages and workers have had of the processors, by the kernel's account; Linux only.
// Unlike a time on the clock it does not grow with what else the machine does.
import { readdir, readFile } from "node:fs/promises";

export interface Thread {
  readonly pid: number;
  readonly tid: number;
  /** The page's own thread is its process's first; workers' are named by the browser. */
  readonly kind: "page" | "worker" | "other";
}

const text = (path: string) => readFile(path, "utf8").catch(() => ""); // it may have ended meanwhile
const numbers = async (path: string) => (await readdir(path).catch(() => [])).map(Number).filter((n) => n > 0);

/** The processes of the browser on this profile, with their command lines. */
async function processes(profile: string): Promise<Map<number, string>> {
  const all = await Promise.all((await numbers("/proc")).map(async (pid) => {
    const [command, stat] = await Promise.all([text(`/proc/${pid}/cmdline`), text(`/proc/${pid}/stat`)]);
    return { pid, command, parent: Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) };
  }));
  const mine = new Map<number, string>();
  for (let before = -1; before !== mine.size;) {
    before = mine.size;
    for (const { pid, command, parent } of all) {
      if (command.includes(`--user-data-dir=${profile}`) || mine.has(parent)) mine.set(pid, command);
    }
  }
  return mine;
}

/** The threads of the renderers of the browser on this profile. */
export async function rendererThreads(profile: string): Promise<Thread[]> {
  const threads: Thread[] = [];
  for (const [pid, command] of await processes(profile)) {
    if (!command.includes("--type=renderer")) continue;
    for (const tid of await numbers(`/proc/${pid}/task`)) {
      const name = (await text(`/proc/${pid}/task/${tid}/comm`)).trim();
      const kind = tid === pid ? "page" : /^(Dedicated|Shared)Worker/.test(name) ? "worker" : "other";
      threads.push({ pid, tid, kind });
    }
  }
  return threads;
}

/** The processor time of a thread, in milliseconds. */
export async function threadTime({ pid, tid }: Thread): Promise<number> {
  return Number((await text(`/proc/${pid}/task/${tid}/schedstat`)).split(" ")[0]) / 1e6;
}

/** The processor time of the whole browser, in milliseconds: all its processes, the ended threads included. */
export async function browserTime(profile: string): Promise<number> {
  let ticks = 0;
  for (const pid of (await processes(profile)).keys()) {
    const stat = await text(`/proc/${pid}/stat`);
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    ticks += Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
  }
  return ticks * 10; // of a hundredth of a second each, on every Linux
}
