// What an app is told of the snapshots of its sealed space: who has confirmed one, and which one is not what it says.
import { expect } from "../fixtures.js";
import { test } from "./liar.js";
import { bodies, now, openSealed, pair, write } from "./space.js";

test.use({ liarFlags: ["-entries", "20"] });

test("the status counts who has confirmed a snapshot, and the app is told of one that is altered",
  async ({ liar, profile, serve }) => {
    const site = await serve();
    const laptop = await (await profile()).tab(site), phone = await (await profile()).tab(site);
    await openSealed(laptop, liar.url);
    await laptop.evaluate(() => space.create("laptop"));
    for (let i = 0; i < 30; i++) await write(laptop, `${i}`, `ada ${i}`);
    await now(laptop);
    await expect.poll(() => laptop.evaluate(() => db.sync.status.snapshot))
      .toEqual({ seq: expect.any(Number), proved: true, confirmed: 0, devices: 0 });
    const { seq } = (await laptop.evaluate(() => db.sync.status.snapshot))!;
    expect(seq).toBeGreaterThan(19);

    await openSealed(phone, liar.url);
    await pair(laptop, phone, "phone");
    await now(phone);
    expect(await phone.evaluate(() => db.sync.status.snapshot))
      .toEqual({ seq, proved: true, confirmed: 0, devices: 0 });
    await phone.evaluate(() => db.close()); // it tells its head when it begins, and then once a minute
    await openSealed(phone, liar.url);
    await now(phone);
    await expect.poll(() => laptop.evaluate(() => db.sync.status.snapshot))
      .toEqual({ seq, proved: true, confirmed: 1, devices: 1 });

    const code = await laptop.evaluate(() => space.newRecoveryCode());
    const last = await profile();
    const tablet = await last.tab(site), second = await last.tab(site); // one that does not lead hears of it as well
    await openSealed(tablet, liar.url);
    await openSealed(second, liar.url);
    await liar.lie("snapshots");
    for (const page of [tablet, second]) {
      await page.evaluate(() => {
        const told: unknown[] = [];
        Object.assign(window, { told });
        db.sync.on("snapshotFailed", ({ error }) => told.push(structuredClone(error)));
      });
    }
    await tablet.evaluate((code) => space.unlock(code, "tablet"), code);
    await now(tablet);
    for (const page of [tablet, second]) {
      await expect.poll(() => page.evaluate(() => (window as unknown as { told: unknown[] }).told[0])).toMatchObject({
        code: "HEDDLE_TAMPERED", message: expect.stringContaining("the snapshot is not started from: a signature"),
      });
    }
    expect((await bodies(tablet)).length).toBe(30); // from the log
    expect(await tablet.evaluate(() => db.sync.status.snapshot)).toBeUndefined();
  });
