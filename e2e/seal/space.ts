// What the specs of sealed spaces do in a page.
import type { Page } from "@playwright/test";
import type * as Sealed from "../../web/src/sealed/index.js";
import { expect, notes } from "../fixtures.js";

declare global {
  var sealed: typeof Sealed;
  var space: Sealed.SealedSpace;
  var invitation: Sealed.Invitation;
  var joining: Sealed.Joining;
  var opening: AbortController;
}

/** Opens a database of the sealed space as `db`, with its members as `space`. `opening` ends that. */
export async function openSealed(
  page: Page, url: string,
  { migrations = notes, table = "notes", name = "diary" }:
    { migrations?: string[]; table?: string; name?: string } = {},
): Promise<void> {
  await page.evaluate(async ({ url, migrations, table, name }) => {
    globalThis.opening = new AbortController();
    const from: string = "/heddle/sealed.js";
    globalThis.sealed = await import(from) as typeof Sealed;
    globalThis.db = await heddle.open({ name, migrations, signal: opening.signal,
      sync: { url, space: "family", sealed: true, tables: { [table]: true } } });
    globalThis.space = sealed.sealedSpace(db);
  }, { url, migrations, table, name });
}

export const write = (page: Page, id: string, body: string) =>
  page.evaluate(async ({ id, body }) => void await db.exec("INSERT INTO notes(id, body) VALUES (?, ?)", [id, body]),
    { id, body });

export const bodies = (page: Page) => page.evaluate(async () =>
  (await db.query<{ body: string }>("SELECT body FROM notes ORDER BY id")).map((row) => row.body));

export const now = (page: Page) => page.evaluate(() => db.sync.now());

/** Lets the device of a page in by a link, which is returned; both sides show the same digits. */
export async function pair(member: Page, device: Page, name: string): Promise<string> {
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
