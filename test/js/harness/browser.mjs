// A headless Chromium, and one user in it.
import assert from "node:assert/strict"
import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { chromium } from "playwright-core"

const artifacts = fileURLToPath(new URL("../artifacts", import.meta.url))

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
    headless: true,
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
  })
}

/** One user with the chat open, in a browser context of their own. */
export class Visitor {
  /** What the page complained about. */
  complaints = []

  /** prepare: what is done to the page before it is opened. */
  static async open(browser, url, user, options = {}, prepare = () => {}) {
    const visitor = new Visitor()
    visitor.context = await browser.newContext({ viewport: { width: 1100, height: 720 }, ...options })
    visitor.context.setDefaultTimeout(15_000)
    const page = visitor.page = await visitor.context.newPage()
    page.on("console", message => {
      if (["error", "warning"].includes(message.type())) visitor.complaints.push(message.text())
    })
    page.on("pageerror", error => visitor.complaints.push(String(error)))
    await prepare(page)
    await page.goto(user ? `${url}/?user=${user}` : url)
    return visitor
  }

  /** The line that tells the state of the connection. */
  get connection() {
    return this.page.locator("#connection")
  }

  /** What is shown of the room in view. */
  get log() {
    return this.page.getByRole("log")
  }

  /** The user's own messages that the server has not answered yet. */
  get pending() {
    return this.log.getByRole("list", { name: "Not sent yet" })
  }

  nothingIsPending() {
    return this.pending.getByRole("listitem").first().waitFor({ state: "detached" })
  }

  /** Waits until the connection's state is shown as state. */
  isShown(state) {
    return this.page.locator(`#connection[data-state=${state}]`).waitFor()
  }

  /** Waits until the room in view can take messages and notifications come. */
  async isReady() {
    await this.isShown("open")
    await this.page.locator("[role=log][aria-busy=false]:visible").waitFor()
    await this.levelsAreSettled()
  }

  /** Waits until the server knows which levels are ticked. */
  levelsAreSettled() {
    return this.page.locator("#levels[aria-busy=false]").waitFor({ state: "attached" })
  }

  /** Writes a message and sends it once the room can take it. */
  async say(text) {
    await this.page.getByLabel("Message", { exact: true }).fill(text)
    await this.page.getByRole("button", { name: "Send" }).click()
  }

  /** Waits for a message of author (You for one's own) with exactly this text. */
  hears(author, text) {
    return this.log.locator(".message", { has: this.page.locator(".author", { hasText: author }) })
      .locator(".text").getByText(text, { exact: true }).waitFor()
  }

  /** The messages in view with exactly this text. */
  messageWith(text) {
    return this.log.locator(".message[data-id]", { has: this.page.getByText(text, { exact: true }) })
  }

  /** Who is shown as online, a line each: "ann you, phone", "bob, typing, 2 tabs". */
  get people() {
    return this.page.locator("#people-list li").evaluateAll(people => people.map(person =>
      [...person.querySelectorAll(".person-name, .doing, .count")].map(part => part.textContent).join(", ")))
  }

  /** Waits until exactly these are shown as online, see people. */
  async sees(...people) {
    const wanted = JSON.stringify(people)
    const deadline = Date.now() + 15_000
    while (JSON.stringify(await this.people) !== wanted && Date.now() < deadline) await this.page.waitForTimeout(20)
    assert.deepEqual(await this.people, people)
  }

  /** The same user's page once more. */
  async secondTab() {
    const page = await this.context.newPage()
    await page.goto(this.page.url())
    return page
  }

  isAtEnd() {
    return this.log.evaluate(log => log.scrollTop + log.clientHeight > log.scrollHeight - 2)
  }

  scrollTo(top) {
    return this.log.evaluate((log, y) => { log.scrollTop = y }, top)
  }

  async enterDen() {
    await this.page.getByRole("button", { name: "Den" }).click()
    await this.page.getByLabel("Password").fill("secret")
    await this.page.getByRole("dialog").getByRole("button", { name: "Enter" }).click()
    await this.page.getByRole("heading", { name: "Den" }).waitFor()
    await this.isReady()
  }

  async screenshot(name) {
    await mkdir(artifacts, { recursive: true })
    await this.page.screenshot({ path: join(artifacts, `${name}.png`) })
  }

  /** Fails when the page complained since the last time. */
  hasNoComplaints() {
    assert.deepEqual(this.complaints.splice(0), [])
  }

  close() {
    return this.context.close()
  }
}
