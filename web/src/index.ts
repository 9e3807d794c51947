// The package's face. Importing it touches nothing of the browser, so that a
// server may render a page that uses it.

export { destroy, open } from "./open.js";
export type { DestroyOptions } from "./open.js";
export { setAside } from "./aside.js";
export type { AsideFile } from "./aside.js";
export { HeddleError } from "./errors.js";
export type { ErrorCode, ErrorRecord, SqliteCode } from "./errors.js";
export type { HeddleCode } from "./codes.gen.js";
export type { Database } from "./database.js";
export type * from "./types.js";
