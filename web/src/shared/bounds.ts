// Every bound on a wait of the page and its workers. Those of the heartbeat,
// which the tests shorten, are in tuning.ts.

// Calls and live queries

/** How long calls that are under way may take once a newer build has come. */
export const ENDING_MS = 1_000;
/** When a subscription that the leader had no room for is tried again; twice that each time, up to the last. */
export const AGAIN_MS = 50;
export const MAX_AGAIN_MS = 2_000;
/** How often a transaction is checked for progress while a write of its page waits for it. */
export const IDLE_TICK_MS = 500;
/** After so many checks without progress a warning is logged, and then the calls that wait for it fail. */
export const WARN_TICKS = 2;
export const MAX_IDLE_TICKS = 10;

/** How often a transaction of db.begin() is checked. One without a statement since is ended, as the leader did. */
export const BEGUN_IDLE_MS = 35_000;

/** How long a store goes on after its last subscriber has left: a component may be mounted again. */
export const KEEP_MS = 2_000;
/** How long a store waits for its first subscriber. */
export const UNUSED_MS = 5_000;

/** The longest that a live query waits for a frame of its page: one that is covered, or in an iframe, makes none. */
export const FRAME_MS = 100;

// Opening and destroying

/** How long open() waits, after two seconds without a sign of life, for a tab that is in the way. */
export const PATIENCE_MS = 18_000;
/** How long destroy() may take, unless told otherwise. */
export const DESTROY_MS = 10_000;
/** How long a handle that another worker holds is waited for: it may just be ending. */
export const OPEN_MS = 5_000;

/** When the second part is asked for, after the engine's first word to a tab: behind the first answers. */
export const REST_MS = 200;

/**
 * How long what sealed spaces alone need of the program, some 100 KiB, may take to come, and how long open() waits for
 * that and the second part.
 */
export const SEALED_MS = 60_000;
export const PARTS_MS = 180_000;

// Leadership

/**
 * When a hidden tab, and one that queues, ask for the lock again while no leader is known; twice that each time,
 * up to the last. The second is longer than a lock takes to be granted: the first in the queue, which has
 * compiled the engine ahead, stays first.
 */
export const TRY_MS = 10;
export const REQUEUE_MS = 250;
export const MAX_TRY_MS = 1_000;
/** How often a hidden tab asks for the lock while another tab leads. */
export const HIDDEN_RETRY_MS = 3_000;
/** How long a hidden page goes on leading, where the browser suspends pages without a word. */
export const HANDOVER_MS = 3_000;
/** When the tabs next in the queue get ready to lead after a leader has appeared: not while pages are loading. */
export const STANDBY_MS = 1_000;
/** How long a tab that cannot lead waits for one that can. */
export const OTHERS_MS = 20_000;
/** How often a leader of an older build is told that there is a newer one. */
export const TELL_MS = 1_000;
/** When the lock of a leader that is said to be gone is checked again; twice that each time. */
export const LEADER_GONE_MS = 10;
/** How long the message that a leader's engine has died may come after its lock is free. */
export const CRASH_MESSAGE_MS = 100;
/** When a new leader checks which tabs have died: not while others wait for it. */
export const FORGET_MS = 2_000;
/** How often the leader checks whether its files are still there. */
export const CHECK_MS = 5_000;

// The way to the leader

/** When the BroadcastChannel is tried beside the broker's port; then how often the leader is asked to open it. */
export const BROKER_MS = 500;
export const CHANNEL_MS = 1_000;
/** How often a silence is measured. */
export const TICK_MS = 250;
/** The most that one tick counts: in the background there is one a second, and a suspended tab has not waited. */
export const MAX_TICK_MS = 1_000;
/** How long a silence it takes until the leader's page is asked, and until it is reported. Never both in one tick. */
export const PROBE_MS = 750;
export const BLOCKED_MS = 1_750;

// A worker's life

/** How long a worker may take to stop. */
export const STOP_MS = 3_000;
/** The next worker is started at once, until too many died within this time; then after a pause that doubles. */
export const CRASH_WINDOW_MS = 60_000;
export const PAUSE_MS = 500;
export const MAX_PAUSE_MS = 30_000;

// Rates of answers to what any script of the origin can ask

/** The least time between two answers of a tab or a leader. */
export const ANSWER_MS = 20;
/** The least time between two answers to an older build. */
export const OLDER_ANSWER_MS = 50;
/** The least time between two reports of missed changes, for announcements that this build cannot read. */
export const MISSED_MS = 250;
