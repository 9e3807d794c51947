// Connections that stay open. Over HTTP/1.1 a browser has six to each server, for
// all tabs of all databases together, and what waits for the seventh waits as long
// as the six stay open. So the databases of an origin share a few, by Web Locks:
// https://www.rfc-editor.org/rfc/rfc9112#section-9.4

/** How many of the six may stay open: the others are for what ends soon, the page's own requests among them. */
const SHARED = 3;

const lockName = (server: string, slot: number) => `heddle:stream:${server}:${slot}`;

export class Streams {
  readonly #release = new Map<number, () => void>();
  #next = 0;

  /** Takes a connection to a server, named by scheme and host: its number for give(), or -1 if none is left. */
  async take(server: string): Promise<number> {
    const id = this.#next++;
    if (multiplexes(server)) {
      this.#release.set(id, () => {});
      return id;
    }
    for (let slot = 0; slot < SHARED; slot++) {
      const release = await lock(lockName(server, slot));
      if (!release) continue;
      this.#release.set(id, release);
      return id;
    }
    return -1;
  }

  give(id: number): void {
    this.#release.get(id)?.();
    this.#release.delete(id);
  }
}

/** Takes a Web Lock if it is free. */
function lock(name: string): Promise<(() => void) | undefined> {
  return new Promise((resolve, reject) => {
    navigator.locks
      .request(name, { ifAvailable: true }, (held) => {
        if (!held) return resolve(undefined);
        return new Promise<void>((release) => resolve(release));
      })
      .catch(reject);
  });
}

/** A server that was seen to speak HTTP/2 or 3 has no need of several connections. */
function multiplexes(server: string): boolean {
  const entries = performance.getEntriesByType("resource") as PerformanceResourceTiming[];
  const seen = entries.findLast((entry) => entry.name.startsWith(`${server}/`) && entry.nextHopProtocol !== "");
  return seen !== undefined && /^h[23]/.test(seen.nextHopProtocol);
}
