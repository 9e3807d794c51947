// A state machine as a log: events in, effects out. Time is an event.

import assert from "node:assert/strict";

type Call = readonly [name: string, ...args: unknown[]];

/** An effect as a line: an error by its code, an object by its values. */
function line([name, ...args]: Call): string {
  const words = args.map((arg) => {
    if (arg instanceof Error) return (arg as Error & { code: string }).code;
    return typeof arg === "object" ? Object.values(arg!).map(word).join(" ") : word(arg);
  });
  return [name, ...words].join(" ").trim();
}

function word(value: unknown): string {
  if (value === undefined) return "";
  return typeof value === "object" ? (value as { code: string }).code : `${value as string}`;
}

/** An event, or a time to wait, then the effects that it has; or what is done to the machine in between. */
export type Step<E> = [event: E | number | (() => void), ...effects: string[]];

/** A machine whose time is told. */
export class EventLog<E extends Call, M extends { step(event: E, now: number): Call[] }> {
  readonly machine: M;
  now = 0;
  readonly #timers = new Map<string, number>();

  constructor(machine: M) {
    this.machine = machine;
  }

  /** The event of a timer. */
  timed(timer: string): E {
    return [timer] as unknown as E;
  }

  /** Whether the timer's effects are left out of the log. */
  silent(_timer: string): boolean {
    return false;
  }

  /** Takes the event, and returns its effects; not those on timers that change nothing. */
  take(event: E): string[] {
    const lines: string[] = [];
    for (const effect of this.machine.step(event, this.now)) {
      if (effect[0] === "timer") {
        const [, timer, ms] = effect as ["timer", string, number?];
        const running = this.#timers.delete(timer);
        if (ms !== undefined) this.#timers.set(timer, this.now + ms);
        if (this.silent(timer) || ms === undefined && !running) continue;
      }
      lines.push(line(effect));
    }
    return lines;
  }

  wait(ms: number): string[] {
    const lines: string[] = [];
    const end = this.now + ms;
    for (;;) {
      const [next] = [...this.#timers].filter(([, at]) => at <= end).sort(([, a], [, b]) => a - b);
      if (!next) break;
      const [timer, at] = next;
      this.#timers.delete(timer);
      this.now = at;
      lines.push(...this.take(this.timed(timer)));
    }
    this.now = end;
    return lines;
  }

  get timers(): string[] {
    return [...this.#timers.keys()];
  }

  /** Plays a log. */
  play(log: readonly Step<E>[]): this {
    log.forEach(([event, ...effects], i) => {
      if (typeof event === "function") return event();
      const got = typeof event === "number" ? this.wait(event) : this.take(event);
      assert.deepEqual(got, effects, `${i}: ${JSON.stringify(event)}`);
    });
    return this;
  }
}
