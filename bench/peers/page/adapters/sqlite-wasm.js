// SQLite's own build, in a worker with the opfs-sahpool VFS, as its documentation advises.
import { remote } from "../remote.js";

export async function connect({ journal }) {
  const db = remote(new Worker(new URL("../workers/sqlite-wasm.js", import.meta.url), { type: "module" }));
  await db.call("open", journal);
  return db;
}
