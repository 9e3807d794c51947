// A server that was put back to a backup, as people meet it: two devices in browsers, and a real server whose data
// directory is what it was before.
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "@playwright/test";
import { expect, failure, test } from "../fixtures.js";
import { startServer } from "../harness.js";
import { bodies, now, openSealed, pair, write } from "./space.js";

/** Waits until the device has these rows, and nothing pending. */
const settles = (page: Page, rows: string[]) => expect.poll(async () => {
  await page.evaluate(() => db.sync.now().catch(() => undefined)); // it starts over in between
  return { rows: await bodies(page), pending: await page.evaluate(async () => (await db.sync.pending()).length) };
}, { timeout: 60_000 }).toEqual({ rows, pending: 0 });

test("devices whose server has lost a part of the log go on by an admin's word, with all that they wrote",
  async ({ profile, serve }) => {
    const dir = mkdtempSync(join(tmpdir(), "heddle-restored-")), data = join(dir, "data"), backup = join(dir, "backup");
    const server = await startServer(data);
    const putBack = async (from: string, to: string) => {
      await server.stop();
      rmSync(to, { recursive: true, force: true });
      cpSync(from, to, { recursive: true });
      await server.start();
    };
    try {
      const site = await serve();
      const laptop = await (await profile()).tab(site), phone = await (await profile()).tab(site);
      await openSealed(laptop, server.url);
      await laptop.evaluate(() => space.create("laptop"));
      await write(laptop, "1", "laptop, in the backup");
      await now(laptop);
      await openSealed(phone, server.url);
      await pair(laptop, phone, "phone");
      await write(phone, "2", "phone, in the backup");
      await now(phone);
      await now(laptop);
      await putBack(data, backup);
      await write(phone, "3", "phone, lost");
      await now(phone);
      await write(laptop, "4", "laptop, lost");
      await now(laptop);
      await now(phone);
      const all = ["laptop, in the backup", "phone, in the backup", "phone, lost", "laptop, lost"];
      expect(await bodies(phone)).toEqual(all);

      await putBack(backup, data);
      for (const page of [laptop, phone]) {
        expect((await failure(page, "await db.sync.now()")).code).toBe("HEDDLE_TAMPERED");
        await expect.poll(() => page.evaluate(() => db.sync.status.tampered?.kind)).toBe("rollback");
        expect(await bodies(page)).toEqual(all); // what is here stays
      }
      const file = join(dir, "evidence"), found = await phone.evaluate(async () => [...(await space.evidence())!]);
      writeFileSync(file, Uint8Array.from(found));
      expect(await server.run("evidence", file)).toContain("not the one that the device has followed");
      expect((await failure(phone, "await db.sync.accept()")).code).toBe("HEDDLE_NOT_ALLOWED");
      await write(phone, "5", "phone, meanwhile");

      await laptop.evaluate(() => db.sync.accept());
      all.push("phone, meanwhile");
      await settles(phone, all); // it follows what the admin has said
      await settles(laptop, all);
      expect(await laptop.evaluate(() => db.sync.status.tampered)).toBeUndefined();
      const { seq, digits } = await laptop.evaluate(() => space.fingerprint());
      await now(phone);
      expect((await phone.evaluate((seq) => space.fingerprint({ seq }), seq)).digits).toBe(digits);
      expect(digits).toMatch(/^(\d{5} ){5}\d{5}$/);

      await write(phone, "6", "phone, after");
      await now(phone);
      await settles(laptop, [...all, "phone, after"]);
    } finally {
      await server.stop();
      rmSync(dir, { recursive: true, force: true });
    }
  });
