// The diary itself.
import { useDatabase, useLiveQuery, useSyncStatus } from "heddle/react";
import { useState } from "react";
import { showError } from "../toasts.js";

interface Entry { id: string; text: string; created: number }

const day = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });

export function Entries() {
  const db = useDatabase();
  const { rows } = useLiveQuery<Entry>(`SELECT id, text, created FROM entries ORDER BY id DESC`);
  const { pending, state } = useSyncStatus();
  const [text, setText] = useState("");
  const add = async () => {
    try {
      await db.exec(`INSERT INTO entries(text, created) VALUES (?, ?)`, [text.trim(), Date.now()]);
      setText("");
    } catch (error) {
      showError(error, "Writing");
    }
  };
  return (
    <section className="panel diary" aria-label="The diary" data-state={state} data-pending={pending}>
      <form onSubmit={(event) => { event.preventDefault(); void add(); }}>
        <label>What was today?
          <textarea rows={3} required value={text} onInput={(event) => setText(event.currentTarget.value)} /></label>
        <div className="row"><button className="primary">Write it down</button>
          <p role="status" className="sent">{pending > 0 ? `${pending} not sent yet`
            : state === "live" ? "All of it is on your other devices too, or will be when they are online" : ""}</p>
        </div>
      </form>
      <ol className="pages">
        {rows.map(({ id, text, created }) =>
          <li key={id}><time>{day.format(created)}</time><p>{text}</p></li>)}
      </ol>
      {rows.length === 0 && <p className="muted">Nothing is written yet.</p>}
    </section>
  );
}
