// db.export("sql"): the database as SQL text, as `sqlite3 FILE .dump` writes it, and as db.import() reads it.

import { HeddleError } from "../shared/errors.js";
import type { CallOptions, RowIterable } from "../shared/types.js";

interface Source {
  query<T>(sql: string, params: [], options: CallOptions): Promise<T[]>;
  iterate<T>(sql: string, params: [], options: CallOptions): RowIterable<T>;
}

interface Table {
  name: string;
  /** Of sqlite_schema; null: of SQLite's own sqlite_sequence. */
  sql: string;
  /** JSON: the columns that an INSERT may name. */
  columns: string;
}

/** SQLite's limit of the parts of a compound SELECT, less those for the schema. */
const MAX_TABLES = 490;

/** Of Heddle's tables the record of the migrations goes along: import() runs those that are due. */
const own = (name: string) =>
  `(${name} NOT GLOB 'heddle_*' OR ${name} IN ('heddle_migration', 'heddle_column'))`;

const TABLES = `
SELECT m.name, m.sql, (SELECT json_group_array(c.name ORDER BY c.cid) FROM pragma_table_xinfo(m.name) AS c
  WHERE c.hidden = 0) AS columns
FROM sqlite_schema AS m JOIN pragma_table_list AS t ON t.name = m.name AND t.schema = 'main'
WHERE m.type = 'table' AND t.type IN ('table', 'virtual') AND ${own("m.name")} AND m.name NOT GLOB 'sqlite_stat*'
ORDER BY m.name = 'sqlite_sequence', m.rowid`;

/** What is made when all rows are there. */
const REST = `SELECT sql || ';' AS line FROM (SELECT sql FROM sqlite_schema
  WHERE type IN ('index', 'trigger', 'view') AND sql IS NOT NULL AND ${own("tbl_name")}
  ORDER BY type = 'trigger', rowid)`;

/** The schema as the statement that reads the rows sees it: another one than TABLES saw has changed meanwhile. */
const SEEN = `SELECT json_group_array(sql ORDER BY rowid) AS line FROM sqlite_schema WHERE ${own("name")}`;

const identifier = (name: string) => `"${name.replaceAll('"', '""')}"`;
const text = (value: string) => `'${value.replaceAll("'", "''")}'`;

/** An expression for the SQL literal of a column. quote() ends a text at its first NUL. */
function literal(column: string): string {
  const c = identifier(column);
  return `iif(typeof(${c}) = 'text' AND instr(${c}, char(0)), 'CAST(x''' || hex(${c}) || ''' AS TEXT)', quote(${c}))`;
}

function rowsOf({ name, columns }: Table): string {
  const names = JSON.parse(columns) as string[];
  const head = `INSERT INTO ${identifier(name)}(${names.map(identifier).join(",")}) VALUES(`;
  const insert = `SELECT ${text(head)} || ${names.map(literal).join(" || ',' || ")} || ');' FROM ${identifier(name)}`;
  // The rows before it have made entries already.
  return name === "sqlite_sequence" ? `SELECT 'DELETE FROM sqlite_sequence;' UNION ALL ${insert}` : insert;
}

/** All rows come from one statement, and so from one snapshot. */
export async function dump(source: Source, options: CallOptions): Promise<string> {
  for (;;) {
    const [[before], tables] = await Promise.all([
      source.query<{ line: string }>(SEEN, [], options), source.query<Table>(TABLES, [], options),
    ]);
    if (tables.length > MAX_TABLES) {
      throw new HeddleError("HEDDLE_UNSUPPORTED",
        `export: SQL text is made of ${MAX_TABLES} tables at most, and there are ${tables.length}: export the file`);
    }
    const made = tables.filter(({ name }) => name !== "sqlite_sequence").map(({ sql }) => `${sql};`);
    const lines = ["PRAGMA foreign_keys=OFF;", "BEGIN TRANSACTION;", ...made];
    const parts = [SEEN, ...tables.map(rowsOf), REST];
    let seen: string | undefined;
    for await (const { line } of source.iterate<{ line: string }>(parts.join(" UNION ALL "), [], options)) {
      if (seen === undefined) seen = line;
      else lines.push(line);
      if (seen !== before!.line) break;
    }
    if (seen === before!.line) return [...lines, "COMMIT;", ""].join("\n");
    // The schema has changed in between: the parts are made again.
  }
}
