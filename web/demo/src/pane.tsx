// One device: its switch, its rows, its statements, and what it knows of itself.
import { HeddleProvider, useLiveQuery, useSyncStatus } from "heddle/react";
import { useEffect, useState } from "react";
import { DeviceProvider, useDevice, type Device } from "./devices.js";
import { Digest, Facts, STATES } from "./facts.js";
import { Notes } from "./notes.js";
import { number, Places, usePlaceCount } from "./places.js";
import { Statements } from "./statements.js";
import { showError, showToast } from "./toasts.js";

export const Pane = ({ device }: { device: Device }) => (
  <HeddleProvider db={device.db}>
    <DeviceProvider value={device}><DevicePane /></DeviceProvider>
  </HeddleProvider>
);

type View = "notes" | "places";

function DevicePane() {
  const device = useDevice();
  const status = useSyncStatus();
  const [view, setView] = useState<View>("notes");
  const [texts, setTexts] = useState({ notes: "", places: "" });
  const notes = useLiveQuery<{ n: number }>(`SELECT count(*) AS n FROM notes`).rows[0]?.n;
  const counts = { notes, places: usePlaceCount() };
  useTellings(device);
  const search = useRested(texts[view].trim());
  const tab = (name: View, title: string) => (
    <button type="button" aria-pressed={view === name} onClick={() => setView(name)}>{title}
      {counts[name] ? <span className="count"> {number(counts[name])}</span> : null}</button>
  );
  return (
    <section className="device" id={`device-${device.name}`} aria-label={device.title} data-state={status.state}
      data-pending={status.pending} data-seq={status.seq}>
      <header>
        <h2>{device.title}</h2>
        <span className="state" role="status"><span className="dot" />{STATES[status.state].name}</span>
        <OfflineSwitch />
      </header>
      <Digest />
      <div className="tools">
        <div className="views" role="group" aria-label="Show">{tab("notes", "Notes")}{tab("places", "Places")}</div>
        <input type="search" aria-label={`Search ${view}`} placeholder={`Search ${view}`} autoComplete="off"
          spellCheck={false} enterKeyHint="search" value={texts[view]}
          onInput={(event) => setTexts({ ...texts, [view]: event.currentTarget.value })} />
      </div>
      <Statements />
      {view === "notes" ? <Notes search={search} /> : <Places search={search} />}
      <Facts />
    </section>
  );
}

function OfflineSwitch() {
  const { db } = useDevice();
  const paused = useSyncStatus().state === "paused";
  const [wanted, setWanted] = useState<boolean>();
  const plug = async () => {
    setWanted(!paused);
    try {
      await (paused ? db.sync.resume() : db.sync.pause());
    } catch (error) {
      showError(error, "Sync");
    } finally {
      setWanted(undefined);
    }
  };
  return (
    <label className="switch">Offline
      <input type="checkbox" role="switch" checked={wanted ?? paused} disabled={wanted !== undefined}
        onChange={() => void plug()} /></label>
  );
}

/** The text, once no key was pressed for a moment. */
function useRested(text: string): string {
  const [rested, setRested] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => setRested(text), 60);
    return () => clearTimeout(timer);
  }, [text]);
  return text && rested; // an empty field needs no rest
}

/** Shows what sync has to tell. */
function useTellings({ title, db: { sync } }: Device): void {
  useEffect(() => {
    let lastError = "";
    const stops = [
      sync.on("status", ({ state, lastError: error }) => {
        const code = state === "error" || state === "stopped" ? error?.code ?? "" : "";
        if (code && code !== lastError) showError(error, `${title}, sync`);
        lastError = code;
      }),
      sync.on("rejected", ({ code, message }) =>
        showToast(`${title}: the server refused a change: ${message}`, { error: true, code, stay: 15_000 })),
      sync.on("conflict", ({ kind, table }) =>
        showToast(`${title}: another device had deleted what was changed here in ${table}`, { code: kind })),
    ];
    return () => stops.forEach((stop) => stop());
  }, [title, sync]);
}
