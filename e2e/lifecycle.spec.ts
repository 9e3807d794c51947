// Pages that the browser freezes, or keeps in its back/forward cache: what
// Playwright's own pages never are.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, notes, test as base } from "./fixtures.js";
import { rawChrome, type RawChrome } from "./rawchrome.js";

const test = base.extend<{ chrome: RawChrome }>({
  chrome: async ({}, use) => {
    const profile = await mkdtemp(join(tmpdir(), "heddle-raw-"));
    const chrome = await rawChrome(profile);
    await use(chrome);
    await chrome.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  },
});

const open = `(async () => { globalThis.db = await heddle.open({ name: "test", migrations: ${JSON.stringify(notes)} }); globalThis.mark = "kept"; return db.role; })()`;
const add = (id: string) => `db.exec("INSERT INTO notes(id, body) VALUES ('${id}', 'x')").then((r) => r.changes)`;
const ids = `db.query("SELECT id FROM notes ORDER BY id").then((rows) => rows.map((row) => row.id).join())`;

test("a page in the back/forward cache holds nobody up, and works when it comes back", async ({ chrome, site }) => {
  const a = await chrome.page(site);
  expect(await a.evaluate(open)).toBe("leader");
  await a.evaluate(add("1"));
  await a.send("Page.navigate", { url: `${site}?away` });
  await a.until(`location.search === "?away" && typeof mark`, "undefined");

  const b = await chrome.page(site);
  expect(await b.evaluate(open)).toBe("leader");
  await b.evaluate(add("2"));

  await a.evaluate(`history.back()`);
  await a.until(`globalThis.mark`, "kept"); // not loaded anew: it came out of the cache
  expect(await a.evaluate(ids)).toBe("1,2");
  expect(await a.evaluate(`db.role`)).toBe("follower");
  await a.evaluate(add("3"));
  expect(await b.evaluate(ids)).toBe("1,2,3");
});

test("a leader that is frozen has let go, and follows when it thaws", async ({ chrome, site }) => {
  const a = await chrome.page(site), b = await chrome.page(site);
  expect(await a.evaluate(open)).toBe("leader");
  expect(await b.evaluate(open)).toBe("follower");
  await a.evaluate(add("1"));
  await a.send("Page.setWebLifecycleState", { state: "frozen" });
  await b.until(`db.role`, "leader");
  expect(await b.evaluate(add("2"))).toBe(1);
  await a.send("Page.setWebLifecycleState", { state: "active" });
  expect(await a.evaluate(ids)).toBe("1,2");
  expect(await a.evaluate(`db.role`)).toBe("follower");
});

test("a frozen follower is no head of the queue", async ({ chrome, site }) => {
  const a = await chrome.page(site), b = await chrome.page(site), c = await chrome.page(site);
  for (const page of [a, b, c]) await page.evaluate(open);
  await b.send("Page.setWebLifecycleState", { state: "frozen" });
  await a.evaluate(`db.close()`);
  await c.until(`db.role`, "leader");
  expect(await c.evaluate(add("1"))).toBe(1);
  await b.send("Page.setWebLifecycleState", { state: "active" });
  expect(await b.evaluate(ids)).toBe("1");
});
