// The runtime between page and worker: what it does where a browser, a tab or
// an engine behaves otherwise than hoped.
import type { Page } from "@playwright/test";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, failure, notes, openIn, test } from "../fixtures.js";
import { root } from "../harness.js";

const count = (page: Page) =>
  page.evaluate(async () => (await db.query<{ n: number }>(`SELECT count(*) AS n FROM notes`))[0]!.n);
const role = (page: Page) => page.evaluate(() => db.role);
const add = (page: Page, id: string) =>
  page.evaluate((id) => db.exec(`INSERT INTO notes(id, body) VALUES (?, 'x')`, [id]), id);
const locks = (page: Page) =>
  page.evaluate(async () => {
    const { held = [], pending = [] } = await navigator.locks.query();
    return { held: held.map((lock) => lock.name), pending: pending.map((lock) => lock.name) };
  });
/** What open() rejects with in a page where a line of code ran before it. */
const refused = (page: Page, options = "") => failure(page, `await heddle.open({ name: "notes", ${options} })`);

/** Makes document.visibilityState what a test says. */
const show = (page: Page, state: "visible" | "hidden") =>
  page.evaluate((state) => {
    Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, state);

test("where there is no SharedWorker tabs find each other over BroadcastChannels", async ({ profile, site }) => {
  const device = await profile();
  const a = await device.tab(site);
  await device.context.addInitScript(() => Reflect.deleteProperty(globalThis, "SharedWorker"));
  const b = await device.tab(site), c = await device.tab(site);
  for (const page of [a, b, c]) await openIn(page); // A's broker knows the leader; B and C have none
  expect(await Promise.all([a, b, c].map(role))).toEqual(["leader", "follower", "follower"]);
  await add(b, "1");

  // A large answer comes whole.
  await b.evaluate(() => db.bulk(`INSERT INTO notes(id, body) VALUES (?, ?)`,
    Array.from({ length: 20_000 }, (_, i) => [`b${i}`, `body ${i}`])));
  expect(await c.evaluate(async () => (await db.query(`SELECT * FROM notes`)).length)).toBe(20_001);

  await a.close(); // the next leader has no broker either
  await c.evaluate(() => db.exec(`INSERT INTO notes(id, body) VALUES ('2', 'x')`));
  expect(await count(b)).toBe(20_002);
});

test("an engine that dies is replaced, and every call settles", async ({ profile, site }) => {
  const device = await profile();
  const a = await device.tab(site), b = await device.tab(site);
  await openIn(a);
  await openIn(b);
  await add(a, "1");
  const [worker] = a.workers();
  await worker!.evaluate(() => { setTimeout(() => { throw new Error("the test kills the engine"); }); });
  await a.evaluate(() => db.exec(`INSERT INTO notes(id, body) VALUES ('2', 'x')`));
  expect(await Promise.all([a, b].map(count))).toEqual([2, 2]);
  expect((await Promise.all([a, b].map(role))).sort()).toEqual(["follower", "leader"]);
});

test("triggers that nest too deep for a browser's stack are an error, and kill no engine",
  async ({ profile, site }) => {
  const page = await (await profile()).tab(site);
  const chain = Array.from({ length: 900 }, (_, i) => `CREATE TABLE c${i}(a);`);
  for (let i = 1; i < 900; i++) {
    chain.push(`CREATE TRIGGER t${i} AFTER INSERT ON c${i - 1} BEGIN INSERT INTO c${i} VALUES (new.a); END;`);
  }
  await openIn(page, { migrations: [...notes, chain.join("\n")] });
  await add(page, "1");
  const [worker] = page.workers();
  expect(await failure(page, `await db.exec("INSERT INTO c0 VALUES (1)")`))
    .toMatchObject({ code: "SQLITE_ERROR", sql: "INSERT INTO c0 VALUES (1)" });
  expect(page.workers()).toEqual([worker]);
  expect(await count(page)).toBe(1);
  expect(await page.evaluate(() => db.query(`SELECT count(*) AS n FROM c0`))).toEqual([{ n: 0 }]);
});

test("a renderer that crashes hands over", async ({ profile, site }) => {
  const device = await profile();
  const a = await device.tab(site), b = await device.tab(site);
  await openIn(a);
  await openIn(b);
  await add(a, "1");
  const crashed = a.waitForEvent("crash");
  const session = await device.context.newCDPSession(a);
  void session.send("Page.crash").catch(() => {}); // never answered
  await crashed;
  await expect.poll(() => role(b)).toBe("leader");
  await add(b, "2");
  expect(await count(b)).toBe(2);
});

test("a hidden tab never stands in the queue, and still takes over", async ({ profile, site }) => {
  const device = await profile();
  const a = await device.tab(site), b = await device.tab(site);
  await openIn(a);
  await openIn(b);
  await expect.poll(async () => (await locks(b)).pending).toContain("heddle:test");
  await show(b, "hidden");
  await expect.poll(async () => (await locks(b)).pending).not.toContain("heddle:test");
  await show(b, "visible");
  await expect.poll(async () => (await locks(b)).pending).toContain("heddle:test");
  await show(b, "hidden");
  await a.close();
  await expect.poll(() => role(b)).toBe("leader");
  await add(b, "1");
});

test("a page that the browser freezes or caches lets go, and comes back", async ({ profile, site }) => {
  const device = await profile();
  const a = await device.tab(site), b = await device.tab(site);
  await openIn(a);
  await openIn(b);
  await add(a, "1");
  await a.evaluate(() => dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true })));
  await expect.poll(() => role(b)).toBe("leader");
  await add(b, "2");
  await a.evaluate(() => dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true })));
  expect(await count(a)).toBe(2);
  expect(await role(a)).toBe("follower");
  await add(a, "3");
  expect(await count(b)).toBe(3);
});

test("closing frees every lock, and destroy closes other tabs", async ({ profile, site }) => {
  const device = await profile();
  const a = await device.tab(site), b = await device.tab(site);
  await openIn(a);
  await openIn(b);
  await a.evaluate(() => db.close());
  await expect.poll(() => role(b)).toBe("leader");
  await a.evaluate(() => heddle.destroy("test"));
  expect(await failure(b, `await db.query("SELECT 1")`)).toMatchObject({ code: "HEDDLE_CLOSED" });
  await expect.poll(() => locks(a)).toEqual({ held: [], pending: [] });
});

test("a database in memory is its page's own, and says so", async ({ profile, site }) => {
  const device = await profile();
  const a = await device.tab(site), b = await device.tab(site);
  for (const page of [a, b]) {
    await page.evaluate(async (migrations) => {
      globalThis.db = await heddle.open({ name: "test", migrations, storage: "memory" });
    }, notes);
    expect(await page.evaluate(() => [db.storage, db.role])).toEqual(["memory", "leader"]);
  }
  await add(a, "1");
  expect(await Promise.all([a, b].map(count))).toEqual([1, 0]);
  expect(await a.evaluate(async () => {
    const names: string[] = [];
    for await (const name of (await navigator.storage.getDirectory()).keys()) names.push(name);
    return names;
  })).toEqual([]);
});

test("storage is what the browser promises", async ({ profile, site }) => {
  const device = await profile();
  const page = await device.tab(site);
  await openIn(page);
  expect(await page.evaluate(() => db.storage)).toBe("best-effort");
  await page.evaluate(() => db.close());
  const session = await device.context.newCDPSession(page);
  await session.send("Browser.grantPermissions", { origin: new URL(site).origin, permissions: ["durableStorage"] });
  await openIn(page);
  await expect.poll(() => page.evaluate(() => db.storage)).toBe("persistent");
});

test("a browser without what Heddle needs is told so, and nothing is kept in secret", async ({ profile, site }) => {
  const device = await profile();
  const page = await device.tab(site);
  await page.evaluate(() => Object.defineProperty(StorageManager.prototype, "getDirectory",
    { value: undefined, configurable: true }));
  expect(await refused(page))
    .toMatchObject({ code: "HEDDLE_STORAGE", message: expect.stringContaining("origin private file system") });
  await page.evaluate(() => Object.defineProperty(StorageManager.prototype, "getDirectory", {
    value: () => Promise.reject(new DOMException("not in a private window", "SecurityError")),
  }));
  expect(await refused(page))
    .toMatchObject({ code: "HEDDLE_STORAGE", message: expect.stringContaining("not in a private window") });
  await page.evaluate(async () => { globalThis.db = await heddle.open({ name: "notes", storage: "memory" }); });
  expect(await page.evaluate(() => db.query(`SELECT 1 AS one`))).toEqual([{ one: 1 }]);
  await page.evaluate(() => Object.defineProperty(Navigator.prototype, "locks", { value: undefined }));
  expect(await refused(page))
    .toMatchObject({ code: "HEDDLE_UNSUPPORTED", message: expect.stringContaining("Web Locks") });
});

test("a tab that waits for a database that another holds is told, in bounded time", async ({ profile, site }) => {
  const device = await profile();
  const holder = await device.tab(site), page = await device.tab(site);
  await holder.evaluate(() => { void navigator.locks.request("heddle:notes", () => new Promise(() => {})); });
  await expect.poll(async () => (await locks(holder)).held).toContain("heddle:notes");
  await page.clock.install();
  const error = refused(page);
  await expect.poll(async () => (await locks(page)).pending).toContain("heddle:notes");
  await page.clock.runFor(30_000);
  expect(await error).toMatchObject({ code: "HEDDLE_BLOCKED", message: expect.stringContaining("another tab") });
  expect((await locks(page)).pending).toEqual([]);
});

for (const [file, says] of [["heddle.wasm", "404"], ["sqlite3.wasm", "404"], ["worker.js", "worker"]] as const) {
  test(`without ${file} open says what is missing`, async ({ profile, serve }) => {
    const dir = await mkdtemp(join(tmpdir(), "heddle-dist-"));
    await cp(join(root, "web/dist"), dir, { recursive: true });
    await rm(join(dir, file));
    const page = await (await profile())
      .tab(await serve({ mounts: { "/heddle/": dir, "/": join(root, "e2e/pages") } }));
    const error = await refused(page);
    expect(error)
      .toMatchObject({ code: "HEDDLE_ASSETS", message: expect.stringContaining(file === "worker.js" ? says : file) });
    expect(error.message).toContain(says);
    await rm(dir, { recursive: true });
  });
}

test("a server that knows no application/wasm works, a little slower", async ({ profile, site }) => {
  const page = await (await profile()).tab(site);
  await page.route("**/*.wasm", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, headers: { ...response.headers(), "content-type": "application/octet-stream" } });
  });
  await openIn(page);
  expect(await count(page)).toBe(0);
  await page.unrouteAll({ behavior: "wait" }); // the program's second part is still on its way
});
