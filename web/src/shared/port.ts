// A port between one tab and the leader's worker: messages of bytes both ways, in
// order, and a few about the port itself. Over a MessagePort large messages are
// transferred; over a BroadcastChannel of its own, which transfers nothing, they
// are copied. Small messages of one turn go together: waking the other side costs
// more than carrying them.

import type { PortMessage, Parts } from "./messages.js";
import { isMessage, isParts, takePort } from "./message-shapes.js";

export interface TabPortHandler {
  /** more: how many messages that came with this one follow. */
  bytes(message: Uint8Array<ArrayBuffer>, more: number): void;
  says(message: PortMessage): void;
}

export interface TabPort {
  /** Starts delivery. Earlier messages are kept until then (a MessagePort) or lost (a channel). */
  open(handler: TabPortHandler): void;
  /** Takes ownership of a buffer that the message fills wholly. It may go out with others, at the end of the turn. */
  send(message: Uint8Array<ArrayBuffer>): void;
  /** Sends the messages that wait for the end of the turn. */
  flush(): void;
  say(message: PortMessage): void;
  close(): void;
}

/** A message of this size goes by itself, at once. */
const LARGE = 4096;

type Post = ArrayBuffer | PortMessage | Parts;

/** Collects the messages of one turn. */
class Outbox {
  readonly #post: (data: Post, transfer: ArrayBuffer[]) => void;
  #waiting: Uint8Array<ArrayBuffer>[] = [];

  constructor(post: (data: Post, transfer: ArrayBuffer[]) => void) {
    this.#post = post;
  }

  send(message: Uint8Array<ArrayBuffer>): void {
    if (message.length >= LARGE) {
      this.flush();
      this.#post(message.buffer, [message.buffer]);
    } else if (this.#waiting.push(message) === 1) {
      queueMicrotask(() => this.flush());
    }
  }

  say(message: PortMessage): void {
    this.flush();
    this.#post(message, []);
  }

  flush(): void {
    const list = this.#waiting;
    const [first] = list;
    if (!first) return;
    this.#waiting = [];
    if (list.length === 1) {
      this.#post(first.buffer, []); // to copy a small one costs less than to transfer it
      return;
    }
    const places: number[] = [];
    let end = 0;
    for (const { length } of list) {
      places.push(end, length);
      end += (length + 7) & ~7; // readers need messages at multiples of 8
    }
    const all = new Uint8Array(end);
    list.forEach((message, i) => all.set(message, places[2 * i]));
    this.#post({ t: "parts", buffer: all.buffer, places }, [all.buffer]);
  }
}

function deliver(handler: TabPortHandler, data: unknown): void {
  if (isMessage(data)) {
    handler.bytes(new Uint8Array(data), 0);
  } else if (isParts(data)) {
    const { buffer, places } = data;
    for (let i = 0; i < places.length; i += 2) {
      handler.bytes(new Uint8Array(buffer, places[i], places[i + 1]), (places.length - i) / 2 - 1);
    }
  } else {
    const message = takePort(data);
    if (message) handler.says(message);
  }
}

export function portOver(port: MessagePort): TabPort {
  const out = new Outbox((data, transfer) => port.postMessage(data, transfer));
  return {
    open(handler) {
      port.onmessage = ({ data }) => deliver(handler, data);
    },
    send: (message) => out.send(message),
    flush: () => out.flush(),
    say: (message) => out.say(message),
    close() {
      out.flush();
      port.close();
    },
  };
}

/** A message over a channel, where any script can post: one that does not name the port is ignored. */
interface Named {
  port: string;
  data: Post;
}

export function portOverChannel(name: string): TabPort {
  const channel = new BroadcastChannel(name);
  const out = new Outbox((data) => channel.postMessage({ port: name, data } satisfies Named));
  return {
    open(handler) {
      channel.onmessage = ({ data }: MessageEvent<unknown>) => {
        const named = (data ?? {}) as Partial<Named>;
        if (named.port === name) deliver(handler, named.data);
      };
    },
    send: (message) => out.send(message),
    flush: () => out.flush(),
    say: (message) => out.say(message),
    close() {
      out.flush();
      channel.close();
    },
  };
}
