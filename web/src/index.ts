// The package's face. Importing it touches nothing of the browser, so that a
// server may render a page that uses it.

export { databases, destroy, destroyAll, open } from "./api/open.js";
export type { DestroyOptions } from "./api/open.js";
export { quarantinedFiles } from "./api/quarantine.js";
export type { QuarantinedFile } from "./api/quarantine.js";
export { HeddleError } from "./shared/errors.js";
export type { ErrorCode, ErrorRecord, SqliteCode } from "./shared/errors.js";
export type { HeddleCode } from "./shared/codes.gen.js";
export type { Database } from "./api/database.js";
export type * from "./shared/types.js";
