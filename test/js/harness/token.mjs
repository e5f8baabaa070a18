// Phoenix tokens, made here so that they owe nothing to the server under test.
import { createHmac, pbkdf2Sync } from "node:crypto"
import { secret } from "./cluster.mjs"

const maxAgeSeconds = 86_400

/** Phoenix.Token.sign(secret, salt, user): {user, signed_at, max_age} as an Erlang term, under HMAC-SHA256. */
export function signToken(user, { salt = "user socket", signedAt = Date.now() } = {}) {
  const name = Buffer.from(user)
  const head = Buffer.from([131, 104, 3, 109, 0, 0, 0, 0]) // version, 3-tuple, binary of 4-byte length
  head.writeUInt32BE(name.length, 4)
  const rest = Buffer.alloc(14)
  rest.set([110, 6, 0]) // a positive integer of 6 bytes
  rest.writeUIntLE(signedAt, 3, 6)
  rest.writeUInt8(98, 9) // a 32-bit integer
  rest.writeInt32BE(maxAgeSeconds, 10)
  const signed = `${Buffer.from("HS256").toString("base64url")}.${Buffer.concat([head, name, rest]).toString("base64url")}`
  const key = pbkdf2Sync(secret, salt, 1000, 32, "sha256")
  return `${signed}.${createHmac("sha256", key).update(signed).digest("base64url")}`
}
