"use client"; // for Next.js: a database is the browser's
import { open, type Database } from "heddle";
import { HeddleProvider, useDatabase, useLiveQuery, useSyncStatus } from "heddle/react";
import { memo, useState } from "react";

// The index of the search is each device's own: triggers keep it, also for cards that come from another device.
const migrations = [`
  CREATE TABLE list(id TEXT PRIMARY KEY DEFAULT (uuid7()), title TEXT);
  CREATE TABLE card(id TEXT PRIMARY KEY DEFAULT (uuid7()), list TEXT REFERENCES list ON DELETE CASCADE, title TEXT,
    done INTEGER DEFAULT 0);
  CREATE INDEX card_list ON card(list, id);
  CREATE TABLE label(card TEXT REFERENCES card ON DELETE CASCADE, name TEXT, PRIMARY KEY(card, name));
  CREATE VIRTUAL TABLE search USING fts5(title, card UNINDEXED);
  CREATE TRIGGER added AFTER INSERT ON card BEGIN INSERT INTO search VALUES (new.title, new.id); END;
  CREATE TRIGGER removed AFTER DELETE ON card BEGIN DELETE FROM search WHERE card = old.id; END;`];
interface List { id: string; title: string; cards: number; done: number }
interface Card { id: string; list: string; title: string; done: number; labels: string | null }
const LISTS = `SELECT list.id, list.title, count(card.id) AS cards, ifnull(sum(card.done), 0) AS done
  FROM list LEFT JOIN card ON card.list = list.id GROUP BY list.id ORDER BY list.id`;
const CARDS = `SELECT card.*, (SELECT group_concat(name) FROM label WHERE card = card.id) AS labels
  FROM card WHERE list = ? ORDER BY id`;

function openBoard(): Promise<Database> { // ?server=URL&space=NAME&token=TOKEN: shared with other devices
  const query = new URLSearchParams(location.search), url = query.get("server"), token = query.get("token");
  const tables = { list: true, card: true, label: true } as const, space = query.get("space") ?? "kanban";
  const sync = url ? { url, space, tables, ...(token ? { token: () => token } : {}) } : undefined;
  return open({ name: "kanban", migrations, sync });
}
function Add({ label, add }: { label: string; add: (title: string) => unknown }) {
  return <form action={(data) => { add(String(data.get("title"))); }}>
    <input name="title" placeholder={label} aria-label={label} autoComplete="off" required /><button>Add</button>
  </form>;
}
const CardOf = memo(function CardOf({ card, next, hidden }: { card: Card; next?: List; hidden: boolean }) {
  const db = useDatabase(), labels = card.labels?.split(",") ?? [];
  const button = (text: string, does: string, sql: string, ...params: string[]) =>
    <button aria-label={`${does}: ${card.title}`} onClick={() => db.exec(sql, [...params, card.id])}>{text}</button>;
  return <article className={card.done ? "done" : ""} hidden={hidden}>
    <p>{card.title} {labels.map((name) => <mark key={name}>{name}</mark>)}</p>
    <nav>
      {button(card.done ? "Undo" : "Done", "Done", "UPDATE card SET done = 1 - done WHERE id = ?")}
      {labels.includes("urgent") ? button("Calm", "Calm", "DELETE FROM label WHERE name = 'urgent' AND card = ?")
        : button("Urgent", "Urgent", "INSERT INTO label(name, card) VALUES ('urgent', ?)")}
      {next && button("→", `Move to ${next.title}`, "UPDATE card SET list = ? WHERE id = ?", next.id)}
      {button("×", "Remove", "DELETE FROM card WHERE id = ?")}
    </nav>
  </article>;
});
function ListOf({ list, next, found }: { list: List; next?: List; found?: Set<string> }) {
  const db = useDatabase(), { rows } = useLiveQuery<Card>(CARDS, [list.id]);
  return <section>
    <h2>{list.title}<small>{list.done} of {list.cards} done</small></h2>
    {rows.map((card) => <CardOf key={card.id} card={card} next={next} hidden={found?.has(card.id) === false} />)}
    <Add label={`New card in ${list.title}`}
      add={(title) => db.exec("INSERT INTO card(list, title) VALUES (?, ?)", [list.id, title])} />
  </section>;
}
function Board() {
  const db = useDatabase(), { state, pending } = useSyncStatus(), { rows: lists } = useLiveQuery<List>(LISTS);
  const [search, setSearch] = useState(""), words = search.match(/[\p{L}\p{N}]+/gu)?.map((word) => `"${word}"*`);
  const { rows } = useLiveQuery<{ card: string }>("SELECT card FROM search WHERE search MATCH ?",
    words ? [words.join(" ")] : null, { keepPrevious: true });
  const found = words && new Set(rows.map(({ card }) => card));
  return <>
    <header>
      <h1>Kanban</h1>
      <input type="search" placeholder="Search cards" aria-label="Search cards" onInput={(event) =>
        setSearch(event.currentTarget.value)} />
      <output>{state === "off" ? "on this device" : `${state}, ${pending} to send`}</output>
    </header>
    <main>{lists.map((list, i) => <ListOf key={list.id} list={list} next={lists[i + 1]} found={found} />)}</main>
    <Add label="New list" add={(title) => db.exec("INSERT INTO list(title) VALUES (?)", [title])} />
  </>;
}
export const Kanban = () =>
  <HeddleProvider db={openBoard} fallback={<p>Opening the board</p>}><Board /></HeddleProvider>;
