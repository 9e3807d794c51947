// The devices that the page shows side by side. Each is a database of its own: one SQLite file, one worker, one
// connection to the server. All that two of them share is the server's log, as on two machines. Two origins in frames
// would show no more, and less truly: a browser gives a frame of another site a storage that depends on the page around
// it, so that device would not be the one that its own address opens.
import { open, type Database, type ExecResult, type SqlValue, type SyncStatus } from "heddle";
import { createContext, useContext, useSyncExternalStore } from "react";
import { Observable } from "./observable.js";
import { migrations, tables } from "./schema.js";
import { showError } from "./toasts.js";

const query = new URLSearchParams(location.search);

/** Their names: `?devices=a` shows one alone, `?devices=a,b,c` three. */
export const names = (query.get("devices") ?? "a,b").split(",").filter(Boolean);

/** What they share: `?space=family`. */
const space = query.get("space") ?? "demo";

/** A statement that the page has run, for the list of them. */
export interface Statement {
  id: number;
  sql: string;
  params: readonly SqlValue[];
  /** What came of it. */
  outcome: string;
}

const SHOWN = 30;

export class Device {
  /** The last statements, newest first. */
  readonly statements = new Observable<readonly Statement[]>([]);
  /** The digest that was last worked out. */
  readonly digest = new Observable<{ seq: number; digest: string } | undefined>(undefined);
  readonly title: string;
  readonly onStatus = (changed: () => void): (() => void) => this.db.sync.on("status", changed);
  readonly getStatus = (): SyncStatus => this.db.sync.status;

  constructor(readonly name: string, readonly db: Database) {
    this.title = `Device ${name.toUpperCase()}`;
  }

  /** Runs one action's statement, and lists it. An error is shown, as one of doing; the result is undefined then. */
  async run<T>(doing: string, sql: string, params: SqlValue[] = []): Promise<ExecResult<T> | undefined> {
    const began = performance.now();
    try {
      const result = await this.db.exec<T>(sql, params);
      const rows = `${result.changes} ${result.changes === 1 ? "row" : "rows"}`;
      this.list(sql, params, `${rows}, ${(performance.now() - began).toFixed(1)} ms`);
      return result;
    } catch (error) {
      this.list(sql, params, error instanceof Error ? error.message : String(error));
      showError(error, doing);
      return undefined;
    }
  }

  /** Adds a statement to the list. */
  list(sql: string, params: readonly SqlValue[], outcome: string): void {
    const before = this.statements.get();
    const statement = { id: (before[0]?.id ?? 0) + 1, sql: sql.replace(/\s+/g, " ").trim(), params, outcome };
    this.statements.set([statement, ...before].slice(0, SHOWN));
  }
}

/** Opens a device's database; blocked is called if another tab holds it and does not answer. */
export async function openDevice(name: string, blocked: (message: string) => void): Promise<Device> {
  const db = await open({
    name: `notes-${name}`,
    migrations,
    sync: { url: location.origin, space, tables },
    onBlocked: blocked,
  });
  return new Device(name, db);
}

const Context = createContext<Device | undefined>(undefined);

export const DeviceProvider = Context.Provider;

/** The device whose pane this is. */
export function useDevice(): Device {
  const device = useContext(Context);
  if (!device) throw new Error("there is no DeviceProvider above this component");
  return device;
}

/** Where a device's sync stands, outside of its own pane. */
export const useStatusOf = (device: Device): SyncStatus => useSyncExternalStore(device.onStatus, device.getStatus);

/** The page's address with other devices, at the server's other name if there is one: that is another origin. */
export function elsewhere(): string {
  const url = new URL(location.href);
  const other: { [host: string]: string } = { "localhost": "127.0.0.1", "127.0.0.1": "localhost" };
  url.hostname = other[url.hostname] ?? url.hostname;
  url.searchParams.set("devices", "c");
  url.hash = "";
  return url.href;
}
