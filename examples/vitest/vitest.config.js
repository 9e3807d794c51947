// The same tests in each environment that vitest offers for code of pages.

import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    globalSetup: "./server.js",
    projects: ["node", "jsdom", "happy-dom"].map((environment) => (
      { extends: true, test: { name: environment, environment } })),
  },
});
