// The demo's page in Chromium: users in contexts of their own, on different
// server processes.
import assert from "node:assert/strict"
import { after, before, test } from "node:test"
import { launch, Visitor } from "./harness/browser.mjs"
import { Cluster } from "./harness/cluster.mjs"

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

/** A visitor who is in the lobby and gets notifications. */
async function visit(t, server, user, options) {
  const visitor = await Visitor.open(browser, server.url, user, options)
  t.after(() => visitor.close())
  await visitor.isReady()
  return visitor
}

test("two users on two servers chat", async t => {
  const [ann, bob] = [await visit(t, first, "ann"), await visit(t, second, "bob", { colorScheme: "dark" })]
  await ann.say("Hello Bob, are you on the other server?")
  await bob.hears("ann", "Hello Bob, are you on the other server?")
  await ann.hears("You", "Hello Bob, are you on the other server?")
  assert.equal(await ann.page.getByLabel("Message", { exact: true }).inputValue(), "")
  await bob.say("I am. Nothing between us but one Postgres.")
  await ann.hears("bob", "I am. Nothing between us but one Postgres.")

  const typing = bob.page.getByText("ann is typing")
  await ann.page.getByLabel("Message", { exact: true }).pressSequentially("And")
  await typing.waitFor()
  assert.equal(await ann.page.locator("#typing").textContent(), "", "one is not told of one's own typing")
  await ann.say("And it keeps up.")
  await bob.hears("ann", "And it keeps up.")
  await typing.waitFor({ state: "detached" })

  await cluster.command("broadcast", "room:lobby", "announcement", '{"body":"The server will be updated at noon."}')
  for (const visitor of [ann, bob]) {
    await visitor.log.locator(".announcement").getByText("The server will be updated at noon.").waitFor()
  }

  const markup = '<img src=x onerror="document.title=1"><b>bold</b>'
  await bob.say(markup)
  await ann.hears("bob", markup)
  assert.equal(await ann.page.title(), "Trunkline chat")

  for (const [level, body] of [["info", "Ben invited you to Den."], ["critical", "Your disk is full."]]) {
    await cluster.command("broadcast", "notifications:ann", "notification", JSON.stringify({ level, body }))
    await ann.page.locator("#notification-list").getByText(body).waitFor()
  }
  await ann.page.getByLabel("Message", { exact: true }).pressSequentially("See")
  await bob.page.getByText("ann is typing").waitFor()
  await ann.screenshot("chat-light")
  await bob.screenshot("chat-dark")
  for (const visitor of [ann, bob]) visitor.hasNoComplaints()
})

test("the private room lets in who knows the password", async t => {
  const [ann, bob] = [await visit(t, first, "ann"), await visit(t, second, "bob")]
  const enter = async (visitor, password) => {
    await visitor.page.getByLabel("Password").fill(password)
    await visitor.page.getByRole("dialog").getByRole("button", { name: "Enter" }).click()
  }
  for (const visitor of [ann, bob]) {
    await visitor.page.getByRole("button", { name: "Den" }).click()
    await enter(visitor, "guess")
    await visitor.page.getByText("That is not the password.").waitFor()
  }
  await ann.screenshot("password")
  for (const visitor of [ann, bob]) {
    await enter(visitor, "secret")
    await visitor.page.getByRole("heading", { name: "Den" }).waitFor()
  }
  await ann.say("Just us.")
  await bob.hears("ann", "Just us.")

  // In the lobby one is told of what happens in the den.
  await bob.page.getByRole("button", { name: "Lobby" }).click()
  await ann.say("Bob?")
  await bob.page.getByRole("button", { name: "Den, private, 1 unread" }).click()
  await bob.hears("ann", "Bob?")

  await bob.page.getByRole("button", { name: "Leave room" }).click()
  await bob.page.getByRole("heading", { name: "Lobby" }).waitFor()
  await bob.page.getByRole("button", { name: "Den" }).click()
  await bob.page.getByLabel("Password").waitFor() // it asks again
  await bob.page.getByRole("button", { name: "Cancel" }).click()
  await bob.page.getByRole("heading", { name: "Lobby" }).waitFor()
  for (const visitor of [ann, bob]) visitor.hasNoComplaints()
})

test("the page tells when its server is gone, and comes back by itself with all that was said", async t => {
  t.after(() => second.running || second.start())
  const [ann, bob] = [await visit(t, first, "ann"), await visit(t, second, "bob")]
  await second.kill()
  await bob.isShown("reconnecting")
  await bob.page.getByText(/^Reconnecting, attempt [2-9]/).waitFor()
  await bob.say("Written while away.")
  await bob.pending.getByText("Waiting for the connection").waitFor()
  await bob.page.getByLabel("Message", { exact: true }).fill("a draft")
  await bob.screenshot("reconnecting")
  for (const n of [1, 2, 3]) {
    await ann.say(`Bob is away, ${n}.`)
    await ann.hears("You", `Bob is away, ${n}.`)
  }
  assert.equal(await ann.connection.textContent(), "Connected")

  await second.start()
  await bob.isReady()
  for (const n of [1, 2, 3]) await bob.hears("ann", `Bob is away, ${n}.`)
  await bob.hears("You", "Written while away.")
  await bob.nothingIsPending()
  await ann.hears("bob", "Written while away.")
  assert.equal(await bob.page.getByLabel("Message", { exact: true }).inputValue(), "a draft")
  await bob.say("Here I am again.")
  await ann.hears("bob", "Here I am again.")
  await ann.say("Welcome back.")
  await bob.hears("ann", "Welcome back.")
  ann.hasNoComplaints()
  // A browser reports refused connections by itself; nothing else is to be heard.
  for (const complaint of bob.complaints) assert.match(complaint, /net::ERR_|WebSocket connection to/)
})

test("messages that cannot be sent stay in the box with the reason", async t => {
  const ann = await visit(t, first, "ann")
  const box = ann.page.getByLabel("Message", { exact: true })
  await ann.say("   ")
  await ann.page.getByText("The message can't be blank.").waitFor()
  await ann.say("x".repeat(4001))
  await ann.page.getByText("The message should be at most 4000 character(s).").waitFor()
  assert.equal((await box.inputValue()).length, 4001)
  await box.fill("two\nlines")
  await ann.page.getByText("The message should be").waitFor({ state: "detached" })
  await box.press("Enter")
  await ann.hears("You", "two\nlines")
  ann.hasNoComplaints()
})

test("levels decide which notifications are shown, also after a reconnect", async t => {
  const ann = await visit(t, first, "ann")
  const list = ann.page.locator("#notification-list")
  const notify = (level, body) => cluster.command("broadcast", "notifications:ann", "notification", JSON.stringify({ level, body }))
  await notify("info", "first")
  await list.getByText("first").waitFor()
  await ann.page.getByLabel("info").uncheck()
  await ann.levelsAreSettled()
  const reconnected = ann.page.waitForEvent("websocket")
  await cluster.command("disconnect", "user_socket:ann")
  await reconnected
  await ann.isReady()
  await notify("info", "hidden")
  await notify("warning", "shown")
  await list.getByText("shown").waitFor()
  assert.equal(await list.getByText("hidden").count(), 0)
  ann.hasNoComplaints()
})

test("a visitor without a name is asked for one, which the server checks", async t => {
  const visitor = await Visitor.open(browser, first.url)
  t.after(() => visitor.close())
  const name = visitor.page.getByRole("textbox", { name: "Name" })
  await name.fill("not a name")
  await name.press("Enter")
  await visitor.page.getByText("The name should be 1 to 32 letters").waitFor()
  await visitor.screenshot("name")
  await name.fill("zoë")
  await name.press("Enter")
  await visitor.isShown("open")
  assert.equal(await visitor.page.locator("#me-name").textContent(), "zoë")
  await visitor.page.reload() // the name is remembered
  await visitor.isShown("open")
  await visitor.page.getByRole("button", { name: "Change name" }).click()
  await name.waitFor()
  for (const complaint of visitor.complaints) assert.match(complaint, /status of 400/) // the refused name
})

test("on a phone, and over long polling", async t => {
  const ann = await visit(t, first, "ann&transport=longpoll", { viewport: { width: 390, height: 760 }, isMobile: true, hasTouch: true, colorScheme: "dark" })
  const bob = await visit(t, second, "bob", { viewport: { width: 390, height: 760 }, isMobile: true, hasTouch: true })
  await ann.say("Written on a phone, sent by long polling.")
  await bob.hears("ann", "Written on a phone, sent by long polling.")
  await bob.say("Read on a phone. " + "A long message wraps as it should. ".repeat(4))
  await ann.hears("bob", ("Read on a phone. " + "A long message wraps as it should. ".repeat(4)).trim())
  const sideways = await ann.page.evaluate(() => document.documentElement.scrollWidth > innerWidth)
  assert.equal(sideways, false, "the page scrolls sideways")
  await ann.screenshot("phone-dark")
  await bob.screenshot("phone-light")
  for (const visitor of [ann, bob]) visitor.hasNoComplaints()
})
