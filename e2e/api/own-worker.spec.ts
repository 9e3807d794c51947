// A database that an app opens in a dedicated worker of its own, beside its pages.

import { expect, test } from "../fixtures.js";

const script = `
  import * as heddle from "/heddle/index.js";
  const migrations = ["CREATE TABLE notes(id TEXT PRIMARY KEY)"];
  let db;
  const calls = {
    open: async () => { db = await heddle.open({ name: "shared", migrations }); return db.role; },
    write: (id) => db.exec("INSERT INTO notes VALUES (?)", [id]),
    follow: () => new Promise((resolve) => {
      db.live("SELECT id FROM notes", [], (rows) => { if (rows.length === 2) resolve(rows.map(({ id }) => id)); });
    }),
    close: () => db.close(),
  };
  onmessage = async ({ data: [id, name, ...args] }) => {
    try {
      postMessage([id, await calls[name](...args)]);
    } catch (error) {
      postMessage([id, undefined, String(error)]);
    }
  };
`;

test("in an app's own worker: it leads or follows, and its page's writes reach it", async ({ profile, site }) => {
  const device = await profile();
  const page = await device.tab(site);
  const seen = await page.evaluate(async (script) => {
    const url = URL.createObjectURL(new Blob([script.replace("/heddle/", `${location.origin}/heddle/`)],
      { type: "text/javascript" }));
    const worker = new Worker(url, { type: "module" });
    const waiting = new Map<number, (answer: [unknown, string?]) => void>();
    worker.onmessage = ({ data: [id, ...answer] }) => waiting.get(id)!(answer);
    let calls = 0;
    const call = async (...args: unknown[]) => {
      const id = calls++;
      const [value, error] = await new Promise<[unknown, string?]>((resolve) => {
        waiting.set(id, resolve);
        worker.postMessage([id, ...args]);
      });
      if (error) throw new Error(error);
      return value;
    };
    const role = await call("open");
    const db = await heddle.open({ name: "shared", migrations: ["CREATE TABLE notes(id TEXT PRIMARY KEY)"] });
    const following = call("follow");
    await call("write", "worker");
    await db.exec("INSERT INTO notes VALUES ('page')");
    const followed = await following;
    await call("close");
    await db.exec("INSERT INTO notes VALUES ('later')");     // the page leads now
    const rows = await db.query("SELECT id FROM notes ORDER BY id");
    await db.close();
    worker.terminate();
    return { role, followed, rows };
  }, script);
  expect(seen.role).toBe("leader");
  expect(seen.followed).toEqual(expect.arrayContaining(["worker", "page"]));
  expect(seen.rows).toEqual([{ id: "later" }, { id: "page" }, { id: "worker" }]);
});
