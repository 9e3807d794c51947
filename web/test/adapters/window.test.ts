// A window shows, after each of many random changes, what a fresh query shows: with the engine of the built package.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { windowsOf } from "../../src/adapters/window.js";
import type * as Heddle from "../../src/node/index.js";

interface Note { id: number; rank: number; body: string }

const { open } = await import(new URL("../../dist/node.js", import.meta.url).href) as typeof Heddle;
const db = await open({
  name: "windows", storage: "memory",
  migrations: ["CREATE TABLE notes(id INTEGER PRIMARY KEY, rank INTEGER NOT NULL, list TEXT, body TEXT)"],
});
after(() => db.close());

/** A generator of numbers below n: https://en.wikipedia.org/wiki/Lehmer_random_number_generator */
function random(seed: number): (n: number) => number {
  let state = seed;
  return (n) => (state = state * 48_271 % 2_147_483_647) % n;
}

async function change(next: (n: number) => number): Promise<void> {
  const id = next(40), row = [id, next(4), next(9) ? "a" : "b", `n${next(9)}`];
  if (next(3) === 0) await db.exec("DELETE FROM notes WHERE id = ?", [id]);
  else await db.exec("INSERT OR REPLACE INTO notes VALUES (?, ?, ?, ?)", row);
}

for (const descending of [false, true]) {
  test(`a window equals a fresh query, ${descending ? "descending" : "ascending"}`, async () => {
    const next = random(descending ? 7 : 11);
    const sql = "SELECT id, rank, body FROM notes WHERE list = :list -- of one list";
    const order = descending ? "ORDER BY rank DESC, id DESC" : "ORDER BY rank, id";
    const find = windowsOf<Note, never>({ key: ["rank", "id"], size: 3, descending });
    await db.exec("DELETE FROM notes");
    for (let i = 0; i < 30; i++) await change(next);
    const store = find(db, sql, { list: "a" });
    let stop = () => {};
    const until = (holds: () => boolean) => new Promise<void>((resolve) => {
      const look = () => { if (holds()) resolve(); };
      const before = stop;
      stop = store.subscribe(look);
      before();
      look();
    });
    for (let i = 0; i < 120; i++) {
      const all = await db.query<Note>(`SELECT id, rank, body FROM notes WHERE list = 'a' ${order}`);
      await until(() => {
        const { rows, state, total, hasMore } = store.getSnapshot();
        const shown = all.slice(0, rows.length);
        return state === "ready" && total === all.length && JSON.stringify(rows) === JSON.stringify(shown)
          && (hasMore ? rows.length < total : rows.length === total);
      });
      assert.equal(store.getSnapshot(), store.getSnapshot());
      assert.equal(find(db, sql, { list: "a" }), store, "equal parameters are one window");
      if (next(12) === 0) {
        const { rows, more } = store.getSnapshot();
        more();
        more(); // a page is on its way
        await until(() => store.getSnapshot().state === "ready");
        rows.forEach((row, at) => assert.equal(store.getSnapshot().rows[at], row, "rows that stayed are the same"));
      } else await change(next);
    }
    assert.ok(store.getSnapshot().rows.length > 9, "the window has had several pages");
    stop();
  });
}

test("nothing is asked without parameters, and where there is no database", () => {
  const find = windowsOf<Note, never>({ key: ["id"] });
  for (const store of [find(undefined, "SELECT", []), find(db, "SELECT", null), find(db, "SELECT", false)]) {
    assert.deepEqual({ ...store.getSnapshot(), more: 0 }, { rows: [], state: "loading", total: 0, hasMore: false,
      more: 0 });
    store.getSnapshot().more();
    store.subscribe(() => {})();
  }
});

test("a query that fails says so in the window", async () => {
  const store = windowsOf<Note, never>({ key: ["id"] })(db, "SELECT id FROM nowhere", []);
  const stop = await new Promise<() => void>((resolve) => {
    const stop = store.subscribe(() => { if (store.getSnapshot().state === "error") resolve(stop); });
  });
  assert.equal(store.getSnapshot().error?.code, "SQLITE_ERROR");
  stop();
});
