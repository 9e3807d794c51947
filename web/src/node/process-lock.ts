// A database's folder belongs to one process at a time: a file beside it names the process.

import { readFileSync, rmSync, writeFileSync } from "node:fs";

import { HeddleError } from "../shared/errors.js";

/** Takes the folder for this process, and returns what gives it back. HEDDLE_BLOCKED: another process has it. */
export function lockFolder(folder: string, name: string): () => void {
  const file = `${folder}.lock`;
  for (let tries = 0; ; tries++) {
    try {
      writeFileSync(file, String(process.pid), { flag: "wx" });
      return () => rmSync(file, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") {
        throw new HeddleError("HEDDLE_STORAGE", `open: cannot write ${file}: ${(error as Error).message}`,
          { cause: error });
      }
    }
    const owner = ownerOf(file);
    if (owner !== undefined && (tries > 0 || lives(owner))) {
      throw new HeddleError("HEDDLE_BLOCKED",
        `process ${owner} has the database "${name}" open; if no such process uses it, remove ${file}`);
    }
    rmSync(file, { force: true }); // of a process that has died
  }
}

function ownerOf(file: string): number | undefined {
  try {
    return Number(readFileSync(file, "utf8"));
  } catch {
    return undefined; // given back meanwhile
  }
}

// Signal 0 only asks. https://nodejs.org/api/process.html#processkillpid-signal
function lives(pid: number): boolean {
  if (pid === process.pid) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
