// A WebSocket client that speaks text (RFC 6455): Node 20 has none of its own.
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { request } from "node:http";
import type { Duplex } from "node:stream";

export interface WebSocket {
  send(text: string): void;
  close(): void;
}

const enum Opcode { continuation, text, close = 8, ping = 9, pong = 10 }

/** A client masks what it sends. */
function frame(opcode: Opcode, payload: Buffer): Buffer {
  const length = payload.length;
  const head = length < 126 ? Buffer.from([0x80 | opcode, 0x80 | length]) : Buffer.alloc(length < 65536 ? 4 : 10);
  if (length >= 126) {
    head[0] = 0x80 | opcode;
    head[1] = 0x80 | (length < 65536 ? 126 : 127);
    if (length < 65536) head.writeUInt16BE(length, 2);
    else head.writeBigUInt64BE(BigInt(length), 2);
  }
  const mask = randomBytes(4);
  return Buffer.concat([head, mask, payload.map((byte, i) => byte ^ mask[i % 4]!)]);
}

/** Connects; each whole message goes to receive, and closed is called once at the end. */
export async function webSocket(url: string, receive: (text: string) => void, closed: () => void): Promise<WebSocket> {
  const key = randomBytes(16).toString("base64");
  const upgrade = request(url.replace(/^ws/, "http"), {
    headers: { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Key": key, "Sec-WebSocket-Version": "13" },
  }).end();
  const [response, socket, first] = await Promise.race([
    once(upgrade, "upgrade") as Promise<[{ headers: { [name: string]: string } }, Duplex, Buffer]>,
    once(upgrade, "response").then(([{ statusCode }]) => { throw new Error(`${url}: HTTP ${statusCode}`); }),
  ]);
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  if (response.headers["sec-websocket-accept"] !== accept) throw new Error(`${url}: not a WebSocket`);

  let rest: Buffer = Buffer.alloc(0), parts: Buffer[] = [];
  const take = (bytes: Buffer) => {
    rest = Buffer.concat([rest, bytes]);
    while (rest.length >= 2) {
      const short = rest[1]! & 0x7f, head = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (rest.length < head) return;
      const length = short < 126 ? short : short === 126 ? rest.readUInt16BE(2) : Number(rest.readBigUInt64BE(2));
      if (rest.length < head + length) return;
      const opcode = rest[0]! & 0x0f, last = (rest[0]! & 0x80) !== 0, payload = rest.subarray(head, head + length);
      rest = rest.subarray(head + length);
      if (opcode === Opcode.ping) socket.write(frame(Opcode.pong, payload));
      if (opcode === Opcode.close) socket.end();
      if (opcode > Opcode.text) continue;
      parts.push(payload);
      if (!last) continue;
      const message = Buffer.concat(parts).toString("utf8");
      parts = [];
      receive(message);
    }
  };
  socket.on("data", take).on("error", () => socket.destroy()).on("close", closed);
  if (first.length > 0) take(first);
  return {
    send: (text) => void socket.write(frame(Opcode.text, Buffer.from(text))),
    close: () => void socket.end(frame(Opcode.close, Buffer.alloc(0))),
  };
}
