// PGlite in its multi-tab worker with live queries. It is Postgres: another SQL, another LIKE.
import { live } from "@electric-sql/pglite/live";
import { PGliteWorker } from "@electric-sql/pglite/worker";

const numbered = new Map();

/** ? becomes $1, $2 and so on. */
function dollars(sql) {
  let text = numbered.get(sql), n = 0;
  if (text === undefined) numbered.set(sql, text = sql.replaceAll("?", () => `$${++n}`));
  return text;
}

const csv = (value) => typeof value === "number" ? value : `"${value.replaceAll('"', '""')}"`;

export async function connect({ dir }) {
  const db = await PGliteWorker.create(
    new Worker(new URL("../workers/pglite.js", import.meta.url), { type: "module" }),
      { extensions: { live }, meta: { dir } });
  return {
    dialect: {
      real: "DOUBLE PRECISION", key: "SERIAL PRIMARY KEY",
      json: `SELECT json_agg(json_build_object('id', id, 'name', name, 'value', value, 'note', note))::text AS j ` +
        `FROM t`,
      big: `CREATE TABLE big(id SERIAL PRIMARY KEY, body BYTEA NOT NULL); ` +
        `ALTER TABLE big ALTER body SET STORAGE EXTERNAL`,
      fill: `INSERT INTO big(body) SELECT convert_to(repeat(md5(random()::text), 32768), 'UTF8') FROM ` +
        `generate_series(1, 16)`,
    },
    close: () => db.close(),
    exec: (sql, params) => params ? db.query(dollars(sql), params) : db.exec(sql),
    query: async (sql, params) => (await db.query(dollars(sql), params)).rows,
    bulk: (table, columns, rows) => db.query(`COPY ${table}(${columns}) FROM '/dev/blob' WITH (FORMAT csv)`, [],
      { blob: new Blob([rows.map((row) => row.map(csv).join(",")).join("\n")]) }),
    async live(sql, _tables, fn) {
      const { initialResults, unsubscribe } = await db.live.query(sql, [], ({ rows }) => fn(rows));
      fn(initialResults.rows);
      return unsubscribe;
    },
  };
}
