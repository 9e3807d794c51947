// 170,000 real places: imported with bulk, searched with LIKE, drawn as a map.
import { useDatabase, useLiveQuery } from "heddle/react";
import { useEffect, useState } from "react";
import { useDevice } from "./devices.js";
import { Icon } from "./icons.js";
import { WorldMap, type Cell, type Point } from "./map.js";
import { showError, showToast } from "./toasts.js";

interface Place extends Point { id: string; name: string; country: string }

// Rows a transaction: each one is on its way to the other devices while the next is being written.
const PART = 10_000;

const COUNT = `SELECT count(*) AS n FROM places`;
const INSERT = `INSERT INTO places(id, name, country, lat, lng) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`;
const FIND = `SELECT id, name, country, lat, lng, count(*) OVER () AS found FROM places
  WHERE name LIKE ?1 ESCAPE '\\' ORDER BY name NOT LIKE ?2 ESCAPE '\\', length(name), name, id LIMIT 60`;
const GRID = `SELECT CAST((lng + 180) * 2 AS INTEGER) AS x, CAST((90 - lat) * 2 AS INTEGER) AS y, count(*) AS n
  FROM places GROUP BY 1, 2`;

/** How many places the device has; undefined: not known yet. */
export const usePlaceCount = (): number | undefined => useLiveQuery<{ n: number }>(COUNT).rows[0]?.n;

export function Places({ search }: { search: string }) {
  const device = useDevice();
  const total = usePlaceCount() ?? 0;
  const cells = useGrid(total);
  const { hits, facts } = useHits(search, total);
  const [shown, setShown] = useState<Place>();
  const { progress, start } = useImport();
  return (
    <section className="places" aria-label={`Places of ${device.title}`} data-total={total}>
      <WorldMap cells={cells} marks={hits} one={shown} />
      {(total === 0 || progress) && (
        <div className="offer">
          <h3>The whole world in a table</h3>
          <p>Every town of more than a thousand people, from GeoNames: imported through <code>db.bulk</code>, then
            synced to the other devices row by row.</p>
          <button type="button" className="primary" disabled={!!progress} onClick={() => void start()}>
            Import every city</button>
          {progress && (
            <div className="importing">
              <progress className="bar" aria-label="Importing the cities" max={progress.of}
                {...(progress.of ? { value: progress.done } : {})} />
              <p aria-hidden="true">{progress.of ? `${number(progress.done)} of ${number(progress.of)}`
                : "Fetching the list…"}</p>
            </div>
          )}
        </div>
      )}
      <p className="facts" role="status">{facts}</p>
      {hits.length > 0 && (
        <ol className="hits">
          {hits.map((place) => (
            <li key={place.id} onPointerEnter={() => setShown(place)} onPointerLeave={() => setShown(undefined)}>
              <Icon name="globe" /><span className="name">{place.name}</span>
              <span className="country">{countryName(place.country)}</span>
              <span className="where">{position(place)}</span>
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}

/** Imports the cities, in parts. */
function useImport() {
  const device = useDevice();
  const [progress, setProgress] = useState<{ done: number; of: number }>();
  const start = async () => {
    setProgress({ done: 0, of: 0 });
    try {
      const reply = await fetch("cities.json");
      if (!reply.ok) throw new Error(`the list of cities: HTTP ${reply.status}`);
      const rows = await reply.json() as [id: string, name: string, country: string, lat: number, lng: number][];
      const began = performance.now();
      for (let i = 0; i < rows.length; i += PART) {
        const part = rows.slice(i, i + PART);
        const { changes } = await device.db.bulk(INSERT, part, {
          onProgress: ({ done }) => setProgress({ done: i + done, of: rows.length }),
        });
        device.list(INSERT, [], `bulk of ${number(part.length)}: ${number(changes)} rows`);
        setProgress({ done: i + part.length, of: rows.length });
      }
      const seconds = (performance.now() - began) / 1000;
      showToast(`${number(rows.length)} rows written in ${seconds.toFixed(1)} s`, { stay: 8000 });
    } catch (error) {
      showError(error, "Import");
    } finally {
      setProgress(undefined);
    }
  };
  return { progress, start };
}

/** What the map shows: taken anew at most every 700 ms while the number of places changes. */
function useGrid(total: number): readonly Cell[] {
  const db = useDatabase();
  const [cells, setCells] = useState<readonly Cell[]>([]);
  const [due, setDue] = useState(0);
  useEffect(() => {
    const timer = setTimeout(() => setDue(total), 700);
    return () => clearTimeout(timer);
  }, [total]);
  useEffect(() => {
    db.query<Cell>(GRID).then(setCells, (error: unknown) => showError(error, "Map"));
  }, [db, due]);
  return cells;
}

/** The places whose names have the text in them. */
function useHits(search: string, total: number): { hits: readonly Place[]; facts: string } {
  const device = useDevice();
  const [found, setFound] = useState<{ hits: readonly Place[]; facts: string }>({ hits: [], facts: "" });
  useEffect(() => {
    if (!search) return;
    const asked = new AbortController();
    const pattern = search.replace(/[\\%_]/g, "\\$&");
    const params = [`%${pattern}%`, `${pattern}%`], began = performance.now();
    device.db.query<Place & { found: number }>(FIND, params, { signal: asked.signal }).then((hits) => {
      const ms = (performance.now() - began).toFixed(0);
      device.list(FIND, params, `${hits.length} ${hits.length === 1 ? "row" : "rows"}, ${ms} ms`);
      setFound({ hits, facts: `${number(hits[0]?.found ?? 0)} of ${number(total)} in ${ms} ms` });
    }, (error: unknown) => showError(error, "Search"));
    return () => asked.abort();
  }, [device, search, total]);
  return search ? found : { hits: [], facts: total ? `${number(total)} places` : "" };
}

const regions = new Intl.DisplayNames(undefined, { type: "region" });

function countryName(code: string): string {
  try { return regions.of(code) ?? code; } catch { return code; }
}

function position({ lat, lng }: Point): string {
  return `${Math.abs(lat).toFixed(1)}° ${lat < 0 ? "S" : "N"}  ${Math.abs(lng).toFixed(1)}° ${lng < 0 ? "W" : "E"}`;
}

/** 12345 as the reader's language writes it. */
export const number = (n: number): string => n.toLocaleString();
