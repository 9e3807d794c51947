// Turso: the engine runs on the page's own thread, the files in a worker.
import { connect as open } from "@tursodatabase/database-wasm";

export async function connect() {
  const db = await open("bench.db");
  const statements = new Map();
  const prepared = async (sql) => {
    let statement = statements.get(sql);
    if (!statement) statements.set(sql, statement = await db.prepare(sql));
    return statement;
  };
  return {
    // It has no recursive CTEs yet.
    dialect: {
      fill: `INSERT INTO big(body) VALUES ${Array.from({ length: 16 }, () => "(randomblob(1048576))").join()}`,
    },
    async close() {
      for (const statement of statements.values()) statement.close();
      await db.close();
    },
    exec: async (sql, params) => params ? (await prepared(sql)).run(...params) : db.exec(sql),
    query: async (sql, params = []) => (await prepared(sql)).all(...params),
    bulk: (table, columns, rows) => db.transactionAsync(async (tx) => {
      const insert = await tx.prepare(`INSERT INTO ${table}(${columns}) VALUES (${columns.map(() => "?")})`);
      for (const row of rows) await insert.run(...row);
      insert.close();
    })(),
  };
}
