// Who is online, as the demo's page shows it, in Chromium and on two server
// processes.
import assert from "node:assert/strict"
import { after, before, test } from "node:test"
import { launch, Visitor } from "./harness/browser.mjs"
import { Cluster } from "./harness/cluster.mjs"
import { TCPProxy } from "./harness/tcp_proxy.mjs"

let cluster, first, second, browser

before(async () => {
  browser = await launch()
  cluster = await Cluster.create("trunkline")
  first = await cluster.startNode()
  second = await cluster.startNode()
}, { timeout: 600_000 })
after(async () => {
  await browser?.close()
  await cluster?.stop()
})

const phone = { viewport: { width: 390, height: 760 }, isMobile: true, hasTouch: true }

async function visit(t, server, user, options) {
  const visitor = await Visitor.open(browser, server.url, user, options)
  t.after(() => visitor.close())
  await visitor.isReady()
  return visitor
}

test("users on two servers see each other come, type and go", async t => {
  const ann = await visit(t, first, "ann")
  await ann.sees("ann you, computer")
  const bob = await visit(t, second, "bob", { ...phone, colorScheme: "dark" })
  await ann.sees("ann you, computer", "bob, phone")
  await bob.sees("bob you, phone", "ann, computer")
  assert.equal(await ann.page.locator("#people-count").textContent(), "2")
  assert.equal(await ann.page.locator("#people-news").textContent(), "bob has joined.")

  const box = bob.page.getByLabel("Message", { exact: true })
  await box.pressSequentially("Hm")
  await ann.sees("ann you, computer", "bob, typing")
  await ann.page.getByText("bob is typing").waitFor()
  await ann.screenshot("online")
  await box.clear()
  await ann.sees("ann you, computer", "bob, phone")
  await ann.page.getByText("bob is typing").waitFor({ state: "detached" })

  await box.pressSequentially("Hello")
  await ann.sees("ann you, computer", "bob, typing")
  await bob.page.getByRole("button", { name: "Send" }).click()
  await ann.hears("bob", "Hello")
  await ann.sees("ann you, computer", "bob, phone")
  await box.pressSequentially("And") // and nothing more: silence ends it, too
  await ann.page.getByText("bob is typing").waitFor()
  await ann.page.getByText("bob is typing").waitFor({ state: "detached" })

  await bob.page.getByText("Online", { exact: true }).click() // folded on a phone
  await bob.page.getByText("bob you").waitFor()
  await bob.screenshot("phone-online")
  const complaints = bob.complaints
  await bob.close()
  await ann.sees("ann you, computer")
  assert.equal(await ann.page.locator("#people-news").textContent(), "bob has left.")
  assert.deepEqual(complaints, [])
  ann.hasNoComplaints()
})

test("several tabs of a user are one user", async t => {
  const [ann, bob] = [await visit(t, first, "ann"), await visit(t, second, "bob")]
  await ann.sees("ann you, computer", "bob, computer")
  const second1 = await bob.secondTab()
  await ann.sees("ann you, computer", "bob, computer, 2 tabs")
  await bob.sees("bob you, computer, 2 tabs", "ann, computer")
  const other = await visit(t, first, "bob", phone) // on another server, too
  await ann.sees("ann you, computer", "bob, computer and phone, 3 tabs")

  await second1.getByLabel("Message", { exact: true }).pressSequentially("Hm")
  await ann.sees("ann you, computer", "bob, typing, 3 tabs")
  await ann.screenshot("tabs")
  assert.equal(await bob.page.locator("#typing").textContent(), "", "one is not told of one's own typing")
  await second1.close()
  await ann.sees("ann you, computer", "bob, computer and phone, 2 tabs")
  await other.close()
  await ann.sees("ann you, computer", "bob, computer")
  await bob.page.reload()
  await bob.sees("bob you, computer", "ann, computer")
  await ann.sees("ann you, computer", "bob, computer")
  for (const visitor of [ann, bob]) visitor.hasNoComplaints()
})

test("each room has its own people, and leaving one is seen", async t => {
  const [ann, bob] = [await visit(t, first, "ann"), await visit(t, second, "bob")]
  await ann.enterDen()
  await ann.sees("ann you, computer")
  await bob.enterDen()
  await ann.sees("ann you, computer", "bob, computer")
  await bob.page.getByRole("button", { name: "Leave room" }).click()
  await ann.sees("ann you, computer")
  await bob.sees("bob you, computer", "ann, computer") // in the lobby
  await bob.enterDen()
  await ann.sees("ann you, computer", "bob, computer")
  for (const visitor of [ann, bob]) visitor.hasNoComplaints()
})

test("a killed server's users go, and are there once when they are back, there or elsewhere", async t => {
  t.after(() => second.running || second.start())
  const proxy = await TCPProxy.start([second.port, first.port])
  t.after(() => proxy.stop())
  const [ann, bob, zoe] = [await visit(t, first, "ann"), await visit(t, second, "bob"), await visit(t, proxy, "zoe")]
  const all = ["bob, computer", "zoe, computer"]
  await ann.sees("ann you, computer", ...all)
  await second.kill()
  await bob.isShown("reconnecting")
  await bob.page.locator("#people[data-stale=true]").waitFor()
  await bob.screenshot("stale")
  await ann.sees("ann you, computer", "zoe, computer") // who has come to the first one
  await zoe.sees("zoe you, computer", "ann, computer")
  assert.equal(await ann.page.locator("#people-news").textContent(), "bob has left.")

  await second.start()
  await bob.isReady()
  await ann.sees("ann you, computer", ...all)
  await bob.sees("bob you, computer", "ann, computer", "zoe, computer")
  await zoe.sees("zoe you, computer", "ann, computer", "bob, computer")
  await bob.page.locator("#people[data-stale=false]").waitFor()
  ann.hasNoComplaints()
})
