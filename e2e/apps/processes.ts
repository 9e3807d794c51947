// Commands of the matrix. Each runs in a process group of its own, so that whatever it starts ends with it, and each
// has a bound, which ends what hangs on any machine.
import { spawn, type ChildProcessByStdio } from "node:child_process";
import type { Readable } from "node:stream";

const COMMAND_MS = 600_000;

const QUIET = {
  CI: "1", NO_COLOR: "1", FORCE_COLOR: "0", BROWSERSLIST_IGNORE_OLD_DATA: "1",
  NEXT_TELEMETRY_DISABLED: "1", NUXT_TELEMETRY_DISABLED: "1",
  npm_config_audit: "false", npm_config_fund: "false", npm_config_update_notifier: "false",
};

export interface Process {
  child: ChildProcessByStdio<null, Readable, Readable>;
  output(): string;
}

/** Starts a command of the shell; whoever does so ends it. */
export function start(command: string, cwd: string, env: Record<string, string> = {}): Process {
  const child = spawn("sh", ["-c", `exec ${command}`],
    { cwd, env: { ...process.env, ...QUIET, ...env }, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes) => { output += bytes; });
  return { child, output: () => output };
}

export function end({ child }: Process): void {
  try {
    process.kill(-child.pid!, "SIGKILL");
  } catch { /* it has ended */ }
}

/** Runs a command to its end; resolves with what it printed. */
export async function run(command: string, cwd: string, env?: Record<string, string>): Promise<string> {
  const running = start(command, cwd, env);
  const timer = setTimeout(() => end(running), COMMAND_MS);
  const code = await new Promise<number | null>((resolve) => running.child.on("close", resolve));
  clearTimeout(timer);
  if (code !== 0) throw new Error(`${command}: exit ${code}\n${running.output()}`);
  return running.output();
}
