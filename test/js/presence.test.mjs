// Who is online in the demo's rooms on two nodes, as Presence of phoenix.js
// puts it together.
import assert from "node:assert/strict"
import { after, before, test } from "node:test"
import { Client } from "./harness/client.mjs"
import { Cluster } from "./harness/cluster.mjs"
import { Onlooker } from "./harness/onlooker.mjs"

const lobby = "room:lobby"
const goneWithinMs = 10_000 // of a killed node's users

let cluster, first, second

before(async () => {
  cluster = await Cluster.create("trunkline")
  first = await cluster.startNode()
  second = await cluster.startNode()
}, { timeout: 600_000 })
after(() => cluster?.stop())

async function watch(t, node, user, params, topic = lobby) {
  const client = await Client.connect(node.socketURL, { user })
  t.after(() => client.disconnect())
  return Onlooker.join(client, topic, params)
}

/** Waits until all see exactly these users, and the same state. */
function agree(onlookers, users) {
  const wanted = JSON.stringify(users.toSorted())
  return Onlooker.until(onlookers, `all to see ${users} alone`, () =>
    JSON.stringify(onlookers[0].users) === wanted && new Set(onlookers.map(({ state }) => JSON.stringify(state))).size === 1)
}

test("a meta tells since when, on what and whether one types", async t => {
  const ann = await watch(t, first, "ann", { device: "phone" })
  const bob = await watch(t, second, "bob")
  await agree([ann, bob], ["ann", "bob"])
  bob.news.length = 0
  const [{ online_at: since, phx_ref: ref, ...rest }] = bob.metas("ann")
  assert.ok(Math.abs(Date.now() / 1000 - since) < 60, since)
  assert.ok(ref)
  assert.deepEqual(rest, { typing: false, device: "phone", name: "ann" })
  assert.equal(bob.metas("bob")[0].device, "")

  ann.room.cast("typing")
  await bob.until("ann types", () => bob.metas("ann")[0].typing)
  assert.deepEqual(bob.metas("ann").length, 1, "an update takes the place of the old meta")
  assert.equal(bob.metas("ann")[0].phx_ref_prev, ref)
  assert.equal(bob.metas("ann")[0].online_at, since)
  await ann.room.push("new_msg", { body: "Said." })
  await bob.until("ann has stopped", () => !bob.metas("ann")[0].typing)
  await agree([ann, bob], ["ann", "bob"])
  assert.deepEqual(bob.news, [], "typing is neither coming nor leaving")
})

test("whatever happens, all see the same on both nodes, and it is what a newcomer is told", async t => {
  const [ann, bob] = [await watch(t, first, "ann"), await watch(t, second, "bob")]
  const users = [ann, bob]
  for (let n = 0; n < 6; n++) users.push(await watch(t, n % 2 ? first : second, `user ${n % 3}`, { device: `device ${n}` }))
  await agree(users, ["ann", "bob", "user 0", "user 1", "user 2"])
  await ann.until("both tabs of each", () => [0, 1, 2].every(n => ann.metas(`user ${n}`).length === 2))
  assert.equal(new Set(ann.metas("user 0").map(meta => meta.device)).size, 2)

  for (const user of users) {
    user.room.cast("typing")
    user.room.cast("typing", { typing: false })
  }
  users[3].room.cast("typing")
  await users[2].room.leave() // one tab of user 0
  await users[4].client.disconnect() // one of user 2
  await users[7].client.disconnect() // the other
  const staying = users.filter((_, n) => ![2, 4, 7].includes(n))
  await agree(staying, ["ann", "bob", "user 0", "user 1"])
  assert.deepEqual(ann.metas("user 0").map(meta => meta.device), ["device 3"])
  assert.deepEqual(ann.news.filter(([what]) => what === "left"), [["left", "user 2"]])

  const late = [await watch(t, first, "late 1"), await watch(t, second, "late 2")]
  await agree([...staying, ...late], ["ann", "bob", "user 0", "user 1", "late 1", "late 2"])
})

test("rooms do not share their members", async t => {
  const ann = await watch(t, first, "ann")
  const den = await watch(t, second, "bob", { password: "secret" }, "room:private:den")
  await agree([ann], ["ann"])
  await agree([den], ["bob"])
})

test("a killed node's users leave, the others stay, and come back with it", async t => {
  t.after(() => second.running || second.start())
  const onFirst = [await watch(t, first, "ann"), await watch(t, first, "bob")]
  const both = await watch(t, first, "dora")
  const onSecond = [await watch(t, second, "carol"), await watch(t, second, "dora")]
  await agree([...onFirst, both, ...onSecond], ["ann", "bob", "carol", "dora"])
  for (const { news } of onFirst) news.length = 0

  const killed = Date.now()
  await second.kill()
  await agree([...onFirst, both], ["ann", "bob", "dora"])
  assert.equal(onFirst[0].metas("dora").length, 1)
  assert.ok(Date.now() - killed < goneWithinMs, `gone after ${Date.now() - killed} ms`)
  for (const { news } of onFirst) assert.deepEqual(news, [["left", "carol"]], "nobody else has flickered")

  await second.start()
  await agree([...onFirst, both, ...onSecond], ["ann", "bob", "carol", "dora"])
  await onFirst[0].until("both tabs of dora", () => onFirst[0].metas("dora").length === 2)
  for (const { news } of onFirst) assert.deepEqual(news, [["left", "carol"], ["came", "carol"]])
})

test("a node that stops takes its users along at once, and who comes back on the other is there once", async t => {
  t.after(() => second.running || second.start())
  const ann = await watch(t, first, "ann")
  const carol = await watch(t, second, "carol")
  await agree([ann, carol], ["ann", "carol"])
  const stopped = Date.now()
  await second.stop()
  await agree([ann], ["ann"])
  t.diagnostic(`gone ${Date.now() - stopped} ms after SIGTERM`)
  await watch(t, first, "carol")
  await agree([ann], ["ann", "carol"])
  assert.equal(ann.metas("carol").length, 1)
})
