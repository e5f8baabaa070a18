// Coming back to a durable topic with the published client: each clause of
// docs/protocol.md on what a join gets.
import assert from "node:assert/strict"
import { randomUUID } from "node:crypto"
import { after, before, test } from "node:test"
import { LongPoll } from "phoenix"
import { Client, Refusal } from "./harness/client.mjs"
import { Cluster } from "./harness/cluster.mjs"
import { ids, newTopic, openRooms, plain, publish, published, range } from "./harness/durable.mjs"
import { Follower } from "./harness/follower.mjs"
import { TCPProxy } from "./harness/tcp_proxy.mjs"

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

test("a first join gets the newest: of the channel's number, or of its own", async t => {
  const topic = newTopic()
  await publish(sql, first, topic, 60)
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
  await publish(sql, first, topic, 5)
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
    const beside = await Follower.join(await connect(t, second.socketURL), topic) // knows what its node has
    let head = 0
    for (let cut = 1; cut <= 3; cut++) {
      await writer.push("new_msg", { body: "seen" })
      await away.reaches(++head)
      client.closed.clear() // attempts to reconnect close, too
      proxy.down()
      await client.closed.next()
      for (let n = 0; n < 10; n++) await writer.push("new_msg", { body: "missed" })
      writer.member.cast("typing")
      await beside.reaches(head + 10)
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
  await publish(sql, first, topic, 1000)
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
  await publish(sql, first, topic, 250)
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
  await publish(sql, first, topic, 150)
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
  await publish(sql, first, topic, 10)
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
