// web/src/shared/tuning.ts for the tests: the same, sooner.
export const PING_MS = 200;
export const SILENT_MS = 4_000;
export const SILENT_PINGS = 3;
export const STUCK_PINGS = 3;
export const MEMORY_LIMIT = 96 << 20;
export const RENEW_MS = 0;
