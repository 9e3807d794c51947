// The demo: a notes app on Heddle.
import type { Database } from "heddle";
import { openDatabase } from "./database.js";
import { byId, debounce, h } from "./dom.js";
import { startNotes } from "./notes.js";
import { startPlaces } from "./places.js";
import { startStatus } from "./status.js";
import { startTheme } from "./theme.js";
import { showError } from "./toast.js";
import "./style/base.css";
import "./style/layout.css";
import "./style/notes.css";
import "./style/places.css";
import "./style/device.css";

type View = "notes" | "places";

async function main(): Promise<void> {
  startTheme();
  document.documentElement.dataset["ready"] = "opening";
  // Opening takes a fraction of a second; say so only if it takes longer.
  const waiting = setTimeout(() => byId("main").prepend(h("p", { class: "waiting", role: "status" },
    "Opening the database… Another tab may be holding it.")), 3000);
  let db: Database;
  try {
    db = await openDatabase();
  } catch (error) {
    document.documentElement.dataset["ready"] = "failed";
    byId("notes").replaceChildren(h("div", { class: "empty" }, h("h2", {}, "The database did not open"),
      h("p", {}, error instanceof Error ? error.message : String(error))));
    showError(error, "Open");
    return;
  } finally {
    clearTimeout(waiting);
    document.querySelector(".waiting")?.remove();
  }
  const views = { notes: startNotes(db), places: startPlaces(db) };
  startStatus(db);
  startViews(views);
  document.documentElement.dataset["ready"] = "open";
}

function startViews(views: { [view in View]: { search(text: string): void } }): void {
  const field = byId<HTMLInputElement>("search");
  let view: View = "notes";
  const texts = { notes: "", places: "" };

  const show = (to: View) => {
    texts[view] = field.value;
    view = to;
    for (const name of ["notes", "places"] as const) {
      byId(name).hidden = name !== to;
      const button = byId(`show-${name}`);
      if (name === to) button.setAttribute("aria-current", "page");
      else button.removeAttribute("aria-current");
    }
    field.value = texts[to];
    field.placeholder = `Search ${to}`;
    document.dispatchEvent(new Event("viewchange"));
  };
  byId("show-notes").addEventListener("click", () => show("notes"));
  byId("show-places").addEventListener("click", () => show("places"));
  field.addEventListener("input", debounce(60, () => views[view].search(field.value)));

  document.addEventListener("keydown", (event) => {
    const target = event.target as HTMLElement;
    const typing = target.matches("input, textarea") || !!document.querySelector("dialog[open]");
    if (event.key === "Escape" && target === field) {
      field.value = "";
      views[view].search("");
      field.blur();
    }
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") { event.preventDefault(); field.focus(); }
    if (event.key === "n") { event.preventDefault(); show("notes"); byId("compose").focus(); }
  });
}

void main();
