// Shapes of the messages that any script of the origin can send: on channels that
// tabs share, through the broker, on a port. A receiver takes what has a shape
// here, and drops the rest silently. Other fields are those of a newer build, and
// are ignored.

import type { BuildMessage, FromBroker, FromRegistry, PortMessage, Parts, TabsMessage, ToBroker } from "./messages.js";

type Test = (value: unknown) => boolean;

/** One entry for each message of the union M, with a test for each of its fields. */
type Shapes<M extends { t: string }> = { [T in M["t"]]: { [F in Exclude<keyof Extract<M, { t: T }>, "t">]: Test } };

/** The longest name of a lock or a channel that is made of a database's name. */
const MAX_NAME = 1_024;
/** The largest message that goes to an engine, whose memory holds it beside everything else. */
export const MAX_MESSAGE = 512 << 20;

const flag: Test = (v) => typeof v === "boolean";
const count: Test = (v) => Number.isSafeInteger(v) && (v as number) >= 0;
const name: Test = (v) => typeof v === "string" && v !== "" && v.length <= MAX_NAME;
/** A tab's or a leader's id (names.ts, randomId). */
export const isId: Test = (v) => typeof v === "string" && /^[0-9a-f]{32}$/.test(v);
const idOrNone: Test = (v) => v === "" || isId(v);
const sharedMemory: Test = (v) =>
  typeof SharedArrayBuffer === "function" && v instanceof SharedArrayBuffer && v.byteLength % 4 === 0;
// Not instanceof: in a test runner's imitation of a page the port's buffers are not of the globals' realm.
const isBuffer = (v: unknown): v is ArrayBuffer => Object.prototype.toString.call(v) === "[object ArrayBuffer]";
export const isMessage = (v: unknown): v is ArrayBuffer => isBuffer(v) && v.byteLength <= MAX_MESSAGE;

/** The places of messages in one buffer: starts at multiples of 8, and lengths. */
function places(list: unknown, buffer: ArrayBuffer): boolean {
  if (!Array.isArray(list) || list.length === 0 || list.length % 2 !== 0) return false;
  for (let i = 0; i < list.length; i += 2) { // every() would skip the holes of a sparse array
    const [at, length] = [list[i], list[i + 1]] as [number, number];
    if (!count(at) || !count(length) || at % 8 !== 0 || at + length > buffer.byteLength) return false;
  }
  return true;
}

function taker<M extends { t: string }>(shapes: Shapes<M>): (data: unknown) => M | undefined {
  const known = new Map(Object.entries<Record<string, Test>>(shapes).map(([t, fields]) => [t, Object.entries(fields)]));
  return (data) => {
    if (typeof data !== "object" || data === null) return undefined;
    const message = data as Record<string, unknown>;
    const fields = known.get(message["t"] as string);
    return fields?.every(([field, test]) => test(message[field])) ? (data as M) : undefined;
  };
}

// Each takes what was received, and returns it if it is a message of its kind. A
// bundle has only those that it uses.
export const takeTabs = /* @__PURE__ */ taker<TabsMessage>({
  whoLeads: {},
  leader: { leader: isId, tab: isId },
  leaderGone: { leader: isId, crashed: flag },
  connect: { leader: isId, tab: isId },
  probe: { leader: idOrNone },
  probeReply: { leader: idOrNone },
  offerLead: { leader: isId },
  canLead: { leader: isId },
  destroy: {},
});
export const takeBuild = /* @__PURE__ */ taker<BuildMessage>({
  build: { protocol: count, migrations: count, lock: name, answer: flag },
});
export const takeToBroker = /* @__PURE__ */ taker<ToBroker>({
  register: { name, leader: isId }, connect: { name, leader: isId, tab: isId },
});
export const takeFromBroker = /* @__PURE__ */ taker<FromBroker>({ none: { name, leader: isId } });
export const takeFromRegistry = /* @__PURE__ */ taker<FromRegistry>({ connect: { tab: isId } });
export const takePort = /* @__PURE__ */ taker<PortMessage>({
  welcome: {}, leave: {}, aborts: { shared: sharedMemory },
});

/** Several messages that came in one. */
export function isParts(data: unknown): data is Parts {
  const { t, buffer, places: list } = (data ?? {}) as Partial<Parts>;
  return t === "parts" && isMessage(buffer) && places(list, buffer);
}
