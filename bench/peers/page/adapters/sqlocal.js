// SQLocal: its own worker, the opfs VFS with SharedArrayBuffer, hence COOP and COEP.
import { SQLocal } from "sqlocal";
import { bulkSql } from "../remote.js";

export async function connect() {
  const db = new SQLocal({ databasePath: "bench.sqlite3", reactive: true });
  const [{ synchronous }] = await db.sql("PRAGMA synchronous");
  if (synchronous !== 2) throw new Error(`synchronous is ${synchronous}`);
  const { databasePath } = await db.getDatabaseInfo();
  if (databasePath !== "bench.sqlite3") throw new Error(`it fell back to ${databasePath}`);
  const run = (sql, params = []) => db.sql(sql, ...params);
  return {
    close: () => db.destroy(),
    exec: run,
    query: run,
    bulk: (table, columns, rows) => run(bulkSql(table, columns), [JSON.stringify(rows)]),
    live(sql, _tables, fn) {
      const { unsubscribe } = db.reactiveQuery({ sql, params: [] }).subscribe(fn);
      return unsubscribe;
    },
  };
}
