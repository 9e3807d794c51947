// PowerSync without its service: raw tables, watched queries, a connection a tab.
import { PowerSyncDatabase, Schema, WASQLiteVFS } from "@powersync/web";
import { bulkSql } from "../remote.js";

export async function connect() {
  const db = new PowerSyncDatabase({
    schema: new Schema({}),
    database: { dbFilename: "bench.db", vfs: WASQLiteVFS.OPFSCoopSyncVFS, preparedStatementsCache: 50 },
    flags: { enableMultiTabs: true },
  });
  await db.waitForReady();
  const { synchronous } = await db.get("PRAGMA synchronous");
  if (synchronous !== 2) throw new Error(`synchronous is ${synchronous}`);
  return {
    close: () => db.close(),
    exec: (sql, params) => db.execute(sql, params),
    query: (sql, params) => db.getAll(sql, params),
    bulk: (table, columns, rows) => db.execute(bulkSql(table, columns), [JSON.stringify(rows)]),
    live(sql, tables, fn) {
      const abort = new AbortController();
      db.watch(sql, [], { onResult: (result) => fn(result.rows?._array ?? result.array ?? [...result.rows]) },
        { signal: abort.signal, tables, rawTableNames: true, throttleMs: 1 });
      return () => abort.abort();
    },
  };
}
