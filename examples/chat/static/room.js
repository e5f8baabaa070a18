// One room: its channel, its place in the stream, and what is shown of it.
import { History } from "/history.js"
import { Log } from "/log.js"
import { Outbox } from "/outbox.js"
import { People } from "/people.js"
import { Stream } from "/stream.js"
import { Summary } from "/summary.js"
import { Unread } from "/unread.js"

const typingEveryMs = 2000 // the server takes silence of twice that for the end
// Other reasons pass, such as a database that is away: phoenix.js tries again.
const refusals = ["bad password", "unauthorized", "unmatched topic"]

const device = matchMedia("(hover: none) and (pointer: coarse)").matches ? "phone" : "computer"

export class Room {
  #socket
  #user
  #channel = null
  #typingSent = 0
  #history
  #outbox
  #stream
  draft = ""
  /** Why the draft was not sent, "" for nothing. */
  problem = ""
  /** Whether the user is in, connected or not. */
  entered = false
  /** Whether the server can be asked now. */
  ready = false
  /** Whether the page shows it and somebody may be looking. */
  visible = false
  onChange = () => {}

  constructor(socket, user, { topic, name, about, locked = false, confirmDelete }) {
    this.#socket = socket
    this.#user = user
    Object.assign(this, { topic, name, about, locked })
    this.log = new Log(name, user, {
      edit: (id, body) => this.#ask("edit_msg", { id, body }),
      remove: id => confirmDelete(() => this.#ask("delete_msg", { id })),
    })
    this.people = new People(user)
    this.people.onChange = () => this.onChange()
    this.summary = new Summary(this)
    this.unread = new Unread(this)
    this.#history = new History(this.log, name, request => this.#ask("history", request))
    this.#outbox = new Outbox(this)
    this.log.element.append(this.#outbox.element)
    this.log.onScroll = () => this.#changed()
    this.log.onTrim = () => this.#history.begin()
    this.#stream = new Stream({
      entry: entry => this.#show(entry),
      reset: () => {
        this.log.clear()
        this.unread.reset()
      },
      truncated: () => this.log.note("Some of what was said meanwhile is no longer kept."),
    })
  }

  get lastID() {
    return this.#stream.lastID
  }

  /** Whether somebody sees what comes. */
  get isRead() {
    return this.visible && this.log.atEnd
  }

  /** Resolves once joined; rejects with the reason of a refusal. */
  join(params) {
    this.#channel?.leave()
    const channel = this.#channel = this.#socket.channel(this.topic, () => ({
      device, ...params, ...this.#stream.params, ...this.summary.params,
    }))
    this.people.follow(channel)
    this.summary.follow(channel)
    channel.onMessage = (event, payload) => {
      if (Number.isInteger(payload?.id)) this.#stream.take({ id: payload.id, event, payload, deleted: payload.deleted })
      return payload
    }
    channel.on("announcement", ({ id, body }) => id ?? this.log.announce(body))
    channel.onError(() => this.#set(channel, this.entered, false))
    channel.onClose(() => this.#set(channel, false, false))
    return new Promise((resolve, reject) => {
      channel.join() // phoenix.js calls these after each reconnect, too
        .receive("ok", reply => {
          this.#stream.joined(reply)
          this.#history.begin()
          this.#set(channel, true, true)
          this.#outbox.resend()
          this.summary.resend()
          resolve()
        })
        .receive("error", ({ reason }) => {
          if (!refusals.includes(reason)) return
          channel.leave() // else phoenix.js tries again and again
          reject(reason)
        })
    })
  }

  send(body) {
    this.draft = ""
    this.#typingSent = 0
    this.#outbox.send(body)
    this.log.scrollToEnd()
    this.onChange()
  }

  push(event, payload, timeoutMs) {
    return this.#channel.push(event, payload, timeoutMs)
  }

  keepEnd(change) {
    this.log.keepEnd(change)
  }

  /** Gives a refused message back to its author; false when another one is being written. */
  onRefused(body, sentence) {
    if (this.draft.trim() !== "") return false
    this.draft = body
    this.problem = sentence
    this.onChange()
    return true
  }

  /** Tells the others, not more often than they need. typing: whether there is something in the box. */
  userTypes(typing) {
    if (!this.ready || (typing ? Date.now() - this.#typingSent < typingEveryMs : this.#typingSent === 0)) return
    this.#typingSent = typing ? Date.now() : 0
    this.#channel.push("typing", { typing })
  }

  show(visible) {
    this.visible = visible
    this.#changed()
  }

  leave() {
    this.summary.dismiss()
    this.#channel?.leave()
  }

  #show(entry) {
    this.log.append(entry)
    if (entry.event !== "new_msg") {
      this.unread.update() // what was deleted is not unread any more
      return
    }
    const { user_id: author, body } = entry.payload ?? {}
    this.people.spoke(author)
    if (author === this.#user) this.#outbox.shown(entry.id, body)
    if (this.ready) this.unread.add()
  }

  /** Resolves to the answer; rejects with a sentence. */
  #ask(event, payload) {
    return new Promise((resolve, reject) => {
      if (!this.ready) {
        reject("There is no connection. Try again.")
        return
      }
      this.#channel.push(event, payload)
        .receive("ok", resolve)
        .receive("error", ({ errors, reason }) => reject(errors ? `The message ${Object.values(errors)[0][0]}.` : `Not done: ${reason}.`))
        .receive("timeout", () => reject("The server did not answer. Try again."))
    })
  }

  #changed() {
    this.unread.update()
    this.onChange()
  }

  #set(channel, entered, ready) {
    if (channel !== this.#channel) return // one that was left for another
    this.entered = entered
    this.ready = ready
    if (!entered) this.people.forget()
    this.log.element.ariaBusy = String(!ready)
    this.#changed()
  }
}
