// db.schema(): the app's tables, views and indexes, as SQLite describes them.

import type { Schema, SchemaTable } from "../shared/types.js";

/** Heddle's own tables, SQLite's, and the shadow tables of virtual ones are left out. */
export const SCHEMA_SQL = `
SELECT t.name, t.type, t.wr AS withoutRowid, t.strict, m.sql,
  (SELECT json_group_array(json_object('name', c.name, 'type', c.type, 'notNull', c."notnull", 'default', c.dflt_value,
    'key', c.pk, 'generated', c.hidden IN (2, 3)) ORDER BY c.cid)
    FROM pragma_table_xinfo(t.name) AS c WHERE c.hidden <> 1) AS columns,
  (SELECT json_group_array(json_object('name', i.name, 'unique', i."unique", 'partial', i.partial, 'origin', i.origin,
    'columns', json((SELECT json_group_array(x.name ORDER BY x.seqno) FROM pragma_index_info(i.name) AS x)))
    ORDER BY i.name)
    FROM pragma_index_list(t.name) AS i) AS indexes
FROM pragma_table_list AS t JOIN sqlite_schema AS m ON m.name = t.name
WHERE t.schema = 'main' AND t.type <> 'shadow' AND t.name NOT GLOB 'heddle_*' AND t.name NOT GLOB 'sqlite_*'
ORDER BY t.name`;

/** A row of SCHEMA_SQL. */
export interface SchemaRow {
  name: string;
  type: SchemaTable["type"];
  withoutRowid: number;
  strict: number;
  sql: string;
  columns: string;
  indexes: string;
}

interface Column {
  name: string;
  type: string;
  notNull: number;
  default: string | null;
  key: number;
  generated: number;
}

interface Index {
  name: string;
  unique: number;
  partial: number;
  origin: string;
  columns: (string | null)[];
}

export function readSchema(rows: readonly SchemaRow[]): Schema {
  return {
    tables: rows.map(({ name, type, withoutRowid, strict, sql, columns, indexes }) => ({
      name, type, sql, withoutRowid: withoutRowid === 1, strict: strict === 1,
      columns: (JSON.parse(columns) as Column[]).map(({ notNull, generated, ...column }) => (
        { ...column, notNull: notNull === 1, generated: generated === 1 })),
      indexes: (JSON.parse(indexes) as Index[]).map(({ unique, partial, origin, ...index }) => (
        { ...index, unique: unique === 1, partial: partial === 1, made: origin === "c" })),
    })),
  };
}
