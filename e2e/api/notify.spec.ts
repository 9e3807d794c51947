// db.notify(): delivered in every tab when its transaction is committed, and only then.
import type { Page } from "@playwright/test";
import { expect, openIn, test } from "../fixtures.js";

type Seen = { payload: unknown; origin: string; missed: boolean; rows: number }[];

/** Collects the notifications of a channel, each with the number of rows that a query sees then. */
async function collect(page: Page): Promise<void> {
  await page.evaluate(() => {
    const seen: Seen = [];
    Object.assign(globalThis, { seen });
    db.onNotify("chat", async ({ payload, origin, missed }) => {
      const [row] = await db.query<{ n: number }>("SELECT count(*) AS n FROM notes");
      seen.push({ payload, origin, missed, rows: row!.n });
    });
    db.onNotify("other", () => { throw new Error("another channel's"); });
  });
}

const seen = (page: Page) => page.evaluate(() => (globalThis as unknown as { seen: Seen }).seen.splice(0));

async function expectSeen(page: Page, want: Seen): Promise<void> {
  const got: Seen = [];
  await expect.poll(async () => {
    got.push(...await seen(page));
    return got;
  }).toEqual(want);
}

test("a notification reaches every tab when its transaction is committed, and only then", async ({ profile, site }) => {
  const device = await profile();
  const a = await device.tab(site), b = await device.tab(site);
  for (const page of [a, b]) {
    await openIn(page);
    await collect(page);
  }
  // Of the leader's tab, without rows.
  await a.evaluate(() => db.notify("chat", { hello: "ü" }));
  await expectSeen(a, [{ payload: { hello: "ü" }, origin: "local", missed: false, rows: 0 }]);
  await expectSeen(b, [{ payload: { hello: "ü" }, origin: "tab", missed: false, rows: 0 }]);

  // Of a follower: rolled back by an error, rolled back to a savepoint, committed. The former two reach no tab.
  const held = await b.evaluate(async () => {
    await db.transaction(async (tx) => {
      await tx.exec("INSERT INTO notes(id, body) VALUES ('1', 'never')");
      await tx.notify("chat", "never");
      throw new Error("no");
    }).catch(() => {});
    return db.transaction(async (tx) => {
      await tx.notify("chat", 1);
      await tx.exec("SAVEPOINT s");
      await tx.notify("chat", "never");
      await tx.exec("ROLLBACK TO s");
      await tx.exec("INSERT INTO notes(id, body) VALUES ('2', 'kept')");
      await tx.notify("chat", [2, null]);
      await new Promise((resolve) => setTimeout(resolve, 300)); // long enough for what must not be delivered yet
      return (globalThis as unknown as { seen: Seen }).seen.length;
    });
  });
  expect(held).toBe(0);
  const both = (origin: string): Seen => [1, [2, null]].map((payload) => ({ payload, origin, missed: false, rows: 1 }));
  await expectSeen(b, both("local"));
  await expectSeen(a, both("tab"));

  // In order, each once, beside other writes that share their flush.
  await b.evaluate(() => Promise.all(Array.from({ length: 50 }, (_, n) => [
    db.notify("chat", n), db.exec("UPDATE notes SET body = ?", [String(n)]),
    db.exec("INSERT INTO nowhere VALUES (1)").catch(() => {}),
  ]).flat()));
  for (const [page, origin] of [[a, "tab"], [b, "local"]] as const) {
    await expectSeen(page, Array.from({ length: 50 }, (_, n) => ({ payload: n, origin, missed: false, rows: 1 })));
  }
});

test("a tab whose leader went away is told that it may have missed notifications", async ({ profile, site }) => {
  const device = await profile();
  const a = await device.tab(site), b = await device.tab(site);
  for (const page of [a, b]) await openIn(page);
  await collect(b);
  await a.close();
  await expectSeen(b, [{ payload: undefined, origin: "tab", missed: true, rows: 0 }]);
  await b.evaluate(() => db.notify("chat", "again"));
  await expectSeen(b, [{ payload: "again", origin: "local", missed: false, rows: 0 }]);
});
