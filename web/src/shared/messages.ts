// Messages between the parts of the runtime. Each direction is one union; a
// receiver ignores what it does not know, so that old and new tabs live together.
// Messages that any script of the origin can send have their shapes in
// message-shapes.ts, and are checked before they are used.
// The requests and replies themselves are bytes (rpc) and pass through as
// ArrayBuffers on a port: a MessagePort, or a BroadcastChannel of its own.

import type { AtRest, Storage } from "./types.js";

/** Why something will not work: a HeddleError in pieces. */
export interface Failure {
  code: string;
  message: string;
  sql?: string | undefined;
}

/** What the page compiled for its worker. */
export interface Modules {
  go: WebAssembly.Module;
  /** What a start does not need of both, if it is there already. */
  rest?: WebAssembly.Module | undefined;
  sqlite: WebAssembly.Module;
}

/** A later part of Go's program: what a start does not need, and what sealed spaces alone do. */
export type LaterPartName = "rest" | "sealed";

/** What a worker needs to know of its database. */
export interface WorkerOptions {
  name: string;
  /** What the names of locks and channels are made of. */
  scope: string;
  tab: string;
  memory: boolean;
  /** The URLs of the program's later parts, as far as they are not among the modules. */
  parts: { [part in LaterPartName]?: string | undefined };
  storage: Storage;
  open: Uint8Array<ArrayBuffer>;
  atRest?: AtRest | undefined;
  /** The key of the database's key ring, where that is locked. */
  lock?: CryptoKey | undefined;
}

/** Page to its own worker. */
export type ToWorker =
  /** Wait for the database's lock, once no lock of yieldTo is held. */
  | ({ t: "start"; visible: boolean; yieldTo: string[] } & WorkerOptions)
  | { t: "modules"; modules: Modules }
  | { t: "modulesFailed"; failure: Failure }
  /** A later part of the program, which the worker has asked for; or why it cannot be had now. */
  | { t: "part"; part: LaterPartName; module: WebAssembly.Module }
  | { t: "partFailed"; part: LaterPartName; failure: Failure }
  /** Answer with pong, if the engine answers. */
  | { t: "ping" }
  | { t: "visible"; visible: boolean }
  /** A leader has gone: ask for the lock again. */
  | { t: "retryLock" }
  /** End in order, for a new worker to start: another tab shall lead. */
  | { t: "retire" }
  | { t: "storage"; storage: Storage }
  /** A port of the page's own. With a port. */
  | { t: "connect"; tab: string }
  /** Ports of other tabs come through this. With a port. */
  | { t: "registry" }
  | { t: "stop" };

/** Worker to its page. */
export type FromWorker =
  /** The script was loaded, and listens. */
  | { t: "loaded" }
  /** The engine lives. */
  | { t: "pong" }
  /** It holds the lock. */
  | { t: "granted" }
  /** It is next in the queue. */
  | { t: "standby" }
  | { t: "leading"; leader: string }
  /** It has answered for the first time, and the second part may come; or it needs a part. */
  | { t: "wantsPart"; part: LaterPartName }
  | { t: "failed"; failure: Failure }
  | { t: "crashed"; message: string }
  /** Lock and files are free: it was told to stop, or has to be replaced. */
  | { t: "stopped" };

/** Among tabs and leaders of one database, over tabsChannel. */
export type TabsMessage =
  | { t: "whoLeads" }
  /** This tab's worker leads. Sent at take-over and in answer to whoLeads. */
  | { t: "leader"; leader: string; tab: string }
  /** That leader is gone. */
  | { t: "leaderGone"; leader: string; crashed: boolean }
  /** Open portChannel(name, leader, tab). */
  | { t: "connect"; leader: string; tab: string }
  /** To the page of that leader, or ("") of a tab that is about to lead: give a sign of life. */
  | { t: "probe"; leader: string }
  | { t: "probeReply"; leader: string }
  /** That leader's page has been hidden for long: a visible tab may lead. */
  | { t: "offerLead"; leader: string }
  /** This tab is visible, and would lead in the place of that leader. */
  | { t: "canLead"; leader: string }
  /** The database is about to be destroyed: close it. */
  | { t: "destroy" };

/** On a port beside the messages of bytes. */
export type PortMessage =
  | { t: "welcome" }
  | { t: "leave" }
  /** Page to its own worker: what the page aborts is noted here too (abort-flags.ts). */
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

/** This tab lives, is of that build and holds that lock. answer: a tab of a newer build is to tell its own. */
export interface BuildMessage {
  t: "build";
  protocol: number;
  migrations: number;
  /** Held by the tab while it can lead; its name begins with "heddle:", the protocol and the database's scope. */
  lock: string;
  answer: boolean;
}
