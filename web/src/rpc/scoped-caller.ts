// The calls of one open(). Several of a page share a Caller, which has one line to the leader: each ends alone.

import type { CallSpec, Request } from "./call.js";
import type { Caller } from "./client.js";
import type { LiveDelivery } from "./live-delivery.js";
import type { Nesting } from "./nested-writes.js";
import type { HeddleError } from "../shared/errors.js";

export class ScopedCaller {
  readonly #caller: Caller;
  #end: HeddleError | undefined;

  /** What comes of live queries, those of the page's other members too. */
  readonly lives: LiveDelivery;

  constructor(caller: Caller, lives: LiveDelivery) {
    this.#caller = caller;
    this.lives = lives;
  }

  /** Whether a leader answers now. */
  get ready(): boolean {
    return this.#caller.ready;
  }

  /** Why calls are refused. */
  get ended(): HeddleError | undefined {
    return this.#end ?? this.#caller.ended;
  }

  get nesting(): Nesting {
    return this.#caller.nesting;
  }

  newWrite(): number {
    return this.#caller.newWrite();
  }

  settled(write: number): void {
    this.#caller.settled(write);
  }

  call<T>(spec: CallSpec<T>): Promise<T> {
    if (!this.#end) return this.#caller.call(spec, this);
    if (spec.write !== undefined) this.settled(spec.write);
    return Promise.reject(this.#end.clone());
  }

  /** Sends a request that has no reply, also after the end: what the leader holds for a call has to be freed. */
  tell(request: Request): void {
    this.#caller.tell(request);
  }

  cancel(id: number): void {
    this.#caller.cancel(id);
  }

  /** Ends its calls, now and to come, with error. The others' go on. */
  end(error: HeddleError): void {
    if (this.ended) return;
    this.#end = error;
    this.#caller.endCalls(this, error);
  }
}
