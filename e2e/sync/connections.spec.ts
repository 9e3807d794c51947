// What lies between a browser and its server: few connections, and proxies that hold answers back.
import { once } from "node:events";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, openIn, synced, test } from "../fixtures.js";

test("six databases of one browser sync beside each other over HTTP/1.1, and the page's own requests get through",
  async ({ profile, server, site }) => {
  const { tab } = await profile();
  const pages = [];
  for (let i = 0; i < 6; i++) {
    const page = await tab(site);
    pages.push(page);
    await openIn(page, { name: `db${i}`, sync: { url: server.url, space: "s" } });
  }
  for (const [i, page] of pages.entries()) {
    await page.evaluate((id) => db.exec(`INSERT INTO notes(id) VALUES (?)`, [id]), `from ${i}`);
  }
  for (const page of pages) {
    await expect.poll(() => page.evaluate(async () => (await db.query(`SELECT id FROM notes`)).length)).toBe(6);
    await expect.poll(() => page.evaluate(() => db.sync.status.pending)).toBe(0);
  }
  const polling = await Promise.all(pages.map((page) => page.evaluate(() => db.sync.status.polling)));
  expect(polling.filter((p) => p === "connections")).toHaveLength(3);
  for (const page of pages) {
    expect(await page.evaluate(async (url) => (await fetch(`${url}/healthz`, { mode: "no-cors" })).type, server.url))
      .toBe("opaque");
  }
  // A connection that is given back goes to one that waits.
  for (const page of pages.slice(0, 3)) await page.evaluate(() => db.close());
  for (const page of pages.slice(3)) {
    await expect.poll(() => page.evaluate(() => db.sync.status.polling)).toBeUndefined();
  }
});

/** A proxy that passes an answer on when it has ended. */
async function bufferingProxy(target: string) {
  let held = 0;
  const proxy = createServer((from, to) => {
    const on = request(new URL(from.url!, target), { method: from.method!, headers: from.headers }, (answer) => {
      const parts: Buffer[] = [];
      held++;
      answer.on("data", (part: Buffer) => parts.push(part));
      answer.on("close", () => { held--; });
      answer.on("end", () => { to.writeHead(answer.statusCode!, answer.headers).end(Buffer.concat(parts)); });
      answer.on("error", () => to.destroy());
    });
    on.on("error", () => to.destroy());
    to.on("close", () => on.destroy());
    from.pipe(on);
  }).listen(0, "127.0.0.1");
  await once(proxy, "listening");
  return {
    url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    held: () => held,
    close: () => { proxy.closeAllConnections(); proxy.close(); },
  };
}

test("behind a proxy that buffers whole answers news still come, and the status says how",
  async ({ profile, server, site }) => {
  const proxy = await bufferingProxy(server.url);
  try {
    const a = await (await profile()).tab(site), b = await (await profile()).tab(site);
    await openIn(a, { sync: { url: server.url, space: "s" } });
    await openIn(b, { sync: { url: proxy.url, space: "s" } });
    await expect.poll(() => b.evaluate(() => db.sync.status.polling)).toBe("buffered");
    for (const id of ["one", "two"]) {
      await expect.poll(() => proxy.held()).toBe(1); // a poll is open
      await a.evaluate((id) => db.exec(`INSERT INTO notes(id) VALUES (?)`, [id]), id);
      await expect.poll(() => b.evaluate((id) => db.query(`SELECT id FROM notes WHERE id = ?`, [id]), id))
        .toEqual([{ id }]);
    }
    await b.evaluate(() => db.exec(`INSERT INTO notes(id) VALUES ('three')`));
    await synced(b);
    await expect.poll(() => a.evaluate(async () => (await db.query(`SELECT id FROM notes`)).length)).toBe(3);
    expect(await b.evaluate(() => db.sync.status.state)).toBe("live");
  } finally {
    proxy.close();
  }
});
