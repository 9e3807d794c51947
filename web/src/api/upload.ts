// What bulk and import share: a beginning that the leader answers at the end, and
// parts between. When the leader goes away in the middle nothing was written, and
// the parts are sent again; when it went at the very end, the next one knows.

import type { CallSpec } from "../rpc/call.js";
import type { ScopedCaller } from "../rpc/scoped-caller.js";

/** A part was refused, or its leader went away: the answer to the beginning says what follows. */
export class PartRefused extends Error {}

/** One leader's turn at the load. */
export class Attempt {
  readonly id: number;
  /** The load was answered, or begins again at another leader. */
  over = false;
  readonly ended: Promise<void>;
  end!: () => void;

  constructor(id: number) {
    this.id = id;
    this.ended = new Promise((resolve) => {
      this.end = () => {
        this.over = true;
        resolve();
      };
    });
  }
}

/**
 * Begins a load and has its parts sent, by a later leader again. once: the parts
 * cannot be had a second time, so a later leader is only asked whether it ended.
 */
export async function load<T>(
  caller: ScopedCaller, spec: Omit<CallSpec<T>, "sent"> & { write: number }, once: boolean,
  parts: (attempt: Attempt) => Promise<void>,
): Promise<T> {
  let attempt: Attempt | undefined;
  let next!: () => void;
  let begun = new Promise<void>((resolve) => { next = resolve; });
  let answered = false;
  let failed = false;
  const end = caller.call<T>({
    ...spec, ...(once ? { instead: spec.write } : {}),
    sent: (id) => {
      attempt?.end();
      if (failed) caller.cancel(id);
      else if (!attempt || !once) attempt = new Attempt(id);
      const now = next;
      begun = new Promise<void>((resolve) => { next = resolve; });
      now();
    },
  });
  const settled = () => {
    answered = true;
    attempt?.end();
  };
  // It may be answered, with an error, while parts are still being sent.
  const ended = end.then(settled, settled);
  let last: Attempt | undefined;
  for (;;) {
    if (attempt === last) await Promise.race([begun, ended]);
    if (answered) return end;
    if (!attempt || attempt === last) continue;
    last = attempt;
    try {
      await parts(last);
    } catch (error) {
      if (error instanceof PartRefused) continue;
      failed = true;
      if (!answered && attempt) caller.cancel(attempt.id);
      await ended;
      throw error;
    }
  }
}
