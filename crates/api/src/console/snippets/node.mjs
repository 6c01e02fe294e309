// export HEXLINE_KEY_ID=__KEY_ID__ HEXLINE_KEY_SECRET=__KEY_SECRET__
// node token.mjs
import { createHmac } from "node:crypto";

const url = "__URL__";
const { HEXLINE_KEY_ID, HEXLINE_KEY_SECRET } = process.env;

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const now = Math.floor(Date.now() / 1000);
const content = [
  base64url({ typ: "JWT", alg: "HS__BITS__" }),
  base64url({
    aud: `${url}/client/v1`,
    sub: "alice/web1",
    grants: { signal: true },
    iss: HEXLINE_KEY_ID,
    iat: now,
    exp: now + __TTL__,
  }),
].join(".");
const signature = createHmac("sha__BITS__", HEXLINE_KEY_SECRET).update(content).digest("base64url");
const token = `${content}.${signature}`;

const answer = await fetch(`${url}/client/v1/me`, { headers: { Authorization: `Bearer ${token}` } });
console.log(await answer.text());
