// Messages on their way to the server: shown at once, and repeated with their
// key until there is an answer, so that each is stored once.
import { make, makeButton } from "/elements.js"
import { newKey } from "/key.js"

export class Outbox {
  #items = new Set()
  #room
  element = make("ol", "pending")

  /** room: {ready, push(event, payload), keepEnd(change), onRefused(body, sentence)}. */
  constructor(room) {
    this.#room = room
    this.element.ariaLabel = "Not sent yet"
  }

  send(body) {
    const item = { body, key: newKey(), attempt: 0, state: make("span", "state"), id: null, isRefused: false }
    item.buttons = make("span", "buttons",
      makeButton("quiet", "Retry", () => this.#try(item)), makeButton("quiet", "Discard", () => this.#remove(item)))
    item.element = make("li", "message own", make("div", "bubble",
      make("p", "text", body)), make("p", "status", item.state, item.buttons))
    this.#items.add(item)
    this.#room.keepEnd(() => this.element.append(item.element))
    this.#try(item)
  }

  /** After a rejoin: what was sent before may have been lost. */
  resend() {
    for (const item of this.#items) if (!item.isRefused && item.id === null) this.#try(item)
  }

  /** A message of the user's own is shown; its answer may still be on its way. */
  shown(id, body) {
    for (const item of this.#items) {
      if (item.id === id) {
        this.#remove(item)
        return
      }
    }
    const match = [...this.#items].find(item => item.id === null && item.body === body && !item.element.hidden)
    if (match) match.element.hidden = true
  }

  #try(item) {
    const attempt = ++item.attempt
    this.#show(item, "sending", this.#room.ready ? "Sending" : "Waiting for the connection")
    if (!this.#room.ready) return // until the rejoin
    const answered = f => response => attempt === item.attempt && this.#items.has(item) && f(response)
    this.#room.push("new_msg", { body: item.body, key: item.key })
      .receive("ok", answered(({ id }) => {
        item.id = id
        if (this.#room.lastID >= id) this.#remove(item) // else the message itself is to come
      }))
      .receive("error", answered(({ errors, reason }) => {
        item.isRefused = true
        if (errors && this.#room.onRefused(item.body, `The message ${errors.body[0]}.`)) this.#remove(item)
        else this.#show(item, "failed", `Not sent: ${reason ?? errors.body[0]}.`)
      }))
      .receive("timeout", answered(() => {
        if (item.element.hidden) this.#try(item) // it came, but for its answer
        else this.#show(item, "failed", "The server did not answer.")
      }))
  }

  #show(item, state, text) {
    this.#room.keepEnd(() => {
      if (state === "failed") item.element.hidden = false
      item.element.dataset.state = state
      item.state.textContent = text
      item.buttons.hidden = state !== "failed"
    })
  }

  #remove(item) {
    this.#items.delete(item)
    this.#room.keepEnd(() => item.element.remove())
  }
}
