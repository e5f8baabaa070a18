// The demo's summary of a room: a job on River that answers the push which
// asked for it, whichever node runs it, and whatever becomes of the client's.
import assert from "node:assert/strict"
import { randomUUID } from "node:crypto"
import { after, before, test } from "node:test"
import { Client, Membership } from "./harness/client.mjs"
import { Cluster } from "./harness/cluster.mjs"
import { newTopic, openRooms } from "./harness/durable.mjs"
import { TCPProxy } from "./harness/tcp_proxy.mjs"

const timeoutMs = 60_000
// A node runs four heavy jobs at once: of five one runs on the other of two.
const heavyWorkers = 4

let cluster, first, second

before(async () => {
  cluster = await Cluster.create("trunkline", openRooms)
  first = await cluster.startNode()
  second = await cluster.startNode()
}, { timeout: 600_000 })
after(() => cluster?.stop())

async function connect(t, server, user) {
  const client = await Client.connect(server.socketURL, { user })
  t.after(() => client.disconnect())
  return client
}

/** Resolves to the answer. */
function summarise(member, key) {
  return new Promise((resolve, reject) => {
    member.channel.push("summarise", { key }, timeoutMs)
      .receive("ok", resolve)
      .receive("error", response => reject(new Error(JSON.stringify(response))))
      .receive("timeout", () => reject(new Error("no answer")))
  })
}

/** Resolves once the job has begun: progress is its first step, reply a promise of the answer. */
async function ask(member) {
  const key = randomUUID()
  const reply = summarise(member, key)
  reply.catch(() => {}) // it may be lost with a node
  for (;;) {
    const progress = await member.inbox("progress").next(30_000)
    if (progress.key === key) return { key, progress, reply }
  }
}

/** Asks until a job runs on the node of that name, and on no other. */
async function askUntilOn(node, member) {
  for (let n = 0; n <= heavyWorkers; n++) {
    const asked = await ask(member)
    if (asked.progress.node === node) return asked
  }
  throw new Error(`no job runs on ${node}`)
}

/** A room with a message of each node's user. Resolves to its topic. */
async function talk(t) {
  const topic = newTopic()
  for (const [user, server] of [["ann", first], ["bob", second]]) {
    const client = await connect(t, server, user)
    await (await client.join(topic)).push("new_msg", { body: `What ${user} has to say.` })
    await client.disconnect()
  }
  return topic
}

const isOfBoth = result => {
  assert.equal(result.summary, "2 messages by 2 people.")
  assert.deepEqual(result.writers, [{ name: "ann", count: 1 }, { name: "bob", count: 1 }])
}

test("a job on another node tells its progress to who asked, alone, and answers on the push's ref", async t => {
  const topic = await talk(t)
  const client = await connect(t, second, "ann")
  const ann = await client.join(topic)
  const others = [await (await connect(t, first, "bob")).join(topic), await (await connect(t, second, "ann")).join(topic)]
  const { key, progress, reply } = await askUntilOn(first.node, ann)
  assert.equal(progress.percent, 0)
  await others[0].push("new_msg", { body: "What bob says meanwhile." })
  assert.equal((await others[1].inbox("new_msg").next()).body, "What bob says meanwhile.")

  const result = await reply
  assert.equal(result.node, first.node)
  assert.ok(result.messages === 2 || result.messages === 3, result.summary)
  assert.equal(result.people, 2)
  const steps = []
  while (ann.inbox("progress").waiting > 0) steps.push(await ann.inbox("progress").next())
  const percents = steps.filter(step => step.key === key).map(step => step.percent)
  assert.deepEqual(percents, percents.toSorted((a, b) => a - b))
  assert.equal(percents.at(-1), 100)

  assert.deepEqual(await ann.push("ping", { all: "in order" }), { all: "in order" })
  assert.equal(ann.inbox("job_reply").waiting, 0, "it came as the reply, and not as an event too")
  for (const other of others) {
    await other.push("ping")
    assert.equal(other.inbox("progress").waiting + other.inbox("job_reply").waiting, 0)
  }
})

test("an empty room is said to be empty", async t => {
  const ann = await (await connect(t, first, "ann")).join(newTopic())
  const result = await (await ask(ann)).reply
  assert.equal(result.summary, "Nothing has been said here yet.")
  assert.equal(result.messages, 0)
})

for (const backFirst of [true, false]) {
  test(`the client's node is killed and the answer is ready ${backFirst ? "after" : "before"} it is back: it comes once`, async t => {
    t.after(() => second.running || second.start())
    const topic = await talk(t)
    const proxy = await TCPProxy.start([second.port, first.port])
    t.after(() => proxy.stop())
    const client = await connect(t, proxy, "ann")
    let awaited = []
    const ann = new Membership(client.socket, topic, () => ({ job_keys: awaited }))
    await ann.joined.next()
    const { key } = await askUntilOn(first.node, ann)
    awaited = [key]

    if (!backFirst) proxy.down()
    await second.kill()
    if (!backFirst) {
      // The same user's repeat with the key learns when the answer is there.
      const other = await (await connect(t, first, "ann")).join(topic, { job_keys: [] })
      isOfBoth(await summarise(other, key))
      proxy.up()
    }
    await ann.joined.next(30_000)
    ann.inbox("progress").clear()
    if (backFirst) assert.equal((await ann.inbox("progress").next()).key, key, "progress goes on")
    const answer = await ann.inbox("job_reply").next(30_000)
    awaited = []
    assert.equal(answer.key, key)
    assert.equal(answer.status, "ok")
    isOfBoth(answer.response)
    assert.equal(answer.response.node, first.node)

    await client.socket.conn.close() // and once more: nothing is left
    await ann.joined.next(30_000)
    isOfBoth(await (await ask(ann)).reply)
    assert.equal(ann.inbox("job_reply").waiting, 0)
  })
}
