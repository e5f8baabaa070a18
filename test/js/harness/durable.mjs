// What the tests of durable topics share.
import assert from "node:assert/strict"
import { randomUUID } from "node:crypto"
import { Client } from "./client.mjs"
import { Follower } from "./follower.mjs"

/** A topic of the test's own, of those that ALLOW_ROOMS opens. */
export const newTopic = () => `room:test:${randomUUID()}`
export const openRooms = { ALLOW_ROOMS: "room:test:*" }

export const range = (from, to) => Array.from({ length: to - from + 1 }, (_, n) => from + n)
export const ids = messages => messages.map(message => message.id)

/** Publishes messages 1 to n of a new topic in one transaction, and waits until they have their ids. */
export async function publish(sql, node, topic, n) {
  const client = await Client.connect(node.socketURL, { user: "watcher" })
  const watcher = await Follower.join(client, topic)
  await sql.query("select trunkline.publish($1, 'new_msg', jsonb_build_object('n', n)) from generate_series(1, $2::integer) n", [topic, n])
  await watcher.reaches(n)
  await client.disconnect()
}

/** Messages as publish makes them, as replies hold them but for inserted_at. */
export const published = (from, to) => range(from, to).map(n => ({ id: n, event: "new_msg", payload: { id: n, n } }))

/** Messages of a reply without inserted_at. */
export const plain = messages => messages.map(({ inserted_at: insertedAt, ...rest }) => {
  assert.ok(!Number.isNaN(Date.parse(insertedAt)), insertedAt)
  return rest
})
