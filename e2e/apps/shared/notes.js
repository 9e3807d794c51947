// The app that each bundler of the matrix builds: a list that every tab shows, and a form that adds to it.
import { open } from "heddle";

export const migrations = [`CREATE TABLE notes(id TEXT PRIMARY KEY DEFAULT (uuid7()), body TEXT NOT NULL)`];

/** Shows the list in `root`; resolves with the database. */
export async function start(root, options = {}) {
  root.innerHTML = `<form><input aria-label="Note"><button>Add</button></form><ul></ul><output></output>`;
  const [form, list, state] = ["form", "ul", "output"].map((name) => root.querySelector(name));
  try {
    const db = await open({ name: "notes", migrations, ...options });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const body = form.querySelector("input").value;
      form.reset();
      await db.exec(`INSERT INTO notes(body) VALUES (?)`, [body]);
    });
    db.live(`SELECT id, body FROM notes ORDER BY id`, [], (rows) => {
      const item = (textContent) => Object.assign(document.createElement("li"), { textContent });
      list.replaceChildren(...rows.map(({ body }) => item(body)));
      state.textContent = `ready: ${db.role}`;
    });
    return db;
  } catch (error) {
    state.textContent = `failed: ${error.code}: ${error.message}`;
    throw error;
  }
}
