// The check's second party: a dedicated worker, which opens the database beside the page as another tab would.
import type { Database } from "heddle";
import { MIGRATIONS, type Answer, type Ask } from "./messages.js";

let db: Database | undefined;

/** Writes, flushes and reads back a file of its own in the origin private file system. */
async function tryFile(): Promise<string> {
  const name = `heddle-check-${crypto.randomUUID()}`, bytes = crypto.getRandomValues(new Uint8Array(4096));
  const root = await navigator.storage.getDirectory();
  const file = await root.getFileHandle(name, { create: true });
  try {
    const handle = await file.createSyncAccessHandle();
    try {
      const began = performance.now();
      handle.write(bytes, { at: 0 });
      handle.flush();
      const ms = performance.now() - began;
      const read = new Uint8Array(bytes.length);
      const got = handle.read(read, { at: 0 });
      if (got !== bytes.length || read.some((byte, i) => byte !== bytes[i])) {
        throw new Error("what was read from the file is not what was written to it");
      }
      return `4 KiB written and flushed in ${ms.toFixed(1)} ms`;
    } finally {
      handle.close();
    }
  } finally {
    await root.removeEntry(name).catch(() => {});
  }
}

const tasks: { [task in Ask["task"]]: (ask: string) => unknown } = {
  ping: () => "pong",
  file: tryFile,
  // Whether somebody else holds the lock.
  lock: (name) => navigator.locks.request(name, { ifAvailable: true }, (lock) => lock === null),
  // Sends back what comes over the channel.
  echo: (name) => {
    const channel = new BroadcastChannel(name);
    channel.onmessage = ({ data }) => channel.postMessage(`${data} back`);
    return "listening";
  },
  open: async (name) => {
    const { open } = await import("heddle"); // what it needs may be missing, which is for the page to say
    db = await open({ name, migrations: MIGRATIONS });
    return db.role;
  },
  role: () => db!.role,
  write: async (body) => (await db!.exec(`INSERT INTO notes(body) VALUES (?)`, [body])).changes,
  close: () => db?.close(),
};

addEventListener("message", ({ data: { id, task, with: value } }: MessageEvent<Ask>) => {
  const reply = (answer: Omit<Answer, "id">) => postMessage({ id, ...answer });
  // A promise, so that what throws at once is answered too.
  void Promise.resolve().then(() => tasks[task](value))
    .then((result) => reply({ result }), (error: unknown) => reply({ error: String(error) }));
});
