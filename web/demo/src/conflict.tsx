// A conflict to try: two devices write the same cell while neither sees the other, and what becomes of it.
import type { PendingTransaction, SqlValue } from "heddle";
import { useEffect, useState } from "react";
import { useStatusOf, type Device } from "./devices.js";
import { useObservable } from "./observable.js";
import { showError } from "./toasts.js";

/** A cell that both devices have written, and the server has seen of neither. */
interface Clash {
  table: string;
  key: SqlValue;
  column: string;
  /** It is a counter, and these are what each adds. */
  adds: boolean;
  values: readonly [SqlValue, SqlValue];
  /** What the cell holds since the server has put both writes in order. */
  now?: SqlValue;
}

/** The row that the conflict is tried on. */
const ROW = "what-to-drink";
/** How long both devices may take to hold that row before they are taken offline, in milliseconds. */
const SYNC_MS = 20_000;
/** Every edit writes it. */
const CLOCK = "updated";

export function Conflict({ devices: [a, b] }: { devices: readonly [Device, Device] }) {
  const [clashes, setClashes] = useState<readonly Clash[]>([]);
  const [busy, setBusy] = useState(false);
  const states = [useStatusOf(a), useStatusOf(b)] as const;
  const apart = states.every(({ state, pending }) => (state === "paused" || state === "offline") && pending > 0);
  const { seq, pending } = states[0];
  const met = states.every((one) => one.state === "live" && one.pending === 0 && one.seq === seq);
  const settled = clashes.length > 0 && clashes.every(({ now }) => now !== undefined);

  useEffect(() => {
    if (!apart) return;
    let over = false;
    Promise.all([a.db.sync.pending(), b.db.sync.pending()])
      .then(([one, other]) => { if (!over) setClashes(clashesOf(written(one), written(other))); })
      .catch((error: unknown) => showError(error, "Conflict"));
    return () => { over = true; };
  }, [a, b, apart, pending, states[1].pending]);
  useEffect(() => {
    if (!met || clashes.length === 0 || settled) return;
    let over = false;
    Promise.all(clashes.map((clash) => read(a, clash)))
      .then((now) => { if (!over) setClashes(clashes.map((clash, i) => ({ ...clash, now: now[i]! }))); })
      .catch((error: unknown) => showError(error, "Conflict"));
    return () => { over = true; };
  }, [a, met, seq, clashes, settled]);

  const doing = (work: () => Promise<void>) => () => {
    setBusy(true);
    work().catch((error: unknown) => showError(error, "Conflict")).finally(() => setBusy(false));
  };
  const begin = doing(async () => {
    setClashes([]);
    await a.run("Not added", `INSERT INTO notes(id, title, created) VALUES (?, ?, ?)
      ON CONFLICT(id) DO UPDATE SET title = excluded.title, created = excluded.created`,
      [ROW, "What shall we drink?", Date.now()]);
    await a.db.sync.now({ timeout: SYNC_MS });
    await b.db.sync.now({ timeout: SYNC_MS });
    await Promise.all([a.db.sync.pause(), b.db.sync.pause()]);
    const write = `UPDATE notes SET title = ?, hearts = hearts + ?, updated = ? WHERE id = ?`;
    await a.run("Not written", write, ["Tea at four", 1, Date.now(), ROW]);
    await b.run("Not written", write, ["Coffee at five", 2, Date.now(), ROW]);
  });
  const meet = doing(async () => void await Promise.all([a.db.sync.resume(), b.db.sync.resume()]));
  const inConflict = clashes.length > 0 && !settled;

  return (
    <section className="conflict" aria-labelledby="conflict-title"
      data-step={settled ? "settled" : inConflict ? "apart" : "idle"}>
      <div className="says" role="status">
        <h2 id="conflict-title">{settled ? "What happened" : inConflict ? "A conflict" : "Try a conflict"}</h2>
        {clashes.length === 0 && <p>Both devices go offline and write the same cell, neither seeing the other. Then they
          meet again. By hand: switch both offline, edit one note on both, switch them on.</p>}
        {inConflict && <p>Neither device has seen the other's write yet. Each shows its own, and would for days.</p>}
        {settled && <Outcome clashes={clashes} devices={[a, b]} />}
      </div>
      {clashes.length > 0 && <Table clashes={clashes} devices={[a, b]} />}
      <div className="act">
        {inConflict && apart
          ? <button type="button" className="primary" disabled={busy} onClick={meet}>Both go online</button>
          : <button type="button" className="primary" disabled={busy || inConflict} onClick={begin}>
              {settled ? "Once more" : busy ? "Going apart…" : inConflict ? "Meeting…" : "Start"}</button>}
        <Same devices={[a, b]} />
      </div>
    </section>
  );
}

const Table = ({ clashes, devices }: { clashes: readonly Clash[]; devices: readonly Device[] }) => (
  <table>
    <thead><tr><th scope="col">Cell</th>
      {devices.map(({ name }) => <th key={name} scope="col">{name.toUpperCase()} wrote</th>)}
      <th scope="col">Both now</th></tr></thead>
    <tbody>
      {clashes.map(({ table, column, key, values, adds, now }) => (
        <tr key={`${table} ${String(key)} ${column}`}>
          <th scope="row"><code>{table}.{column}</code></th>
          {values.map((value, i) => <td key={i}>{adds ? `+${show(value)}` : show(value)}</td>)}
          <td>{now === undefined ? "–" : <strong>{show(now)}</strong>}</td>
        </tr>
      ))}
    </tbody>
  </table>
);

/** Says why each cell holds what it holds. */
function Outcome({ clashes, devices }: { clashes: readonly Clash[]; devices: readonly [Device, Device] }) {
  const last = clashes.find(({ adds }) => !adds);
  const winner = last && devices[last.values[1] === last.now ? 1 : 0];
  return (
    <p>
      {winner && `The server got ${winner.title}'s transaction last, so its value counts on both devices. Cells that ` +
        `only one of them wrote were all kept. `}
      {clashes.some(({ adds }) => adds) && "The hearts are a counter: what both devices added is in the sum."}
    </p>
  );
}

/** Whether both devices hold the same rows. */
function Same({ devices: [a, b] }: { devices: readonly [Device, Device] }) {
  const one = useObservable(a.digest), other = useObservable(b.digest);
  const waiting = useStatusOf(a).pending + useStatusOf(b).pending;
  const same = waiting === 0 && one !== undefined && one.digest === other?.digest;
  return <p className="same" data-same={same}>{same ? "Same rows on both" : waiting ? "Rows differ" : "Comparing…"}</p>;
}

const show = (value: SqlValue): string => (value instanceof Uint8Array ? `${value.length} bytes` : String(value));

async function read({ db }: Device, { table, column, key }: Clash): Promise<SqlValue> {
  const { rows } = await db.query(`SELECT "${column}" FROM "${table}" WHERE id = ?`, [key], { rows: "array" });
  return rows[0]?.[0] ?? null;
}

interface Write { table: string; key: SqlValue; column: string; value: SqlValue; adds: boolean }

/** What is pending, cell by cell: the last value, or the sum of what is added. */
function written(transactions: readonly PendingTransaction[]): Map<string, Write> {
  const cells = new Map<string, Write>();
  for (const { table, key: [key = null], cells: changed, joins } of transactions.flatMap((one) => one.operations)) {
    for (const [column, value] of Object.entries(changed)) {
      if (column === CLOCK) continue;
      const name = JSON.stringify([table, String(key), column]);
      const adds = joins?.[column] === "add";
      const before = adds ? Number(cells.get(name)?.value ?? 0) : 0;
      cells.set(name, { table, key, column, adds, value: adds ? before + Number(value) : value });
    }
  }
  return cells;
}

/** The cells that both have written; where both wrote the same value there is nothing to decide. */
function clashesOf(one: Map<string, Write>, other: Map<string, Write>): Clash[] {
  const clashes: Clash[] = [];
  for (const [name, { value, ...cell }] of one) {
    const theirs = other.get(name);
    if (theirs && (cell.adds || theirs.value !== value)) clashes.push({ ...cell, values: [value, theirs.value] });
  }
  return clashes;
}
