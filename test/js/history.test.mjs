// Durable topics and the published client: each clause of docs/protocol.md on
// history in which a client takes part.
import assert from "node:assert/strict"
import { randomUUID } from "node:crypto"
import { after, before, test } from "node:test"
import { LongPoll } from "phoenix"
import { Client, Refusal } from "./harness/client.mjs"
import { Cluster } from "./harness/cluster.mjs"
import { Follower } from "./harness/follower.mjs"
import { TCPProxy } from "./harness/tcp_proxy.mjs"

let cluster, first, second, sql

before(async () => {
  cluster = await Cluster.create("trunkline", { ALLOW_ROOMS: "room:test:*" })
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

/** A topic of the test's own. */
const newTopic = () => `room:test:${randomUUID()}`
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, n) => from + n)
const ids = messages => messages.map(message => message.id)
const refusedWith = response => error => {
  assert.ok(error instanceof Refusal, error)
  assert.deepEqual(error.response, response)
  return true
}

/** Publishes messages 1 to n of a new topic in one transaction, and waits until they have their ids. */
async function publish(t, topic, n) {
  const watcher = await Follower.join(await connect(t, first.socketURL, { user: "watcher" }), topic)
  await sql.query("select trunkline.publish($1, 'new_msg', jsonb_build_object('n', n)) from generate_series(1, $2::integer) n", [topic, n])
  await watcher.reaches(n)
  await watcher.member.leave()
}

const published = (from, to) => range(from, to).map(n => ({ id: n, event: "new_msg", payload: { id: n, n } }))
const plain = messages => messages.map(({ inserted_at: insertedAt, ...rest }) => {
  assert.ok(!Number.isNaN(Date.parse(insertedAt)), insertedAt)
  return rest
})

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

test("a first join gets the newest: of the channel's number, or of its own", async t => {
  const topic = newTopic()
  await publish(t, topic, 60)
  const client = await connect(t, second.socketURL)
  for (const [params, expected] of [
    [{}, published(11, 60)],
    [{ last: 3 }, published(58, 60)],
    [{ last: 0 }, []],
  ]) {
    const { messages, epoch, ...rest } = (await client.join(topic, params)).reply
    assert.deepEqual(plain(messages), expected)
    assert.deepEqual(rest, { last_id: 60, more: false })
    assert.ok(typeof epoch === "string" && epoch !== "")
  }
  for (const params of [{ last: -1 }, { last: "3" }, { last_seen_id: -1 }, { last_seen_id: "7" }, { replay: "all" }]) {
    await assert.rejects(client.join(topic, params), Refusal, JSON.stringify(params))
  }
})

test("last_seen_id 0 means from the beginning, the newest id means nothing", async t => {
  const topic = newTopic()
  await publish(t, topic, 5)
  const client = await connect(t, second.socketURL)
  for (const [lastSeenID, expected] of [[0, published(1, 5)], [3, published(4, 5)], [5, []]]) {
    const { messages, epoch, ...rest } = (await client.join(topic, { last_seen_id: lastSeenID })).reply
    assert.deepEqual(plain(messages), expected)
    assert.deepEqual(rest, { last_id: 5, more: false })
  }
})

for (const [name, options] of [["WebSocket", {}], ["LongPoll", { transport: LongPoll }]]) {
  test(`a client whose connection is cut gets exactly what it missed (${name})`, async t => {
    const topic = newTopic()
    const proxy = await TCPProxy.start([second.port])
    t.after(() => proxy.stop())
    const client = await connect(t, proxy.socketURL, options)
    const away = await Follower.join(client, topic)
    const writer = await Follower.join(await connect(t, first.socketURL), topic)
    let head = 0
    for (let cut = 1; cut <= 3; cut++) {
      await writer.push("new_msg", { body: "seen" })
      await away.reaches(++head)
      client.closed.clear() // attempts to reconnect close, too
      proxy.down()
      await client.closed.next()
      for (let n = 0; n < 10; n++) await writer.push("new_msg", { body: "missed" })
      writer.member.cast("typing")
      proxy.up()
      const { messages, last_id: lastID, more } = await away.replies.next()
      assert.deepEqual([ids(messages), lastID, more], [range(head + 1, head + 10), head + 10, false])
      head += 10
    }
    await writer.reaches(head)
    const content = ({ id, event, payload }) => ({ id, event, payload })
    assert.deepEqual(away.entries.map(content), writer.entries.map(content), "a reply holds what live subscribers got")
    assert.deepEqual([away.violations, away.ids], [[], range(1, head)])
  })
}

test("kill -9 of a node: its clients go on at the other with what they missed, while others write", async t => {
  t.after(() => second.running || second.start())
  const topic = newTopic()
  const proxy = await TCPProxy.start([second.port, first.port])
  t.after(() => proxy.stop())
  const movers = []
  for (const options of [{ user: "m1" }, { user: "m2" }, { user: "m3", transport: LongPoll }]) {
    movers.push(await Follower.join(await connect(t, proxy.socketURL, options), topic))
  }
  const writer = await Follower.join(await connect(t, first.socketURL), topic)
  const acknowledged = []
  let killed
  for (let n = 0; n < 200; n++) {
    acknowledged.push((await writer.push("new_msg", { body: `${n}` })).id)
    if (n === 50) killed = second.kill()
  }
  await killed
  assert.deepEqual(acknowledged, range(1, 200))
  for (const mover of movers) {
    await mover.reaches(200)
    assert.deepEqual([mover.violations, mover.ids], [[], range(1, 200)])
    assert.equal((await mover.replies.next()).reset, undefined)
  }
  await second.start()
  await writer.push("new_msg", { body: "after" })
  const late = await Follower.join(await connect(t, second.socketURL), topic, { lastSeenID: 199 })
  assert.deepEqual(late.ids, [200, 201])
})

test("what a client pushes while its node dies is stored once, if it repeats with its key", async t => {
  t.after(() => second.running || second.start())
  const topic = newTopic()
  const proxy = await TCPProxy.start([second.port, first.port])
  t.after(() => proxy.stop())
  const reader = await Follower.join(await connect(t, first.socketURL), topic)
  const writer = await Follower.join(await connect(t, proxy.socketURL), topic)
  const messages = range(0, 59).map(n => ({ body: `${n}`, key: randomUUID() }))
  const answers = messages.map(message => writer.push("new_msg", message).catch(() => null))
  await reader.reaches(1) // some are stored, others are not
  await second.kill()
  await writer.replies.next()
  const stored = []
  for (const message of messages) stored.push((await writer.push("new_msg", message)).id)
  await reader.reaches(60)
  assert.deepEqual(stored.toSorted((a, b) => a - b), range(1, 60))
  assert.deepEqual(reader.entries.map(entry => entry.payload.body).toSorted(), messages.map(message => message.body).toSorted())
  assert.deepEqual([reader.violations, writer.violations], [[], []])
  void answers // those that the killed node did not give time out after the test
  await second.start()
})

test("a client 1,000 behind gets a page, the rest as events, and then what is new, without a seam", async t => {
  const topic = newTopic()
  await publish(t, topic, 1000)
  const writer = await Follower.join(await connect(t, first.socketURL), topic)
  let head = 1000
  let stop = false
  const writing = (async () => {
    while (!stop) head = (await writer.push("new_msg", { body: "live" })).id
  })()
  const behind = await Follower.join(await connect(t, second.socketURL), topic, { lastSeenID: 0 })
  const reply = behind.member.reply
  assert.deepEqual([reply.more, reply.last_id, plain(reply.messages)], [true, 100, published(1, 100)])
  await behind.reaches(1000)
  stop = true
  await writing
  await behind.reaches(head)
  assert.ok(head > 1000)
  assert.deepEqual([behind.violations, behind.ids], [[], range(1, head)])
  assert.deepEqual(behind.entries.slice(100, 1000).map(({ id, event, payload }) => ({ id, event, payload })), published(101, 1000))
})

test('replay "events" sends all that was missed as events', async t => {
  const topic = newTopic()
  await publish(t, topic, 250)
  const client = await connect(t, second.socketURL)
  const member = await Follower.join(client, topic, { lastSeenID: 40, replay: "events" })
  assert.deepEqual([member.member.reply.messages, member.member.reply.last_id, member.member.reply.more], [[], 40, true])
  await member.reaches(250)
  assert.deepEqual([member.violations, member.ids], [[], range(41, 250)])
  assert.ok(member.entries.every(entry => entry.live))
  await member.push("new_msg", { body: "live" })
  await member.reaches(251)
  const { epoch, ...current } = (await client.join(topic, { last_seen_id: 251, replay: "events" })).reply
  assert.deepEqual(current, { messages: [], last_id: 251, more: false })
})

test("an id beyond the head, or another epoch, is answered with reset and the newest page", async t => {
  const topic = newTopic()
  await publish(t, topic, 150)
  const client = await connect(t, second.socketURL)
  const { epoch } = (await client.join(topic)).reply
  for (const params of [{ last_seen_id: 151 }, { last_seen_id: 10, epoch: "of another database" }]) {
    const { messages, ...rest } = (await client.join(topic, params)).reply
    assert.deepEqual(rest, { reset: true, last_id: 150, more: false, epoch })
    assert.deepEqual(plain(messages), published(51, 150))
  }
  const { messages, reset } = (await client.join(topic, { last_seen_id: 140, epoch })).reply
  assert.deepEqual([ids(messages), reset], [range(141, 150), undefined])
})

test("a topic that was made anew resets the clients that knew it, and goes on", async t => {
  const topic = newTopic()
  await publish(t, topic, 10)
  const client = await connect(t, second.socketURL)
  const { epoch: before } = (await client.join(topic)).reply
  const again = { last_seen_id: 10, epoch: before }
  assert.equal((await client.join(topic, again)).reply.reset, undefined)
  await sql.query("with gone as (delete from trunkline.topics where name = $1 returning id) delete from trunkline.messages m using gone where m.topic_id = gone.id", [topic])
  // The node finds out when it next compares its topics with the database.
  let reply
  const deadline = Date.now() + 30_000
  do {
    await sql.query("select trunkline.publish($1, 'new_msg', '{}')", [topic])
    reply = (await client.join(topic, again)).reply
  } while (!reply.reset && Date.now() < deadline)
  assert.equal(reply.reset, true)
  assert.notEqual(reply.epoch, before)
  assert.deepEqual(ids(reply.messages), range(1, reply.last_id))
})

test("what retention has deleted is said to be truncated, and the rest follows", async t => {
  const topic = newTopic()
  // The pattern that retention finds for this topic keeps 30.
  await sql.query("insert into trunkline.durable_topics (pattern, position, id_key, max_count) values ($1, -1, 'id', 30)", [topic])
  t.after(() => sql.query("delete from trunkline.durable_topics where pattern = $1", [topic]))
  await sql.query("select trunkline.publish($1, 'new_msg', jsonb_build_object('n', n)) from generate_series(1, 50) n", [topic])
  const head = () => sql.query("select head from trunkline.topics where name = $1", [topic])
  for (const deadline = Date.now() + 15_000; (await head()).rows[0]?.head !== "50";) assert.ok(Date.now() < deadline, "the relay did not number them")
  const { rows: [{ deleted }] } = await sql.query("select deleted from trunkline.trim_topics(0, 100000, 100000, null)")
  assert.equal(deleted, "20")

  const client = await connect(t, second.socketURL)
  const { messages, epoch, ...rest } = (await client.join(topic, { last_seen_id: 7 })).reply
  assert.deepEqual(rest, { truncated: true, oldest_id: 21, last_id: 50, more: false })
  assert.deepEqual(plain(messages), published(21, 50))
  assert.equal((await client.join(topic, { last_seen_id: 20, epoch })).reply.truncated, undefined)
})

test("history pages both ways, always ascending", async t => {
  const topic = newTopic()
  await publish(t, topic, 130)
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
