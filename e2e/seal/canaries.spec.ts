// Nothing of what members keep to themselves is where others could find it: marked values, names, codes and links are
// looked for on the server, on the way there, and where the browser keeps and passes on what is not the database.
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "../fixtures.js";
import { startServer } from "../harness.js";
import { now, openSealed, pair } from "./space.js";

declare global {
  /** What the page's ports and channels have carried, in both directions, as text. */
  var carried: string[];
}

/** A way to the server that hears all: addresses, headers and bodies. Nothing is compressed. */
async function startEar(target: string): Promise<{ url: string; heard: () => string; close(): void }> {
  const heard: string[] = [];
  const ear = createServer((from, to) => {
    const headers = { ...from.headers };
    delete headers["accept-encoding"];
    heard.push(`${from.method} ${from.url} ${JSON.stringify(headers)}`);
    const on = request(target + from.url!, { method: from.method, headers }, (answer) => {
      heard.push(JSON.stringify(answer.headers));
      to.writeHead(answer.statusCode!, answer.headers);
      answer.on("data", (bytes: Buffer) => heard.push(bytes.toString("latin1"))).pipe(to);
    });
    on.on("error", () => to.destroy());
    to.on("close", () => on.destroy());
    from.on("data", (bytes: Buffer) => heard.push(bytes.toString("latin1"))).pipe(on);
  }).listen(0, "127.0.0.1");
  await once(ear, "listening");
  return {
    url: `http://127.0.0.1:${(ear.address() as AddressInfo).port}`, heard: () => heard.join("\n"),
    close() { ear.closeAllConnections(); ear.close(); },
  };
}

/** Keeps what ports and channels of the page carry. */
function overhear(): void {
  globalThis.carried = [];
  const keep = (data: unknown): void => {
    if (data instanceof ArrayBuffer) data = new Uint8Array(data);
    if (data instanceof Uint8Array) carried.push(new TextDecoder("latin1").decode(data));
    else if (Array.isArray(data)) data.forEach(keep);
    else if (typeof data === "object" && data !== null && !(data instanceof WebAssembly.Module)) {
      Object.values(data).forEach(keep);
    } else carried.push(JSON.stringify(data) ?? "");
  };
  for (const { prototype } of [MessagePort, BroadcastChannel, Worker]) {
    const post = prototype.postMessage as (...args: unknown[]) => void;
    prototype.postMessage = function (this: unknown, ...args: unknown[]) {
      keep(args[0]);
      post.apply(this, args);
    };
    const handler = Object.getOwnPropertyDescriptor(prototype, "onmessage")!;
    Object.defineProperty(prototype, "onmessage", {
      ...handler,
      set(fn: ((event: MessageEvent) => void) | null) {
        handler.set!.call(this, fn && ((event: MessageEvent) => {
          keep(event.data);
          fn.call(this, event);
        }));
      },
    });
  }
}

/** All that the origin keeps beside its files, as text; and how many private keys there are, none of them readable. */
async function keptBesideFiles(): Promise<{ text: string; keys: number; readable: number }> {
  const parts: string[] = [JSON.stringify(localStorage), JSON.stringify(sessionStorage), location.href];
  let keys = 0, readable = 0;
  const walk = async (value: unknown): Promise<void> => {
    if (value instanceof CryptoKey) {
      if (value.type === "public") return;
      keys++;
      if (value.extractable || await crypto.subtle.exportKey("jwk", value).then(() => true, () => false)) readable++;
    } else if (value instanceof Uint8Array) parts.push(new TextDecoder("latin1").decode(value));
    else if (typeof value === "object" && value !== null) for (const one of Object.values(value)) await walk(one);
    else parts.push(String(value));
  };
  const done = <T>(r: IDBRequest<T>) => new Promise<T>((resolve, reject) => {
    r.onsuccess = () => resolve(r.result);
    r.onerror = () => reject(r.error!);
  });
  for (const { name } of await indexedDB.databases()) {
    parts.push(name!);
    const database = await done(indexedDB.open(name!));
    for (const store of database.objectStoreNames) {
      parts.push(store);
      await walk(await done(database.transaction(store).objectStore(store).getAll()));
    }
    database.close();
  }
  for (const name of await caches.keys()) {
    for (const { url } of await (await caches.open(name)).keys()) parts.push(url);
  }
  return { text: parts.join("\n"), keys, readable };
}

test("no canary is on the server, on the way, or in what the browser keeps and passes on beside the database",
  async ({ profile, serve }) => {
    const data = mkdtempSync(join(tmpdir(), "heddle-canaries-"));
    const server = await startServer(data);
    const ear = await startEar(server.url);
    try {
      const site = await serve();
      const table = "canarytable";
      const migrations = [`CREATE TABLE canarytable(id TEXT PRIMARY KEY, canarycolumn TEXT NOT NULL DEFAULT '')`];
      const laptop = await profile();
      await laptop.context.addInitScript(overhear);
      const leader = await laptop.tab(site), follower = await laptop.tab(site);
      await openSealed(leader, ear.url, { migrations, table });
      await openSealed(follower, ear.url, { migrations, table });
      expect(await follower.evaluate(() => db.role)).toBe("follower");
      await follower.evaluate(() => space.create("canary-laptop"));
      await follower.evaluate(async (long) => {
        await db.exec("INSERT INTO canarytable VALUES ('canary-key', 'canary-value')");
        await db.exec("INSERT INTO canarytable VALUES ('long', ?)", [long]);
      }, "canary-long ".repeat(1 << 15));
      await now(follower);
      const code = await follower.evaluate(() => space.newRecoveryCode());

      const phone = await profile();
      await phone.context.addInitScript(overhear);
      const first = await phone.tab(site), second = await phone.tab(site);
      await openSealed(first, ear.url, { migrations, table });
      await openSealed(second, ear.url, { migrations, table });
      const link = await pair(follower, second, "canary-phone");
      await now(second);

      const tablet = await profile();
      await tablet.context.addInitScript(overhear);
      const third = await tablet.tab(site), fourth = await tablet.tab(site);
      await openSealed(third, ear.url, { migrations, table });
      await openSealed(fourth, ear.url, { migrations, table });
      expect(await fourth.evaluate(() => space.unlock("0000-canary", "x").then(() => "", (e: { code: string }) =>
        e.code))).toBe("HEDDLE_BAD_CODE");
      await fourth.evaluate((code) => space.unlock(code, "canary-tablet"), code);
      await now(fourth);
      expect(await fourth.evaluate(async () => (await db.query("SELECT * FROM canarytable")).length)).toBe(2);
      await fourth.evaluate(() => space.rotate());
      await now(fourth);

      const secrets = [code, code.replaceAll("-", ""), link, link.split("=")[1]!];
      const canaries = ["canary", ...secrets];
      const places: { [place: string]: { text: string; canaries: string[] } } = {
        "the traffic": { text: ear.heard(), canaries },
        "the server's log": { text: server.log(), canaries },
      };
      for (const file of readdirSync(data)) {
        places[`the server's ${file}`] = { text: readFileSync(join(data, file), "latin1"), canaries };
      }
      for (const [name, page] of Object.entries({ leader, follower, first, second, third, fourth })) {
        const { text, keys, readable } = await page.evaluate(keptBesideFiles);
        expect({ keys, readable }, name).toEqual({ keys: 3, readable: 0 });
        places[`what ${name}'s browser keeps`] = { text, canaries };
        // Tabs of an origin tell each other rows. Codes and links they do not.
        places[`what ${name}'s ports carry`] = { text: (await page.evaluate(() => carried)).join("\n"),
          canaries: secrets };
      }
      const found: string[] = [];
      for (const [place, { text, canaries }] of Object.entries(places)) {
        if (!/log$|lock$/.test(place)) expect(text.length, place).toBeGreaterThan(20);
        for (const canary of canaries) {
          if (text.toLowerCase().includes(canary.toLowerCase())) found.push(`${canary} in ${place}`);
        }
      }
      expect(found).toEqual([]);
      expect(ear.heard()).toContain("/pair?id="); // it has heard what there was
      expect(places["what follower's ports carry"]!.text).toContain("canary-value");
    } finally {
      ear.close();
      await server.stop();
      rmSync(data, { recursive: true, force: true });
    }
  });
