// Messages between the parts of the runtime. Each direction is one union; a
// receiver ignores what it does not know, so that old and new tabs live together.
// Those that other scripts of the origin can send too have their shapes in
// message-shapes.ts, and are looked at before anything is made of them.
// The requests and replies themselves are bytes (rpc) and pass through as
// ArrayBuffers on a port: a MessagePort, or a BroadcastChannel of its own.

import type { Storage } from "./types.js";

/** Why something will not work: a HeddleError in pieces. */
export interface Failure {
  code: string;
  message: string;
  sql?: string | undefined;
}

/** What the page compiled for its worker. */
export interface Modules {
  go: WebAssembly.Module;
  sqlite: WebAssembly.Module;
}

/** Page to its own worker. */
export type ToWorker =
  | { t: "start"; name: string; scope: string; tab: string; memory: boolean; visible: boolean; storage: Storage; open: Uint8Array<ArrayBuffer>; yieldTo: string[] }
  | { t: "modules"; modules: Modules }
  | { t: "modulesFailed"; failure: Failure }
  /** Answer "pong", if the engine is. */
  | { t: "ping" }
  | { t: "visible"; visible: boolean }
  /** A leader has gone: look whether the lock is free. */
  | { t: "retryLock" }
  /** End in order and begin anew: another tab shall lead. */
  | { t: "retire" }
  | { t: "storage"; storage: Storage }
  /** A port of the page's own. With a port. */
  | { t: "connect"; tab: string }
  /** Lines of other tabs come through this. With a port. */
  | { t: "registry" }
  | { t: "stop" };

/** Worker to its page. */
export type FromWorker =
  /** At first: the script was loaded, and listens. Later: the engine lives. */
  | { t: "pong" }
  | { t: "granted" }
  | { t: "standby" }
  | { t: "leading"; leader: string }
  | { t: "failed"; failure: Failure }
  | { t: "crashed"; message: string }
  /** It has let go of everything: it was told to, or wants to be replaced. */
  | { t: "stopped" };

/** Among tabs and leaders of one database, over tabsChannel. */
export type TabsMessage =
  /** Who leads? */
  | { t: "whoLeads" }
  /** I lead. Sent at take-over and to answer `who`. */
  | { t: "leader"; leader: string; tab: string }
  /** That leader is gone. */
  | { t: "leaderGone"; leader: string; crashed: boolean }
  /** Open portChannel(name, leader, tab). */
  | { t: "connect"; leader: string; tab: string }
  /** To the page of that leader, or ("") of one that is about to be: does anybody live there? */
  | { t: "probe"; leader: string }
  | { t: "probeReply"; leader: string }
  /** That leader's page has been in the background for a while: would a tab that can be seen lead? */
  | { t: "offerLead"; leader: string }
  | { t: "canLead"; leader: string }
  /** The database is about to be destroyed: close it. */
  | { t: "destroy" };

/** On a port beside the bytes. */
export type PortMessage =
  | { t: "welcome" }
  | { t: "leave" }
  /** Page to its own worker: what the page aborts stands here too (aborts.ts). */
  | { t: "aborts"; shared: SharedArrayBuffer };

/** On a port: several messages of bytes in one buffer; where each begins and how long it is, in turn. */
export interface Parts {
  t: "parts";
  buffer: ArrayBuffer;
  places: number[];
}

/** Page to broker. */
export type ToBroker =
  /** A leader's page offers a way to it. With a port. */
  | { t: "register"; name: string; leader: string }
  /** A tab asks for a port. With a port. */
  | { t: "connect"; name: string; leader: string; tab: string };

/** Broker to page. */
export type FromBroker = { t: "none"; name: string; leader: string };

/** Broker to leader, through its registry port. With a port. */
export type FromRegistry = { t: "connect"; tab: string };

/** {t: "build"}: this tab lives and holds the lock named. answer: tell me yours if it is newer. */
export interface BuildMessage {
  t: "build";
  protocol: number;
  migrations: number;
  /** Held by the tab while it can lead; its name begins with "heddle:", the protocol and the database's scope. */
  lock: string;
  answer: boolean;
}
