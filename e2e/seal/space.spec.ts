// A sealed space as apps have it: created in one browser, joined from others by a link
// and its digits or by the recovery code, and left by a device that is removed.
import { expect, failure, test } from "../fixtures.js";
import { bodies, now, openSealed, pair, write } from "./space.js";

test("a space is created, shared by a link, left by a removed device, and recovered by the code",
  async ({ server, profile, serve }) => {
    const site = await serve();
    const laptop = await (await profile()).tab(site);
    await openSealed(laptop, server.url);
    expect(await laptop.evaluate(() => db.sync.now().catch((e: { code: string }) => e.code))).toBe("HEDDLE_LOCKED");
    await write(laptop, "1", "written before there is a space");
    await laptop.evaluate(() => space.create("Ada's laptop"));
    await now(laptop);
    const code = await laptop.evaluate(() => space.newRecoveryCode());

    const phone = await (await profile()).tab(site);
    await openSealed(phone, server.url);
    await pair(laptop, phone, "Ada's phone");
    await now(phone);
    expect(await bodies(phone)).toEqual(["written before there is a space"]);
    await write(phone, "2", "from the phone");
    await now(phone);
    await now(laptop);
    expect(await bodies(laptop)).toEqual(["written before there is a space", "from the phone"]);

    const members = await phone.evaluate(() => space.members());
    expect(members.map(({ name, role, code, self }) => ({ name, role, code, self })).sort((a, b) =>
      a.name < b.name ? -1 : 1)).toEqual([
      { name: "", role: "admin", code: true, self: false },
      { name: "Ada's laptop", role: "admin", code: false, self: false },
      { name: "Ada's phone", role: "write", code: false, self: true },
    ]);

    const gone = members.find((m) => m.self)!.id;
    await laptop.evaluate((id) => space.remove(id), gone);
    await write(laptop, "3", "not for the phone");
    await now(laptop);
    await write(phone, "4", "kept on the phone");
    expect((await failure(phone, "await db.sync.now()")).code).toBe("HEDDLE_REMOVED");
    expect(await bodies(phone)).toEqual(["written before there is a space", "from the phone", "kept on the phone"]);
    expect(await phone.evaluate(async () => (await db.sync.pending()).length)).toBe(1);

    const tablet = await (await profile()).tab(site);
    await openSealed(tablet, server.url);
    expect((await failure(tablet, "await space.unlock('0000', 'x')")).code).toBe("HEDDLE_BAD_CODE");
    await tablet.evaluate((code) => space.unlock(code, "Ada's tablet"), code);
    await now(tablet);
    expect(await bodies(tablet)).toEqual(["written before there is a space", "from the phone", "not for the phone"]);
  });

test("an invitation that is refused or taken back lets nobody in", async ({ server, profile, serve }) => {
  const site = await serve();
  const laptop = await (await profile()).tab(site);
  await openSealed(laptop, server.url);
  await laptop.evaluate(() => space.create("laptop"));
  await now(laptop);
  const phone = await (await profile()).tab(site);
  await openSealed(phone, server.url);
  expect((await failure(phone, "await space.create('phone')")).code).toBe("HEDDLE_SEALED");
  const link = await laptop.evaluate(() => {
    globalThis.invitation = space.invite();
    return invitation.link;
  });
  await phone.evaluate((link) => {
    globalThis.joining = space.join(link, "phone");
    return joining.digits;
  }, link);
  expect(await laptop.evaluate(async () => {
    await invitation.joining;
    invitation.cancel();
    return invitation.done.then(() => "in", (e: { code: string }) => e.code);
  })).toBe("HEDDLE_ABORTED");
  expect(await phone.evaluate(() => joining.done.then(() => "in", (e: { code: string }) => e.code)))
    .toBe("HEDDLE_NOT_ALLOWED");
  expect(await laptop.evaluate(async () => (await space.members()).length)).toBe(1);
  expect((await failure(phone, "await space.members()")).code).toBe("HEDDLE_LOCKED");

  await pair(laptop, phone, "phone"); // another link
  // Keys outlive the browser, and end with the database.
  await phone.evaluate(() => db.close());
  await openSealed(phone, server.url);
  await now(phone);
  expect(await phone.evaluate(async () => (await space.members()).filter((m) => m.self).map((m) => m.name)))
    .toEqual(["phone"]);
  await phone.evaluate(async () => {
    await db.close();
    await heddle.destroy("diary");
  });
  await openSealed(phone, server.url);
  expect((await failure(phone, "await space.members()")).code).toBe("HEDDLE_LOCKED");
});

// What compresses to next to nothing has no bound of its own: a compressor once had a call on the stack for every 60
// bytes that repeat, and the worker died.
test("a text of one letter, two million times, goes from device to device", async ({ server, profile, serve }) => {
  const site = await serve();
  const laptop = await (await profile()).tab(site), phone = await (await profile()).tab(site);
  for (const page of [laptop, phone]) await openSealed(page, server.url);
  await laptop.evaluate(() => space.create("laptop"));
  await now(laptop);
  await pair(laptop, phone, "phone");
  await laptop.evaluate(() => db.exec("INSERT INTO notes(id, body) VALUES ('1', ?)", ["a".repeat(2_000_000)]));
  await now(laptop);
  await now(phone);
  expect(await phone.evaluate(() => db.query("SELECT length(body) AS n, trim(body, 'a') AS rest FROM notes")))
    .toEqual([{ n: 2_000_000, rest: "" }]);
});
