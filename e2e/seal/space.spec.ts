// A sealed space as apps have it: created in one browser, joined from others by a link
// and its digits or by the recovery code, and left by a device that is removed.
import type { Page } from "@playwright/test";
import type * as Sealed from "../../web/src/sealed/index.js";
import { expect, failure, notes, test } from "../fixtures.js";

declare global {
  var sealed: typeof Sealed;
  var space: Sealed.SealedSpace;
  var invitation: Sealed.Invitation;
  var joining: Sealed.Joining;
}

/** Opens a database of the sealed space as `db`, with its members as `space`. */
async function openSealed(page: Page, url: string): Promise<void> {
  await page.evaluate(async ({ url, migrations }) => {
    const from: string = "/heddle/sealed.js";
    globalThis.sealed = await import(from) as typeof Sealed;
    globalThis.db = await heddle.open({ name: "diary", migrations,
      sync: { url, space: "family", sealed: true, tables: { notes: true } } });
    globalThis.space = sealed.sealedSpace(db);
  }, { url, migrations: notes });
}

const write = (page: Page, id: string, body: string) =>
  page.evaluate(async ({ id, body }) => void await db.exec("INSERT INTO notes(id, body) VALUES (?, ?)", [id, body]),
    { id, body });

const bodies = (page: Page) => page.evaluate(async () =>
  (await db.query<{ body: string }>("SELECT body FROM notes ORDER BY id")).map((row) => row.body));

const now = (page: Page) => page.evaluate(() => db.sync.now());

/** Lets the device of a page in by a link; both sides show the same digits. */
async function pair(member: Page, device: Page, name: string): Promise<string> {
  const link = await member.evaluate(() => {
    globalThis.invitation = space.invite();
    return invitation.link;
  });
  const shown = await device.evaluate(({ link, name }) => {
    globalThis.joining = space.join(link, name);
    return joining.digits;
  }, { link, name });
  const asked = await member.evaluate(() => invitation.joining);
  expect(asked).toEqual({ name, digits: shown });
  expect(shown).toMatch(/^\d{6}$/);
  await member.evaluate(async () => {
    invitation.confirm();
    await invitation.done;
  });
  await device.evaluate(() => joining.done);
  return link;
}

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
