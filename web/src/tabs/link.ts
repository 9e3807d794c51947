// One tab's way to one leader: a port that the broker carries, or a
// BroadcastChannel that only the two use. The first port that the leader
// welcomes is the one.

import { BROKER_MS, CHANNEL_MS } from "../shared/bounds.js";
import type { ToBroker } from "../shared/messages.js";
import { portChannel } from "../shared/names.js";
import { portOver, portOverChannel } from "../shared/port.js";
import type { TabPort } from "../shared/port.js";

export interface LinkEvents {
  /** Asks the leader, where all tabs hear it, to open portChannel. */
  ask(): void;
  welcomed(): void;
  bytes(message: Uint8Array<ArrayBuffer>): void;
}

export class Link {
  readonly leader: string;
  readonly #scope: string;
  readonly #tab: string;
  readonly #events: LinkEvents;
  /** The port that was welcomed. */
  #port: TabPort | undefined;
  /** Those that are tried until then. */
  #attempts: TabPort[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #ended = false;

  constructor({ scope, tab, leader }: { scope: string; tab: string; leader: string }, events: LinkEvents) {
    this.leader = leader;
    this.#scope = scope;
    this.#tab = tab;
    this.#events = events;
  }

  send(message: Uint8Array<ArrayBuffer>): void {
    this.#port?.send(message);
  }

  byPort(port: TabPort): void {
    this.#attempts.push(port);
    port.open({
      bytes: (message) => {
        if (!this.#ended && this.#port === port) this.#events.bytes(message);
      },
      says: ({ t }) => {
        if (t !== "welcome" || this.#done) return;
        this.#port = port;
        clearTimeout(this.#timer);
        for (const other of this.#attempts) if (other !== port) leave(other);
        this.#attempts = [port];
        this.#events.welcomed();
      },
    });
  }

  /** Through the broker; where it does not answer, by the channel as well. */
  byBroker(broker: MessagePort): void {
    const { port1, port2 } = new MessageChannel();
    this.byPort(portOver(port1));
    const message: ToBroker = { t: "connect", name: this.#scope, leader: this.leader, tab: this.#tab };
    broker.postMessage(message, [port2]);
    this.#timer = setTimeout(() => this.byChannel(), BROKER_MS);
  }

  /** Asks the leader for a port over a BroadcastChannel, until it answers. */
  byChannel(): void {
    if (this.#done) return;
    clearTimeout(this.#timer);
    this.byPort(portOverChannel(portChannel(this.#scope, this.leader, this.#tab)));
    const ask = () => {
      this.#events.ask();
      this.#timer = setTimeout(ask, CHANNEL_MS);
    };
    ask();
  }

  /** Leaves the port in use and those tried. */
  end(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
    for (const port of this.#attempts) leave(port);
  }

  get #done(): boolean {
    return this.#ended || this.#port !== undefined;
  }
}

function leave(port: TabPort): void {
  port.say({ t: "leave" });
  port.close();
}
