// db.health(): what the leader found, with what is known of the disk on this side.

import { quarantinedFiles } from "./quarantine.js";
import type { Disk } from "../rpc/session.js";
import type { ScopedCaller } from "../rpc/scoped-caller.js";
import { health, readChecked } from "../rpc/messages.gen.js";
import { QUARANTINE_MARK } from "../shared/names.js";
import type { Health, HealthOptions, Recovery, Storage, SyncStatus } from "../shared/types.js";

interface Known {
  storage: Storage;
  recovered: Recovery | undefined;
  sync: SyncStatus;
}

/** The disk of a page, as the browser tells of it. */
export async function pageDisk(name: string): Promise<Disk> {
  const [estimate, files] = await Promise.all([
    navigator.storage.estimate().catch(() => undefined), quarantinedFiles(name),
  ]);
  return {
    quota: estimate?.quota === undefined ? undefined : { usage: estimate.usage ?? 0, quota: estimate.quota },
    quarantined: files.filter((file) => file.name.includes(QUARANTINE_MARK)).map(({ name, size }) => ({ name, size })),
  };
}

export async function checkHealth(
  caller: ScopedCaller, known: () => Known, disk: (() => Promise<Disk>) | undefined, options: HealthOptions,
): Promise<Health> {
  const found = await caller.call({
    ...health(options.full ?? false), signal: options.signal, chunk: (r) => options.onProgress?.(readChecked(r)),
  });
  return {
    ok: found.problems.length === 0, ...found, lastExit: found.lastExit as Health["lastExit"], ...known(),
    ...(await disk?.() ?? { quota: undefined, quarantined: [] }),
  };
}
