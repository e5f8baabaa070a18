// The demo's channels on two nodes, and the command line beside them.
import assert from "node:assert/strict"
import { after, before, test } from "node:test"
import { Client, Refusal } from "./harness/client.mjs"
import { Cluster } from "./harness/cluster.mjs"

let cluster, first, second

before(async () => {
  cluster = await Cluster.create("trunkline")
  first = await cluster.startNode()
  second = await cluster.startNode()
}, { timeout: 600_000 })
after(() => cluster?.stop())

async function connect(t, node, user, options) {
  const client = await Client.connect(node.socketURL, { user, ...options })
  t.after(() => client.disconnect())
  return client
}

const refusedWith = response => error => {
  assert.ok(error instanceof Refusal, error)
  assert.deepEqual(error.response, response)
  return true
}

test("a message is answered ok and reaches everybody, with who and when", async t => {
  const ann = await (await connect(t, first, "ann")).join("room:lobby")
  const bob = await (await connect(t, second, "bob")).join("room:lobby")
  const { id, ...nothing } = await ann.push("new_msg", { body: "<b>Hello</b> ✓", user_id: "mallory" })
  assert.deepEqual(nothing, {})
  assert.ok(Number.isInteger(id) && id > 0, id)
  for (const room of [ann, bob]) {
    const { at, ...rest } = await room.inbox("new_msg").next()
    assert.deepEqual(rest, { id, body: "<b>Hello</b> ✓", user_id: "ann" })
    assert.ok(Math.abs(Date.now() - Date.parse(at)) < 60_000, at)
  }
})

test("a message that cannot be is answered with field errors", async t => {
  const room = await (await connect(t, first, "ann")).join("room:lobby")
  const bad = [
    [{ body: "" }, "can't be blank"],
    [{ body: " \n\t" }, "can't be blank"],
    [{}, "can't be blank"],
    [{ body: 7 }, "is invalid"],
    [["body"], "is invalid"],
    [{ body: "ä".repeat(4001) }, "should be at most 4000 character(s)"],
  ]
  for (const [payload, problem] of bad) {
    await assert.rejects(room.push("new_msg", payload), refusedWith({ errors: { body: [problem] } }))
  }
  const { id } = await room.push("new_msg", { body: "ä".repeat(4000) })
  assert.equal(id, room.reply.last_id + 1, "what was refused took no id")
})

test("typing reaches the others, ping is echoed, an unknown event is an error", async t => {
  const ann = await (await connect(t, first, "ann")).join("room:lobby")
  const bob = await (await connect(t, second, "bob")).join("room:lobby")
  ann.cast("typing")
  assert.deepEqual(await bob.inbox("typing").next(), { user_id: "ann" })
  assert.deepEqual(await ann.push("ping", { n: [1] }), { n: [1] })
  assert.equal(ann.inbox("typing").waiting, 0)
  await assert.rejects(ann.push("announcement", { body: "forged" }), refusedWith({ reason: "unknown event" }))
  assert.deepEqual(await ann.push("ping"), {}) // the channel lives
})

test("rooms other than the lobby are closed, private ones take the password", async t => {
  const client = await connect(t, first, "ann")
  for (const topic of ["room:", "room:other", "room:private:", "room:lobby:2"]) {
    await assert.rejects(client.join(topic), refusedWith({ reason: "unauthorized" }), topic)
  }
  for (const params of [{}, { password: "Secret" }, { password: ["secret"] }, "secret"]) {
    await assert.rejects(client.join("room:private:7", params), refusedWith({ reason: "bad password" }))
  }
  const room = await client.join("room:private:7", { password: "secret" })
  assert.deepEqual(await room.push("new_msg", { body: "in" }), { id: room.reply.last_id + 1 })
})

test("notifications are for their user, of the levels that the user wants", async t => {
  const client = await connect(t, second, "ann")
  for (const topic of ["notifications:bob", "notifications:", "notifications:ann:x"]) {
    await assert.rejects(client.join(topic), refusedWith({ reason: "unauthorized" }), topic)
  }
  await assert.rejects(client.join("notifications:ann", { levels: "all" }), refusedWith({ errors: { levels: ["must be a list of strings"] } }))

  const channel = await client.join("notifications:ann", { levels: ["warning"] })
  assert.deepEqual(channel.reply, { levels: ["warning"] })
  const notify = (level, body) => cluster.command("broadcast", "notifications:ann", "notification", JSON.stringify({ level, body }))
  await notify("info", "not wanted")
  await notify("warning", "disk nearly full")
  assert.deepEqual(await channel.inbox("notification").next(), { level: "warning", body: "disk nearly full" })

  assert.deepEqual(await channel.push("subscribe_levels", { levels: ["info", "critical"] }), { levels: ["info", "critical"] })
  await notify("warning", "no longer wanted")
  await notify("info", "wanted now")
  assert.deepEqual(await channel.inbox("notification").next(), { level: "info", body: "wanted now" })
  await assert.rejects(channel.push("subscribe_levels", { levels: [""] }), refusedWith({ errors: { levels: ["each should be 1 to 40 byte(s)"] } }))
  await notify("critical", "the levels stay")
  assert.deepEqual(await channel.inbox("notification").next(), { level: "critical", body: "the levels stay" })
})

test("the command line announces to every node and disconnects a user", async t => {
  const [ann, bob] = [await connect(t, first, "ann"), await connect(t, second, "bob")]
  const rooms = [await ann.join("room:lobby"), await bob.join("room:lobby")]
  await cluster.command("broadcast", "room:lobby", "announcement", '{"body":"Back at noon"}')
  for (const room of rooms) assert.deepEqual(await room.inbox("announcement").next(), { body: "Back at noon" })
  await cluster.command("disconnect", "user_socket:bob")
  assert.equal((await bob.closed.next()).code, 1001)
  await rooms[1].joined.next()
  assert.equal(ann.closed.waiting, 0)
})

test("tokens come from the command line or from the page's endpoint, as parameter or as authToken", async t => {
  const signed = (await cluster.command("token", "sign", "cleo")).trim()
  const answer = await fetch(`${first.url}/demo/token?user=cleo`)
  const { token, user_id: userID } = await answer.json()
  assert.equal(userID, "cleo")
  for (const options of [{ params: { token: signed } }, { params: { token } }, { params: {}, authToken: token }, { params: {}, authToken: signed }]) {
    const room = await (await connect(t, second, "cleo", options)).join("room:lobby")
    await room.push("new_msg", { body: "here" })
    assert.equal((await room.inbox("new_msg").next()).user_id, "cleo")
  }
  for (const name of ["", " ", "a b", "-x", "x".repeat(33), "a:b", "<i>"]) {
    const refused = await fetch(`${first.url}/demo/token?user=${encodeURIComponent(name)}`)
    assert.equal(refused.status, 400, name)
    assert.equal((await refused.json()).errors.user.length, 1)
  }
})
