// 150,000 real places: imported with bulk, searched with LIKE, drawn as a map.
import type { Database } from "heddle";
import { byId, h, number, throttle } from "./dom.js";
import { icon } from "./icons.js";
import { createMap, type Cell, type Point } from "./map.js";
import { showError, toast } from "./toast.js";

interface Place extends Point { id: string; name: string; country: string }

type CityRow = [id: string, name: string, country: string, lat: number, lng: number];

// Rows a transaction: each one is on its way to the other devices while the
// next is being written.
const part = 10_000;

const find = `SELECT id, name, country, lat, lng, count(*) OVER () AS found FROM places
  WHERE name LIKE ?1 ESCAPE '\\' ORDER BY name NOT LIKE ?2 ESCAPE '\\', length(name), name, id LIMIT 60`;
const grid = `SELECT CAST((lng + 180) * 2 AS INTEGER) AS x, CAST((90 - lat) * 2 AS INTEGER) AS y, count(*) AS n
  FROM places GROUP BY 1, 2`;

/** Fills the view of places. Returns search(text). */
export function startPlaces(db: Database): { search(text: string): void } {
  const map = createMap();
  const list = h("ol", { class: "hits" });
  const facts = h("p", { class: "facts", role: "status" });
  const bar = h("progress", { class: "bar", max: "1", value: "0", "aria-label": "Importing the cities" });
  const progress = h("div", { class: "importing", hidden: true }, bar, h("p", { "aria-hidden": "true" }));
  const start = h("button", { type: "button", class: "primary", id: "import", onclick: () => void load() },
    "Import every city");
  const offer = h("div", { class: "offer" },
    h("h2", {}, "The whole world in a table"),
    h("p", {}, "Every town of more than a thousand people, from GeoNames: imported through db.bulk, then synced to " +
      "your other devices row by row."),
    start, progress);
  byId("places").append(map.element, offer, facts, list);
  let text = "", total = 0, importing = false;

  const refresh = throttle(700, () => void (async () => {
    try {
      const [row] = await db.query<{ n: number }>(`SELECT count(*) AS n FROM places`);
      total = row?.n ?? 0;
      byId("count-places").textContent = number(total);
      byId("count-places").hidden = total === 0;
      offer.hidden = total > 0 && !importing;
      byId("places").dataset["total"] = String(total);
      if (!text) facts.textContent = total && !importing ? `${number(total)} places` : "";
      if (!byId("places").hidden) map.draw(await db.query<Cell>(grid));
    } catch (error) {
      showError(error, "Places");
    }
  })());
  db.listen(["places"], refresh);
  document.addEventListener("viewchange", refresh);
  refresh();

  async function load(): Promise<void> {
    importing = true;
    start.disabled = true;
    progress.hidden = false;
    const label = progress.querySelector("p")!;
    const show = (done: number, of: number) => {
      bar.value = done / of;
      label.textContent = `${number(done)} of ${number(of)}`;
    };
    label.textContent = "Fetching the list…";
    try {
      const reply = await fetch("cities.json");
      if (!reply.ok) throw new Error(`the list of cities: HTTP ${reply.status}`);
      const rows = await reply.json() as CityRow[];
      const began = performance.now();
      for (let i = 0; i < rows.length; i += part) {
        await db.bulk(`INSERT INTO places(id, name, country, lat, lng) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
          rows.slice(i, i + part), { onProgress: ({ done }) => show(i + done, rows.length) });
        show(Math.min(i + part, rows.length), rows.length);
      }
      const seconds = (performance.now() - began) / 1000;
      toast(`${number(rows.length)} rows written in ${seconds.toFixed(1)} s`, { stay: 8000 });
    } catch (error) {
      showError(error, "Import");
    } finally {
      importing = false;
      start.disabled = false;
      progress.hidden = true;
      refresh();
    }
  }

  let asked = 0;
  const search = async (to: string) => {
    text = to.trim();
    const turn = ++asked;
    if (!text) {
      list.replaceChildren();
      map.mark([]);
      facts.textContent = total ? `${number(total)} places` : "";
      return;
    }
    const pattern = text.replace(/[\\%_]/g, "\\$&");
    try {
      const began = performance.now();
      const places = await db.query<Place & { found: number }>(find, [`%${pattern}%`, `${pattern}%`]);
      if (turn !== asked) return;
      const ms = performance.now() - began;
      facts.textContent = total === 0 ? "No places here yet: import them first."
        : `${number(places[0]?.found ?? 0)} of ${number(total)} in ${ms.toFixed(0)} ms`;
      list.replaceChildren(...places.map(hit));
      map.mark(places);
    } catch (error) {
      showError(error, "Search");
    }
  };
  return { search: (to) => void search(to) };

  function hit(place: Place): HTMLElement {
    return h("li", { onpointerenter: () => map.point(place), onpointerleave: () => map.point(undefined) },
      icon("globe"), h("span", { class: "name" }, place.name),
      h("span", { class: "country" }, countryName(place.country)),
      h("span", { class: "where" }, position(place)));
  }
}

const regions = new Intl.DisplayNames(undefined, { type: "region" });

function countryName(code: string): string {
  try { return regions.of(code) ?? code; } catch { return code; }
}

function position({ lat, lng }: Point): string {
  return `${Math.abs(lat).toFixed(1)}° ${lat < 0 ? "S" : "N"}  ${Math.abs(lng).toFixed(1)}° ${lng < 0 ? "W" : "E"}`;
}
