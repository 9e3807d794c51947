// Files of damaged databases, which were quarantined: the app hands them out, or
// drops them. Nothing else does.

import { HeddleError } from "../shared/errors.js";
import { checkName, databaseFolder, FOLDER, QUARANTINE_MARK } from "../shared/names.js";
import { checkBrowser } from "../shared/browser-support.js";

/** A database's file. */
export interface QuarantinedFile {
  name: string;
  size: number;
  /**
   * Its bytes, read as they are asked for. The log that belongs to it is a file of its own, with the name and "-wal".
   */
  file: File;
  /** Removes it. Refused for the database's own. */
  remove(): Promise<void>;
}

type Entries = AsyncIterable<[string, FileSystemHandle]>;

async function folderOf(name: string): Promise<FileSystemDirectoryHandle | undefined> {
  try {
    const root = await navigator.storage.getDirectory();
    const all = await root.getDirectoryHandle(FOLDER);
    return await all.getDirectoryHandle(databaseFolder(name));
  } catch (error) {
    if ((error as DOMException).name === "NotFoundError") return undefined;
    throw new HeddleError("HEDDLE_STORAGE", `the browser refuses its file system: ${(error as Error).message}`,
      { cause: error });
  }
}

/**
 * The files of the database that were quarantined because they were damaged,
 * oldest first, and the logs that belong to them. Before them the database's own
 * file, for an app that cannot open it (HEDDLE_DAMAGED): while it is open, its
 * bytes change, and db.export() gives a copy that holds together.
 */
export async function quarantinedFiles(name: string): Promise<QuarantinedFile[]> {
  checkName(name);
  checkBrowser(false);
  const folder = await folderOf(name);
  if (!folder) return [];
  const own = `${databaseFolder(name)}.db`;
  const found: QuarantinedFile[] = [];
  for await (const [entry, handle] of folder as unknown as Entries) {
    const ours = entry === own || entry === `${own}-wal` || entry.startsWith(own + QUARANTINE_MARK);
    if (handle.kind !== "file" || !ours) continue;
    const file = await (handle as FileSystemFileHandle).getFile();
    if (file.size === 0) continue;
    const mine = entry.startsWith(own + QUARANTINE_MARK);
    found.push({
      name: entry, size: file.size, file,
      remove: async () => {
        if (!mine) {
          throw new HeddleError("HEDDLE_BAD_PARAM", `${entry} is the database itself: destroy("${name}") removes it`);
        }
        await folder.removeEntry(entry);
      },
    });
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}
