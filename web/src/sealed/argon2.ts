// argon2.js: a worker that computes Argon2id once and is thrown away, with the memory
// that it took. It is loaded where a passphrase is set or used, and nowhere else.

import { argon2id } from "hash-wasm";

/** What the worker is asked: RFC 9106, version 0x13, with one lane and 32 bytes of result. */
export interface Argon2Request {
  passphrase: string;
  time: number;
  /** KiB. */
  memory: number;
  /** 16 bytes in hexadecimal. */
  salt: string;
}

export type Argon2Answer = { key: string } | { error: string };

const port = globalThis as unknown as {
  onmessage: (event: MessageEvent<Argon2Request>) => void;
  postMessage(answer: Argon2Answer): void;
};

port.onmessage = ({ data: { passphrase, time, memory, salt } }) => {
  argon2id({
    password: passphrase, salt: Uint8Array.from(salt.match(/../g) ?? [], (hex) => parseInt(hex, 16)),
    iterations: time, memorySize: memory, parallelism: 1, hashLength: 32, outputType: "hex",
  }).then((key) => port.postMessage({ key }), (error: unknown) => port.postMessage({ error: String(error) }));
};
