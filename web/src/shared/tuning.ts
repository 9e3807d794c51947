// Bounds of a worker's heartbeat. The tests of broken engines build the package
// with shorter ones (e2e/faults/tuning.ts).

/** How often the page pings its worker. */
export const PING_MS = 2_000;

/**
 * A worker that is silent so long, and leaves so many pings unanswered, is taken for dead. A browser throttles a
 * hidden page's timers, and wakes a frozen page with all of them late: the number guards against both. SQLite
 * sorts and matches patterns without reporting progress, so the time is not short.
 */
export const SILENT_MS = 30_000;
export const SILENT_PINGS = 3;

/** So many pings may wait for Go while the worker itself is idle: nothing runs then that could ever answer. */
export const STUCK_PINGS = 3;

/** An engine whose memory, which never shrinks, is larger is replaced when no call waits for it. */
export const MEMORY_LIMIT = 256 << 20;
/** But not sooner after its start. */
export const RENEW_MS = 60_000;
