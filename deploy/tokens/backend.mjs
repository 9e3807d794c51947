// A backend that gives tokens to users who have signed in: node backend.mjs key.pem
import { createPrivateKey, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const key = createPrivateKey(readFileSync(process.argv[2]));

const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A JSON Web Token of a user, for spaces with "r" or "rw", for a quarter of an hour. */
function token(user, spaces) {
  const iat = Math.floor(Date.now() / 1000);
  const text = `${encode({ alg: "EdDSA", typ: "JWT" })}.${encode({ sub: user, iat, exp: iat + 900, spaces })}`;
  return `${text}.${sign(null, Buffer.from(text), key).toString("base64url")}`;
}

/** Who has signed in: your sessions say so. This one believes everybody. */
const userOf = (request) => new URLSearchParams(request.headers.cookie).get("user");

const server = createServer((request, response) => {
  const user = userOf(request);
  response.setHeader("Cache-Control", "no-store");
  if (request.url !== "/token" || !user) return response.writeHead(user ? 404 : 401).end();
  response.end(token(user, { [`user-${user}`]: "rw", news: "r" }));
});
server.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}/token`);
});
