// Messages of the database's BroadcastChannel: package broadcast's encoding.

import { Reader } from "./codec.js";
import type { SqlValue, TableChange } from "../shared/types.js";

const VERSION = 1;
const KIND_LEADER = 1;
const KIND_COMMIT = 2;
const ORIGIN_SYNC = 2;

/** What a leader announced. */
export type Announcement =
  | { kind: "leader"; leader: string; number: number }
  | {
    kind: "commit"; leader: string; number: number; sync: boolean; tab: string;
    /** The schema changed, or the whole content was replaced. */
    schema: boolean;
    tables: { [table: string]: TableChange };
  }
  /** Something that this build cannot read: it says no more than that there was something. */
  | { kind: "unknown" };

/** Decodes a message; undefined is one to ignore. */
export function readAnnouncement(message: Uint8Array): Announcement | undefined {
  try {
    const r = new Reader(message);
    if (r.u8() !== VERSION) return { kind: "unknown" };
    const kind = r.u8();
    const leader = r.string();
    const number = r.u64();
    if (kind === KIND_LEADER) return { kind: "leader", leader, number };
    if (kind !== KIND_COMMIT) return undefined;
    const sync = r.u8() === ORIGIN_SYNC;
    const tab = r.string();
    const schema = (r.u8() & 1) !== 0;
    const tables: { [table: string]: TableChange } = {};
    for (let n = r.count(18); n > 0; n--) {
      const name = r.string();
      r.u8();
      const more = r.u32();
      r.strings();
      const change: TableChange = { inserted: keys(r), updated: keys(r), deleted: keys(r), more };
      Object.defineProperty(tables, name, { value: change, enumerable: true, writable: true, configurable: true });
    }
    return { kind: "commit", leader, number, sync, tab, schema, tables };
  } catch {
    return { kind: "unknown" };
  }
}

function keys(r: Reader): SqlValue[][] {
  return Array.from({ length: r.count(4) }, () => r.values());
}
