// Edits one note in its card. It saves as you type, only the cells that you changed, and takes in what another device
// changes meanwhile.
import { useLiveRow } from "heddle/react";
import { useCallback, useEffect, useRef, useState, type KeyboardEvent } from "react";
import { useDevice } from "./devices.js";
import type { Note } from "./notes.js";

const FIELDS = ["title", "body"] as const;
type Field = (typeof FIELDS)[number];
type Texts = { [field in Field]?: string | undefined };

/** The texts but for those of some fields. */
const without = (texts: Texts, goes: (field: Field) => boolean): Texts =>
  Object.fromEntries(FIELDS.map((field) => [field, goes(field) ? undefined : texts[field]]));

/** How long the keys have to rest before a text is written, in milliseconds. */
const REST_MS = 200;

export function Editor({ id, close }: { id: string; close: () => void }) {
  const device = useDevice();
  const note = useLiveRow<Note>("notes", { id });
  // What was typed, until the row holds it; and of that, what has been written.
  const [typed, setTyped] = useState<Texts>({});
  const [written, setWritten] = useState<Texts>({});
  const body = useRef<HTMLTextAreaElement>(null);
  const there = note !== undefined;

  const save = useCallback(async () => {
    const changed = FIELDS.filter((field) => typed[field] !== undefined && typed[field] !== written[field]);
    if (changed.length === 0) return;
    setWritten((before) => ({ ...before, ...typed }));
    const sets = changed.map((field) => `${field} = ?`).join(", ");
    const saved = await device.run("Not saved", `UPDATE notes SET ${sets}, updated = ? WHERE id = ?`,
      [...changed.map((field) => typed[field]!), Date.now(), id]);
    if (!saved) setWritten((before) => without(before, () => true));
  }, [device, id, typed, written]);
  const latest = useRef(save);
  latest.current = save;

  useEffect(() => {
    const timer = setTimeout(() => void latest.current(), REST_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  useEffect(() => () => void latest.current(), []);
  useEffect(() => {
    // The row has changed: of what has been written the row counts, whoever wrote last.
    setTyped((before) => without(before, (field) => before[field] === written[field]));
    setWritten((before) => without(before, (field) => typed[field] === written[field]));
  }, [note?.title, note?.body]);
  useEffect(() => {
    if (!there) return;
    body.current?.focus();
    body.current?.setSelectionRange(body.current.value.length, body.current.value.length);
  }, [there]);

  if (!note) return <p className="gone" role="status">Opening the note, or it was deleted elsewhere.</p>;
  const keys = (event: KeyboardEvent) => {
    if (event.key === "Escape" || (event.key === "Enter" && (event.ctrlKey || event.metaKey))) close();
  };
  const field = (name: Field) => ({
    className: `edit-${name}`, value: typed[name] ?? note[name],
    onInput: (event: { currentTarget: HTMLTextAreaElement }) =>
      setTyped((before) => ({ ...before, [name]: event.currentTarget.value })),
  });
  const saved = FIELDS.every((name) => (typed[name] ?? note[name]) === note[name]);
  return (
    <form className="editor" onKeyDown={keys} onSubmit={(event) => { event.preventDefault(); close(); }}>
      <textarea rows={1} aria-label="Title" placeholder="Title" {...field("title")} />
      <textarea ref={body} rows={3} aria-label="Note" placeholder="Write…" {...field("body")} />
      <div className="done">
        <span className="saved" role="status">{saved ? "Saved" : "…"}</span>
        <button type="submit" className="primary">Done</button>
      </div>
    </form>
  );
}
