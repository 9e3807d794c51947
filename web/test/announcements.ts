// What a leader announces to all tabs, of the test's making.

import { Writer } from "../src/rpc/codec.js";
import { VERSION } from "../src/rpc/messages.gen.js";
import type { FakeConnection } from "./fake.js";

interface Said {
  leader: string;
  number: number;
  sync?: boolean;
  tab?: string;
  schema?: boolean;
  tables?: Record<string, string[]>;
  notified?: [channel: string, payload: string][];
}

export function commit(c: FakeConnection, said: Said): void {
  announce(c, said.leader, said.number, (w) => {
    w.bool(said.sync ?? false);
    w.string(said.tab ?? "");
    w.bool(said.schema ?? false);
    w.list(Object.entries(said.tables ?? { notes: ["k"] }), ([name, keys]) => {
      w.string(name);
      w.list(keys, (key) => { w.u32(1); w.value(key); });
      w.u32(0); w.u32(0); w.u32(0);
    });
    w.list(said.notified ?? [], ([channel, payload]) => { w.string(channel); w.string(payload); });
  });
}

export function leads(c: FakeConnection, leader: string, number: number): void {
  announce(c, leader, number);
}

function announce(c: FakeConnection, leader: string, number: number, commit?: (w: Writer) => void): void {
  const w = new Writer();
  w.u16(VERSION);
  w.string(leader);
  w.u64(number);
  w.bool(commit !== undefined);
  commit?.(w);
  c.handler.broadcast(w.finish());
}
