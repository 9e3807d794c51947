// wa-sqlite's synchronous build in a worker, with one of its OPFS file systems.
import { remote } from "../remote.js";

export async function connect({ vfs }) {
  const db = remote(new Worker(new URL("../workers/wa-sqlite.js", import.meta.url), { type: "module" }));
  await db.call("open", vfs);
  return db;
}
