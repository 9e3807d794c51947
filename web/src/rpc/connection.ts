// What the database needs from below: something that carries bytes to the tab
// that leads and says when the leader comes and goes. Codec, ids, retries and
// cancellation are above it (client.ts); workers, ports and locks are below.

import type { HeddleError } from "../shared/errors.js";
import type { Role } from "../shared/types.js";

/** One tab's line to whichever leader there is. */
export interface Connection {
  /** Names this open database of this tab: random, and the same across leaders. */
  readonly session: string;
  /** Whether the leader's worker is this tab's own. */
  readonly role: Role;
  /** What was last said to blocked(). */
  readonly blocked: boolean;
  /** Called once, before anything else; events may follow at once. */
  start(handler: ConnectionHandler): void;
  /**
   * Sends one request to the leader, in order. Takes ownership: the buffer,
   * which the message fills wholly, may be transferred. Never throws. Called
   * only between connected() and lost(); what is sent outside is dropped.
   */
  send(message: Uint8Array<ArrayBuffer>): void;
  /**
   * Says beside the messages that request id is aborted, where memory can be shared: the engine sees it inside a
   * statement.
   */
  interrupt?(id: number): void;
  /** The leader is of an older build than this one, and shall make room. */
  refused?(): void;
  /** Lets go of everything: port, channel, lock, and the worker if it is ours.
   * Afterwards no handler method is called. */
  close(): Promise<void>;
}

/** What a Connection reports. */
export interface ConnectionHandler {
  /** A leader listens; nothing was sent to it yet. The first, or a new one. */
  connected(): void;
  /** One whole reply or event. Its byteOffset is a multiple of 8. */
  message(message: Uint8Array): void;
  /** One whole message of the database's BroadcastChannel (broadcast/). */
  broadcast(message: Uint8Array): void;
  /** The leader is gone: what it has not answered it never will. connected()
   * or failed() follows, at a time that is not known. crashed: its engine died, and
   * something that it was sent may be why. */
  lost(crashed: boolean): void;
  /** Whether something was sent whose outcome is not known: then the record of it must stay. */
  readonly unsettled: boolean;
  /** Whether calls wait for an answer. */
  readonly busy: boolean;
  /** now: calls wait, and the tab that holds the database does not answer. Else this is over. */
  blocked(now: boolean): void;
  /** A newer build has taken over, and this one cannot follow it. */
  outdated(error: HeddleError): void;
  /** There will be no leader: the engine cannot start, a migration fails, … */
  failed(error: HeddleError): void;
}
