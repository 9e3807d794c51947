// The page of react.spec.ts: hooks of heddle/react in a real React, with what the test counts and calls.

import { memo, StrictMode, Suspense, useState, type ReactNode } from "react";
import { createRoot } from "react-dom/client";
import { flushSync } from "react-dom";
import { open, type Database } from "heddle";
import { HeddleProvider, useDatabase, useLiveQuery, useLiveRow, useRejections, useSyncStatus } from "heddle/react";

interface Note { id: string; body: string; list: number }

const renders = new Map<string, number>();
const count = (what: string) => renders.set(what, (renders.get(what) ?? 0) + 1);

const Line = memo(function Line({ note }: { note: Note }) {
  count("line");
  return <li>{note.body}</li>;
});

/** One of many lists, each with a query of its own parameters. */
function List({ list }: { list: number }) {
  count(`list ${list}`);
  const { rows, state } = useLiveQuery<Note>("SELECT id, body, list FROM notes WHERE list = ? ORDER BY id", [list]);
  return <ul id={`list-${list}`} data-state={state}>{rows.map((note) => <Line key={note.id} note={note} />)}</ul>;
}

function Lists() {
  return <>{Array.from({ length: 200 }, (_, list) => <List key={list} list={list} />)}</>;
}

function Total() {
  const { rows: [row] } = useLiveQuery<{ n: number }>("SELECT count(*) AS n FROM notes", [], { suspense: true });
  return <p id="total">{row!.n}</p>;
}

function Chosen() {
  const [list, choose] = useState<number | null>(null);
  const { rows, state } = useLiveQuery<Note>("SELECT id, body FROM notes WHERE list = ?", list === null ? null : [list],
    { keepPrevious: true });
  Object.assign(globalThis, { choose: (to: number | null) => flushSync(() => choose(to)) });
  return <p id="chosen" data-state={state}>{rows.map(({ body }) => body).join(", ")}</p>;
}

function One() {
  const note = useLiveRow<Note>("notes", { id: "n7" });
  const { state } = useSyncStatus();
  const { rejections } = useRejections();
  return <p id="one">{`${note?.body}, ${state}, ${rejections.length}, ${useDatabase().name}`}</p>;
}

function Boundary({ shows, children }: { shows: boolean; children: ReactNode }) {
  return shows ? children : null;
}

function App() {
  const [shows, show] = useState(true);
  Object.assign(globalThis, { show: (now: boolean) => flushSync(() => show(now)) });
  return <>
    <Suspense fallback={<p id="total">loading</p>}><Total /></Suspense>
    <Chosen />
    <One />
    <Boundary shows={shows}><Lists /></Boundary>
  </>;
}

const db: Database = await open({
  name: "react", migrations: ["CREATE TABLE notes(id TEXT PRIMARY KEY, body TEXT, list INTEGER)"],
});
await db.bulk("INSERT OR IGNORE INTO notes VALUES (?, ?, ?)",
  Array.from({ length: 1000 }, (_, i) => [`n${i}`, `note ${i}`, i % 200]));
Object.assign(globalThis, {
  db,
  rendered: () => {
    const all = Object.fromEntries(renders);
    renders.clear();
    return all;
  },
});
createRoot(document.getElementById("root")!)
  .render(<StrictMode><HeddleProvider db={db}><App /></HeddleProvider></StrictMode>);
