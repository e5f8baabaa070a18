// The published client against two nodes that share nothing but one Postgres.
import assert from "node:assert/strict"
import { after, before, test } from "node:test"
import { LongPoll } from "phoenix"
import { Client } from "./harness/client.mjs"
import { Cluster } from "./harness/cluster.mjs"
import { TCPProxy } from "./harness/tcp_proxy.mjs"

let cluster, first, second

before(async () => {
  cluster = await Cluster.create("conformance")
  first = await cluster.startNode()
  second = await cluster.startNode()
}, { timeout: 600_000 })
after(() => cluster?.stop())

async function connect(t, url, options) {
  const client = await Client.connect(url, options)
  t.after(() => client.disconnect())
  return client
}

/** What the hook of the conformance application does: something from outside any channel. */
async function serverDoes(node, body) {
  const answer = await fetch(`${node.url}/__server`, { method: "POST", body: JSON.stringify(body) })
  assert.equal(answer.status, 204)
}

for (const [name, options] of [["WebSocket", {}], ["LongPoll", { transport: LongPoll }]]) {
  test(`members on both nodes hear each other, in order (${name})`, async t => {
    const topic = `room:nodes:${name}`
    const [a, b] = [await connect(t, first.socketURL, { ...options, user: "ann" }), await connect(t, second.socketURL, { ...options, user: "bob" })]
    const [onFirst, onSecond] = [await a.join(topic), await b.join(topic)]
    for (const [sender, receiver] of [[onFirst, onSecond], [onSecond, onFirst]]) {
      const sent = Array.from({ length: 200 }, (_, n) => ({ n, from: sender === onFirst ? "first" : "second" }))
      for (const message of sent) sender.cast("new_msg", message)
      for (const message of sent) {
        assert.deepEqual(await sender.inbox("new_msg").next(), message)
        assert.deepEqual(await receiver.inbox("new_msg").next(), message)
      }
    }
  })
}

test("broadcast_from leaves out its sender only, on whichever node the others are", async t => {
  const [a, b] = [await connect(t, first.socketURL), await connect(t, second.socketURL)]
  const [sender, other] = [await a.join("room:from"), await b.join("room:from")]
  sender.cast("typing", { n: 1 })
  assert.deepEqual(await other.inbox("typing").next(), { n: 1 })
  other.cast("new_msg", { n: 2 }) // crosses back after it
  assert.deepEqual(await sender.inbox("new_msg").next(), { n: 2 })
  assert.equal(sender.inbox("typing").waiting, 0)
})

test("a broadcast too large for one notification crosses, and keeps its place", async t => {
  const [a, b] = [await connect(t, first.socketURL), await connect(t, second.socketURL)]
  const [sender, receiver] = [await a.join("room:large"), await b.join("room:large")]
  const sent = [10, 500_000, 20, 9_000, 30].map((length, n) => ({ n, text: "x".repeat(length) }))
  for (const message of sent) sender.cast("new_msg", message)
  for (const message of sent) assert.deepEqual(await receiver.inbox("new_msg").next(), message)
})

test("a broadcast of bytes crosses", async t => {
  const [a, b] = [await connect(t, first.socketURL), await connect(t, second.socketURL)]
  const [sender, receiver] = [await a.join("room:bytes"), await b.join("room:bytes")]
  sender.cast("bin_bcast", new Uint8Array([0, 128, 255]).buffer)
  assert.deepEqual([...new Uint8Array(await receiver.inbox("bin_bcast").next())], [0, 128, 255])
})

test("a broadcast from outside any channel reaches both nodes, intercepted events through the channel", async t => {
  const [a, b] = [await connect(t, first.socketURL, { user: "ann" }), await connect(t, second.socketURL, { user: "bob" })]
  const rooms = [await a.join("room:outside"), await b.join("room:outside")]
  await serverDoes(first, { op: "broadcast", topic: "room:outside", event: "hello", payload: { n: 1 } })
  for (const room of rooms) assert.deepEqual(await room.inbox("hello").next(), { n: 1 })
  await serverDoes(first, { op: "broadcast", topic: "room:outside", event: "filtered", payload: { to: ["bob"] } })
  assert.deepEqual(await rooms[1].inbox("filtered").next(), { to: ["bob"], seen_by: "bob" })
})

test("disconnecting a user ends their sockets on both nodes; phoenix.js comes back", async t => {
  const carol = [await connect(t, first.socketURL, { user: "carol" }), await connect(t, second.socketURL, { user: "carol" })]
  const dave = await connect(t, second.socketURL, { user: "dave" })
  await serverDoes(first, { op: "disconnect", id: "user_socket:carol" })
  for (const client of carol) {
    assert.equal((await client.closed.next()).code, 1001)
    await client.opened.next()
  }
  assert.equal(dave.closed.waiting, 0)
})

test("a long-polling session is served by whichever node its requests reach", async t => {
  const balancer = await TCPProxy.start([first.port, second.port], { rotate: true })
  t.after(() => balancer.stop())
  const other = await (await connect(t, first.socketURL)).join("room:anywhere")
  const client = await connect(t, balancer.socketURL, { transport: LongPoll })
  const room = await client.join("room:anywhere")
  for (let n = 0; n < 20; n++) {
    assert.deepEqual(await room.push("ping", { n }), { n })
    await other.push("new_msg_ack", { n })
    assert.deepEqual(await room.inbox("new_msg").next(), { n })
  }
  assert.deepEqual([client.closed.waiting, client.failed.waiting], [0, 0])
  assert.deepEqual(balancer.reached, new Set([first.port, second.port]))
})

/** Clients behind a load balancer that prefers the second node while it lives. */
async function clientsOfBothNodes(t, topic) {
  t.after(() => second.running || second.start()) // for the next test, whatever happens to this one
  const balancer = await TCPProxy.start([second.port, first.port])
  t.after(() => balancer.stop())
  const watcher = await connect(t, first.socketURL, { user: "watcher" })
  const movers = [
    await connect(t, balancer.socketURL, { user: "m1" }),
    await connect(t, balancer.socketURL, { user: "m2", transport: LongPoll }),
  ]
  const rooms = []
  for (const client of [watcher, ...movers]) rooms.push(await client.join(topic))
  return { watcher, watched: rooms[0], movers, moved: rooms.slice(1) }
}

async function allHear(rooms, sender, message) {
  await sender.push("new_msg_ack", message)
  for (const room of rooms) assert.deepEqual(await room.inbox("new_msg").next(), message)
}

test("kill -9 of a node: its clients go on at the other one, whose clients notice nothing", async t => {
  const { watcher, watched, movers, moved } = await clientsOfBothNodes(t, "room:kill")
  const all = [watched, ...moved]
  await allHear(all, moved[0], { n: 1 })

  await second.kill()
  assert.deepEqual(await watched.push("ping", { alone: true }), { alone: true })
  for (const client of movers) {
    await client.closed.next()
    await client.opened.next()
  }
  for (const room of moved) await room.joined.next()
  for (const room of all) await allHear(all, room, { after: "the kill" })
  assert.deepEqual([watcher.closed.waiting, watcher.failed.waiting, watched.errors.waiting], [0, 0, 0])

  await second.start()
  const back = await (await connect(t, second.socketURL)).join("room:kill")
  await allHear([...all, back], back, { n: 3 })
})

test("a node that stops tells its clients to go elsewhere", async t => {
  const { watcher, watched, movers, moved } = await clientsOfBothNodes(t, "room:stop")
  const exit = second.stop()
  assert.equal((await movers[0].closed.next()).code, 1012)
  await movers[1].closed.next()
  for (const client of movers) await client.opened.next()
  for (const room of moved) await room.joined.next()
  assert.equal(await exit, 0)
  await allHear([watched, ...moved], moved[0], { n: 1 })
  assert.deepEqual([watcher.closed.waiting, watcher.failed.waiting], [0, 0])
  await second.start()
})
