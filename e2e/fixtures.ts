// What the specs stand on: a server and sites that end with the test, and
// browser profiles that survive being closed.
import { test as base, expect, type BrowserContext, type Page } from "@playwright/test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type * as Heddle from "../web/src/index.js";
import { launch, startServer, startSite, startWire, type Server, type Site, type SiteOptions,
  type Wire } from "./harness.js";

declare global {
  var heddle: typeof Heddle;
  var db: Heddle.Database;
}

/** One browser profile on disk: a device. */
export interface Profile {
  readonly dir: string;
  readonly context: BrowserContext;
  /** A new tab at url, ready. */
  tab(url: string): Promise<Page>;
  /** Closes the browser and starts it again on the same profile. */
  restart(): Promise<void>;
}

interface Fixtures {
  server: Server;
  /** A page of its own origin with the package beside it: see pages/. */
  site: string;
  /** Starts another static site; headers go on every response. */
  serve(options?: SiteOptions): Promise<string>;
  /** Lays a wire to the server that can be pulled. */
  wire(): Promise<Wire>;
  /** Starts a browser on a new profile. */
  profile(): Promise<Profile>;
}

/** Prints what the page says when something goes wrong in it. */
function listen(context: BrowserContext, said: string[]): void {
  context.on("weberror", (error) => said.push(`uncaught: ${error.error().stack ?? error.error().message}`));
  context.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") said.push(`${message.type()}: ${message.text()}`);
  });
}

export const test = base.extend<Fixtures>({
  server: async ({}, use) => {
    const data = mkdtempSync(join(tmpdir(), "heddle-server-"));
    const server = await startServer(data);
    await use(server);
    await server.stop();
    rmSync(data, { recursive: true, force: true });
  },

  serve: async ({}, use) => {
    const sites: Site[] = [];
    await use(async (options) => {
      const site = await startSite(options);
      sites.push(site);
      return site.url;
    });
    for (const site of sites) site.close();
  },

  site: async ({ serve }, use) => use(await serve()),

  wire: async ({ server }, use) => {
    const wires: Wire[] = [];
    await use(async () => {
      const wire = await startWire(server.url);
      wires.push(wire);
      return wire;
    });
    for (const wire of wires) wire.close();
  },

  profile: async ({}, use, info) => {
    const profiles: { dir: string; context: BrowserContext }[] = [];
    const said: string[] = [];
    await use(async () => {
      const dir = mkdtempSync(join(tmpdir(), "heddle-profile-"));
      const mine = { dir, context: await launch(dir) };
      listen(mine.context, said);
      profiles.push(mine);
      return {
        dir,
        get context() { return mine.context; },
        async tab(url) {
          const page = await mine.context.newPage();
          await page.goto(url);
          await page.waitForSelector("html[data-ready]");
          return page;
        },
        async restart() {
          await mine.context.close().catch(() => {}); // a test may have killed it
          mine.context = await launch(dir);
          listen(mine.context, said);
        },
      };
    });
    if (info.status !== info.expectedStatus && said.length > 0) console.log(said.join("\n"));
    for (const { dir, context } of profiles) {
      await context.close();
      rmSync(dir, { recursive: true, force: true });
    }
  },
});

export { expect };

/** The migrations that most specs use. */
export const notes = [`CREATE TABLE notes(id TEXT PRIMARY KEY, body TEXT NOT NULL DEFAULT '' CHECK (body <> ` +
  `'forbidden'), done INTEGER NOT NULL DEFAULT 0)`];

export interface OpenInPage {
  name?: string;
  migrations?: readonly string[];
  sync?: { url: string; space: string; tables?: Heddle.SyncOptions["tables"] };
}

/** Opens a database in the page as globalThis.db. */
export async function openIn(page: Page, { name = "test", migrations = notes, sync }: OpenInPage = {}): Promise<void> {
  const options = { name, migrations, ...(sync ? { sync: { tables: { notes: true as const }, ...sync } } : {}) };
  await page.evaluate(async (options) => { globalThis.db = await heddle.open(options); }, options);
}

/** What a failing call in a page rejected with. */
export interface Failure { name: string; code: string; message: string; sql?: string }

/** Runs code in the page that must reject, and returns the error. */
export async function failure(page: Page, code: string): Promise<Failure> {
  return page.evaluate(async (code) => {
    try {
      // oxlint-disable-next-line no-eval -- refused under a strict CSP; these pages have none
      await (0, eval)(`(async () => { ${code} })()`);
    } catch (error) {
      const { name, code, message, sql } = error as Heddle.HeddleError;
      return { name, code, message, ...(sql ? { sql } : {}) };
    }
    throw new Error("the call resolved, and should not have");
  }, code);
}

/** Waits until the space's log holds everything of this page, and this page everything of it. */
export const synced = (page: Page): Promise<void> => page.evaluate(() => db.sync.now());

/** The digest of the page's synced tables. */
export const digest = (page: Page): Promise<{ seq: number; digest: string }> => page.evaluate(() => db.sync.digest());
