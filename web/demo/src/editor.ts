// The dialog that edits one note. It saves as you type, only what you changed,
// and takes in what another device changes meanwhile.
import type { Database } from "heddle";
import { insert, type Note } from "./database.js";
import { byId, debounce, h } from "./dom.js";
import { icon } from "./icons.js";
import { showError, toast } from "./toast.js";

/** Opens the note; resolves when the dialog is closed and all is saved. */
export async function openEditor(db: Database, id: string): Promise<void> {
  const dialog = byId<HTMLDialogElement>("editor");
  if (dialog.open) return;
  const title = h("textarea",
    { class: "edit-title", "aria-label": "Title", placeholder: "Title", rows: "1", enterkeyhint: "next" });
  const body = h("textarea", { class: "edit-body", "aria-label": "Note", placeholder: "Write…", rows: "9" });
  const state = h("span", { class: "saved", role: "status" });
  const close = () => dialog.close();
  const remove = () => { save.cancel(); dialog.close(); void deleteNote(db, id); };
  dialog.replaceChildren(h("form", { method: "dialog", onsubmit: (event: Event) => {
    event.preventDefault();
    close();
  } },
    title, body,
    h("footer", {}, state,
      h("button", { type: "button", class: "icon", "aria-label": "Delete the note", onclick: remove }, icon("bin")),
      h("button", { type: "submit", class: "primary" }, "Done"))));

  // What the database holds; a field that differs from it has unsaved input.
  let stored: Pick<Note, "title" | "body"> | undefined;
  const save = debounce(200, () => void write());
  const write = async () => {
    if (!stored) return;
    const fields = { title: title.value, body: body.value };
    const changed = (["title", "body"] as const).filter((name) => fields[name] !== stored![name]);
    if (changed.length === 0) return;
    stored = fields;
    try {
      await db.exec(`UPDATE notes SET ${changed.map((name) => `${name} = ?`).join(", ")}, updated = ? WHERE id = ?`,
        [...changed.map((name) => fields[name]), Date.now(), id]);
      state.textContent = "Saved";
    } catch (error) {
      state.textContent = "Not saved";
      showError(error, "Not saved");
    }
  };
  const typed = () => { state.textContent = "…"; save(); };
  title.addEventListener("input", typed);
  body.addEventListener("input", typed);
  title.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.isComposing) { event.preventDefault(); body.focus(); }
  });
  body.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) close();
  });

  const stop = db.live<Note>(`SELECT title, body FROM notes WHERE id = ?`, [id], ([note]) => {
    if (!note) {
      if (stored) state.textContent = "This note was deleted elsewhere";
      return;
    }
    for (const [name, field] of [["title", title], ["body", body]] as const) {
      const untouched = !stored || field.value === stored[name];
      if (untouched && field.value !== note[name]) setKeepingCaret(field, note[name]);
    }
    const first = !stored;
    stored = { title: note.title, body: note.body };
    if (first) body.setSelectionRange(body.value.length, body.value.length);
  }, { onError: (error) => showError(error, "The note") });

  dialog.showModal();
  (matchMedia("(pointer: coarse)").matches ? dialog : body).focus();
  await new Promise<void>((resolve) => dialog.addEventListener("close", () => resolve(), { once: true }));
  save.flush();
  stop();
}

function setKeepingCaret(field: HTMLTextAreaElement, value: string): void {
  const { selectionStart, selectionEnd } = field;
  const focused = document.activeElement === field;
  field.value = value;
  if (focused) field.setSelectionRange(selectionStart, selectionEnd);
}

/** Deletes a note at once, and offers to take that back. */
export async function deleteNote(db: Database, id: string): Promise<void> {
  try {
    const [note] = await db.query<Note>(`SELECT * FROM notes WHERE id = ?`, [id]);
    if (!note) return;
    await db.exec(`DELETE FROM notes WHERE id = ?`, [id]);
    const undo = () => db.exec(insert, [note.id, note.title, note.body, note.pinned, note.created, note.updated])
      .catch((error: unknown) => showError(error, "Not restored"));
    toast(`Deleted “${note.title || "Untitled"}”`, { action: { label: "Undo", run: () => void undo() }, stay: 8000 });
  } catch (error) {
    showError(error, "Not deleted");
  }
}
