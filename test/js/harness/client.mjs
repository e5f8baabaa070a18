// The phoenix client in Node, with promises and inboxes around it.
import { Socket } from "phoenix"
import WebSocket from "ws"
import { signToken } from "./token.mjs"
import { Inbox, within } from "./wait.mjs"

/** An answer of the server other than ok. */
export class Refusal extends Error {
  constructor(status, response) {
    super(`${status}: ${JSON.stringify(response)}`)
    this.status = status
    this.response = response
  }
}

export class Client {
  opened = new Inbox("the connection to open")
  closed = new Inbox("the connection to close")
  failed = new Inbox("the connection to fail")

  /** url: of the server, ws://host:port. options: of phoenix's Socket, and user, path. */
  constructor(url, { user = "alice", path = "/socket", ...options } = {}) {
    this.user = user
    this.socket = new Socket(url + path, { transport: WebSocket, params: { token: signToken(user) }, ...options })
    this.socket.onOpen(() => this.opened.put(null))
    this.socket.onClose(event => this.closed.put({ code: event.code, reason: event.reason }))
    this.socket.onError(error => this.failed.put(error))
  }

  static async connect(url, options) {
    const client = new Client(url, options)
    client.socket.connect()
    await client.opened.next()
    return client
  }

  /** Joins; rejects with a Refusal when the server refuses. */
  async join(topic, params = {}) {
    const member = new Membership(this.socket, topic, params)
    member.reply = await member.joined.next()
    return member
  }

  disconnect() {
    return within(10_000, "the socket to disconnect", new Promise(resolve => this.socket.disconnect(resolve)))
  }
}

export class Membership {
  #inboxes = new Map()
  errors = new Inbox("the channel to fail")
  closes = new Inbox("the channel to close")

  /** params: an object, or a function that is asked at each join. */
  constructor(socket, topic, params, { onReply = () => {}, onEvent = () => {} } = {}) {
    this.channel = socket.channel(topic, params)
    /** The reply to each join: the first one, and one after each reconnect. */
    this.joined = new Inbox(`the join of ${topic}`)
    // Before phoenix.js tells the handlers: what comes at once is not missed.
    this.channel.onMessage = (event, payload) => {
      this.inbox(event).put(payload)
      onEvent(event, payload)
      return payload
    }
    this.channel.onError(reason => this.errors.put(reason))
    this.channel.onClose(() => this.closes.put(null))
    this.channel.join()
      .receive("ok", response => {
        onReply(response)
        this.joined.put(response)
      })
      .receive("error", response => {
        this.channel.leave() // else phoenix.js tries again
        this.joined.fail(new Refusal("error", response))
      })
  }

  /** What came as this event, in order. */
  inbox(event) {
    if (!this.#inboxes.has(event)) this.#inboxes.set(event, new Inbox(`${event} on ${this.channel.topic}`))
    return this.#inboxes.get(event)
  }

  /** The response to a push that is answered ok; else rejects with a Refusal. */
  push(event, payload = {}, { status = "ok" } = {}) {
    return new Promise((resolve, reject) => {
      const push = this.channel.push(event, payload)
      for (const answer of new Set(["ok", "error", status])) {
        push.receive(answer, response => answer === status ? resolve(response) : reject(new Refusal(answer, response)))
      }
      push.receive("timeout", () => reject(new Error(`no answer to ${event}`)))
    })
  }

  /** A push that the server does not answer. */
  cast(event, payload = {}) {
    this.channel.push(event, payload)
  }

  leave() {
    return within(10_000, "the leave", new Promise(resolve => this.channel.leave().receive("ok", resolve)))
  }
}
