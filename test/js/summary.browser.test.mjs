// The demo's summary of a room in Chromium: asked for by a button, made by a
// job on one of two server processes.
import assert from "node:assert/strict"
import { after, before, test } from "node:test"
import { launch, Visitor } from "./harness/browser.mjs"
import { Cluster } from "./harness/cluster.mjs"
import { TCPProxy } from "./harness/tcp_proxy.mjs"

const answerWithinMs = 40_000

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

/** What a visitor sees of the summary. */
class Panel {
  constructor({ page }) {
    this.page = page
    this.button = page.getByRole("button", { name: "Summarise this room" })
    this.element = page.getByRole("region", { name: "Summary of" })
    this.progress = this.element.getByRole("progressbar")
    this.lead = this.element.locator(".lead")
    this.dismissal = this.element.getByRole("button", { name: "Dismiss" })
  }

  isShown(state) {
    return this.page.locator(`#summary[data-state=${state}]`).waitFor({ timeout: answerWithinMs })
  }

  /** Waits until the server has told that the job runs. Resolves to the name of its node. */
  async isUnderWay() {
    const step = this.element.locator(".step", { hasText: ", on " })
    await step.waitFor({ timeout: answerWithinMs })
    return (await step.textContent()).split(", on ")[1]
  }

  /** What those who listen are told. */
  get news() {
    return this.page.locator("#summary-news").textContent()
  }

  fact(term) {
    return this.element.locator(".facts div", { has: this.page.getByText(term, { exact: true }) }).locator("dd").textContent()
  }
}

test("the button tells how far it is, and then what was said, while the room goes on", async t => {
  const [ann, bob] = [await visit(t, first, "ann"), await visit(t, second, "bob", { ...phone, colorScheme: "dark" })]
  const [panel, other] = [new Panel(ann), new Panel(bob)]
  await panel.button.click()
  await panel.isShown("done")
  assert.equal(await panel.lead.textContent(), "Nothing has been said here yet.")
  await panel.dismissal.click()
  await panel.element.waitFor({ state: "detached" })
  assert.ok(await panel.button.evaluate(button => button === document.activeElement), "the focus goes back to the button")

  await ann.say("Where is the lantern?")
  await ann.hears("You", "Where is the lantern?")
  await bob.say("The lantern hangs in the harbour, left of the crane.")
  await bob.say("<b>Left</b> of it.")
  for (const [visitor, author] of [[ann, "bob"], [bob, "You"]]) await visitor.hears(author, "<b>Left</b> of it.")

  await panel.button.press("Enter")
  await panel.isUnderWay()
  assert.equal(await panel.button.getAttribute("aria-disabled"), "true")
  assert.equal(await panel.news, "Summarising this room.")
  await bob.say("And we talk on.")
  await ann.hears("bob", "And we talk on.")
  assert.equal(await panel.progress.isVisible(), true, "the room did not wait for the job")
  const percents = new Set()
  while (await panel.progress.isVisible()) {
    const percent = await panel.progress.evaluate(bar => bar.value, null, { timeout: 500 }).catch(() => 100)
    if (percent === 50 && !percents.has(50)) await ann.screenshot("summary-progress")
    percents.add(percent)
    await ann.page.waitForTimeout(50)
  }
  assert.ok(percents.size > 1, `only ${[...percents]} %`)

  await panel.isShown("done")
  assert.match(await panel.lead.textContent(), /^[34] messages by 2 people, most of all by bob \([23]\)\.$/)
  assert.equal(await panel.news, await panel.lead.textContent())
  assert.match(await panel.fact("Who wrote"), /^bob [23], ann 1$/)
  assert.match(await panel.fact("Longest message"), /^bob, 52 characters: The lantern hangs in the harbour, left of the crane\.$/)
  assert.match(await panel.fact("Most used words"), /^lantern 2, left 2, /)
  assert.match(await panel.fact("Busiest hour"), /^from .+, [34] messages$/)
  await ann.screenshot("summary")
  assert.equal(await other.element.count(), 0, "bob did not ask")

  await other.button.click()
  await other.isUnderWay()
  await other.element.locator("progress[value='50']").waitFor()
  await bob.screenshot("phone-summary-progress")
  await other.isShown("done")
  assert.ok(await bob.isAtEnd(), "the newest message stays in view")
  assert.equal(await bob.page.locator("#newest").isVisible(), false)
  const sideways = await bob.page.evaluate(() => document.documentElement.scrollWidth > innerWidth)
  assert.equal(sideways, false, "the page scrolls sideways")
  await bob.screenshot("phone-summary")
  for (const visitor of [ann, bob]) visitor.hasNoComplaints()
})

test("each room has its own summary, and one that was dismissed does not come", async t => {
  const ann = await visit(t, first, "ann")
  const panel = new Panel(ann)
  await panel.button.click()
  await panel.isUnderWay()
  await ann.enterDen()
  await panel.element.waitFor({ state: "detached" })
  await panel.button.click()
  await panel.isUnderWay()
  await panel.dismissal.click()
  await panel.element.waitFor({ state: "detached" })
  await ann.page.getByRole("button", { name: "Lobby" }).click()
  await panel.isShown("done")
  assert.match(await panel.lead.textContent(), /people/)
  await ann.page.getByRole("button", { name: "Den" }).click()
  await panel.button.click() // what comes is the answer to this
  await panel.isUnderWay()
  await panel.isShown("done")
  ann.hasNoComplaints()
})

test("a cut connection and a killed server do not lose it", async t => {
  t.after(() => second.running || second.start())
  const proxy = await TCPProxy.start([second.port, first.port])
  t.after(() => proxy.stop())
  const ann = await visit(t, proxy, "ann")
  const panel = new Panel(ann)
  await panel.button.click()
  await panel.isUnderWay()
  proxy.down()
  await ann.isShown("reconnecting")
  assert.equal(await panel.button.getAttribute("aria-disabled"), "true")
  proxy.up()
  await panel.isShown("done")

  // Not the server that works, which takes two minutes to be replaced.
  for (let node = ""; node !== first.node;) {
    if (await panel.dismissal.isVisible()) await panel.dismissal.click()
    await panel.button.click()
    node = await panel.isUnderWay()
  }
  await second.kill()
  await panel.isShown("done")
  assert.match(await panel.lead.textContent(), /people/)
  assert.match(await panel.element.textContent(), new RegExp(`Counted by a job on ${first.node}\\.`))
  await ann.say("Back on the other server.")
  await ann.hears("You", "Back on the other server.")
})

test("a request that was lost on its way is repeated, and a refusal is told", async t => {
  const ann = await visit(t, first, "ann")
  const panel = new Panel(ann)
  // The frame is as good as lost: the server never sees it.
  await ann.page.evaluate(() => {
    const send = WebSocket.prototype.send
    WebSocket.prototype.send = function (frame) {
      if (!String(frame).includes('"summarise"')) return send.call(this, frame)
      WebSocket.prototype.send = send
      this.close()
    }
  })
  await panel.button.click()
  await panel.isShown("done")

  const sql = await cluster.sql()
  t.after(() => sql.end())
  await panel.button.click()
  await panel.isUnderWay()
  const { rows: [{ id }] } = await sql.query("select id from trunkline.river_job where kind = 'chat_summarise' and state = 'running' order by id desc limit 1")
  await cluster.command("jobs", "cancel", id)
  await panel.isShown("failed")
  const sentence = "Not done: the job was cancelled."
  await panel.element.getByText(sentence).waitFor()
  assert.equal(await panel.news, sentence)
  await ann.screenshot("summary-failed")
  await panel.element.getByRole("button", { name: "Try again" }).click()
  await panel.isShown("done")
})
