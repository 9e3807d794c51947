// db.health(): what the leader found, with what this page knows of the browser.

import { quarantinedFiles } from "./quarantine.js";
import type { Caller } from "../rpc/client.js";
import { health, readChecked } from "../rpc/messages.gen.js";
import { QUARANTINE_MARK } from "../shared/names.js";
import type { Health, HealthOptions, Recovery, Storage, SyncStatus } from "../shared/types.js";

interface Known {
  name: string;
  storage: Storage;
  recovered: Recovery | undefined;
  sync: SyncStatus;
}

export async function checkHealth(caller: Caller, known: () => Known, options: HealthOptions): Promise<Health> {
  const found = await caller.call({
    ...health(options.full ?? false), signal: options.signal, chunk: (r) => options.onProgress?.(readChecked(r)),
  });
  const { name, storage, recovered, sync } = known();
  const memory = storage === "memory";
  const [estimate, files] = await Promise.all([
    memory ? undefined : navigator.storage.estimate().catch(() => undefined),
    memory ? [] : quarantinedFiles(name),
  ]);
  return {
    ok: found.problems.length === 0, ...found, lastExit: found.lastExit as Health["lastExit"], storage, recovered, sync,
    quota: estimate?.quota === undefined ? undefined : { usage: estimate.usage ?? 0, quota: estimate.quota },
    quarantined: files.filter((file) => file.name.includes(QUARANTINE_MARK)).map(({ name, size }) => ({ name, size })),
  };
}
