// db.health(): what the leader found, with what this page knows of the browser.

import { quarantinedFiles } from "./quarantine.js";
import type { Caller } from "../rpc/client.js";
import { Method, request, type Reader } from "../rpc/codec.js";
import { QUARANTINE_MARK } from "../shared/names.js";
import type { Health, HealthOptions, Recovery, Storage, SyncStatus } from "../shared/types.js";

export function readRecovery(r: Reader): Recovery {
  return {
    file: r.string(), reason: r.string(), pending: r.u64(), rejected: r.u64(), rows: r.u64(), tables: r.strings(), lost: r.bool(),
  };
}

interface Known {
  name: string;
  storage: Storage;
  recovered: Recovery | undefined;
  sync: SyncStatus;
}

export async function checkHealth(caller: Caller, known: () => Known, options: HealthOptions): Promise<Health> {
  const w = request(0, Method.health, 6);
  w.bool(options.full ?? false);
  const found = await caller.call({
    message: w.finish(), lane: "side", retry: true, signal: options.signal,
    chunk: (r) => options.onProgress?.({ done: r.u64(), total: r.u64() }),
    result: (r) => ({
      pages: r.u64(), trees: r.u64(), problems: r.strings(), checksums: r.bool(), pageSize: r.u32(),
      bytes: r.u64(), logBytes: r.u64(), lastExit: r.string() as Health["lastExit"],
    }),
  });
  const { name, storage, recovered, sync } = known();
  const memory = storage === "memory";
  const [estimate, files] = await Promise.all([
    memory ? undefined : navigator.storage.estimate().catch(() => undefined),
    memory ? [] : quarantinedFiles(name),
  ]);
  return {
    ok: found.problems.length === 0, ...found, storage, recovered, sync,
    quota: estimate?.quota === undefined ? undefined : { usage: estimate.usage ?? 0, quota: estimate.quota },
    quarantined: files.filter((file) => file.name.includes(QUARANTINE_MARK)).map(({ name, size }) => ({ name, size })),
  };
}
