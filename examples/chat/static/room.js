// One room: its channel and what has been seen of it.
import { Log } from "/log.js"
import { Typing } from "/typing.js"

const typingEveryMs = 2000

export class Room {
  #socket
  #user
  #channel = null
  #typingSent = 0
  #lost = false

  constructor(socket, user, { topic, name, about, locked = false }) {
    this.#socket = socket
    this.#user = user
    Object.assign(this, { topic, name, about, locked })
    this.log = new Log(name, user)
    this.typing = new Typing(() => this.onChange())
    this.unread = 0
    this.draft = ""
    /** Whether the user is in, connected or not. */
    this.entered = false
    /** Whether a message can be sent now. */
    this.ready = false
    this.onChange = () => {}
  }

  /** Resolves once joined; rejects with the reason of a refusal. */
  join(params) {
    const channel = this.#socket.channel(this.topic, params)
    channel.on("new_msg", message => {
      this.log.message(message)
      this.typing.remove(message.user_id)
      this.#seen()
    })
    channel.on("announcement", ({ body }) => {
      this.log.announcement(body)
      this.#seen()
    })
    channel.on("typing", ({ user_id: user }) => this.typing.add(user))
    channel.onError(() => {
      this.#lost ||= this.ready
      this.#set(channel, this.entered, false)
    })
    channel.onClose(() => this.#set(null, false, false))
    return new Promise((resolve, reject) => {
      channel.join() // phoenix.js calls these after each reconnect, too
        .receive("ok", () => {
          if (this.#lost) this.log.note("Reconnected. What was said meanwhile is not shown.")
          this.#lost = false
          this.#set(channel, true, true)
          resolve()
        })
        .receive("error", ({ reason }) => {
          channel.leave() // else phoenix.js tries again and again
          reject(reason)
        })
    })
  }

  /** Resolves when the server has taken the message; rejects with a sentence. */
  send(body) {
    return new Promise((resolve, reject) => {
      this.#channel.push("new_msg", { body })
        .receive("ok", resolve)
        .receive("error", ({ errors, reason }) => reject(errors ? `The message ${errors.body[0]}.` : `Not sent: ${reason}.`))
        .receive("timeout", () => reject("Not sent: the server did not answer."))
      this.#typingSent = 0
    })
  }

  /** Tells the others, not more often than they need. */
  userTypes() {
    if (!this.ready || Date.now() - this.#typingSent < typingEveryMs) return
    this.#typingSent = Date.now()
    this.#channel.push("typing", {})
  }

  leave() {
    this.#channel?.leave()
  }

  #seen() {
    this.unread++
    this.onChange()
  }

  #set(channel, entered, ready) {
    this.#channel = channel
    this.entered = entered
    this.ready = ready
    this.onChange()
  }
}
