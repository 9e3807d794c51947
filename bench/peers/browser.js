// The Chromium that the benchmarks drive, and what they do with its answers.
import { chromium } from "@playwright/test";

/** promise, for at most ms. */
export function within(ms, promise) {
  let timer;
  return Promise.race([promise, new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer in ${ms / 1000} s`)), ms);
  })])
    .finally(() => clearTimeout(timer));
}

/** A Chromium on a profile of its own: incognito contexts would keep files in memory. */
export const launch = (dir) => chromium.launchPersistentContext(dir, {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
});

export async function visit(page, url) {
  await within(30_000, page.goto(url).then(() => page.waitForSelector("html[data-ready]", { state: "attached" })));
}

export function median(values) {
  const sorted = values.filter((v) => v !== undefined && v !== null).sort((a, b) => a - b), middle = sorted.length >> 1;
  if (!sorted.length) return undefined;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
