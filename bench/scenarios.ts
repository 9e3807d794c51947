// What make profile profiles. The functions that end in "In the page" run there, through the public API alone.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { BrowserContext, Page } from "@playwright/test";
import { root } from "../e2e/harness.js";
import "../e2e/seal/space.js";
import { start } from "./measure.js";

export type Kind = "plain" | "sealed" | "at-rest";

/** Where a scenario takes place: `url` is the server's. */
export interface Stage { page: Page; context: BrowserContext; site: string; url: string; kind: Kind; n: number }

/** Prepares, and returns what is profiled. The page's worker runs by then, unless what is profiled opens it. */
export type Scenario = (stage: Stage) => Promise<() => Promise<unknown>>;

/** In the page: commits of one row each. */
async function commit(n: number): Promise<void> {
  for (let i = 0; i < n; i++) await db.exec(`INSERT INTO log(body) VALUES (?)`, ["a line that must not be lost"]);
}

/** In the page: look-ups of one row by its key. */
async function lookUp(n: number): Promise<void> {
  await db.exec(`INSERT OR IGNORE INTO tick(id, at) VALUES (1, 0)`);
  for (let i = 0; i < n; i++) await db.query(`SELECT at FROM tick WHERE id = ?`, [1]);
}

/** In the page: one transaction of n rows in an empty table. */
async function bulk(n: number): Promise<void> {
  await db.exec(`DELETE FROM t`);
  await db.bulk(`INSERT INTO t(id, name, value, note) VALUES (?, ?, ?, ?)`, Array.from({ length: n }, (_, i) =>
    [i + 1, `name ${i * 7919 % 100_003}`, i / 3, `a note of some length about row ${i}, no longer than notes are`]));
}

/** What is done with the tables of `start`, after as many unprofiled, which say how fast new code is. */
const local = (operate: (n: number) => Promise<void>): Scenario => async ({ page, kind, n }) => {
  await page.evaluate(start, kind === "at-rest");
  for (const part of [1, 2, 3]) {
    const began = performance.now();
    await page.evaluate(operate, Math.ceil(n / 3));
    console.log(`part ${part} of ${n} on new code: ${(n / 3 / (performance.now() - began) * 1000).toFixed(0)}/s`);
  }
  return () => page.evaluate(operate, n);
};

interface Sync { url: string; space: string; sealed: boolean; name: string }

/** In the page: opens a database of the space, and comes into a sealed one by `code`, or begins it. */
async function enter({ url, space, sealed, name, code }: Sync & { code?: string | undefined }): Promise<void> {
  globalThis.db = await heddle.open({
    name, sync: { url, space, tables: { notes: true }, ...(sealed && { sealed }) },
    migrations: [`CREATE TABLE notes(id TEXT PRIMARY KEY, body TEXT, n INTEGER NOT NULL DEFAULT 0)`],
  });
  if (!sealed) return;
  const from = "/heddle/sealed.js";
  globalThis.space = ((await import(from)) as typeof globalThis.sealed).sealedSpace(db);
  if (code) await globalThis.space.unlock(code, name);
  else await globalThis.space.create(name);
}

/** In the page, with sync paused: n commits. */
async function note(n: number): Promise<void> {
  await db.sync.pause();
  const from = (await db.query<{ n: number }>(`SELECT count(*) AS n FROM notes`))[0]!.n;
  for (let i = from; i < from + n; i++) {
    await db.exec(`INSERT INTO notes(id, body) VALUES (?, ?)`, [`note ${i}`, "what was on that day, in some words"]);
  }
}

/** In the page: sync goes on until all is exchanged. */
async function exchange(): Promise<void> {
  await db.sync.resume();
  await db.sync.now();
}

const sealed = (kind: Kind) => kind === "sealed";

/** A device with n transactions to send, after as many unprofiled. */
const push: Scenario = async ({ page, url, kind, n }) => {
  await page.evaluate(enter, { url, space: "push", sealed: sealed(kind), name: "push" });
  for (let i = 0; i < 2; i++) {
    await page.evaluate(exchange);
    await page.evaluate(note, n);
  }
  return () => page.evaluate(exchange);
};

/** A device to which n transactions of another come, after as many unprofiled. */
const pull: Scenario = async ({ page, context, site, url, kind, n }) => {
  const other = await context.newPage(), sync = { url, space: "pull", sealed: sealed(kind) };
  await other.goto(site);
  await other.waitForSelector("html[data-ready]");
  await other.evaluate(enter, { ...sync, name: "other" });
  const code = sync.sealed ? await other.evaluate(() => space.newRecoveryCode()) : undefined;
  await other.evaluate(exchange);
  await page.evaluate(enter, { ...sync, name: "pull", code });
  for (let i = 0; i < 2; i++) {
    await page.evaluate(exchange);
    await page.evaluate(() => db.sync.pause());
    await other.evaluate(note, n);
    await other.evaluate(exchange);
  }
  await other.close();
  return () => page.evaluate(exchange);
};

/** A new device in a space of n rows. */
const bootstrap: Scenario = async ({ page, url, kind, n }) => {
  const args = ["run", "./bench/fill", "-url", url, "-space", "full", "-rows", String(n)];
  const { stdout } = await promisify(execFile)("go", sealed(kind) ? [...args, "-sealed"] : args, { cwd: root });
  const sync = { url, space: "full", sealed: sealed(kind), name: "new", code: stdout.trim() || undefined };
  return async () => { await page.evaluate(enter, sync); await page.evaluate(() => db.sync.now()); };
};

export const scenarios: Record<string, Scenario> =
  { commits: local(commit), lookups: local(lookUp), bulk: local(bulk), push, pull, bootstrap };
