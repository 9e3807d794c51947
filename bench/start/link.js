// A line to a server that is as slow as one asks: a proxy of TCP. What comes down shares the line's rate between
// connections, a packet of each in turn; every byte takes half of the delay each way; a connection takes one round
// trip to be made. Lost packets and TCP's slow start are not simulated.
import { once } from "node:events";
import { connect, createServer } from "node:net";

const PACKET = 1460;

/** Forwards to a port of this machine: `rate` bits a second come down, `delay` ms are one round trip. */
export async function startLink(port, { rate, delay }) {
  const sockets = new Set(), queues = new Set();
  const bytesAMillisecond = rate / 8000;
  let free = 0, timer;

  // Sends what the line had time for, and comes again while something waits.
  function pump() {
    timer = undefined;
    const now = performance.now();
    while (free <= now && queues.size > 0) {
      const [next] = queues;
      queues.delete(next);
      const packet = next.waiting.subarray(0, PACKET);
      next.waiting = next.waiting.subarray(PACKET);
      if (next.waiting.length > 0) queues.add(next); // behind the others
      else next.far.resume();
      free += packet.length / bytesAMillisecond;
      later(delay / 2, () => next.near.write(packet));
    }
    if (queues.size > 0) timer = setTimeout(pump, Math.max(0, free - now));
  }
  const later = (ms, what) => setTimeout(() => what(), ms);
  const keep = (socket, other) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.on("close", () => {
      sockets.delete(socket);
      later(delay, () => other.destroy());
    });
    socket.on("error", () => socket.destroy());
  };

  const server = createServer((near) => {
    const far = connect(port, "127.0.0.1"), way = { near, far, waiting: Buffer.alloc(0) };
    keep(near, far);
    keep(far, near);
    const made = performance.now() + delay;
    near.on("data", (bytes) => later(Math.max(0, made - performance.now()) + delay / 2, () => far.write(bytes)));
    far.on("data", (bytes) => {
      far.pause();
      way.waiting = Buffer.concat([way.waiting, bytes]);
      if (queues.size === 0) free = Math.max(free, performance.now());
      queues.add(way);
      if (!timer) pump();
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://localhost:${server.address().port}/`,
    close() {
      clearTimeout(timer);
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
