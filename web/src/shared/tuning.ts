// Bounds of the watch over a worker. The tests of its faults build the package
// with shorter ones (e2e/faults/tuning.ts).

/** How often the page asks its worker whether it lives. */
export const PING_MS = 2_000;

/** A worker that was silent so long, and left so many questions open, is taken for dead. A browser throttles a hidden page's timers, and wakes a frozen page with all of them late: the number guards against both. SQLite sorts and matches patterns without a word, so the time is not short. */
export const SILENT_MS = 30_000;
export const SILENT_PINGS = 3;

/** So many questions may wait for Go while the worker itself is idle: nothing runs then that could ever answer. */
export const STUCK_PINGS = 3;

/** An engine whose memory, which never shrinks, has grown so large makes room for a new one when nobody waits for it. */
export const MEMORY_LIMIT = 256 << 20;
/** But not so soon after it began. */
export const RENEW_MS = 60_000;
