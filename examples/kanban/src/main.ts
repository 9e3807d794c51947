// The page: ?orm=drizzle takes Drizzle in place of Kysely; ?server=URL&space=NAME&token=TOKEN syncs with other devices.

import { open } from "heddle";
import { migrations } from "heddle/drizzle";

import { files, tables, type Card, type List } from "./board.js";
import { drizzleBoard } from "./drizzle.js";
import { kyselyBoard } from "./kysely.js";

const query = new URLSearchParams(location.search);
const server = query.get("server"), token = query.get("token");
const space = query.get("space") ?? "kanban";
const sync = server ? { url: server, space, tables, token: token ? () => token : undefined } : undefined;
const db = await open({ name: "kanban", migrations: migrations(files), sync });
const board = (query.get("orm") === "drizzle" ? drizzleBoard : kyselyBoard)(db);
const get = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;

let lists: List[] = [];
let cards: Card[] = [];
let found: Set<string> | undefined;

function element<K extends keyof HTMLElementTagNameMap>(
  tag: K, properties: Partial<HTMLElementTagNameMap[K]> = {}, ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const button = (text: string, label: string, onclick: () => void) =>
  element("button", { textContent: text, type: "button", ariaLabel: label, onclick });

function cardOf(card: Card): HTMLElement {
  const at = lists.findIndex(({ id }) => id === card.list), next = lists[at + 1];
  const classes = [card.done && "done", found && !found.has(card.id) && "hidden"].filter(Boolean);
  return element("article", { className: classes.join(" ") },
    element("p", {}, card.title, " ", ...card.labels.map((name) => element("mark", { textContent: name }))),
    element("nav", {},
      button(card.done ? "Undo" : "Done", `${card.done ? "Undo" : "Done"}: ${card.title}`,
        () => void board.setDone(card.id, !card.done)),
      button("Urgent", `Urgent: ${card.title}`, () => void board.toggleLabel(card.id, "urgent")),
      next ? button("→", `Move ${card.title} to ${next.title}`, () => void board.moveCard(card.id, next.id)) : "",
      button("×", `Remove ${card.title}`, () => void board.removeCard(card.id))));
}

/** A form whose text is handed on and emptied: the list shows it as soon as it is written. */
function submits(form: HTMLFormElement, add: (title: string) => Promise<unknown>): HTMLFormElement {
  form.onsubmit = (event) => {
    event.preventDefault();
    const title = new FormData(form).get("title") as string;
    form.reset();
    void add(title);
  };
  return form;
}

function listOf({ id, title, cards: n, done }: List): HTMLElement {
  const ariaLabel = `New card in ${title}`;
  const input = element("input", { name: "title", placeholder: "New card", ariaLabel, required: true });
  return element("section", {}, element("h2", {}, title, element("small", { textContent: `${done} of ${n} done` })),
    ...cards.filter((card) => card.list === id).map(cardOf),
    submits(element("form", {}, input, element("button", { textContent: "Add" })), (text) => board.addCard(id, text)));
}

function draw(): void {
  const { name, value } = document.activeElement as Partial<HTMLInputElement>;
  const label = document.activeElement?.ariaLabel;
  get("board").replaceChildren(...lists.map(listOf));
  // What is being typed stays, whatever comes from other tabs and devices.
  const same = label && get("board").querySelector<HTMLInputElement>(`[aria-label="${CSS.escape(label)}"]`);
  if (same) same.focus();
  if (same && name) same.value = value ?? "";
}

board.onLists((rows) => { lists = rows; draw(); });
board.onCards((rows) => { cards = rows; draw(); });
submits(get<HTMLFormElement>("new-list"), (title) => board.addList(title));
get<HTMLInputElement>("search").oninput = async ({ target }) => {
  const { value } = target as HTMLInputElement;
  found = value.trim() === "" ? undefined : new Set(await board.search(value));
  draw();
};
function show(): void {
  const { state, pending } = db.sync.status;
  get("status").textContent = server ? `${state}, ${pending} to send` : "on this device";
}
db.sync.on("status", show);
show();
