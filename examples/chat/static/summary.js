// A summary of one room, which a job makes. The request has a key: whatever
// happens to the connection or its server meanwhile, the answer comes, and once.
import { newKey } from "/key.js"

const timeoutMs = 60_000

export class Summary {
  #room
  #key = null // of the request whose answer is awaited
  #push = null // the newest that asks for it
  #queued = false // whether the server is known to have it
  /**
   * What is shown: null, or {state, percent, step, node} while "working", {state,
   * result} once "done", {state, problem} when "failed". Another object after each change.
   */
  view = null

  /** room: {ready, push(event, payload, timeoutMs), onChange()}. */
  constructor(room) {
    this.#room = room
  }

  get isWorking() {
    return this.view?.state === "working"
  }

  /** The parameters of the next join: the answers that are still awaited. */
  get params() {
    return { job_keys: this.#key ? [this.#key] : [] }
  }

  /** Asks for a summary; again, where one was not answered in time. */
  ask() {
    if (this.isWorking) return
    if (!this.#room.ready) {
      this.#show({ state: "failed", problem: "There is no connection." })
      return
    }
    if (this.#key === null) {
      this.#key = newKey()
      this.#queued = false
    }
    this.#show({ state: "working", percent: 0, step: "Waiting for a free worker", node: "" })
    this.#send()
  }

  /** Takes what the channel is told outside of replies. */
  follow(channel) {
    channel.on("progress", ({ key, percent, step, node }) => {
      if (key !== this.#key) return
      this.#queued = true
      if (this.isWorking) this.#show({ state: "working", percent, step, node })
    })
    channel.on("job_reply", ({ key, status, response }) => this.#settle(key, status, response))
  }

  /** After a rejoin: the request may have been lost on its way. */
  resend() {
    if (this.#key !== null && this.isWorking && !this.#queued) this.#send()
  }

  /** Shows nothing, and waits for nothing. */
  dismiss() {
    this.#key = this.#push = null
    if (this.view) this.#show(null)
  }

  #send() {
    const key = this.#key
    const push = this.#push = this.#room.push("summarise", { key }, timeoutMs)
    push.receive("ok", response => this.#settle(key, "ok", response))
      .receive("error", response => this.#settle(key, "error", response))
      .receive("timeout", () => {
        if (push === this.#push) this.#show({ state: "failed", problem: "There is no answer yet." })
      })
  }

  #settle(key, status, response) {
    if (key !== this.#key) return // dismissed, or here already
    this.#key = this.#push = null
    this.#show(status === "ok" ? { state: "done", result: response } : { state: "failed", problem: `Not done: ${response.reason}.` })
  }

  #show(view) {
    this.view = view
    this.#room.onChange()
  }
}
