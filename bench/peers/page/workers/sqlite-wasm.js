import sqlite3InitModule from "@sqlite.org/sqlite-wasm";
import { serve } from "../remote.js";

let db;
const statements = new Map();

function prepared(sql) {
  let statement = statements.get(sql);
  if (!statement) statements.set(sql, statement = db.prepare(sql));
  return statement;
}

serve({
  async open(journal) {
    const sqlite3 = await sqlite3InitModule();
    const pool = await sqlite3.installOpfsSAHPoolVfs({ name: "bench" });
    db = new pool.OpfsSAHPoolDb("/bench.db");
    if (journal === "wal") db.exec("PRAGMA locking_mode = exclusive; PRAGMA journal_mode = wal");
    db.exec("PRAGMA synchronous = full");
    const found = [db.selectValue("PRAGMA journal_mode"), db.selectValue("PRAGMA synchronous")].map(String).join(" ");
    if (found !== `${journal ?? "delete"} 2`) throw new Error(`journal_mode and synchronous are ${found}`);
  },
  close() {
    for (const statement of statements.values()) statement.finalize();
    db.close();
  },
  exec(sql, params) {
    // Statements that change the schema are not worth keeping.
    if (!params) { db.exec(sql); return; }
    const statement = prepared(sql);
    try { statement.bind(params).step(); } finally { statement.reset(true); }
  },
  query(sql, params) {
    const statement = prepared(sql), rows = [];
    try {
      if (params) statement.bind(params);
      while (statement.step()) rows.push(statement.get([]));
    } finally {
      statement.reset(true);
    }
    return { columns: statement.getColumnNames([]), rows };
  },
});
