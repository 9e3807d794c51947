// What devices in browsers notice of a server that lies: a real one, with a wrapper around it that changes what a pull
// answers (internal/liar). Go programs are attacked in the same ways by sealed_attack_test.go.
import type { Page } from "@playwright/test";
import { expect, failure } from "../fixtures.js";
import { test } from "./liar.js";
import { bodies, now, openSealed, pair, write } from "./space.js";

/** What people are told of each kind of stop. */
const told: { [kind: string]: string } = {
  chain: "it is not what the chain of hashes says", anchor: "the log is of another space",
  forged: "it is not signed by its author", link: "a transaction of its author's is left out, or comes twice",
  fork: "its author has seen another history",
};

/** Demands that the device stops at an entry, and that the app goes on. */
async function stops(page: Page, kind: string, seq: number): Promise<void> {
  const { code, message } = await failure(page, "await db.sync.now()");
  expect({ code, message }).toEqual({ code: "HEDDLE_TAMPERED",
    message: expect.stringContaining(`at entry ${seq}: ${told[kind]}`) });
  await write(page, "local", "goes on");
  expect(await bodies(page)).toContain("goes on");
}

/** The log that the attacks are told of: 1 founds the space, 2 and 3, 4 lets the phone in, 5 and 6 are its, 7. */
async function begin(laptop: Page, phone: Page, url: string): Promise<void> {
  await openSealed(laptop, url);
  await laptop.evaluate(() => db.sync.pause());
  await laptop.evaluate(() => space.create("laptop"));
  await write(laptop, "1", "ada 1");
  await write(laptop, "2", "ada 2");
  await laptop.evaluate(() => db.sync.resume());
  await now(laptop);
  await openSealed(phone, url);
  await pair(laptop, phone, "phone");
  await now(phone);
  await phone.evaluate(() => db.sync.pause());
  await write(phone, "3", "phone 3");
  await write(phone, "4", "phone 4");
  await phone.evaluate(() => db.sync.resume());
  await now(phone);
  await now(laptop);
  await write(laptop, "5", "ada 5");
  await now(laptop);
}

test("a device that comes in stops at the entry that a server has forged, and goes on with an honest one",
  async ({ liar, profile, serve }) => {
    const site = await serve();
    const laptop = await (await profile()).tab(site), phone = await (await profile()).tab(site);
    await begin(laptop, phone, liar.url);
    const code = await laptop.evaluate(() => space.newRecoveryCode());
    const victim = await (await profile()).tab(site);
    expect(liar.attacks.length).toBeGreaterThan(9);
    for (const [i, { name, kind, seq }] of liar.attacks.entries()) {
      await test.step(name, async () => {
        await openSealed(victim, liar.url, { name: `victim-${i}` });
        await liar.lie(new URLSearchParams({ attack: name }).toString());
        await victim.evaluate((code) => space.unlock(code, "victim"), code);
        await stops(victim, kind, seq);
        await liar.lie("");
        await victim.evaluate(() => db.exec("DELETE FROM notes WHERE id = 'local'"));
        await now(victim);
        expect(await bodies(victim)).toEqual(["ada 1", "ada 2", "phone 3", "phone 4", "ada 5"]);
        await victim.evaluate(() => db.close());
      });
    }
    await test.step("a refusal that is made up for one device", async () => {
      await openSealed(victim, liar.url, { name: "victim-void" });
      await liar.lie("void=5");
      await victim.evaluate((code) => space.unlock(code, "victim"), code);
      const { code: tampered, message } = await failure(victim, "await db.sync.now()"); // at the first entry that
      expect({ tampered, message }).toEqual({ tampered: "HEDDLE_TAMPERED", // a member has spoken of
        message: expect.stringContaining("another history") });
    });
  });

test("devices that follow the log notice a rollback, and a removal that is hidden from one of them",
  async ({ liar, profile, serve }) => {
    const site = await serve();
    const laptop = await (await profile()).tab(site), phone = await (await profile()).tab(site);
    await begin(laptop, phone, liar.url);
    await liar.lie("up-to=4");
    const { code, message } = await failure(phone, "await db.sync.now()");
    expect({ code, message }).toEqual({ code: "HEDDLE_TAMPERED",
      message: expect.stringContaining("not the one that this device has followed") });
    await write(phone, "6", "phone 6");
    await liar.lie("");
    await now(phone);
    await now(laptop);
    expect(await bodies(laptop)).toContain("phone 6");

    const tablet = await (await profile()).tab(site);
    await openSealed(tablet, liar.url);
    await pair(laptop, tablet, "tablet");
    await now(tablet);
    await tablet.evaluate(() => db.sync.pause());
    await laptop.evaluate(async () => {
      const all = await space.members();
      await space.remove(all.find((m) => m.name === "phone")!.id);
    });
    await write(laptop, "7", "not for the phone");
    await now(laptop);
    await liar.lie("removals");
    await tablet.evaluate(() => db.sync.resume());
    expect((await failure(tablet, "await db.sync.now()")).code).toBe("HEDDLE_TAMPERED");
    expect(await bodies(tablet)).not.toContain("not for the phone");
    expect((await failure(phone, "await db.sync.now()")).code).toBe("HEDDLE_REMOVED");
  });

/** Opens the device's database again: it tells the others at once where its log ends. */
async function tellAgain(page: Page, url: string): Promise<void> {
  await page.evaluate(() => db.close());
  await openSealed(page, url);
  await now(page);
}

test("what only members can tell: entries that are kept back, and a history that is another device's",
  async ({ liar, profile, serve }) => {
    test.setTimeout(240_000); // a warning takes a minute
    const site = await serve();
    const laptop = await (await profile()).tab(site), phone = await (await profile()).tab(site);
    await begin(laptop, phone, liar.url);
    const tablet = await (await profile()).tab(site);
    await openSealed(tablet, liar.url);
    await pair(laptop, tablet, "tablet");
    await now(tablet);
    await tablet.evaluate(() => db.sync.pause());
    await write(laptop, "6", "ada 6, entry 9");
    await now(laptop);
    await tellAgain(laptop, liar.url);

    await liar.lie("up-to=8");
    await tablet.evaluate(() => db.sync.resume());
    await expect.poll(() => tablet.evaluate(() => db.sync.status.withheld?.seq), { timeout: 150_000 }).toBe(9);
    expect(await tablet.evaluate(() => db.sync.status.lastError)).toBeUndefined();
    await liar.lie("");
    await expect.poll(() => bodies(tablet)).toContain("ada 6, entry 9");
    await expect.poll(() => tablet.evaluate(() => db.sync.status.withheld)).toBeUndefined();

    await tablet.evaluate(() => db.sync.pause());
    await write(laptop, "7", "ada 7, entry 10");
    await now(laptop);
    await liar.lie("void=10"); // nobody's entry speaks of it
    await tellAgain(laptop, liar.url);
    await tablet.evaluate(() => db.sync.resume());
    await expect.poll(() => tablet.evaluate(() => db.sync.status.tampered), { timeout: 60_000 })
      .toMatchObject({ kind: "fork", seq: 10 });
    expect(await bodies(tablet)).not.toContain("ada 7, entry 10");
    const found = await tablet.evaluate(async () => (await space.evidence())?.length ?? 0);
    expect(found).toBeGreaterThan(500);
    await tablet.evaluate(() => db.sync.accept()); // its user has it go on with what it is shown
    await expect.poll(async () => {
      await tablet.evaluate(() => db.sync.now().catch(() => undefined));
      return tablet.evaluate(() => ({ stopped: db.sync.status.tampered, warned: db.sync.status.withheld?.seq }));
    }).toEqual({ stopped: undefined, warned: 10 });
  });
