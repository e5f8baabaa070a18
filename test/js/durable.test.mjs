// Publishing on a durable topic and reading it with the published client: each
// clause of docs/protocol.md on what a member can do.
import assert from "node:assert/strict"
import { randomUUID } from "node:crypto"
import { after, before, test } from "node:test"
import { Client, Refusal } from "./harness/client.mjs"
import { Cluster } from "./harness/cluster.mjs"
import { ids, newTopic, openRooms, plain, publish, published, range } from "./harness/durable.mjs"
import { Follower } from "./harness/follower.mjs"

let cluster, first, second, sql

before(async () => {
  cluster = await Cluster.create("trunkline", openRooms)
  first = await cluster.startNode()
  second = await cluster.startNode()
  sql = await cluster.sql()
}, { timeout: 600_000 })
after(async () => {
  await sql?.end()
  await cluster?.stop()
})

async function connect(t, url, options) {
  const client = await Client.connect(url, options)
  t.after(() => client.disconnect())
  return client
}

const refusedWith = response => error => {
  assert.ok(error instanceof Refusal, error)
  assert.deepEqual(error.response, response)
  return true
}

test("ids count from 1 without gaps, on every node the same", async t => {
  const topic = newTopic()
  const ann = await Follower.join(await connect(t, first.socketURL, { user: "ann" }), topic)
  const bob = await Follower.join(await connect(t, second.socketURL, { user: "bob" }), topic)
  const replies = []
  for (let n = 0; n < 20; n++) {
    replies.push(ann.push("new_msg", { body: `ann ${n}` }), bob.push("new_msg", { body: `bob ${n}` }))
  }
  assert.deepEqual(ids(await Promise.all(replies)).sort((a, b) => a - b), range(1, 40))
  for (const member of [ann, bob]) {
    await member.reaches(40)
    assert.deepEqual(member.violations, [])
  }
  assert.deepEqual(ann.entries, bob.entries)
})

test("history pages both ways, always ascending", async t => {
  const topic = newTopic()
  await publish(sql, first, topic, 130)
  const room = await (await connect(t, second.socketURL)).join(topic)
  const page = async request => {
    const { messages, more } = await room.push("history", request)
    assert.deepEqual(plain(messages), messages.length ? published(messages[0].id, messages.at(-1).id) : [])
    return [ids(messages), more]
  }
  assert.deepEqual(await page({ before: 81, limit: 50 }), [range(31, 80), true])
  assert.deepEqual(await page({ before: 31, limit: 50 }), [range(1, 30), false])
  assert.deepEqual(await page({ before: 1, limit: 50 }), [[], false])
  assert.deepEqual(await page({ after: 0, limit: 2 }), [[1, 2], true])
  assert.deepEqual(await page({ after: 120, limit: 50 }), [range(121, 130), false])
  assert.deepEqual(await page({ after: 130 }), [[], false])
  assert.deepEqual(await page({ before: 1000, limit: 5000 }), [range(31, 130), true], "a page has its limit")
  for (const bad of [{}, { before: 5, after: 1 }, { before: "5" }, { after: 1, limit: 0 }]) {
    await assert.rejects(room.push("history", bad), Refusal, JSON.stringify(bad))
  }
})

test("a push repeated with its key gets the first id and publishes nothing, on any node", async t => {
  const topic = newTopic()
  const [a, b] = [await connect(t, first.socketURL, { user: "ann" }), await connect(t, second.socketURL, { user: "ann" })]
  const [onFirst, onSecond] = [await Follower.join(a, topic), await Follower.join(b, topic)]
  const key = randomUUID()
  const answers = await Promise.all([onFirst, onSecond, onFirst, onSecond].map(room => room.push("new_msg", { body: "once", key })))
  assert.deepEqual(answers, Array(4).fill({ id: 1 }))
  assert.deepEqual(await onSecond.push("new_msg", { body: "another", key: randomUUID() }), { id: 2 })
  assert.deepEqual(await onFirst.push("new_msg", { body: "without" }), { id: 3 })
  assert.deepEqual(await onFirst.push("new_msg", { body: "without" }), { id: 4 })
  for (const room of [onFirst, onSecond]) {
    await room.reaches(4)
    assert.deepEqual(room.entries.map(entry => entry.payload.body), ["once", "another", "without", "without"])
    assert.ok(room.entries.every(entry => !("key" in entry.payload)), "the key is not stored")
    await assert.rejects(room.push("new_msg", { body: "x", key: 7 }), Refusal)
  }
})

test("edits and deletions are events of the stream; a replay shows what they left", async t => {
  const topic = newTopic()
  const ann = await Follower.join(await connect(t, first.socketURL, { user: "ann" }), topic)
  const bob = await Follower.join(await connect(t, second.socketURL, { user: "bob" }), topic)
  for (const body of ["one", "two", "three"]) await ann.push("new_msg", { body })
  await bob.reaches(3)
  await assert.rejects(bob.push("edit_msg", { id: 1, body: "mine" }), refusedWith({ reason: "unauthorized" }))
  await assert.rejects(bob.push("delete_msg", { id: 1 }), refusedWith({ reason: "unauthorized" }))
  await assert.rejects(ann.push("edit_msg", { id: 1, body: " " }), refusedWith({ errors: { body: ["can't be blank"] } }))
  await assert.rejects(ann.push("edit_msg", { id: 9, body: "x" }), refusedWith({ reason: "no such message" }))
  assert.deepEqual(await ann.push("edit_msg", { id: 1, body: "1" }), { id: 4 })
  assert.deepEqual(await ann.push("delete_msg", { id: 2 }), { id: 5 })
  await assert.rejects(ann.push("edit_msg", { id: 2, body: "x" }), refusedWith({ reason: "no such message" }))
  await assert.rejects(ann.push("edit_msg", { id: 4, body: "x" }), refusedWith({ reason: "no such message" }))

  for (const member of [ann, bob]) {
    await member.reaches(5)
    assert.deepEqual(member.violations, [])
    const [edit, deletion] = member.entries.slice(3)
    const { at, edited_at: editedAt, ...payload } = edit.payload.payload
    assert.ok(Date.parse(at) <= Date.parse(editedAt))
    assert.deepEqual([edit.event, payload, edit.payload.message_id], ["message_updated", { body: "1", user_id: "ann" }, 1])
    assert.deepEqual([deletion.event, deletion.payload], ["message_deleted", { id: 5, message_id: 2 }])
  }
  const replayed = plain((await (await connect(t, second.socketURL)).join(topic, { last_seen_id: 0 })).reply.messages)
  assert.deepEqual(ids(replayed), [1, 2, 3, 4, 5])
  assert.equal(replayed[0].payload.body, "1")
  assert.deepEqual(replayed[1], { id: 2, event: "new_msg", deleted: true })
  assert.equal(replayed[2].payload.body, "three")
  assert.equal(replayed[3].event, "message_updated")

  const asEvents = await Follower.join(await connect(t, first.socketURL), topic, { lastSeenID: 0, replay: "events" })
  await asEvents.reaches(5)
  assert.deepEqual(asEvents.entries[1].payload, { id: 2, deleted: true })
  assert.equal(asEvents.entries[0].payload.body, "1")
})

test("seen counts what is unread, for the user, wherever", async t => {
  const topic = newTopic()
  const ann = await Follower.join(await connect(t, first.socketURL, { user: "ann" }), topic)
  const bob = await Follower.join(await connect(t, second.socketURL, { user: "bob" }), topic)
  for (let n = 0; n < 5; n++) await ann.push("new_msg", { body: `${n}` })
  const unread = async (room, id) => (await room.push("seen", { id })).unread
  assert.equal(await unread(bob, 0), 5)
  assert.equal(await unread(bob, 3), 2)
  assert.equal(await unread(bob, 1), 2, "what was read stays read")
  await ann.push("edit_msg", { id: 5, body: "edited" })
  await ann.push("delete_msg", { id: 4 })
  assert.equal(await unread(bob, 0), 1, "edits do not count, nor does what was deleted")
  const elsewhere = await Follower.join(await connect(t, first.socketURL, { user: "bob" }), topic)
  assert.equal(await unread(elsewhere, 0), 1)
  assert.equal(await unread(elsewhere, 1_000_000), 0)
  await ann.push("new_msg", { body: "new" })
  assert.equal(await unread(bob, 0), 1, "nobody has seen what is to come")
  for (const bad of [{}, { id: -1 }, { id: "5" }]) await assert.rejects(bob.push("seen", bad), Refusal)
})

test("SQL publishes with its transaction, or not at all", async t => {
  const topic = newTopic()
  const other = newTopic()
  const client = await connect(t, second.socketURL)
  const [room, elsewhere] = [await Follower.join(client, topic), await Follower.join(client, other)]
  await sql.query("begin")
  await sql.query("select trunkline.publish($1, 'new_msg', '{\"body\": \"never\"}')", [topic])
  await sql.query("rollback")
  await sql.query("begin")
  for (const [where, body] of [[topic, "a"], [other, "b"], [topic, "c"]]) {
    await sql.query("select trunkline.publish($1, 'new_msg', jsonb_build_object('body', $2::text))", [where, body])
  }
  assert.equal((await room.push("new_msg", { body: "meanwhile" })).id, 1, "an open transaction holds up nobody")
  await sql.query("commit")
  await Promise.all([room.reaches(3), elsewhere.reaches(1)])
  assert.deepEqual(room.entries.map(entry => entry.payload.body), ["meanwhile", "a", "c"])
  assert.deepEqual(elsewhere.entries.map(entry => entry.payload.body), ["b"])

  for (let n = 0; n < 2; n++) await sql.query("select trunkline.publish($1, 'new_msg', '{\"body\": \"keyed\"}', 'k')", [topic])
  await sql.query("select trunkline.broadcast($1, 'typing', '{\"user_id\": \"sql\"}')", [topic])
  await sql.query("select trunkline.update_message($1, 2, '{\"body\": \"A\"}')", [topic])
  await sql.query("select trunkline.delete_message($1, 3)", [topic])
  await room.reaches(6)
  assert.deepEqual(room.entries.slice(3).map(({ event, payload }) => ({ event, payload })), [
    { event: "new_msg", payload: { id: 4, body: "keyed" } },
    { event: "message_updated", payload: { id: 5, message_id: 2, payload: { body: "A" } } },
    { event: "message_deleted", payload: { id: 6, message_id: 3 } },
  ])
  assert.deepEqual(await room.member.inbox("typing").next(), { user_id: "sql" })
  await assert.rejects(sql.query("select trunkline.publish($1, 'new_msg', '{\"id\": 1}')", [topic]), /id/)
  assert.deepEqual([room.violations, elsewhere.violations], [[], []])
})

test("typing is ephemeral: it has no id, and nobody gets it later", async t => {
  const topic = newTopic()
  const ann = await Follower.join(await connect(t, first.socketURL, { user: "ann" }), topic)
  const bob = await Follower.join(await connect(t, second.socketURL, { user: "bob" }), topic)
  ann.member.cast("typing")
  assert.deepEqual(await bob.member.inbox("typing").next(), { user_id: "ann" })
  const { messages, last_id: lastID } = (await (await connect(t, second.socketURL)).join(topic, { last_seen_id: 0 })).reply
  assert.deepEqual([messages, lastID], [[], 0])
})

test("where the commit's outcome is lost there is no reply, and a push with a key is stored once", async t => {
  const topic = newTopic()
  const client = await connect(t, second.socketURL)
  const room = await client.join(topic)
  // The session dies at its commit, the first time for each message.
  await sql.query(`
    create sequence if not exists losses;
    create or replace function lose_outcome() returns trigger language plpgsql as $$
    begin
      if nextval('losses') % 2 = 1 then perform pg_terminate_backend(pg_backend_pid()); end if;
      return null;
    end $$;
    create constraint trigger lose_outcome after insert on trunkline.messages
    deferrable initially deferred for each row when (new.payload like '%lose me%') execute function lose_outcome()`)
  t.after(() => sql.query("drop trigger if exists lose_outcome on trunkline.messages; drop function lose_outcome; drop sequence losses"))

  const outcome = await new Promise(resolve => {
    const push = room.channel.push("new_msg", { body: "lose me" }, 2_000)
    for (const status of ["ok", "error", "timeout"]) push.receive(status, response => resolve([status, response]))
  })
  assert.equal(outcome[0], "timeout", `answered with ${JSON.stringify(outcome)}`)
  const key = randomUUID()
  await sql.query("select setval('losses', 2)") // the next is lost
  const reply = await room.push("new_msg", { body: "lose me, but once", key })
  assert.deepEqual(await room.push("new_msg", { body: "lose me, but once", key }), reply)
  const { rows } = await sql.query("select last_value::int as n from losses")
  assert.ok(rows[0].n >= 4, `the session died ${rows[0].n} times`)
  const { messages } = await room.push("history", { after: 0, limit: 10 })
  assert.deepEqual(messages.map(m => [m.id, m.payload.body]), [[reply.id, "lose me, but once"]])
})
