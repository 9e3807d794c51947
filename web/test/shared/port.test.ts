import assert from "node:assert/strict";
import { test } from "node:test";
import { portOver, type TabPort } from "../../src/shared/port.js";

interface Heard {
  log: string[];
  more: number[];
  places: number[];
}

function pair(): { near: TabPort; heard: Heard; ends: () => Promise<void> } {
  const { port1, port2 } = new MessageChannel();
  const near = portOver(port1), far = portOver(port2);
  const heard: Heard = { log: [], more: [], places: [] };
  let over = () => {};
  const ended = new Promise<void>((resolve) => { over = resolve; });
  far.open({
    bytes(message, more) {
      heard.log.push(message.length > 8 ? `${message.length} bytes` : [...message].join());
      heard.more.push(more);
      heard.places.push(message.byteOffset % 8);
    },
    says(message) {
      heard.log.push(message.t);
      if (message.t === "leave") over();
    },
  });
  return {
    near, heard,
    async ends() {
      near.say({ t: "leave" });
      await ended;
      near.close();
      far.close();
    },
  };
}

test("what is sent in one turn arrives in order, together, each at a multiple of 8", async () => {
  const { near, heard, ends } = pair();
  near.send(new Uint8Array([1]));
  near.send(new Uint8Array([2, 2]));
  near.send(new Uint8Array([]));
  await Promise.resolve();
  near.send(new Uint8Array([3]));
  await Promise.resolve();
  await ends();
  assert.deepEqual(heard.log, ["1", "2,2", "", "3", "leave"]);
  assert.deepEqual(heard.more, [2, 1, 0, 0]);
  assert.deepEqual(heard.places, [0, 0, 0, 0]);
});

test("a large message and a word overtake nothing", async () => {
  const { near, heard, ends } = pair();
  near.send(new Uint8Array([1]));
  near.send(new Uint8Array(10_000));
  near.send(new Uint8Array([2]));
  near.say({ t: "welcome" });
  near.send(new Uint8Array([3]));
  near.flush();
  near.send(new Uint8Array([4]));
  await ends();
  assert.deepEqual(heard.log, ["1", "10000 bytes", "2", "welcome", "3", "4", "leave"]);
});
