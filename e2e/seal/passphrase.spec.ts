// The passphrase of a user of a sealed space: set, used on another device, changed; Argon2id in a worker that is loaded
// for it and for nothing else.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Argon2Answer } from "../../web/src/sealed/argon2.js";
import { expect, failure, test } from "../fixtures.js";
import { root } from "../harness.js";
import { bodies, now, openSealed, write } from "./space.js";

const FIRST = "Zürich liegt am See", SECOND = "correct horse battery staple";

test("a device comes in by the passphrase, and by no older one", async ({ server, profile, serve }) => {
  const site = await serve();
  const browser = await profile();
  const laptop = await browser.tab(site);
  const fetched: string[] = [];
  laptop.context().on("request", (request) => fetched.push(new URL(request.url()).pathname));
  const scripts = () => fetched.filter((path) => path.endsWith("argon2.js")).length;
  await openSealed(laptop, server.url);
  await laptop.evaluate(() => space.create("Ada's laptop"));
  await write(laptop, "1", "before all is lost");
  await now(laptop);
  await laptop.evaluate(() => space.newRecoveryCode());
  expect((await failure(laptop, "await space.setPassphrase('eleven char')")).code).toBe("HEDDLE_BAD_PASSPHRASE");
  expect(scripts()).toBe(0); // who has no passphrase loads nothing for it
  await laptop.evaluate((text) => space.setPassphrase(text), FIRST);
  expect(scripts()).toBe(1);
  const members = await laptop.evaluate(() => space.members());
  expect(members.map(({ name, code, passphrase }) => ({ name, code, passphrase })).sort((a, b) =>
    Number(a.passphrase) - Number(b.passphrase) || Number(a.code) - Number(b.code))).toEqual([
    { name: "Ada's laptop", code: false, passphrase: false },
    { name: "", code: true, passphrase: false },
    { name: "", code: false, passphrase: true },
  ]);

  const tablet = await (await profile()).tab(site);
  await openSealed(tablet, server.url);
  expect((await failure(tablet, `await space.unlockByPassphrase("${SECOND}", "x")`)).code)
    .toBe("HEDDLE_BAD_PASSPHRASE");
  await tablet.evaluate((text) => space.unlockByPassphrase(text, "Ada's tablet"), FIRST.normalize("NFD"));
  await now(tablet);
  expect(await bodies(tablet)).toEqual(["before all is lost"]);

  // From a tab that does not lead: the passphrase stays in that tab, and the leader makes the slot.
  const second = await browser.tab(site);
  await openSealed(second, server.url);
  expect(await second.evaluate(() => db.role)).toBe("follower");
  await second.evaluate((text) => space.setPassphrase(text), SECOND);
  expect(await second.evaluate(async () => (await space.members()).filter((m) => m.passphrase).length)).toBe(1);
  const late = await (await profile()).tab(site);
  await openSealed(late, server.url);
  expect((await failure(late, `await space.unlockByPassphrase("${FIRST}", "x")`)).code).toBe("HEDDLE_BAD_PASSPHRASE");
  await late.evaluate((text) => space.unlockByPassphrase(text, "late"), SECOND);
  await now(late);
  expect(await bodies(late)).toEqual(["before all is lost"]);
});

test("a passphrase that was set with a code opens nothing without it", async ({ server, profile, serve }) => {
  const site = await serve();
  const laptop = await (await profile()).tab(site);
  await openSealed(laptop, server.url);
  await laptop.evaluate(() => space.create("laptop"));
  await write(laptop, "1", "before all is lost");
  await now(laptop);
  expect((await failure(laptop, `await space.setPassphrase("${SECOND}", { and: "luck" })`)).code)
    .toBe("HEDDLE_BAD_PARAM");
  const code = await laptop.evaluate((text) => space.setPassphrase(text, { and: "code" }), SECOND);
  expect(code).toMatch(/^([0-9A-Z]{4}-){6}[0-9A-Z]{4}$/);
  expect((await laptop.evaluate(() => space.members())).map(({ code, passphrase }) => code && passphrase).sort())
    .toEqual([false, true]);

  const tablet = await (await profile()).tab(site);
  await openSealed(tablet, server.url);
  for (const [call, wanted, says] of [
    [`unlockByPassphrase("${SECOND}", "x")`, "HEDDLE_BAD_PASSPHRASE", "set with a code needs that as well"],
    [`unlock("${code}", "x")`, "HEDDLE_BAD_CODE", "with a passphrase needs that as well"],
    [`unlockByPassphrase("${FIRST}", "x", { code: "${code}" })`, "HEDDLE_BAD_PASSPHRASE", "one of the two is wrong"],
    [`unlockByPassphrase("${SECOND}", "x", { code: "${code.slice(1)}" })`, "HEDDLE_BAD_CODE", "fewer than 28 symbols"],
  ] as const) {
    expect(await failure(tablet, `await space.${call}`)).toMatchObject(
      { code: wanted, message: expect.stringContaining(says) });
  }
  await tablet.evaluate(({ text, code }) => space.unlockByPassphrase(text, "tablet", { code: code.toLowerCase() }),
    { text: SECOND, code });
  await now(tablet);
  expect(await bodies(tablet)).toEqual(["before all is lost"]);
});

test("a call that is given up, or whose script is missing, ends and changes nothing",
  async ({ server, profile, serve }) => {
    const page = await (await profile()).tab(await serve());
    await openSealed(page, server.url);
    await page.evaluate(() => space.create("laptop"));
    await now(page);
    await page.evaluate(() => {
      globalThis.space = sealed.sealedSpace(db, { argon2: "/nowhere/argon2.js" });
    });
    expect((await failure(page, `await space.setPassphrase("${SECOND}")`)).code).toBe("HEDDLE_ASSETS");
    await page.evaluate(() => {
      globalThis.space = sealed.sealedSpace(db);
    });
    expect((await failure(page, `await space.setPassphrase("${SECOND}", { signal: AbortSignal.abort() })`)).code)
      .toBe("HEDDLE_ABORTED");
    expect(await page.evaluate(async () => (await space.members()).length)).toBe(1);
    await page.evaluate((text) => space.setPassphrase(text), SECOND);
    expect(await page.evaluate(async () => (await space.members()).length)).toBe(2);
  });

test("argon2.js computes what Go does", async ({ profile, serve }) => {
  const page = await (await profile()).tab(await serve());
  const { passphrase: v } = JSON.parse(readFileSync(join(root, "sync/seal/testdata/vectors.json"), "utf8")) as
    { passphrase: { text: string; time: number; memory: number; salt: string; stretched: string } };
  const answer = await page.evaluate(async ({ text, time, memory, salt }) => {
    const worker = new Worker("/heddle/argon2.js", { type: "module" });
    const answered = new Promise<Argon2Answer>((resolve) => { worker.onmessage = ({ data }) => resolve(data); });
    worker.postMessage({ passphrase: text.normalize("NFC"), time, memory, salt });
    return answered;
  }, v);
  expect(answer).toEqual({ key: v.stretched });
});
