// The list of notes: composer, search, cards.
import type { Database } from "heddle";
import { ftsQuery, type Note } from "./database.js";
import { byId, h, number, reconcile } from "./dom.js";
import { deleteNote, openEditor } from "./editor.js";
import { icon } from "./icons.js";
import { showError } from "./toast.js";

// char(1) and char(2) mark the found words; they are not in anyone's notes.
const all = `SELECT id, title, body, pinned, created, updated FROM notes ORDER BY pinned DESC, created DESC, id DESC`;
const found = `SELECT n.id, highlight(notes_fts, 1, char(1), char(2)) AS title,
    snippet(notes_fts, 2, char(1), char(2), '…', 32) AS body, n.pinned, n.created, n.updated
  FROM notes_fts JOIN notes n ON n.id = notes_fts.id WHERE notes_fts MATCH ? ORDER BY rank LIMIT 200`;

const examples = [
  ["Try the second device", "Open it with the button in “This device”. Write there, and watch this list."],
  ["Pull the plug",
    "Switch “Offline” on, here and there. Edit the same note on both. Plug in again: both show the same."],
  ["It is one SQLite file", "Search is FTS5, the list is a live query, and the cloth is the digest of every row."],
];

/** Shows the notes and keeps them up to date. Returns search(text). */
export function startNotes(db: Database): { search(text: string): void } {
  const cards = byId<HTMLUListElement>("cards"), empty = byId("notes-empty");
  let stop = () => {};
  let text = "";

  const show = (notes: Note[]) => {
    reconcile(cards, notes, (note) => note.id, (note) => createCard(db, note.id), updateCard);
    if (!text) {
      byId("count-notes").textContent = number(notes.length);
      byId("count-notes").hidden = notes.length === 0;
    }
    byId("notes-summary").textContent = text ? `${notes.length} notes found` : "";
    empty.hidden = notes.length > 0;
    if (notes.length === 0) empty.replaceChildren(...(text ? nothingFound(text) : welcome(db)));
  };

  const search = (to: string) => {
    stop();
    text = to.trim();
    const onError = (error: Error) => showError(error, "The list");
    stop = text ? db.live<Note>(found, [ftsQuery(text)], show, { onError }) : db.live<Note>(all, [], show, { onError });
  };
  search("");
  startComposer(db);
  markRemote(db, cards);
  return { search };
}

function startComposer(db: Database): void {
  const form = byId<HTMLFormElement>("composer"), field = byId<HTMLTextAreaElement>("compose");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const written = field.value.trim();
    if (!written) return field.focus();
    const [title = "", ...rest] = written.split("\n");
    const now = Date.now();
    field.value = "";
    try {
      await db.exec(`INSERT INTO notes(title, body, created, updated) VALUES (?, ?, ?, ?)`,
        [title, rest.join("\n").trim(), now, now]);
    } catch (error) {
      field.value ||= written;
      showError(error, "Not added");
    }
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
}

function createCard(db: Database, id: string): HTMLElement {
  const open = h("button", { type: "button", class: "open", onclick: () => void openEditor(db, id) });
  const pin = h("button", { type: "button", class: "icon pin",
    onclick: () => void setPinned(db, id, pin.getAttribute("aria-pressed") !== "true") }, icon("pin"));
  const bin = h("button", { type: "button", class: "icon", "aria-label": "Delete the note",
    onclick: () => void deleteNote(db, id) }, icon("bin"));
  return h("li", { class: `card thread${threadOf(id)}` },
    open, h("div", { class: "foot" }, h("time"), h("span", { class: "from" }), pin, bin));
}

function updateCard(card: HTMLElement, note: Note): void {
  const title = h("span", { class: "title" }), body = h("span", { class: "body" });
  marked(title, note.title || "Untitled");
  marked(body, note.body);
  const open = card.querySelector<HTMLElement>(".open")!;
  open.replaceChildren(title, note.body ? body : "");
  const pin = card.querySelector<HTMLElement>(".pin")!;
  pin.setAttribute("aria-pressed", String(!!note.pinned));
  pin.setAttribute("aria-label", note.pinned ? "Unpin the note" : "Pin the note");
  card.classList.toggle("pinned", !!note.pinned);
  const time = card.querySelector("time")!;
  time.dateTime = new Date(note.updated).toISOString();
  time.textContent = when(note.updated);
}

/** Writes text with the words between char(1) and char(2) marked. */
function marked(into: HTMLElement, text: string): void {
  // oxlint-disable-next-line no-control-regex
  for (const part of text.split(/(\u0001[^\u0002]*\u0002)/)) {
    if (part.startsWith("\u0001")) into.append(h("mark", {}, part.slice(1, -1)));
    else if (part) into.append(part);
  }
}

/** One of five dyes for a note's thread; the same on every device. */
function threadOf(id: string): number {
  let sum = 0;
  for (const c of id) sum = (sum * 31 + c.charCodeAt(0)) >>> 0;
  return sum % 5;
}

const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });

function when(time: number): string {
  const minutes = Math.round((time - Date.now()) / 60_000);
  if (minutes > -1) return "just now";
  if (minutes > -60) return relative.format(minutes, "minute");
  if (minutes > -24 * 60) return relative.format(Math.round(minutes / 60), "hour");
  if (minutes > -7 * 24 * 60) return relative.format(Math.round(minutes / 1440), "day");
  return new Date(time).toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
}

async function setPinned(db: Database, id: string, pinned: boolean): Promise<void> {
  try {
    await db.exec(`UPDATE notes SET pinned = ? WHERE id = ?`, [pinned, id]);
  } catch (error) {
    showError(error, "Not pinned");
  }
}

/** Lets a card glow that another tab or another device has just changed. */
function markRemote(db: Database, cards: HTMLElement): void {
  db.listen(["notes"], (change) => {
    const keys = change.tables["notes"];
    if (change.origin === "local" || !keys) return;
    const from = change.origin === "sync" ? "from another device" : "from another tab";
    // The live query's result comes after this; by the next frames the card is there.
    setTimeout(() => {
      for (const [id] of [...keys.inserted, ...keys.updated]) {
        const card = cards.querySelector<HTMLElement>(`[data-key="${CSS.escape(String(id))}"]`);
        if (!card) continue;
        card.querySelector(".from")!.textContent = from;
        card.classList.remove("arrived");
        void card.offsetWidth; // restarts the animation
        card.classList.add("arrived");
        setTimeout(() => { card.classList.remove("arrived"); card.querySelector(".from")!.textContent = ""; }, 2600);
      }
    }, 120);
  });
}

function welcome(db: Database): Node[] {
  const fill = async () => {
    const now = Date.now();
    try {
      await db.bulk(`INSERT INTO notes(title, body, created, updated) VALUES (?, ?, ?, ?)`,
        examples.map(([title, body], i) => [title!, body!, now - i, now - i]));
    } catch (error) {
      showError(error, "Not added");
    }
  };
  return [
    h("h2", {}, "An empty loom"),
    h("p", {}, "What you write stays in this browser, in one SQLite file. It is there without a network, in every " +
      "tab, and on every device of this space."),
    h("button", { type: "button", class: "quiet", onclick: () => void fill() }, "Start with three notes"),
  ];
}

function nothingFound(text: string): Node[] {
  return [h("h2", {}, "No note says that"),
    h("p", {}, `Nothing matches “${text}”. The search looks at the beginnings of words in titles and notes.`)];
}
