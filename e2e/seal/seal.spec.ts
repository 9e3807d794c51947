// WebCrypto against the vectors of the RFCs and of Go: what sealed spaces ask of a browser.
import { expect, test } from "../fixtures.js";
import { sealSite, type SealReport } from "./site.js";

declare global {
  var checkSeal: () => Promise<SealReport>;
}

test("WebCrypto signs, verifies, wraps and unwraps as Go does", async ({ profile, serve }) => {
  const page = await (await profile()).tab(await serve(await sealSite("chromium")));
  const { wrong, looked } = await page.evaluate(() => globalThis.checkSeal());
  expect(wrong).toEqual([]);
  expect(looked).toBeGreaterThanOrEqual(25);
});
