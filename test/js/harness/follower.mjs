// A client of a durable topic that keeps nothing but what a rejoin needs: the
// newest id that it has, and the epoch. It leaves out nothing that comes twice.
import { Membership } from "./client.mjs"
import { Inbox, within } from "./wait.mjs"

export class Follower {
  /** What came, in order, whichever way: {id, event, payload, deleted}. */
  entries = []
  /** What must not happen on a topic whose history is whole. */
  violations = []
  /** The reply to each join that was not looked at yet. */
  replies = new Inbox("a join to be answered")
  #waiting = []

  constructor(lastID, epoch) {
    this.lastID = lastID
    this.epoch = epoch
  }

  /** Joins. lastSeenID: where to begin; undefined leaves it to the channel. */
  static async join(client, topic, { lastSeenID, epoch, ...params } = {}) {
    const follower = new Follower(lastSeenID, epoch)
    follower.member = new Membership(client.socket, topic, () => ({
      ...params,
      ...(follower.lastID !== undefined && { last_seen_id: follower.lastID }),
      ...(follower.epoch !== undefined && { epoch: follower.epoch }),
    }), {
      onReply: reply => follower.#joined(reply),
      onEvent: (event, payload) => follower.#event(event, payload),
    })
    follower.member.reply = await follower.member.joined.next()
    await follower.replies.next()
    return follower
  }

  get ids() {
    return this.entries.map(entry => entry.id)
  }

  push(...args) {
    return this.member.push(...args)
  }

  /** Waits until it has everything up to id. */
  reaches(id, ms = 30_000) {
    if (this.lastID >= id) return Promise.resolve()
    return within(ms, `id ${id} of ${this.member.channel.topic}`, new Promise(resolve => this.#waiting.push({ id, resolve })))
      .catch(error => { throw new Error(`${error.message}; the newest is ${this.lastID}`) })
  }

  #joined(reply) {
    if (reply.reset || this.lastID === undefined) this.lastID = (reply.messages[0]?.id ?? reply.last_id + 1) - 1
    if (reply.truncated) this.lastID = reply.oldest_id - 1
    this.epoch = reply.epoch
    for (const entry of reply.messages) this.#take(entry)
    if (this.lastID !== reply.last_id) this.violations.push(`the reply ends at ${this.lastID}, but says ${reply.last_id}`)
    this.replies.put(reply)
  }

  #event(event, payload) {
    if (Number.isInteger(payload.id)) this.#take({ id: payload.id, event, payload, live: true })
  }

  #take(entry) {
    if (entry.id !== this.lastID + 1) this.violations.push(`${entry.id} after ${this.lastID}`)
    this.lastID = entry.id
    this.entries.push(entry)
    this.#waiting = this.#waiting.filter(({ id, resolve }) => this.lastID < id || resolve())
  }
}
