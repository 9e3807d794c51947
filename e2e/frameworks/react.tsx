// The page of frameworks.spec.ts in React: everything is mounted twice where it is in development.

import { memo, StrictMode, Suspense, useState } from "react";
import { createRoot } from "react-dom/client";
import { flushSync } from "react-dom";
import {
  HeddleProvider, useDatabase, useLiveQuery, useLiveRow, useLiveWindow, useRejections, useSyncStatus,
} from "heddle/react";
import { all, controls, LISTS, ofChosen, ofList, pages, shown, start, total, type Note } from "./page.js";

const Line = memo(function Line({ note, kind }: { note: Note; kind: string }) {
  return <li>{shown(kind, note.body)}</li>;
});

function List({ list }: { list: number }) {
  shown(`list ${list}`);
  const { rows, state } = useLiveQuery<Note>(ofList, [list]);
  return <ul className="list" id={`list-${list}`} data-state={state}>
    {rows.map((note) => <Line key={note.id} note={note} kind="line" />)}
  </ul>;
}

function Total() {
  const { rows: [row] } = useLiveQuery<{ n: number }>(total, [], { suspense: true });
  return <p id="total">{row!.n}</p>;
}

function Chosen() {
  const [list, choose] = useState<number | null>(null);
  controls({ choose: (to) => flushSync(() => choose(to)) });
  const { rows, state } = useLiveQuery<Note>(ofChosen, list === null ? null : [list], { keepPrevious: true });
  return <p id="chosen" data-state={state}>{rows.map(({ body }) => body).join(", ")}</p>;
}

function One() {
  const note = useLiveRow<Note>("notes", { id: "n7" });
  const { state } = useSyncStatus();
  const { rejections } = useRejections();
  return <p id="one">{`${note?.body}, ${state}, ${rejections.length}, ${useDatabase().name}`}</p>;
}

function Pages() {
  const { rows, state, total, hasMore, more } = useLiveWindow<Note>(all, [], pages);
  return <>
    <ol id="pages" data-state={state} data-total={total}>
      {rows.map((note) => <Line key={note.id} note={note} kind="row" />)}
    </ol>
    <button id="more" disabled={!hasMore} onClick={more}>More</button>
  </>;
}

function App() {
  const [shows, show] = useState(true);
  controls({ show: (now) => flushSync(() => show(now)) });
  return <>
    <Suspense fallback={<p id="total">loading</p>}><Total /></Suspense>
    <Chosen />
    <One />
    <Pages />
    {shows && Array.from({ length: LISTS }, (_, list) => <List key={list} list={list} />)}
  </>;
}

const db = await start();
createRoot(document.getElementById("root")!)
  .render(<StrictMode><HeddleProvider db={db}><App /></HeddleProvider></StrictMode>);
