import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { open } from "heddle/node";
import { afterAll, expect, inject, test } from "vitest";

import { add, finish, follow, migrations, tables } from "./notes.js";

const directory = mkdtempSync(join(tmpdir(), "notes-"));
afterAll(() => rmSync(directory, { recursive: true }));

test("a list follows what is written", async () => {
  const db = await open({ name: "notes", storage: "memory", migrations });
  const seen = [];
  const done = new Promise((resolve) => {
    follow(db, (rows) => {
      seen.push(rows.map(({ body }) => body));
      if (seen.flat().includes("weft") && rows.length === 1) resolve();
    });
  });
  const warp = await add(db, "warp");
  await add(db, "weft");
  await finish(db, warp);
  await done;
  expect(seen.at(-1)).toEqual(["weft"]);
  await db.close();
});

test("what is written is there after the next start", async () => {
  for (const bodies of [["warp"], ["warp", "weft"]]) {
    const db = await open({ name: "kept", directory, migrations });
    await add(db, bodies.at(-1));
    expect((await db.query(`SELECT body FROM notes ORDER BY id`)).map(({ body }) => body)).toEqual(bodies);
    await db.close();
  }
});

test("two devices see each other's notes", async () => {
  const sync = { url: inject("server"), space: crypto.randomUUID(), tables };
  const [a, b] = await Promise.all(["a", "b"].map((name) => open({ name, storage: "memory", migrations, sync })));
  await add(a, "from a");
  await a.sync.now();
  await b.sync.now();
  expect(await b.query(`SELECT body FROM notes`)).toEqual([{ body: "from a" }]);
  await Promise.all([a.close(), b.close()]);
});
