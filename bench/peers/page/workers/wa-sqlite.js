import * as SQLite from "@journeyapps/wa-sqlite";
import factory from "@journeyapps/wa-sqlite/dist/wa-sqlite.mjs";
import { serve } from "../remote.js";

const systems = {
  pool: async () => (await import("@journeyapps/wa-sqlite/src/examples/AccessHandlePoolVFS.js")).AccessHandlePoolVFS,
  coop: async () => (await import("@journeyapps/wa-sqlite/src/examples/OPFSCoopSyncVFS.js")).OPFSCoopSyncVFS,
};

let sqlite3, db, vfs;
const statements = new Map();

async function prepared(sql) {
  let statement = statements.get(sql);
  if (statement === undefined) {
    for await (statement of sqlite3.statements(db, sql, { unscoped: true })) break;
    statements.set(sql, statement);
  }
  return statement;
}

async function pragma(sql) {
  let found;
  await sqlite3.exec(db, sql, ([value]) => { found = value; });
  return found;
}

serve({
  async open(name) {
    const [module, system] = await Promise.all([factory(), systems[name]()]);
    sqlite3 = SQLite.Factory(module);
    vfs = await system.create("bench", module);
    sqlite3.vfs_register(vfs, true);
    db = await sqlite3.open_v2("bench.db");
    // The pool allows one connection, and its documentation then advises WAL in exclusive mode.
    if (name === "pool") await sqlite3.exec(db, "PRAGMA locking_mode = exclusive; PRAGMA journal_mode = wal");
    await sqlite3.exec(db, "PRAGMA synchronous = full");
    const mode = await pragma("PRAGMA journal_mode"), flush = await pragma("PRAGMA synchronous");
    if (mode !== (name === "pool" ? "wal" : "delete") || flush !== 2) {
      throw new Error(`journal_mode and synchronous are ${mode} ${flush}`);
    }
  },
  async close() {
    for (const statement of statements.values()) await sqlite3.finalize(statement);
    await sqlite3.close(db);
    await vfs.close?.();
  },
  async exec(sql, params) {
    if (!params) { await sqlite3.exec(db, sql); return; }
    const statement = await prepared(sql);
    try {
      sqlite3.bind_collection(statement, params);
      await sqlite3.step(statement);
    } finally {
      await sqlite3.reset(statement);
    }
  },
  async query(sql, params) {
    const statement = await prepared(sql), rows = [];
    try {
      if (params) sqlite3.bind_collection(statement, params);
      while (await sqlite3.step(statement) === SQLite.SQLITE_ROW) rows.push(sqlite3.row(statement));
      return { columns: sqlite3.column_names(statement), rows };
    } finally {
      await sqlite3.reset(statement);
    }
  },
});
