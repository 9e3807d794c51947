/** @jsxImportSource solid-js */
// The page of frameworks.spec.ts in Solid.

import { createSignal, For, Show } from "solid-js";
import { render } from "solid-js/web";
import {
  HeddleProvider, useDatabase, useLiveQuery, useLiveRow, useLiveWindow, useRejections, useSyncStatus,
} from "heddle/solid";
import { all, controls, LISTS, ofChosen, ofList, pages, shown, start, total, type Note } from "./page.js";

function List(props: { list: number }) {
  shown(`list ${props.list}`);
  const notes = useLiveQuery<Note>(ofList, () => [props.list]);
  return <ul class="list" id={`list-${props.list}`} data-state={notes.state}>
    <For each={notes.rows}>{(note) => <li>{shown("line", note.body)}</li>}</For>
  </ul>;
}

function Total() {
  const counted = useLiveQuery<{ n: number }>(total);
  return <p id="total">{counted.rows[0]?.n ?? "loading"}</p>;
}

function Chosen() {
  const [list, choose] = createSignal<number | null>(null);
  controls({ choose });
  const params = () => {
    const of = list();
    return of === null ? null : [of];
  };
  const notes = useLiveQuery<Note>(ofChosen, params, { keepPrevious: true });
  return <p id="chosen" data-state={notes.state}>{notes.rows.map(({ body }) => body).join(", ")}</p>;
}

function One() {
  const note = useLiveRow<Note>("notes", { id: "n7" }), status = useSyncStatus(), refused = useRejections();
  const { name } = useDatabase();
  return <p id="one">{`${note()?.body}, ${status().state}, ${refused.rejections.length}, ${name}`}</p>;
}

function Pages() {
  const notes = useLiveWindow<Note>(all, [], pages);
  return <>
    <ol id="pages" data-state={notes.state} data-total={notes.total}>
      <For each={notes.rows}>{(note) => <li>{shown("row", note.body)}</li>}</For>
    </ol>
    <button id="more" disabled={!notes.hasMore} onClick={() => notes.more()}>More</button>
  </>;
}

function App() {
  const [shows, show] = createSignal(true);
  controls({ show });
  return <>
    <Total /><Chosen /><One /><Pages />
    <Show when={shows()}>
      <For each={Array.from({ length: LISTS }, (_, list) => list)}>{(list) => <List list={list} />}</For>
    </Show>
  </>;
}

const db = await start();
render(() => <HeddleProvider db={db}><App /></HeddleProvider>, document.getElementById("root")!);
