// heddle/react where a server renders: nothing is asked of the database.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createElement } from "react";
import { renderToString } from "react-dom/server";

import { HeddleProvider, useDatabase, useLiveQuery, useLiveRow, useSyncStatus } from "../../src/adapters/react.js";
import { opened } from "../fake.js";

function Notes() {
  const { rows, state } = useLiveQuery("SELECT * FROM notes", []);
  const row = useLiveRow("notes", { id: 1 });
  return createElement("p", null, `${state} ${rows.length} ${row === undefined} ${useSyncStatus().state}`);
}

test("a server renders the loading state", async () => {
  const { db, c } = await opened();
  assert.equal(renderToString(createElement(HeddleProvider, { db }, createElement(Notes))),
    "<p>loading 0 true off</p>");
  assert.deepEqual(c.sent, []);
  await db.close();
});

test("a hook without a provider says what is missing", () => {
  const Alone = () => createElement("p", null, useDatabase().name);
  assert.throws(() => renderToString(createElement(Alone)), /no <HeddleProvider db=/);
});
