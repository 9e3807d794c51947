// The books of the soak: what was acknowledged, what failed and how, and whether
// the database agrees.
import { PARTS, type Kind, type Outcome, type Report } from "./report.js";

/** The errors after which a write may have taken effect or not: no call of the soak should get one. */
const AMBIGUOUS = "HEDDLE_LEADER_LOST";

/** One row of the database: a write, and how many rows it left. */
export interface Entry { instance: string; n: number; kind: Kind; rows: number }

export interface Verdict {
  writes: number;
  lost: string[];
  doubled: string[];
  torn: string[];
  /** Writes that were said not to have happened, and did. */
  phantom: string[];
}

export class Ledger {
  readonly #writes = new Map<string, Map<number, { kind: Kind; code: string }>>();
  /** The latest calls of each tab, for what a fault cost it. */
  readonly #recent = new Map<string, Outcome[]>();
  readonly codes = new Map<string, number>();
  /** Calls without an outcome, tabs that were not served in time, and leaders that never came. */
  readonly hung: string[] = [];
  readonly ended: string[] = [];
  readonly stale: string[] = [];
  readonly opens: number[] = [];
  calls = 0;
  acknowledged = 0;
  ambiguous = 0;

  take(report: Report): void {
    switch (report.t) {
      case "open":
        if (report.code === "ok") this.opens.push(report.ms);
        else this.#count(`open: ${report.code}`);
        break;
      case "hung":
        this.hung.push(`${report.what} of ${report.instance}`);
        break;
      case "ended":
        this.ended.push(`${report.code} in ${report.instance}`);
        break;
      case "call":
        this.#call(report);
    }
  }

  #call(call: Outcome): void {
    const { instance, n, kind, code } = call;
    this.calls++;
    let recent = this.#recent.get(instance);
    if (!recent) this.#recent.set(instance, recent = []);
    recent.push(call);
    if (code !== "ok") this.#count(`${kind}: ${code}`);
    if (kind === "query") {
      if (code.startsWith("read ")) this.stale.push(`${instance}: ${code}`);
      return;
    }
    if (code === "ok") this.acknowledged++;
    if (code === AMBIGUOUS) this.ambiguous++;
    let writes = this.#writes.get(instance);
    if (!writes) this.#writes.set(instance, writes = new Map());
    writes.set(n, { kind, code });
  }

  #count(what: string): void {
    this.codes.set(what, (this.codes.get(what) ?? 0) + 1);
  }

  /** Whether each of these tabs has answered a call that began after that time. */
  served(instances: readonly string[], since: number): boolean {
    return instances.every((instance) => this.#recent.get(instance)?.some((call) => call.start >= since &&
      call.code === "ok"));
  }

  /**
   * The longest wait of each of these tabs after a fault, of the calls that began before the next leader led. A tab
   * without such a call did not wait. Forgets what is older.
   */
  waits(instances: readonly string[], fault: number, led: number): number[] {
    const list: number[] = [];
    for (const instance of instances) {
      const held = (this.#recent.get(instance) ?? []).filter(({ start, end }) => end >= fault && start <= led);
      if (held.length > 0) list.push(Math.max(...held.map(({ start, end }) => end - Math.max(start, fault))));
    }
    for (const [instance, calls] of this.#recent) this.#recent.set(instance, calls.slice(-4));
    return list;
  }

  /** Compares with what the database holds. */
  judge(entries: readonly Entry[]): Verdict {
    const verdict: Verdict = { writes: entries.length, lost: [], doubled: [], torn: [], phantom: [] };
    const found = new Map<string, number>();
    for (const { instance, n, kind, rows } of entries) {
      const name = `${instance} ${n}`, whole = PARTS[kind];
      found.set(name, rows);
      if (rows > whole) verdict.doubled.push(name);
      else if (rows < whole) verdict.torn.push(name);
      const code = this.#writes.get(instance)?.get(n)?.code;
      if (code !== undefined && code !== "ok" && code !== AMBIGUOUS) verdict.phantom.push(`${name}: ${code}`);
    }
    for (const [instance, writes] of this.#writes) {
      for (const [n, { code }] of writes) {
        if (code === "ok" && !found.has(`${instance} ${n}`)) verdict.lost.push(`${instance} ${n}`);
      }
    }
    return verdict;
  }
}

/** The smallest value that a share of them does not exceed. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? NaN;
}
