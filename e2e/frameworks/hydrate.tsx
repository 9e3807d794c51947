// A page that a server has rendered, of react.spec.ts; `render` is the server.

import { StrictMode, Suspense, Component, type ReactNode } from "react";
import { createRoot, hydrateRoot } from "react-dom/client";
import { renderToPipeableStream } from "react-dom/server";
import type { Writable } from "node:stream";
import { open, type Database, type HeddleError } from "heddle";
import { HeddleProvider, useLiveQuery, useLiveRow, useSyncStatus, type HeddleProviderProps } from "heddle/react";
import { ofList, options, start, total, type Note } from "./page.js";

class Boundary extends Component<{ id: string; children: ReactNode }> {
  override state: { error?: HeddleError } = {};
  static getDerivedStateFromError = (error: HeddleError) => ({ error });
  override render() {
    return this.state.error ? <p id={this.props.id}>{this.state.error.code}</p> : this.props.children;
  }
}

function List() {
  const { rows, state } = useLiveQuery<Note>(ofList, [7]);
  const note = useLiveRow<Note>("notes", { id: "n7" }), status = useSyncStatus();
  return <p id="list">{`${state}, ${rows.length}, ${note?.body}, ${status.state}`}</p>;
}

function Total() {
  const { rows: [row] } = useLiveQuery<{ n: number }>(total, [], { suspense: true });
  return <p id="total">{row!.n}</p>;
}

function Nowhere() {
  useLiveQuery("SELECT * FROM nowhere", [], { suspense: true });
  return <p id="nowhere">rows</p>;
}

function App({ db }: { db: HeddleProviderProps["db"] }) {
  return <HeddleProvider db={db} fallback={<p id="list">opening</p>}>
    <List />
    <Suspense fallback={<p id="total">counting</p>}><Total /></Suspense>
    <Boundary id="nowhere"><Suspense fallback={<p id="nowhere">asking</p>}><Nowhere /></Suspense></Boundary>
  </HeddleProvider>;
}

/** What the server sends, once it is whole. `name`: of the database that it has; without it the page opens its own. */
export const render = (db: Database | undefined, to: Writable) => new Promise<void>((resolve, reject) => {
  const { pipe } = renderToPipeableStream(<App db={db ?? (() => open(options))} />, {
    onAllReady: () => pipe(to).on("finish", resolve),
    onShellError: reject,
    onError: (error) => (error as { digest?: string }).digest,
  });
});

/** Databases that the provider has opened. */
const opened: Promise<Database>[] = [];
const opens = (migrations = options.migrations) => {
  const opening = open({ ...options, migrations });
  opened.push(opening);
  return opening;
};

async function takeOver(): Promise<void> {
  const query = new URLSearchParams(location.search), recovered: unknown[] = [];
  const db = query.has("given") ? await start() : () => opens(query.has("broken") ? ["NO SQL"] : undefined);
  const app = <StrictMode><Boundary id="failed"><App db={db} /></Boundary></StrictMode>;
  const place = document.getElementById("root")!;
  const onRecoverableError = (error: unknown) =>
    recovered.push((error as { digest?: string }).digest ?? String(error));
  const root = query.has("fresh") ? createRoot(place) : hydrateRoot(place, app, { onRecoverableError });
  if (query.has("fresh")) root.render(app);
  Object.assign(globalThis, { recovered, opened, unmount: () => root.unmount() });
}

if (typeof document !== "undefined") void takeOver();
