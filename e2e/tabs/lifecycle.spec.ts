// Pages that the browser freezes, or keeps in its back/forward cache: what
// Playwright's own pages never are.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, notes, test as base } from "../fixtures.js";
import { rawChrome, type RawChrome, type RawPage } from "../rawchrome.js";
import { rendererOf } from "../renderers.js";

const test = base.extend<{ chrome: RawChrome }>({
  chrome: async ({}, use) => {
    const profile = await mkdtemp(join(tmpdir(), "heddle-raw-"));
    const chrome = await rawChrome(profile);
    await use(chrome);
    await chrome.close();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  },
});

const open = `(async () => { globalThis.db = await heddle.open({ name: "test", migrations: ${JSON.stringify(notes)} ` +
  `}); globalThis.mark = "kept"; return db.role; })()`;
const add = (id: string) => `db.exec("INSERT INTO notes(id, body) VALUES ('${id}', 'x')").then((r) => r.changes)`;
const ids = `db.query("SELECT id FROM notes ORDER BY id").then((rows) => rows.map((row) => row.id).join())`;

/** Counts what the browser does to a page: how often it freezes it, and takes it out of its cache. */
const watch = `{
  globalThis.frozen = 0;
  globalThis.restored = 0;
  document.addEventListener("freeze", () => { frozen++; });
  addEventListener("pageshow", (event) => { if (event.persisted) restored++; });
}`;
async function hit(fault: string, what: "frozen" | "restored", ...pages: RawPage[]): Promise<void> {
  let n = 0;
  for (const page of pages) n += await page.evaluate<number>(what);
  console.log(`${fault}: ${n} × ${what}`);
  expect(n, "the fault did not happen").toBeGreaterThan(0);
}

test("a page in the back/forward cache holds up no tab, and works when it comes back", async ({ chrome, site }) => {
  const a = await chrome.page(site);
  expect(await a.evaluate(open)).toBe("leader");
  await a.evaluate(watch);
  await a.evaluate(add("1"));
  await a.send("Page.navigate", { url: `${site}?away` });
  await a.until(`location.search === "?away" && typeof mark`, "undefined");

  const b = await chrome.page(site);
  expect(await b.evaluate(open)).toBe("leader");
  await b.evaluate(add("2"));

  await a.evaluate(`history.back()`);
  await a.until(`globalThis.mark`, "kept"); // not reloaded: it came out of the cache
  expect(await a.evaluate(ids)).toBe("1,2");
  expect(await a.evaluate(`db.role`)).toBe("follower");
  await a.evaluate(add("3"));
  expect(await b.evaluate(ids)).toBe("1,2,3");
  await hit("the leader in the cache", "restored", a);
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

test("F7b: a frozen follower is no head of the queue", async ({ chrome, site }) => {
  const a = await chrome.page(site), b = await chrome.page(site), c = await chrome.page(site);
  for (const page of [a, b, c]) await page.evaluate(open);
  await b.evaluate(watch);
  await b.send("Page.setWebLifecycleState", { state: "frozen" });
  await a.evaluate(`db.close()`);
  await c.until(`db.role`, "leader");
  expect(await c.evaluate(add("1"))).toBe(1);
  await b.send("Page.setWebLifecycleState", { state: "active" });
  expect(await b.evaluate(ids)).toBe("1");
  await hit("F7b", "frozen", b);
});

test("a follower comes back from the cache to what others have written meanwhile", async ({ chrome, site }) => {
  const a = await chrome.page(site), b = await chrome.page(site);
  expect(await a.evaluate(open)).toBe("leader");
  expect(await b.evaluate(open)).toBe("follower");
  await b.evaluate(`{ globalThis.shown = ""; db.live("SELECT id FROM notes ORDER BY id", [], (rows) => { ` +
    `globalThis.shown = rows.map((row) => row.id).join(); }); }`);
  await b.evaluate(watch);
  await b.evaluate(add("1"));
  await b.send("Page.navigate", { url: `${site}?away` });
  await b.until(`location.search === "?away" && typeof mark`, "undefined");
  await a.evaluate(add("2"));
  await b.evaluate(`history.back()`);
  await b.until(`globalThis.mark`, "kept");
  expect(await b.evaluate(ids), "a stale read").toBe("1,2");
  await b.until(`shown`, "1,2");
  await b.evaluate(add("3"));
  expect(await a.evaluate(ids)).toBe("1,2,3");
  await hit("a follower in the cache", "restored", b);
});

// A counter that grows by one with each write, three of them on their way at a time.
const count = (tab: string) => `{
  globalThis.counting = { n: 0, wrong: [], stop: false };
  const first = db.exec("INSERT INTO notes(id, done) VALUES ('${tab}', 0)");
  counting.done = first.then(() => Promise.all([1, 2, 3].map(async () => {
    while (!counting.stop) {
      const want = ++counting.n;
      const [row] = await db.query("UPDATE notes SET done = done + 1 WHERE id = '${tab}' RETURNING done");
      if (row.done !== want) counting.wrong.push(want + ": " + row.done);
    }
  }))).catch((error) => counting.wrong.push(String(error)));
  void 0; // the end is not waited for
}`;
const counted = `(async () => { counting.stop = true; await counting.done; ` +
  `return JSON.stringify([counting.wrong, counting.n]); })()`;

test("leaders that are frozen while they write write nothing when they thaw, and lose nothing",
  async ({ chrome, site }) => {
  const a = await chrome.page(site), b = await chrome.page(site);
  for (const page of [a, b]) await page.evaluate(open);
  for (const page of [a, b]) await page.evaluate(watch);
  await a.evaluate(count("a"));
  await b.evaluate(count("b"));
  let pages = [a, b] as const;
  for (let round = 0; round < 4; round++) {
    const [leader, other] = pages;
    await leader.until(`counting.n > ${round * 20 + 10}`, true);
    await leader.send("Page.setWebLifecycleState", { state: "frozen" });
    await other.until(`db.role`, "leader");
    await other.evaluate(`globalThis.from = counting.n`);
    await other.until(`counting.n > from + 10`, true);
    await leader.send("Page.setWebLifecycleState", { state: "active" });
    pages = [other, leader];
  }
  const results = await Promise.all([a, b].map((page) => page.evaluate<string>(counted)));
  const done = await b.evaluate<string>(
    `db.query("SELECT id, done FROM notes ORDER BY id").then((rows) => JSON.stringify(rows.map((row) => row.done)))`);
  const ends = results.map((text) => JSON.parse(text) as [string[], number]);
  expect(ends.flatMap(([wrong]) => wrong)).toEqual([]);
  expect(JSON.parse(done)).toEqual(ends.map(([, n]) => n));
  await hit("frozen leaders", "frozen", a, b);
});

test("a leader that is stopped without a word is in the way: that is said, and it goes on when it wakes",
  async ({ chrome, site }) => {
  const a = await chrome.page(site), hidden = await chrome.page(site), c = await chrome.page(site);
  const b = await chrome.page(site, true);
  expect(await a.evaluate(open)).toBe("leader");
  expect(await b.evaluate(open)).toBe("follower");
  expect(await hidden.evaluate(open)).toBe("follower");
  // A tab that can be seen says so in 2 s; the timers of one in the background are slower.
  expect(await b.evaluate(`document.visibilityState`)).toBe("visible");
  expect(await hidden.evaluate(`document.visibilityState`)).toBe("hidden");
  for (const page of [b, hidden]) await page.evaluate(`{
    globalThis.told = [];
    db.on("blocked", () => told.push(performance.now()));
    db.on("unblocked", () => told.push("unblocked"));
  }`);
  await a.evaluate(add("1"));
  const pid = await rendererOf(chrome, a);
  process.kill(pid, "SIGSTOP");
  try {
    await hidden.evaluate(`{ globalThis.called = performance.now(); globalThis.read = db.query("SELECT 1"); void 0; }`);
    await b.evaluate(`{ globalThis.called = performance.now(); globalThis.write = ${add("2")}; void 0; }`);
    const said: number[] = [];
    for (const page of [b, hidden]) {
      // a busy machine may have had it say so, and take it back, before
      await page.until(`typeof told.at(-1)`, "number");
      said.push(await page.evaluate<number>(`Math.round(told.at(-1) - called)`));
    }
    console.log(`a stopped leader: said after ${said[0]} ms in a visible tab, ${said[1]} ms in a hidden one`);
    expect(await b.evaluate(`db.role`), "no other tab may write").toBe("follower");
    // A call can be given up meanwhile; of a write it is not known whether it happened.
    const given = `{ signal: AbortSignal.timeout(10) }`;
    expect(await b.evaluate(`db.query("SELECT 1", [], ${given}).catch((error) => error.code)`)).toBe("HEDDLE_ABORTED");
    expect(await b.evaluate(`db.exec("INSERT INTO notes(id) VALUES ('given up')", [], ${given}).catch((error) => ` +
      `error.code)`)).toBe("HEDDLE_LEADER_LOST");
    // A tab that opens the database is told as well, and waits.
    await c.evaluate(`{
      globalThis.told = [];
      const onBlocked = (message) => told.push(message);
      globalThis.opening = heddle.open({ name: "test", migrations: ${JSON.stringify(notes)}, onBlocked })
        .then((db) => { globalThis.db = db; });
      void 0;
    }`);
    await c.until(`told.length > 0`, true);
    expect(await c.evaluate(`told[0]`)).toContain("another tab");
  } finally {
    process.kill(pid, "SIGCONT");
  }
  expect(await b.evaluate(`write`)).toBe(1);
  expect((await b.evaluate<string>(ids)).split(",").filter((id) => id !== "given up")).toEqual(["1", "2"]);
  for (const page of [b, hidden]) await page.until(`told.at(-1)`, "unblocked");
  await c.evaluate(`opening`);
  await c.evaluate(add("3"));
  expect((await a.evaluate<string>(ids)).split(",").filter((id) => id !== "given up")).toEqual(["1", "2", "3"]);
});

test("a leader in the background makes room for a tab that can be seen, where the browser suspends without a word",
  async ({ chrome, site }) => {
  const a = await chrome.page(site), b = await chrome.page(site);
  const look = (state: string) => `{
    Object.defineProperty(document, "visibilityState", { value: "${state}", configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }`;
  for (const page of [a, b]) await page.evaluate(look("visible"));
  expect(await a.evaluate(open)).toBe("leader");
  expect(await b.evaluate(open)).toBe("follower");
  // The kind of browser that says so before it freezes a page: a hidden leader stays,
  // also for longer than it does in the other kind.
  await a.evaluate(look("hidden"));
  await b.evaluate(`new Promise((resolve) => setTimeout(resolve, 4_000))`);
  expect(await a.evaluate(`db.role`)).toBe("leader");
  await a.evaluate(look("visible"));
  // The other kind has no such event.
  for (const page of [a, b]) await page.evaluate(`delete Document.prototype.onfreeze`);
  expect(await a.evaluate(`"onfreeze" in document`)).toBe(false);
  await a.evaluate(look("hidden"));
  await b.until(`db.role`, "leader");
  await a.evaluate(add("1"));
  expect(await b.evaluate(ids)).toBe("1");
  expect(await a.evaluate(`db.role`)).toBe("follower");
});
