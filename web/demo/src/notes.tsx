// The list of a device's notes: composer, search, cards.
import { useDatabase, useLiveQuery } from "heddle/react";
import { memo, useEffect, useRef, useState, type KeyboardEvent } from "react";
import { useDevice, type Device } from "./devices.js";
import { Editor } from "./editor.js";
import { Icon } from "./icons.js";
import { showToast } from "./toasts.js";

export interface Note {
  id: string;
  title: string;
  body: string;
  pinned: number;
  hearts: number;
  created: number;
  updated: number;
}

// char(1) and char(2) mark the found words; they are not in anyone's notes.
const ALL = `SELECT id, title, body, pinned, hearts, created, updated FROM notes
  ORDER BY pinned DESC, created DESC, id DESC`;
const FOUND = `SELECT n.id, highlight(notes_fts, 1, char(1), char(2)) AS title,
    snippet(notes_fts, 2, char(1), char(2), '…', 32) AS body, n.pinned, n.hearts, n.created, n.updated
  FROM notes_fts JOIN notes n ON n.id = notes_fts.id WHERE notes_fts MATCH ? ORDER BY rank LIMIT 200`;
const INSERT = `INSERT INTO notes(title, body, created, updated) VALUES (?, ?, ?, ?)`;

const EXAMPLES = [
  ["Watch the other device", "Write here, and the note appears there: the list is a live query."],
  ["Pull the plug", "Switch Offline on, here and there, and edit one note on both. Switch it off: both show the same."],
  ["It is one SQLite file", "The search is FTS5, the pattern is the digest of every row, and the file is yours."],
];

/** What a person types as an FTS5 query: every word by its beginning. */
const ftsQuery = (text: string) =>
  text.split(/\s+/).filter(Boolean).map((word) => `"${word.replaceAll('"', '""')}"*`).join(" ");

export function Notes({ search }: { search: string }) {
  const device = useDevice();
  const sql = search ? FOUND : ALL, match = search ? ftsQuery(search) : undefined;
  const { rows, state, error } = useLiveQuery<Note>(sql, match ? [match] : [], { keepPrevious: true });
  const arrived = useArrivals();
  useEffect(() => device.list(sql, match ? [match] : [], "live query: runs again when a commit concerns it"),
    [device, sql, match]);
  return (
    <section className="notes" aria-label={`Notes of ${device.title}`}>
      {!search && <Composer />}
      <p className="visually-hidden" role="status">{search && state === "ready" ? `${rows.length} notes found` : ""}</p>
      {error && <p className="problem" role="alert">{error.message}</p>}
      <ul className="cards">
        {rows.map((note) => <Card key={note.id} note={note} from={arrived[note.id]} />)}
      </ul>
      {rows.length === 0 && state === "ready" && (search ? <NothingFound text={search} /> : <Welcome />)}
    </section>
  );
}

function Composer() {
  const device = useDevice();
  const [text, setText] = useState("");
  const field = useRef<HTMLTextAreaElement>(null);
  const add = async () => {
    const written = text.trim();
    if (!written) return field.current?.focus();
    const [title = "", ...rest] = written.split("\n");
    const now = Date.now();
    setText("");
    const added = await device.run("Not added", INSERT, [title, rest.join("\n").trim(), now, now]);
    if (!added) setText((meanwhile) => meanwhile || written);
  };
  const typed = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    void add();
  };
  return (
    <form className="composer" onSubmit={(event) => { event.preventDefault(); void add(); }}>
      <textarea ref={field} rows={1} aria-label="New note" placeholder="Write a note" value={text}
        enterKeyHint="done" onKeyDown={typed} onInput={(event) => setText(event.currentTarget.value)} />
      <button type="submit" className="primary">Add</button>
    </form>
  );
}

const Card = memo(function Card({ note, from }: { note: Note; from: string | undefined }) {
  const device = useDevice();
  const [editing, setEditing] = useState(false);
  const card = useRef<HTMLLIElement>(null);
  const { id, title, body, pinned, hearts, updated } = note;
  const close = () => {
    setEditing(false);
    // The button that opened the editor is there again with the next frame.
    requestAnimationFrame(() => card.current?.querySelector<HTMLElement>(".open")?.focus());
  };
  return (
    <li ref={card} className={`card thread${threadOf(id)}${pinned ? " pinned" : ""}${from ? " arrived" : ""}`}>
      {editing ? <Editor id={id} close={close} /> : (
        <button type="button" className="open" onClick={() => setEditing(true)}>
          <span className="title">{marked(title || "Untitled")}</span>
          {body && <span className="body">{marked(body)}</span>}
        </button>
      )}
      <div className="foot">
        <time dateTime={new Date(updated).toISOString()}>{when(updated)}</time>
        <span className="from">{from}</span>
        <button type="button" className="icon heart" aria-label={`Give a heart; it has ${hearts}`}
          onClick={() => void device.run("No heart", `UPDATE notes SET hearts = hearts + 1 WHERE id = ?`, [id])}>
          <Icon name="heart" />{hearts > 0 && <span className="hearts">{hearts}</span>}
        </button>
        <button type="button" className="icon pin" aria-pressed={!!pinned}
          aria-label={pinned ? "Unpin the note" : "Pin the note"}
          onClick={() => void device.run("Not pinned", `UPDATE notes SET pinned = NOT pinned WHERE id = ?`, [id])}>
          <Icon name="pin" /></button>
        <button type="button" className="icon" aria-label="Delete the note" onClick={() => void remove(device, id)}>
          <Icon name="bin" /></button>
      </div>
    </li>
  );
});

/** Deletes a note at once, and offers to take that back. */
async function remove(device: Device, id: string): Promise<void> {
  const deleted = await device.run<Note>("Not deleted", `DELETE FROM notes WHERE id = ? RETURNING *`, [id]);
  const note = deleted?.rows?.[0];
  if (!note) return;
  const undo = () => void device.run("Not restored",
    `INSERT INTO notes(id, title, body, pinned, hearts, created, updated) VALUES (?, ?, ?, ?, ?, ?, ?)`,
    [note.id, note.title, note.body, note.pinned, note.hearts, note.created, note.updated]);
  showToast(`Deleted “${note.title || "Untitled"}”`, { action: { label: "Undo", run: undo }, stay: 8000 });
}

/** Notes that another tab or another device has just changed, and which of the two. */
function useArrivals(): { readonly [id: string]: string } {
  const db = useDatabase();
  const [arrived, setArrived] = useState<{ [id: string]: string }>({});
  useEffect(() => db.listen(["notes"], (change) => {
    const keys = change.tables["notes"];
    if (change.origin === "local" || !keys) return;
    const from = change.origin === "sync" ? "from another device" : "from another tab";
    const ids = [...keys.inserted, ...keys.updated].map(([id]) => String(id));
    setArrived((before) => ({ ...before, ...Object.fromEntries(ids.map((id) => [id, from])) }));
    setTimeout(() => setArrived((before) =>
      Object.fromEntries(Object.entries(before).filter(([id]) => !ids.includes(id)))), 2600);
  }), [db]);
  return arrived;
}

/** The text, with the words between char(1) and char(2) marked. */
function marked(text: string) {
  // oxlint-disable-next-line no-control-regex
  return text.split(/(\u0001[^\u0002]*\u0002)/).map((part, i) =>
    part.startsWith("\u0001") ? <mark key={i}>{part.slice(1, -1)}</mark> : part);
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

function Welcome() {
  const device = useDevice();
  const fill = async () => {
    const now = Date.now();
    for (const [i, [title, body]] of EXAMPLES.entries()) {
      if (!await device.run("Not added", INSERT, [title!, body!, now - i, now - i])) return;
    }
  };
  return (
    <div className="empty">
      <h3>An empty loom</h3>
      <p>What you write stays in this browser, in one SQLite file. It is there without a network, in every tab, and on
        every device of this space.</p>
      <button type="button" className="quiet" onClick={() => void fill()}>Start with three notes</button>
    </div>
  );
}

const NothingFound = ({ text }: { text: string }) => (
  <div className="empty">
    <h3>No note says that</h3>
    <p>Nothing matches “{text}”. The search looks at the beginnings of words in titles and notes.</p>
  </div>
);
