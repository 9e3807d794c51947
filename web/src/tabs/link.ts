// One tab's way to one leader: a port that the broker carries, or a
// BroadcastChannel of their own. The first port that is welcomed is the one.

import { BROKER_MS, CHANNEL_MS } from "../shared/bounds.js";
import { portOverChannel, portOver } from "../shared/port.js";
import type { TabPort } from "../shared/port.js";
import { portChannel } from "../shared/names.js";
import type { ToBroker } from "../shared/messages.js";

export interface LinkEvents {
  /** Asks the leader, where all tabs hear it, to open portChannel. */
  ask(): void;
  welcomed(): void;
  bytes(message: Uint8Array<ArrayBuffer>): void;
}

export class Link {
  readonly leader: string;
  /** Whether the leader is this tab's own worker. */
  readonly own: boolean;
  welcome = false;
  /** Somebody said that the leader's engine died. */
  crashed = false;
  readonly #scope: string;
  readonly #tab: string;
  readonly #events: LinkEvents;
  #port: TabPort | undefined;
  #attempts: TabPort[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #ended = false;

  constructor(who: { scope: string; tab: string; leader: string; own: boolean }, events: LinkEvents) {
    this.leader = who.leader;
    this.own = who.own;
    this.#scope = who.scope;
    this.#tab = who.tab;
    this.#events = events;
  }

  send(message: Uint8Array<ArrayBuffer>): void {
    this.#port?.send(message);
  }

  byPort(port: TabPort): void {
    this.#attempt(port);
  }

  /** Through the broker; where it does not answer, by the channel as well. */
  byBroker(broker: MessagePort): void {
    const { port1, port2 } = new MessageChannel();
    this.#attempt(portOver(port1));
    const message: ToBroker = { t: "connect", name: this.#scope, leader: this.leader, tab: this.#tab };
    broker.postMessage(message, [port2]);
    this.#timer = setTimeout(() => this.byChannel(), BROKER_MS);
  }

  /** Asks the leader for a port over a BroadcastChannel, until it answers. */
  byChannel(): void {
    if (this.#ended || this.welcome) return;
    clearTimeout(this.#timer);
    this.#attempt(portOverChannel(portChannel(this.#scope, this.leader, this.#tab)));
    const ask = () => {
      if (this.#ended || this.welcome) return;
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
    if (this.#port) leave(this.#port);
    this.#attempts = [];
  }

  #attempt(port: TabPort): void {
    this.#attempts.push(port);
    port.open({
      bytes: (message) => {
        if (!this.#ended && this.#port === port) this.#events.bytes(message);
      },
      says: ({ t }) => {
        if (t !== "welcome" || this.#ended || this.welcome) return;
        this.welcome = true;
        this.#port = port;
        clearTimeout(this.#timer);
        for (const other of this.#attempts) if (other !== port) leave(other);
        this.#attempts = [];
        this.#events.welcomed();
      },
    });
  }
}

function leave(port: TabPort): void {
  port.say({ t: "leave" });
  port.close();
}
