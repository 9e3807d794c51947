// A way to the server on which things go wrong, by a seed: for e2e/sync/storm.spec.ts.
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

/** A generator of numbers in [0, 1): mulberry32. */
export function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export const pick = <T>(rng: () => number, all: readonly T[]): T => all[Math.floor(rng() * all.length)]!;
export const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** What may become of a connection. */
const fates = ["slow", "reset", "reply lost", "cut short"] as const;
export type Fault = (typeof fates)[number] | "partition out" | "partition in" | "partition" | "broken off";

/** A device's own way to the server. */
export interface Storm {
  readonly url: string;
  /** Lets nothing through in a direction for a while; what was under way then breaks off. */
  partition(how: "partition out" | "partition in" | "partition", ms: number): void;
  /** Breaks all connections. */
  breakOff(): void;
  /** From now on nothing goes wrong. */
  calm(): void;
  close(): void;
}

interface Line { near: Socket; far: Socket; timers: Set<NodeJS.Timeout> }

/** Starts a way to url. A third of the connections have a fate; hit is told of each fault that takes place. */
export async function startStorm(url: string, seed: number, hit: (fault: Fault) => void): Promise<Storm> {
  const target = new URL(url), rng = random(seed), lines = new Set<Line>();
  let out = false, inward = false, calm = false;
  const end = (line: Line) => {
    for (const timer of line.timers) clearTimeout(timer);
    lines.delete(line);
    line.near.destroy();
    line.far.destroy();
  };
  const proxy = createServer((near) => {
    const far = connect(Number(target.port), target.hostname), line: Line = { near, far, timers: new Set() };
    lines.add(line);
    const fate = !calm && rng() < 0.35 ? pick(rng, fates) : undefined;
    const after = (ms: number, f: () => void) => { line.timers.add(setTimeout(f, ms)); };
    const delay = fate === "slow" ? 20 + rng() * 300 : 0;
    let left = fate === "cut short" ? Math.floor(rng() * 1200) : fate === "reset" ? Math.floor(rng() * 600) : Infinity;
    // Chunks of one direction stay in their order, whatever their delay.
    const forward = (to: Socket, bytes: Buffer) => {
      if (delay === 0) { to.write(bytes); return; }
      hit("slow");
      after(delay, () => to.write(bytes));
    };
    near.on("data", (bytes: Buffer) => {
      if (out) { hit("partition out"); return; }
      if (fate === "reset" && (left -= bytes.length) < 0) { hit("reset"); end(line); return; }
      forward(far, bytes);
    });
    far.on("data", (bytes: Buffer) => {
      if (inward) { hit("partition in"); return; }
      if (fate === "reply lost") {
        hit("reply lost");
        after(200 + rng() * 800, () => end(line));
        return;
      }
      if (fate === "cut short" && (left -= bytes.length) < 0) {
        hit("cut short");
        near.end(bytes.subarray(0, bytes.length + left));
        after(50, () => end(line));
        left = Infinity;
        return;
      }
      forward(near, bytes);
    });
    for (const socket of [near, far]) {
      socket.on("error", () => end(line));
      socket.on("close", () => end(line));
    }
  }).listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const breakOff = () => { for (const line of lines) end(line); };
  return {
    url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    partition(how, ms) {
      hit(how);
      out ||= how !== "partition in";
      inward ||= how !== "partition out";
      setTimeout(() => { out = inward = false; breakOff(); }, ms).unref();
    },
    breakOff() { hit("broken off"); breakOff(); },
    calm() { calm = true; out = inward = false; breakOff(); },
    close() { breakOff(); proxy.close(); },
  };
}
