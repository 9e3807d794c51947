// Every wait of the page and its workers, in one place. Those that the tests
// shorten, of the watch over a worker, are in tuning.ts.

// Calls and live queries

/** How long calls that are under way may take once a newer build has come. */
export const ENDING_MS = 1_000;
/** How soon a subscription that the leader had no room for is asked for again; each time twice that, up to the last. */
export const AGAIN_MS = 50;
export const MAX_AGAIN_MS = 2_000;
/** How often it is looked whether a transaction does something while a write of its page waits for it. */
export const IDLE_TICK_MS = 500;
/** After so many looks at which it did nothing a warning says so, and then what waits for it fails. */
export const WARN_TICKS = 2;
export const MAX_IDLE_TICKS = 10;

// Opening and destroying

/** How long open() waits, after two seconds without a sign of life, for a tab that is in the way. */
export const PATIENCE_MS = 18_000;
/** How long destroy() may take, unless told otherwise. */
export const DESTROY_MS = 10_000;
/** How long a handle that another worker holds is waited for: it may just be ending. */
export const OPEN_MS = 5_000;

// Who leads

/**
 * How soon a hidden tab, and one that queues, ask anew while nobody leads; each time twice that, up to the last.
 * The latter is longer than a lock takes to be given, so that who is first, and has got ready for it, stays first.
 */
export const TRY_MS = 10;
export const REQUEUE_MS = 250;
export const MAX_TRY_MS = 1_000;
/** How soon one that has led asks anew while it is hidden. */
export const HIDDEN_RETRY_MS = 3_000;
/** How long a leader stays when nobody sees it, where the browser suspends pages without a word. */
export const STAY_MS = 3_000;
/** How long after a leader appeared its heirs get ready: not while pages are loading. */
export const NEXT_MS = 1_000;
/** How long a tab that cannot lead itself waits for one that can. */
export const OTHERS_MS = 20_000;
/** How often a leader of an older build is told that there is a newer one. */
export const TELL_MS = 1_000;
/** How soon it is first looked whether a leader that said goodbye has freed its lock; then in ever longer pauses. */
export const BYE_MS = 10;
/** A leader's lock may be free before the word comes that its engine has died. */
export const WORD_MS = 100;
/** When a leader looks which tabs have died: not while others wait for it. */
export const FORGET_MS = 2_000;
/** How often the leader looks whether its files are still there. */
export const CHECK_MS = 5_000;

// The line to the leader

/** How long the broker's way may take before the BroadcastChannel is tried beside it; then how often that asks. */
export const BROKER_MS = 500;
export const CHANNEL_MS = 1_000;
/** How often a silence is measured. */
export const TICK_MS = 250;
/** No tick counts for more: a tab in the background has one a second, and one that was suspended has not waited meanwhile. */
export const MAX_TICK_MS = 1_000;
/** How long a silence it takes until the leader's page is asked, and until it is said. Never both in one tick. */
export const ASK_MS = 750;
export const BLOCKED_MS = 1_750;

// A worker's life

/** How long a worker may take to stop. */
export const STOP_MS = 3_000;
/** A worker that led is started again at once, unless too many died within this time; then after a pause that grows. */
export const CRASH_WINDOW_MS = 60_000;
export const PAUSE_MS = 500;
export const MAX_PAUSE_MS = 30_000;

// What anybody on the origin can ask for is answered no more often than this.

/** The least time between two answers of a tab or a leader. */
export const ANSWER_MS = 20;
/** Between two words to an older build. */
export const OLDER_ANSWER_MS = 50;
/** Between two words that something was missed for messages which this build cannot read. */
export const MISSED_MS = 250;
