// The published client against one node of the conformance application.
import assert from "node:assert/strict"
import { after, before, describe, test } from "node:test"
import { LongPoll } from "phoenix"
import { Client, Refusal } from "./harness/client.mjs"
import { Cluster } from "./harness/cluster.mjs"
import { TCPProxy } from "./harness/tcp_proxy.mjs"
import { signToken } from "./harness/token.mjs"

let cluster, node

before(async () => {
  cluster = await Cluster.create("conformance")
  node = await cluster.startNode()
}, { timeout: 600_000 })
after(() => cluster?.stop())

const bytes = (...values) => new Uint8Array(values).buffer
const listOf = buffer => [...new Uint8Array(buffer)]
const refusal = (status, response) => error => {
  assert.ok(error instanceof Refusal, error)
  assert.deepEqual([error.status, error.response], [status, response])
  return true
}

/** A client that is disconnected after the test. */
async function connect(t, options) {
  const client = await Client.connect(node.socketURL, options)
  t.after(() => client.disconnect())
  return client
}

// What holds over every transport.
for (const [name, options] of [["WebSocket", {}], ["LongPoll", { transport: LongPoll }]]) {
  describe(`over ${name}`, () => {
    test("a join is answered with the channel's reply", async t => {
      const client = await connect(t, { ...options, user: "ann" })
      const room = await client.join("room:reply", { device: "phone" })
      assert.deepEqual(room.reply, { user: "ann", params: { device: "phone" } })
    })

    test("refused joins say why, and leave the socket usable", async t => {
      const client = await connect(t, options)
      await assert.rejects(client.join("room:denied"), refusal("error", { reason: "unauthorized" }))
      await assert.rejects(client.join("room:private:1", { password: "wrong" }), refusal("error", { reason: "bad password" }))
      await assert.rejects(client.join("room:crash"), refusal("error", { reason: "join crashed" }))
      await assert.rejects(client.join("nowhere"), refusal("error", { reason: "unmatched topic" }))
      const room = await client.join("room:private:1", { password: "secret" })
      assert.deepEqual(await room.push("ping", { n: 1 }), { n: 1 })
    })

    test("a push gets its reply, whatever the status", async t => {
      const room = await (await connect(t, options)).join(`room:replies:${name}`)
      assert.deepEqual(await room.push("ping", { text: "naïve ✓ 𝄞", list: [1, null, true] }), { text: "naïve ✓ 𝄞", list: [1, null, true] })
      assert.deepEqual(await room.push("ack"), {})
      await assert.rejects(room.push("fail"), refusal("error", { reason: "nope" }))
      await assert.rejects(room.push("fail_plain"), refusal("error", {}))
      assert.deepEqual(await room.push("custom_status", {}, { status: "weird" }), { a: 1 })
      assert.deepEqual(await room.push("async"), { async: true, i: 1 })
    })

    test("pushes, broadcasts and replies of one handler keep their order", async t => {
      const room = await (await connect(t, options)).join(`room:order:${name}`)
      const order = []
      for (const event of ["pushed", "bcast"]) room.channel.on(event, () => order.push(event))
      await room.push("push_and_reply", { n: 1 }).then(() => order.push("reply"))
      assert.deepEqual(order, ["pushed", "bcast", "reply"])
    })

    test("a broadcast reaches every member, its sender too, in order", async t => {
      const [a, b] = [await connect(t, { ...options, user: "ann" }), await connect(t, { ...options, user: "bob" })]
      const topic = `room:broadcast:${name}`
      const rooms = [await a.join(topic), await b.join(topic)]
      const sent = Array.from({ length: 50 }, (_, n) => ({ n }))
      for (const message of sent) rooms[0].cast("new_msg", message)
      for (const room of rooms) {
        for (const message of sent) assert.deepEqual(await room.inbox("new_msg").next(), message)
      }
    })

    test("broadcast_from leaves out its sender", async t => {
      const [a, b] = [await connect(t, options), await connect(t, options)]
      const topic = `room:from:${name}`
      const [sender, other] = [await a.join(topic), await b.join(topic)]
      sender.cast("typing", { by: "a" })
      assert.deepEqual(await other.inbox("typing").next(), { by: "a" })
      await sender.push("new_msg_ack", { n: 1 }) // what was sent before it has arrived by now
      assert.equal(sender.inbox("typing").waiting, 0)
    })

    test("after a leave nothing comes; a new join works", async t => {
      const [a, b] = [await connect(t, options), await connect(t, options)]
      const topic = `room:leave:${name}`
      const [left, stays] = [await a.join(topic), await b.join(topic)]
      const other = await a.join(`${topic}:other`)
      await left.leave()
      assert.equal(left.channel.state, "closed")
      await stays.push("new_msg_ack", { n: 1 })
      await other.push("ping")
      assert.equal(left.inbox("new_msg").waiting, 0)
      const again = await a.join(topic)
      await stays.push("new_msg_ack", { n: 2 })
      assert.deepEqual(await again.inbox("new_msg").next(), { n: 2 })
    })

    test("an intercepted event is pushed to whom the channel chooses", async t => {
      const [a, b] = [await connect(t, { ...options, user: "ann" }), await connect(t, { ...options, user: "bob" })]
      const topic = `room:intercept:${name}`
      const [ann, bob] = [await a.join(topic), await b.join(topic)]
      ann.cast("filtered", { to: ["bob"], n: 1 })
      ann.cast("filtered", { to: ["ann", "bob"], n: 2 })
      assert.deepEqual(await bob.inbox("filtered").next(), { to: ["bob"], n: 1, seen_by: "bob" })
      assert.deepEqual(await bob.inbox("filtered").next(), { to: ["ann", "bob"], n: 2, seen_by: "bob" })
      assert.deepEqual(await ann.inbox("filtered").next(), { to: ["ann", "bob"], n: 2, seen_by: "ann" })
    })

    test("a crashed channel says so, and phoenix.js joins it again; others live on", async t => {
      const client = await connect(t, { ...options, rejoinAfterMs: () => 10 })
      const [room, other] = [await client.join(`room:crashes:${name}`), await client.join(`room:lives:${name}`)]
      room.cast("no_such_event")
      assert.deepEqual(await room.errors.next(), { reason: "channel_crash" })
      await room.joined.next()
      assert.deepEqual(await room.push("ping", { n: 1 }), { n: 1 })
      assert.equal(other.errors.waiting, 0)
      assert.deepEqual(await other.push("ping", { n: 2 }), { n: 2 })
    })

    test("a channel that stops normally is closed for good", async t => {
      const room = await (await connect(t, options)).join(`room:stops:${name}`)
      assert.deepEqual(await room.push("stop_reply", { bye: true }), { bye: true })
      await room.closes.next()
      assert.equal(room.channel.state, "closed")
    })

    test("two sockets of one user are independent", async t => {
      const [a, b] = [await connect(t, options), await Client.connect(node.socketURL, options)]
      const [stays, goes] = [await a.join(`room:two:${name}`), await b.join(`room:two:${name}`)]
      await goes.push("ping")
      await b.disconnect()
      assert.deepEqual(await stays.push("ping", { n: 1 }), { n: 1 })
      assert.equal(a.closed.waiting, 0)
    })

    test("a push of bytes arrives as bytes", async t => {
      const room = await (await connect(t, options)).join(`room:bytes:${name}`)
      assert.deepEqual(await room.push("bin_len", new Uint8Array(70_000).buffer), { size: 70_000 })
    })

    test("a message of 300 kB goes both ways", async t => {
      const room = await (await connect(t, options)).join(`room:large:${name}`)
      const text = "ab✓".repeat(75_000)
      assert.deepEqual(await room.push("ping", { text }), { text })
    })

    test("authToken takes the token out of the URL", async t => {
      const client = await connect(t, { ...options, path: "/auth", params: {}, authToken: signToken("ann+/=?") })
      assert.ok(!client.socket.endPointURL().includes("token"))
      const room = await client.join("room:reply")
      assert.equal(room.reply.user, "ann+/=?")
    })

    test("a wrong, an expired and a missing token are refused", async t => {
      const good = signToken("ann")
      const wrong = {
        "changed": { token: good.slice(0, -2) + (good.endsWith("AA") ? "BB" : "AA") },
        "of another salt": { token: signToken("ann", { salt: "other" }) },
        "expired": { token: signToken("ann", { signedAt: Date.now() - 86_401_000 }) },
        "missing": {},
      }
      for (const [what, params] of Object.entries(wrong)) {
        const client = new Client(node.socketURL, { ...options, params, reconnectAfterMs: () => 10 })
        t.after(() => client.disconnect())
        client.socket.connect()
        await client.failed.next()
        await client.closed.next()
        assert.equal(client.opened.waiting, 0, `a token that is ${what} was accepted`)
      }
      const client = new Client(node.socketURL, { ...options, path: "/auth", params: {}, authToken: wrong.expired.token })
      t.after(() => client.disconnect())
      client.socket.connect()
      await client.failed.next()
      assert.equal(client.opened.waiting, 0)
    })

    test("the client reconnects when its connection breaks, rejoins, and goes on", async t => {
      const proxy = await TCPProxy.start([node.port])
      t.after(() => proxy.stop())
      const client = await Client.connect(proxy.socketURL, { ...options, user: "ann" })
      t.after(() => client.disconnect())
      const other = await (await connect(t, { user: "bob" })).join(`room:cut:${name}`)
      const room = await client.join(`room:cut:${name}`)
      for (const n of [1, 2, 3]) {
        client.closed.clear() // attempts to reconnect close, too
        proxy.down()
        await client.closed.next()
        proxy.up()
        await client.opened.next()
        await room.joined.next()
        assert.deepEqual(await room.push("ping", { n }), { n })
        await other.push("new_msg_ack", { n })
        assert.deepEqual(await room.inbox("new_msg").next(), { n })
      }
      assert.equal(room.inbox("new_msg").waiting, 0, "a rejoin must not deliver twice")
    })

    test("what is pushed while the connection is away is sent after the rejoin", async t => {
      const proxy = await TCPProxy.start([node.port])
      t.after(() => proxy.stop())
      const client = await Client.connect(proxy.socketURL, options)
      t.after(() => client.disconnect())
      const room = await client.join(`room:buffer:${name}`)
      proxy.down()
      await client.closed.next()
      const answer = room.push("ping", { n: 1 })
      proxy.up()
      assert.deepEqual(await answer, { n: 1 })
    })
  })
}

describe("over WebSocket only", () => {
  test("bytes in replies, errors, pushes and broadcasts", async t => {
    const [a, b] = [await connect(t), await connect(t)]
    const [room, other] = [await a.join("room:binary"), await b.join("room:binary")]
    assert.deepEqual(listOf(await room.push("bin", bytes(0, 1, 254, 255))), [0, 1, 254, 255])
    assert.deepEqual(listOf(await room.push("bin", bytes())), [])
    assert.equal(Buffer.from(await room.push("bin", { a: 1 })).toString(), 'text:{"a":1}')
    await assert.rejects(room.push("bin_err", bytes(9, 8)), error => {
      assert.equal(error.status, "error")
      assert.deepEqual(listOf(error.response), [9, 8])
      return true
    })
    room.cast("bin_push", bytes(1, 2))
    assert.deepEqual(listOf(await room.inbox("bin_push").next()), [1, 2])
    room.cast("bin_bcast", bytes(3, 4))
    for (const member of [room, other]) assert.deepEqual(listOf(await member.inbox("bin_bcast").next()), [3, 4])
  })

  test("heartbeats keep a connection beyond the server's timeout", async t => {
    // /fast ends connections that are silent for a second.
    const client = await connect(t, { path: "/fast", heartbeatIntervalMs: 300 })
    const room = await client.join("room:heartbeat")
    await new Promise(resolve => {
      let answered = 0
      client.socket.onMessage(({ topic }) => {
        if (topic === "phoenix" && ++answered === 5) resolve()
      })
    })
    assert.equal(client.closed.waiting, 0)
    assert.deepEqual(await room.push("ping", { n: 1 }), { n: 1 })
  })

  test("a silent connection is closed, and phoenix.js opens it again", async t => {
    const client = await connect(t, { path: "/fast" })
    const room = await client.join("room:silent")
    assert.equal((await client.closed.next()).code, 1000)
    await client.opened.next()
    await room.joined.next()
  })
})
