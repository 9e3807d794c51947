// What any script of the origin can post where tabs meet: it stops no tab, costs
// little, and makes no tab believe what is not so.
import type { Page } from "@playwright/test";
import { expect, openIn, test } from "../fixtures.js";

const NAME = "test";

/** Writes and reads without end, and keeps what went wrong. */
async function work(page: Page): Promise<void> {
  await page.evaluate(() => {
    const state = { written: 0, errors: [] as string[], rows: 0, on: true };
    Object.assign(globalThis, { state });
    db.live<{ n: number }>(`SELECT count(*) AS n FROM notes`, [], ([row]) => { state.rows = row!.n; },
      { onError: (e) => state.errors.push(e.code) });
    void (async () => {
      const me = crypto.randomUUID();
      for (let n = 0; state.on; n++) {
        await db.exec(`INSERT INTO notes(id) VALUES (?)`, [`${me} ${n}`]).then(() => state.written++,
          (e: { code: string }) => state.errors.push(e.code));
      }
    })();
  });
}

interface State { written: number; errors: string[]; rows: number; on: boolean }
const state = (page: Page) => page.evaluate(() => (globalThis as unknown as { state: State }).state);

/** Waits until the page has written so many times more. */
async function goesOn(page: Page, writes = 5): Promise<void> {
  const { written } = await state(page);
  await expect.poll(async () => (await state(page)).written).toBeGreaterThan(written + writes);
}

/** What has no shape, and what nearly has one. */
async function garbage(page: Page, channels: string[]): Promise<void> {
  await page.evaluate((names) => {
    const id = "0".repeat(32);
    const values: unknown[] = [
      null, undefined, 0, -1, NaN, true, "", "whoLeads", "x".repeat(1 << 20), [], {}, new Date(), /x/,
        new Map([["t", "whoLeads"]]), 1n, new Error("x"),
      new ArrayBuffer(0), new ArrayBuffer(16), new ArrayBuffer(16 << 20), new Uint8Array(16 << 20),
        new Uint8Array([1, 2]), new Uint8Array(100).fill(255), new Float64Array(3),
      { t: null }, { t: 5 }, { t: {} }, { t: "__proto__" }, { t: "constructor" }, { t: "toString" },
        { t: "nothing of ours" }, [{ t: "whoLeads" }],
    ];
    for (const t of ["leader", "leaderGone", "connect", "probe", "probeReply", "offerLead", "canLead", "build",
      "register", "none", "welcome", "leave", "aborts", "parts", "start", "stop", "retire"]) {
      values.push({ t });
      for (const v of [null, 5, "", "x", {}, [], id, "y".repeat(100_000)]) {
        values.push({ t, leader: v, tab: v, name: v, lock: v, protocol: v, migrations: v, answer: v, crashed: v,
          shared: v, buffer: v, places: v });
      }
    }
    values.push({ t: "parts", buffer: new ArrayBuffer(8), places: [0, 9] },
      { t: "parts", buffer: new ArrayBuffer(8), places: [-8, 8] });
    values.push({ t: "aborts", shared: -1 },
      { t: "build", protocol: 99, migrations: 99, lock: "heddle:nobody", answer: true });
    for (const name of names) {
      const channel = new BroadcastChannel(name);
      for (const value of values) channel.postMessage(value);
      channel.close();
    }
  }, channels);
}

for (const broker of [true, false]) {
  test(`garbage on every channel, ${broker ? "with a broker" : "and lines over channels"}`,
    async ({ profile, site }) => {
    const device = await profile();
    if (!broker) await device.context.addInitScript(() => { Reflect.deleteProperty(globalThis, "SharedWorker"); });
    // Every channel that the tabs open, by name.
    await device.context.addInitScript(() => {
      const names = new Set<string>();
      const Channel = globalThis.BroadcastChannel;
      Object.assign(globalThis, { channels: names, BroadcastChannel: class extends Channel { constructor(name: string) {
        super(name);
        names.add(name);
      } } });
    });
    const a = await device.tab(site), b = await device.tab(site), stranger = await device.tab(site);
    await openIn(a, { name: NAME });
    await openIn(b, { name: NAME });
    expect(await Promise.all([a, b].map((page) => page.evaluate(() => db.role)))).toEqual(["leader", "follower"]);
    const engine = a.workers();
    await work(a);
    await work(b);
    const names = await Promise.all([a, b]
      .map((page) => page.evaluate(() => [...(globalThis as unknown as { channels: Set<string> }).channels])));
    const channels = [...new Set(names.flat())];
    expect(channels.length).toBeGreaterThanOrEqual(broker ? 3 : 4);
    await garbage(stranger, channels);
    await goesOn(a);
    await goesOn(b);
    // Any script can connect to the broker as well.
    if (broker) {
      await stranger.evaluate((name) => {
        const { port } = new SharedWorker(new URL("./heddle/broker.js", location.href),
          { type: "module", name: "heddle" });
        const id = "0".repeat(32);
        for (const value of [null, 5, {}, { t: "register" }, { t: "register", name, leader: id },
          { t: "connect", name, leader: id, tab: id }]) {
          const { port1, port2 } = new MessageChannel();
          port.postMessage(value);
          port.postMessage(value, [port2]);
          port1.postMessage(null);
        }
      }, NAME);
    }
    await goesOn(a);
    await goesOn(b);
    const [one, two] = await Promise.all([a, b].map(state));
    expect([...one!.errors, ...two!.errors]).toEqual([]);
    expect(await Promise.all([a, b].map((page) => page.evaluate(() => db.role)))).toEqual(["leader", "follower"]);
    expect(a.workers()).toEqual(engine);
    // A third tab finds its leader.
    await openIn(stranger, { name: NAME });
    expect(await stranger.evaluate(() => db.role)).toBe("follower");
    await expect.poll(() => stranger.evaluate(async () =>
      (await db.query<{ n: number }>(`SELECT count(*) AS n FROM notes`))[0]!.n)).toBeGreaterThan(10);
  });
}

test("no tab follows a leader that does not lead, nor leaves one in whose name others say goodbye",
  async ({ profile, site }) => {
  const device = await profile();
  const a = await device.tab(site), b = await device.tab(site), stranger = await device.tab(site);
  await openIn(a, { name: NAME });
  await openIn(b, { name: NAME });
  await work(a);
  await work(b);
  // The true leader's id is on the channel for everybody to read.
  const leader = await stranger.evaluate((name) => new Promise<string>((resolve) => {
    const tabs = new BroadcastChannel(`heddle:2:${name}:tabs`);
    tabs.onmessage = ({ data }) => { if (data?.t === "leader") resolve(data.leader); };
    tabs.postMessage({ t: "whoLeads" });
  }), NAME);
  await stranger.evaluate(([name, leader]) => {
    const tabs = new BroadcastChannel(`heddle:2:${name}:tabs`), builds = new BroadcastChannel(`heddle:${name}:builds`),
      commits = new BroadcastChannel(`heddle:2:${name}:commits`);
    const stranger = (n: number) => n.toString(16).padStart(32, "0");
    for (let n = 1; n <= 1_000; n++) {
      tabs.postMessage({ t: "leader", leader: stranger(n), tab: stranger(n + 1) });
      tabs.postMessage({ t: "leaderGone", leader, crashed: true });
      builds.postMessage({ t: "build", protocol: 99, migrations: 99, lock: `heddle:99:${name}:tab:${stranger(n)}`,
        answer: true });
      builds.postMessage({ t: "build", protocol: 2, migrations: 99, lock: `heddle:2:${name}:tab:${stranger(n)}`,
        answer: true });
    }
    // An announcement of another script: a commit far ahead.
    const other = new Uint8Array([2, 0, 1, 0, 0, 0, 120, 255, 255, 0, 0, 0, 0, 0, 0, 0]);
    commits.postMessage(other);
  }, [NAME, leader] as const);
  for (const page of [a, b]) {
    await page.evaluate(() => {
      const heard: string[] = [];
      Object.assign(globalThis, { heard });
      db.listen(["notes"], ({ missed }) => heard.push(missed ? "missed" : "commit"));
    });
  }
  await goesOn(a, 20);
  await goesOn(b, 20);
  for (const page of [a, b]) {
    expect((await state(page)).errors).toEqual([]);
    expect(await page.evaluate(() =>
      (globalThis as unknown as { heard: string[] }).heard.filter((h) => h === "commit").length)).toBeGreaterThan(20);
  }
  expect(await Promise.all([a, b].map((page) => page.evaluate(() => db.role)))).toEqual(["leader", "follower"]);
  // And when it does go, the other one leads.
  await a.close();
  await goesOn(b);
  expect(await b.evaluate(() => db.role)).toBe("leader");
  expect((await state(b)).errors).toEqual([]);
});

test("10,000 tabs that do not live get no line", async ({ profile, site }) => {
  const device = await profile();
  const a = await device.tab(site), b = await device.tab(site), stranger = await device.tab(site);
  await openIn(a, { name: NAME });
  await openIn(b, { name: NAME });
  await work(a);
  await work(b);
  const opened = await stranger.evaluate(async (name) => {
    const tabs = new BroadcastChannel(`heddle:2:${name}:tabs`);
    const leader = await new Promise<string>((resolve) => {
      tabs.onmessage = ({ data }) => { if (data?.t === "leader") resolve(data.leader); };
      tabs.postMessage({ t: "whoLeads" });
    });
    const stranger = (n: number) => n.toString(16).padStart(32, "0");
    let welcomes = 0;
    const { port } = new SharedWorker(new URL("./heddle/broker.js", location.href), { type: "module", name: "heddle" });
    for (let n = 0; n < 10_000; n++) {
      if (n < 50) {
        new BroadcastChannel(`heddle:2:${name}:port:${leader}:${stranger(n)}`).onmessage = () => { welcomes++; };
      }
      tabs.postMessage({ t: "connect", leader, tab: stranger(n) });
      const { port1, port2 } = new MessageChannel();
      if (n < 50) port1.onmessage = () => { welcomes++; };
      port.postMessage({ t: "connect", name, leader, tab: stranger(n) }, [port2]);
    }
    // Who comes after them is served.
    return new Promise<number>((resolve) => {
      tabs.onmessage = ({ data }) => { if (data?.t === "leader") resolve(welcomes); };
      tabs.postMessage({ t: "whoLeads" });
    });
  }, NAME);
  await goesOn(a);
  await goesOn(b);
  await openIn(stranger, { name: NAME });
  expect(await stranger.evaluate(() => db.role)).toBe("follower");
  expect(opened).toBe(0);
  expect([...(await state(a)).errors, ...(await state(b)).errors]).toEqual([]);
});
