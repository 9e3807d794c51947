// Limits of tests end what hangs; none is a measure of speed, so that a slow
// machine fails no test.

/**
 * How long a test may take: one that hangs twice leaves CI in its time. Those that can be told to do more have longer.
 */
export const TEST_MS = 10 * 60_000;

/** How long an expectation may take to come true. */
export const EXPECT_MS = 4 * 60_000;
