import { defineConfig } from "@playwright/test";
import { EXPECT_MS, TEST_MS } from "./e2e/limits.js";

// Every spec launches its own persistent profile (e2e/fixtures.ts): an incognito
// context keeps its files in memory and answers each storage call by a round trip.
export default defineConfig({
  testDir: "e2e",
  testMatch: "**/*.spec.ts",
  // build.sh names the Firefox, and the driver of WebKit, where they are wanted.
  testIgnore: [...(process.env.FIREFOX ? [] : ["**/firefox.spec.ts"]),
    ...(process.env.WEBKIT ? [] : ["**/webkit.spec.ts"])],
  outputDir: ".cache/playwright",
  fullyParallel: true,
  workers: 2,
  // The build machine tries a failed test once more, and the report calls it flaky: a
  // fault to mend, that does not hold up everybody meanwhile.
  retries: process.env.CI ? 1 : 0,
  forbidOnly: !!process.env.CI,
  timeout: TEST_MS,
  expect: { timeout: EXPECT_MS },
  reporter: "list",
});
