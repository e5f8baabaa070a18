// What the demo's page makes of durable history, in Chromium and on two server
// processes: nothing is lost, nothing is shown twice.
import assert from "node:assert/strict"
import { after, before, test } from "node:test"
import { launch, Visitor } from "./harness/browser.mjs"
import { Cluster } from "./harness/cluster.mjs"
import { TCPProxy } from "./harness/tcp_proxy.mjs"

let cluster, first, second, browser, sql

before(async () => {
  browser = await launch()
  cluster = await Cluster.create("trunkline")
  first = await cluster.startNode()
  second = await cluster.startNode()
  sql = await cluster.sql()
}, { timeout: 600_000 })
after(async () => {
  await sql?.end()
  await browser?.close()
  await cluster?.stop()
})

async function visit(t, server, user, options) {
  const visitor = await Visitor.open(browser, server.url, user, options)
  t.after(() => visitor.close())
  await visitor.isReady()
  return visitor
}

/** Has an application's transaction say so many things in a room. */
const speech = (topic, prefix, n) => sql.query(`
  select trunkline.publish($1, 'new_msg', jsonb_build_object('body', $2 || ' ' || n, 'user_id', 'carol', 'at', now()))
  from generate_series(1, $3::integer) n`, [topic, prefix, n])
const numbered = (prefix, from, to) => Array.from({ length: to - from + 1 }, (_, n) => `${prefix} ${from + n}`)

test("scrolling back brings what was said before, page by page, and keeps the place", async t => {
  const watcher = await visit(t, first, "watcher")
  await speech("room:lobby", "old", 180)
  await watcher.hears("carol", "old 180")

  const ann = await visit(t, second, "ann")
  const texts = () => ann.log.locator(".message .text").allTextContents()
  await ann.hears("carol", "old 180")
  assert.deepEqual(await texts(), numbered("old", 131, 180), "the newest come with the join")
  assert.ok(await ann.isAtEnd())
  assert.equal(await ann.page.getByRole("button", { name: "Newest" }).isVisible(), false)

  const oldest = ann.log.getByText("old 131", { exact: true })
  await ann.scrollTo(0) // so that a page is needed
  await ann.hears("carol", "old 81")
  const box = await oldest.boundingBox()
  const view = await ann.log.boundingBox()
  assert.ok(box.y >= view.y && box.y < view.y + 120, `what was read first stays where it was, not at ${box.y}`)

  await ann.page.getByRole("button", { name: "Newest" }).waitFor()
  await ann.screenshot("history")
  await watcher.say("Ann is reading old things.")
  await ann.page.getByRole("button", { name: "1 new" }).waitFor()
  assert.ok(!await ann.isAtEnd(), "a new message does not pull the reader away")

  while (!await ann.log.getByText("This is the beginning of Lobby.").isVisible()) {
    const shown = (await texts()).length
    await ann.scrollTo(0)
    await ann.page.waitForFunction(n => document.querySelectorAll(".log:not([hidden]) .message").length > n
      || [...document.querySelectorAll(".beginning")].some(p => p.checkVisibility()), shown)
  }
  assert.deepEqual(await texts(), [...numbered("old", 1, 180), "Ann is reading old things."])
  await ann.page.getByRole("button", { name: "1 new" }).click()
  await ann.page.getByRole("button", { name: "Lobby", exact: true }).waitFor() // nothing unread
  assert.ok(await ann.isAtEnd())
  for (const visitor of [ann, watcher]) visitor.hasNoComplaints()
})

test("a reload shows what was said", async t => {
  const ann = await visit(t, first, "ann")
  await ann.say("Will this stay?")
  await ann.hears("You", "Will this stay?")
  await ann.page.reload()
  await ann.isReady()
  await ann.hears("You", "Will this stay?")
  assert.ok(await ann.isAtEnd())
  ann.hasNoComplaints()
})

test("an edit and a deletion are seen by others at once, and after a reload", async t => {
  const [ann, bob] = [await visit(t, first, "ann"), await visit(t, second, "bob")]
  for (const text of ["I like tee.", "Forget this."]) {
    await ann.say(text)
    await bob.hears("ann", text)
  }
  await bob.messageWith("I like tee.").hover()
  assert.equal(await bob.messageWith("I like tee.").getByRole("button").count(), 0, "it is not Bob's")

  await ann.messageWith("I like tee.").hover()
  await ann.messageWith("I like tee.").getByRole("button", { name: "Edit" }).click()
  const editor = ann.page.getByLabel("Edit message")
  await editor.fill("  ")
  await editor.press("Enter")
  await ann.log.getByText("The message can't be blank.").waitFor()
  await editor.press("Escape")
  await ann.hears("You", "I like tee.")
  await ann.messageWith("I like tee.").getByRole("button", { name: "Edit" }).press("Enter") // has the focus again
  await editor.fill("I like tea.")
  await ann.screenshot("edit")
  await editor.press("Enter")
  await bob.hears("ann", "I like tea.")
  await bob.messageWith("I like tea.").getByText("edited", { exact: true }).waitFor()
  assert.equal(await bob.messageWith("I like tee.").count(), 0)

  const doomed = ann.messageWith("Forget this.")
  await doomed.hover()
  await doomed.getByRole("button", { name: "Delete" }).click()
  await ann.page.getByRole("dialog").getByRole("button", { name: "Keep it" }).click()
  await doomed.getByRole("button", { name: "Delete" }).click()
  await ann.screenshot("delete")
  await ann.page.getByRole("dialog").getByRole("button", { name: "Delete" }).click()
  for (const visitor of [ann, bob]) {
    await visitor.log.getByText("Message deleted", { exact: true }).waitFor()
    assert.equal(await visitor.messageWith("Forget this.").count(), 0)
  }
  await bob.page.reload()
  await bob.isReady()
  await bob.messageWith("I like tea.").getByText("edited", { exact: true }).waitFor()
  await bob.log.getByText("Message deleted", { exact: true }).waitFor()
  await bob.screenshot("edited-and-deleted")
  for (const visitor of [ann, bob]) visitor.hasNoComplaints()
})

test("a room counts what is unread, also what came while the page was away", async t => {
  const proxy = await TCPProxy.start([second.port])
  t.after(() => proxy.stop())
  const [ann, bob] = [await visit(t, first, "ann"), await visit(t, proxy, "bob")]
  for (const visitor of [ann, bob]) await visitor.enterDen()
  const den = bob.page.getByRole("button", { name: "Den" })
  const badge = n => bob.page.getByRole("button", { name: n ? `Den, private, ${n} unread` : "Den, private", exact: true }).waitFor()
  await ann.say("Read at once.")
  await bob.hears("ann", "Read at once.")
  await bob.page.getByRole("button", { name: "Lobby" }).click()
  await badge(0)
  for (const n of [1, 2]) await ann.say(`While Bob is in the lobby, ${n}.`)
  await badge(2)

  proxy.down()
  await bob.isShown("reconnecting")
  for (const n of [1, 2, 3]) await ann.say(`While Bob is away, ${n}.`)
  await ann.hears("You", "While Bob is away, 3.")
  await badge(2)
  proxy.up()
  await badge(5)
  await bob.screenshot("unread")

  await den.click()
  await bob.hears("ann", "While Bob is away, 3.")
  await badge(0)
  await bob.page.getByRole("button", { name: "Lobby" }).click()
  await ann.say("One more.")
  await badge(1)
  await ann.messageWith("One more.").hover()
  await ann.messageWith("One more.").getByRole("button", { name: "Delete" }).click()
  await ann.page.getByRole("dialog").getByRole("button", { name: "Delete" }).click()
  await badge(0)
  ann.hasNoComplaints()
})

test("a server is killed and comes back: each gets each message once, in order", async t => {
  t.after(() => second.running || second.start())
  const [ann, bob] = [await visit(t, first, "ann"), await visit(t, second, "bob")]
  const said = numbered("before the end", 1, 3)
  for (const text of said) await ann.say(text)
  await bob.hears("ann", said[2])
  await second.kill()
  await bob.isShown("reconnecting")
  // More than a page, so that the rest follows as events.
  await speech("room:lobby", "meanwhile", 150)
  await ann.hears("carol", "meanwhile 150")
  for (const n of [1, 2]) await bob.say(`from afar ${n}`)
  await second.start()
  await bob.isReady()
  const all = [...said, ...numbered("meanwhile", 1, 150), ...numbered("from afar", 1, 2)]
  for (const visitor of [ann, bob]) {
    await visitor.messageWith("from afar 2").locator(".author", { hasText: visitor === bob ? "You" : "bob" }).waitFor({ state: "attached" })
    await visitor.nothingIsPending()
    const texts = await visitor.log.locator(".message .text").allTextContents()
    assert.deepEqual(texts.slice(-all.length), all)
  }
  ann.hasNoComplaints()
})

test("a message without an answer is shown as failed; a retry does not say it twice", async t => {
  const ann = await Visitor.open(browser, first.url, "ann", {}, async page => {
    await page.clock.install()
    await page.routeWebSocket(/\/socket\//, async route => {
      const server = route.connectToServer()
      route.onMessage(message => {
        const [, , , event, payload] = JSON.parse(message)
        if (event === "new_msg") pushed.push(payload)
        if (event === "new_msg" && drop === "push") return
        server.send(message)
      })
      server.onMessage(message => {
        const [, , topic, event, payload] = JSON.parse(message)
        const answersMessage = event === "phx_reply" && topic === "room:lobby" && payload.response.id !== undefined
        if (!(answersMessage && drop === "answer")) route.send(message)
      })
    })
  })
  let drop = "push"
  const pushed = []
  t.after(() => ann.close())
  await ann.isReady()
  await ann.say("Lost on its way.")
  await ann.pending.getByText("Sending").waitFor()
  await ann.page.clock.fastForward(10_000)
  await ann.pending.getByText("The server did not answer.").waitFor()
  await ann.screenshot("failed")
  drop = ""
  await ann.pending.getByRole("button", { name: "Retry" }).click()
  await ann.hears("You", "Lost on its way.")
  await ann.nothingIsPending()

  drop = "answer"
  await ann.say("Its answer is lost.")
  await ann.hears("You", "Its answer is lost.")
  drop = ""
  await ann.page.clock.fastForward(10_000)
  await ann.nothingIsPending()
  assert.equal(await ann.messageWith("Its answer is lost.").count(), 1)
  assert.equal(pushed.length, 4)
  assert.deepEqual(pushed[0], pushed[1])
  assert.deepEqual(pushed[2], pushed[3])
  assert.notEqual(pushed[0].key, pushed[2].key)
  ann.hasNoComplaints()
})

test("a stream that has begun anew replaces what was shown", async t => {
  const bob = await visit(t, second, "bob")
  await bob.enterDen()
  await bob.say("Of the old stream.")
  await bob.hears("You", "Of the old stream.")
  await sql.query("with gone as (delete from trunkline.topics where name = 'room:private:den' returning id) delete from trunkline.messages m using gone where m.topic_id = gone.id")
  await speech("room:private:den", "new stream", 2)
  await bob.hears("carol", "new stream 2")
  assert.deepEqual(await bob.log.locator(".message .text").allTextContents(), numbered("new stream", 1, 2))
})
