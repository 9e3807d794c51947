// What an app may write, and what it may not: compiled, never run. See check.mjs.

import { destroy, HeddleError, open, type BatchStatement, type Database, type ErrorRecord, type OpenOptions,
  type Params, type Row, type SyncStatus } from "heddle";

// What `heddle types` has written of migrations that rename notes.pages to notes.sheets.
import type { Tables } from "../../../cmd/heddle/testdata/types/rows.js";

interface Note {
  id: string;
  body: string | null;
  done: boolean;
  size?: number;
}

interface Filter {
  readonly id: string;
  readonly since: number | bigint;
}

type Alias = { id: string; data: Uint8Array };

declare const db: Database;
declare const filter: Filter;
declare const alias: Alias;
declare const list: string[];
declare const values: readonly (string | number | null)[];
declare const params: Params;
declare const maybe: Params | undefined;
declare const signal: AbortSignal | undefined;
declare const timeout: number | undefined;

export async function generated(): Promise<number> {
  const [note] = await db.query<Tables["notes"]>("SELECT * FROM notes");
  // @ts-expect-error the column has another name now
  note!.pages satisfies number;
  // @ts-expect-error it may be null
  note!.weight.toFixed();
  return note!.sheets;
}

export async function accepted(): Promise<void> {
  await db.exec("A");
  await db.exec("A", undefined, {});
  for (const one of [list, values, ["a", 1, null, true, 2n, new Uint8Array(), new ArrayBuffer(1)]]) {
    await db.exec("A", one);
  }
  await db.exec("A", ["a", 1, null, true, 2n, new Uint8Array(), new Float32Array(2)] as const);
  await db.exec("A", []);
  await db.exec("A", { id: "a", done: true });
  await db.exec("A", {});
  await db.exec("A", filter);
  await db.exec("A", alias);
  await db.exec("A", params);
  await db.exec("A", maybe);

  const rows: Row[] = await db.query("SELECT 1", filter);
  const notes: Note[] = await db.query<Note>("SELECT 1", filter);
  const checked: Note[] = await db.query<Note, Filter>("SELECT 1", filter);
  await db.query<Note>("SELECT 1", ["a"]);
  await db.query<Note>("SELECT 1", { id: "a" });
  for await (const row of db.iterate<Note>("SELECT 1", filter, { batch: 5 })) notes.push(row);
  const stop: () => void = db.live<Note>("SELECT 1", filter,
    (found, diff) => checked.push(...found.slice(diff.added[0])), { onError: undefined });
  db.live("SELECT 1", null, (found: Row[]) => rows.push(...found));
  db.live("SELECT 1", [], () => {});
  stop();

  const table: { columns: string[]; rows: [number, string][] } =
    await db.query<[number, string]>("SELECT 1", filter, { rows: "array" });
  const pairs = db.iterate<[number, string]>("SELECT 1", [], { rows: "array", batch: 5 });
  for await (const [id] of pairs) table.rows[0]![0] = id;
  db.live<[number]>("SELECT 1", [], ({ rows: [first] }) => void first?.[0].toFixed(), { rows: "array" });
  const returned: Note[] | undefined = (await db.exec<Note>("INSERT", filter)).rows;
  const cells: [string][] | undefined = (await db.exec<[string]>("INSERT", [], { rows: "array" })).rows;
  const tx = await db.begin({ signal, timeout });
  const part = await tx.savepoint();
  await tx.bulk("A", cells ?? [], { onProgress: ({ done }) => void done.toFixed() });
  await (tx.open ? part.release() : part.rollback());
  await tx.query<[Note["id"]]>("SELECT 1", returned?.[0], { rows: "array" });
  await tx.commit();
  const dispose: () => Promise<void> = async () => tx[Symbol.asyncDispose]();
  await dispose();

  const statements: BatchStatement[] = ["A", ["B"], ["C", [1]], ["D", { id: 1 }], ["E", filter], ["F", undefined]];
  await db.batch(statements);
  await db.bulk("A", [[1, "a"]], { onProgress: undefined, signal, timeout });
  const payloads: unknown[] = [];
  const unsubscribe: () => void = db.onNotify("chat", ({ payload, origin, missed }) => {
    if (origin === "local" && !missed) payloads.push(payload);
  });
  unsubscribe();
  await db.notify("chat", { any: ["JSON", 1, null] }, { timeout: 1_000 });
  await db.transaction(async (tx) => {
    await tx.notify("chat");
    await tx.exec("A", filter);
    await tx.query<Note>("B", filter);
    await tx.batch(statements);
    return tx.query("C");
  }, { retry: undefined, signal, timeout });

  // With exactOptionalPropertyTypes as well.
  const options = { signal, timeout };
  await db.exec("A", [], options);
  await db.query("A", [], options);
  await db.export(options);
  await db.health({ ...options, full: undefined, onProgress: undefined });
  await db.sync.now(options);
  await db.sync.dangling({ ...options, limit: undefined });
  await destroy("a", options);
  const opening: OpenOptions = {
    name: "a", migrations: undefined, seed: undefined, sync: undefined, onBlocked: undefined, storage: undefined,
      recover: undefined, ...options,
  };
  await open(opening);
  await open({ name: "a",
    sync: { url: "u", space: "s", tables: { notes: true }, token: undefined, integerKey: undefined } });

  const bytes: Uint8Array = await db.export();
  await db.import(bytes);
  await db.import(db.exportStream());
  new Blob([await db.export()]);
  const status: SyncStatus = db.sync.status;
  const record: ErrorRecord = status.lastError ?? new HeddleError("HEDDLE_BUSY", "no").toJSON();
  record.code satisfies string | undefined;
}

export async function refused(): Promise<void> {
  // @ts-expect-error a Date
  await db.exec("A", [new Date()]);
  // @ts-expect-error a Date by name
  await db.exec("A", { at: new Date() });
  // @ts-expect-error a Date is no set of parameters
  await db.exec("A", new Date());
  // @ts-expect-error nor is a Map
  await db.query<Note>("A", new Map<string, string>());
  // @ts-expect-error nor a Set
  await db.query<Note>("A", new Set<string>());
  // @ts-expect-error nor a Promise, which was meant to be awaited
  await db.query<Note>("A", Promise.resolve(filter));
  // @ts-expect-error nor a text
  await db.exec("A", "a");
  // @ts-expect-error an object among the values
  await db.exec("A", { id: {} });
  // @ts-expect-error undefined is not NULL
  await db.exec("A", [undefined]);
  // @ts-expect-error nor by name
  await db.query("A", { id: undefined });
  // @ts-expect-error a member that may be missing
  await db.exec("A", {} as Note);
  // @ts-expect-error a value in an array, where the rows have a type
  await db.query<Note>("A", [new Date()]);
  // @ts-expect-error SQL is a text
  await db.exec(5);
  // @ts-expect-error no option is called so
  await db.exec("A", [], { retries: 5 });
  // @ts-expect-error a database has a name
  await open({});
}
