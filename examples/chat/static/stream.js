// The client's place in the durable stream of a topic: what it asks for when it
// joins again, and each message once, whichever way it came.

export class Stream {
  #lastID = null
  #epoch = ""
  #on

  /**
   * on.entry({id, event, payload, deleted}): the next of the stream.
   * on.reset(): what was shown belongs to another stream.
   * on.truncated(): some of what was missed is not kept any more.
   */
  constructor(on) {
    this.#on = on
  }

  /** The newest id that has come, 0 for none. */
  get lastID() {
    return this.#lastID ?? 0
  }

  /** The parameters of the next join. Without a place yet it gets the newest. */
  get params() {
    return this.#lastID === null ? {} : { last_seen_id: this.#lastID, epoch: this.#epoch }
  }

  /** Takes the reply to a join. */
  joined({ messages, last_id: lastID, epoch, reset, truncated }) {
    if (reset) {
      this.#lastID = null
      this.#on.reset()
    }
    if (truncated) this.#on.truncated()
    this.#epoch = epoch
    for (const message of messages) this.take(message)
    this.#lastID = lastID
  }

  /** Takes a message of a reply or of an event. */
  take(entry) {
    if (entry.id <= this.lastID) return
    this.#lastID = entry.id
    this.#on.entry(entry)
  }
}
