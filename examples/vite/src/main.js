import { open } from "heddle";

const opening = open({
  name: "todo",
  migrations: [`CREATE TABLE todo(id TEXT PRIMARY KEY DEFAULT (uuid7()), what TEXT NOT NULL, done INTEGER NOT NULL ` +
    `DEFAULT 0)`],
});

// The form works before the database is open: what is entered early waits for it.
const form = document.querySelector("form");
const field = document.querySelector("input");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const what = field.value;
  form.reset();
  await (await opening).exec(`INSERT INTO todo(what) VALUES (?)`, [what]);
});

const db = await opening;

// Runs again whenever this tab or another one changes the table.
db.live(`SELECT id, what, done FROM todo ORDER BY id`, [], (rows) => {
  document.querySelector("ul").replaceChildren(...rows.map((row) => {
    const item = document.createElement("li");
    const label = document.createElement("label");
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: row.done === 1 });
    box.addEventListener("change", () => db.exec(`UPDATE todo SET done = ? WHERE id = ?`, [box.checked, row.id]));
    label.append(box, " ", row.what);
    item.append(label);
    return item;
  }));
});
