import assert from "node:assert/strict";
import { test } from "node:test";

import {
  isMessage, isParts, MAX_MESSAGE, takeBuild, takeFromBroker, takeFromRegistry, takePort, takeTabs, takeToBroker,
} from "../../src/shared/message-shapes.js";
import type { BuildMessage, FromBroker, FromRegistry, PortMessage, TabsMessage,
  ToBroker } from "../../src/shared/messages.js";

const id = "0123456789abcdef0123456789abcdef", other = "f".repeat(32);

/** Of each union, one message of each kind: the types make it complete. */
const valid: {
  tabs: { [T in TabsMessage["t"]]: Extract<TabsMessage, { t: T }> };
  builds: { build: BuildMessage };
  toBroker: { [T in ToBroker["t"]]: Extract<ToBroker, { t: T }> };
  fromBroker: { none: FromBroker };
  fromRegistry: { connect: FromRegistry };
  port: { [T in PortMessage["t"]]: Extract<PortMessage, { t: T }> };
} = {
  tabs: {
    whoLeads: { t: "whoLeads" }, leader: { t: "leader", leader: id, tab: other },
    leaderGone: { t: "leaderGone", leader: id, crashed: false },
    connect: { t: "connect", leader: id, tab: other }, probe: { t: "probe", leader: "" },
    probeReply: { t: "probeReply", leader: id },
    offerLead: { t: "offerLead", leader: id }, canLead: { t: "canLead", leader: id }, destroy: { t: "destroy" },
  },
  builds: { build: { t: "build", protocol: 2, migrations: 0, lock: "heddle:2:notes:tab:x", answer: true } },
  toBroker: { register: { t: "register", name: "notes", leader: id },
    connect: { t: "connect", name: "notes", leader: id, tab: other } },
  fromBroker: { none: { t: "none", name: "notes", leader: id } },
  fromRegistry: { connect: { t: "connect", tab: id } },
  port: { welcome: { t: "welcome" }, leave: { t: "leave" }, aborts: { t: "aborts", shared: new SharedArrayBuffer(8) } },
};

const nothings: unknown[] = [
  null, undefined, 0, NaN, "", "whoLeads", true, 1n, Symbol("x"), [], {}, () => {}, new Map(), new Date(),
  new ArrayBuffer(8), new Uint8Array(8),
  { t: null }, { t: 5 }, { t: "__proto__" }, { t: "constructor" }, { t: "nothing of ours" }, [{ t: "whoLeads" }],
];
/** What no field of any message takes; and no id. */
const wrong: unknown[] = [undefined, null, -1, 1.5, NaN, "x".repeat(2_000), {}, [], new ArrayBuffer(8)];
const noId: unknown[] = ["no id", id.toUpperCase(), `${id}0`, id.slice(1), ` ${id}`, `${id}\n`];

const take: { [K in keyof typeof valid]: (data: unknown) => unknown } = {
  tabs: takeTabs, builds: takeBuild, toBroker: takeToBroker, fromBroker: takeFromBroker,
  fromRegistry: takeFromRegistry, port: takePort,
};

for (const [kind, messages] of Object.entries(valid)) {
  const taken = take[kind as keyof typeof take];

  test(`${kind}: every message has its shape, and nothing else`, () => {
    for (const message of Object.values(messages) as Record<string, unknown>[]) {
      assert.equal(taken(message), message);
      const wider = { ...message, later: "a newer build's" };
      assert.equal(taken(wider), wider);
      for (const field of Object.keys(message)) {
        const ids = field === "leader" || field === "tab";
        for (const value of ids ? [...wrong, ...noId] : wrong) {
          assert.equal(taken({ ...message, [field]: value }), undefined,
            `${String(message["t"])}.${field} = ${String(value)}`);
        }
      }
    }
    for (const value of nothings) assert.equal(taken(value), undefined, String(value));
  });
}

test("several messages in one lie inside their buffer", () => {
  const buffer = new ArrayBuffer(32);
  for (const places of [[0, 32], [0, 5, 8, 0], [24, 8], [32, 0]]) {
    assert.ok(isParts({ t: "parts", buffer, places }), places.join());
  }
  for (const places of [
    null, 5, "0,8", {}, [], [0], [0, 33], [8, 25], [40, 0], [-8, 8], [4, 4], [0, -1], [0, 1.5], [0, "8"], [0, 8, 8],
    [NaN, 0], new Array(2), [0, 2 ** 53],
  ]) assert.ok(!isParts({ t: "parts", buffer, places }), JSON.stringify(places));
  assert.ok(!isParts({ t: "parts", buffer: new Uint8Array(32), places: [0, 8] }));
  for (const value of nothings) assert.ok(!isParts(value));
});

test("a message of bytes has a most", () => {
  assert.ok(isMessage(new ArrayBuffer(0)));
  assert.ok(!isMessage(new SharedArrayBuffer(8)));
  const large = new ArrayBuffer(8);
  Object.defineProperty(large, "byteLength", { value: MAX_MESSAGE + 1 });
  assert.ok(!isMessage(large));
});
