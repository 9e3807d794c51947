// What is checked. Each check resolves to what it saw, or fails with a sentence that says what is wrong.
import { destroy, open, type Database } from "heddle";
import { Helper } from "./helper.js";
import { MIGRATIONS } from "./messages.js";

/** What a check works with. */
export interface Trial {
  /** Aborts when the check's time is over, or when it has ended: whatever it began ends then. */
  signal: AbortSignal;
  /** A name for a database that no other check uses. It is removed after the check. */
  database: string;
}

export interface Check {
  name: string;
  /** Checks that have to succeed before this one can be tried. */
  needs: readonly string[];
  /** Heddle works without it. */
  optional?: boolean;
  run(trial: Trial): Promise<string>;
}

const ms = (since: number) => `${(performance.now() - since).toFixed(performance.now() - since < 10 ? 1 : 0)} ms`;

function fail(sentence: string, cause?: Error): never {
  throw new Error(cause === undefined ? `${sentence}.` : `${sentence}: ${cause.toString()}`);
}

/** Resolves once is() holds; the check's end ends the wait. */
async function until(signal: AbortSignal, is: () => boolean | Promise<boolean>): Promise<void> {
  while (!await is()) {
    signal.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The next message on a port or channel. */
const message = (from: { onmessage: ((event: MessageEvent) => unknown) | null }): Promise<unknown> =>
  new Promise((resolve) => { from.onmessage = ({ data }) => resolve(data); });

/** Opens a database that the check's end closes and removes. */
async function database({ database: name, signal }: Trial): Promise<Database> {
  const db = await open({ name, migrations: MIGRATIONS, signal });
  // destroy() would wait in vain for a page that has it open.
  signal.addEventListener("abort", () => void db.close().catch(() => {}));
  return db;
}

export const CHECKS: readonly Check[] = [
  {
    name: "Secure context", needs: [],
    async run() {
      if (!isSecureContext) fail("This page is not a secure context: serve it over https, or from localhost");
      return location.origin;
    },
  },
  {
    name: "WebAssembly", needs: [],
    async run() {
      if (typeof WebAssembly !== "object") fail("There is no WebAssembly here: a lockdown mode, perhaps");
      await WebAssembly.compile(new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0])).catch((error: Error) =>
        fail("WebAssembly is refused, by a Content-Security-Policy without 'wasm-unsafe-eval' perhaps", error));
      return "compiles";
    },
  },
  {
    name: "Workers", needs: [],
    async run({ signal }) {
      if (typeof Worker !== "function") fail("There are no workers here");
      const began = performance.now();
      await new Helper(signal).ask("ping")
        .catch((error: Error) => fail("A worker with a module script did not start", error));
      return `answered after ${ms(began)}`;
    },
  },
  {
    name: "SharedWorker", needs: [], optional: true,
    async run() {
      const without = "Tabs talk over BroadcastChannel instead, which is slower";
      if (typeof SharedWorker !== "function") fail(`There is no SharedWorker here. ${without}`);
      const { port } = new SharedWorker(new URL("check-shared.js", import.meta.url), { type: "module" });
      const answer = message(port);
      port.postMessage("");
      await answer;
      port.close();
      return "answered";
    },
  },
  {
    name: "Web Locks", needs: ["Workers"],
    async run({ signal, database: name }) {
      if (!navigator.locks) fail("There are no Web Locks here, which choose the tab that leads");
      const helper = new Helper(signal);
      const held = await navigator.locks.request(name, () => helper.ask<boolean>("lock", name));
      if (!held) fail("A worker was given a Web Lock that this page held: two tabs would write one file");
      if (await helper.ask<boolean>("lock", name)) fail("A Web Lock that was let go stayed taken");
      return "one holder at a time, over page and worker";
    },
  },
  {
    name: "BroadcastChannel", needs: ["Workers"],
    async run({ signal, database: name }) {
      if (typeof BroadcastChannel !== "function") fail("There is no BroadcastChannel here, by which tabs meet");
      const helper = new Helper(signal), channel = new BroadcastChannel(name);
      signal.addEventListener("abort", () => channel.close());
      await helper.ask("echo", name);
      const answer = message(channel);
      let asked = 0;
      // The worker may not be heard of yet where messages are handed on: what is sent first may be lost.
      const ask = () => { asked = performance.now(); channel.postMessage("there and"); };
      ask();
      const again = setInterval(ask, 200);
      signal.addEventListener("abort", () => clearInterval(again));
      if (await answer !== "there and back") fail("A message over a BroadcastChannel came back changed");
      return `there and back in ${ms(asked)}`;
    },
  },
  {
    name: "Private files (OPFS)", needs: ["Workers"],
    async run({ signal }) {
      if (!navigator.storage?.getDirectory) fail("This browser has no origin private file system");
      await navigator.storage.getDirectory().catch((error: Error) =>
        fail("The browser refuses its private file system, as private windows do", error));
      return new Helper(signal).ask<string>("file").catch((error: Error) =>
        fail("A file could not be written and read back in a worker", error));
    },
  },
  {
    name: "Room", needs: ["Private files (OPFS)"], optional: true,
    async run() {
      const { quota = 0, usage = 0 } = await navigator.storage.estimate();
      const free = (quota - usage) / 2 ** 20;
      if (free < 100) fail(`Only ${free.toFixed(0)} MiB are left for this site`);
      const kept = await navigator.storage.persisted?.() ? "persistent" : "best effort: the browser may delete it";
      return `${free > 1024 ? `${(free / 1024).toFixed(1)} GiB` : `${free.toFixed(0)} MiB`} free, ${kept}`;
    },
  },
  {
    name: "A database",
    needs: ["Secure context", "WebAssembly", "Web Locks", "BroadcastChannel", "Private files (OPFS)"],
    async run(trial) {
      const began = performance.now();
      const db = await database(trial);
      const opened = ms(began);
      const [row] = await db.query<{ version: string }>(`SELECT sqlite_version() AS version`);
      return `SQLite ${row!.version} opened in ${opened}`;
    },
  },
  {
    name: "A durable write", needs: ["A database"],
    async run(trial) {
      const helper = new Helper(trial.signal), written = crypto.randomUUID();
      await helper.ask("open", trial.database);
      await helper.ask("write", written);
      helper.end(); // without a word, as in a crash
      const db = await database(trial);
      const rows = await db.query(`SELECT 1 FROM notes WHERE body = ?`, [written]);
      if (rows.length !== 1) fail("A write that had been confirmed was gone after its worker was ended");
      return "there after the worker that wrote it was ended";
    },
  },
  {
    name: "Two tabs", needs: ["A database"],
    async run(trial) {
      const db = await database(trial), helper = new Helper(trial.signal);
      await helper.ask("open", trial.database);
      const roles = [db.role, await helper.ask<string>("role")];
      if (roles.toSorted().join() !== "follower,leader") fail(`One of two tabs has to lead; they say ${roles.join()}`);
      let seen = 0;
      db.live(`SELECT id FROM notes`, [], (rows) => { seen = rows.length; });
      const began = performance.now();
      await helper.ask("write", "from the other tab");
      await until(trial.signal, () => seen === 1);
      const crossed = ms(began);
      await db.close();
      const left = performance.now();
      await helper.ask("write", "alone now");
      if (await helper.ask<string>("role") !== "leader") fail("The leading tab closed, and the other did not lead");
      const took = ms(left);
      await helper.ask("close");
      return `a write was seen by the other after ${crossed}; it led ${took} after the first was closed`;
    },
  },
  {
    name: "Speed", needs: ["A database"],
    async run(trial) {
      const db = await database(trial);
      const times: number[] = [];
      for (let i = 0; i < 30; i++) {
        const began = performance.now();
        await db.exec(`INSERT INTO notes(body) VALUES (?)`, [`note ${i}`]);
        times.push(performance.now() - began);
      }
      const median = times.toSorted((a, b) => a - b)[15]!;
      const rows = 10_000;
      let began = performance.now();
      await db.bulk(`INSERT INTO notes(body) VALUES (?)`, Array.from({ length: rows }, (_, i) => [`row ${i}`]));
      const bulk = ms(began);
      began = performance.now();
      await db.query(`SELECT id, body FROM notes`);
      return `a durable write ${median.toFixed(1)} ms; ${rows.toLocaleString("en")} rows written in ${bulk}, ` +
        `read in ${ms(began)}`;
    },
  },
];

/** Removes what a check may have left. */
export const cleanUp = (name: string): Promise<void> => destroy(name, { timeout: 5_000 });
