// A member of a room who watches who is there, with Presence of phoenix.js.
import { Presence } from "phoenix"
import { Membership } from "./client.mjs"
import { within } from "./wait.mjs"

export class Onlooker {
  #looks = new Set()
  /** [what, user] for each user, "came" or "left", in order, from the first list on. */
  news = []

  constructor(client, topic, params) {
    this.client = client
    this.room = new Membership(client.socket, topic, params)
    this.presence = new Presence(this.room.channel)
    let known = false
    const tell = (what, user) => known && this.news.push([what, user])
    this.presence.onJoin((user, before) => before || tell("came", user))
    this.presence.onLeave((user, now) => now.metas.length > 0 || tell("left", user))
    this.presence.onSync(() => {
      known = true
      for (const look of this.#looks) look()
    })
  }

  /** Joins; resolves with the first list. */
  static async join(client, topic, params = {}) {
    const onlooker = new Onlooker(client, topic, params)
    await onlooker.room.joined.next()
    await onlooker.until("the first list", () => onlooker.users.length > 0)
    return onlooker
  }

  get users() {
    return Object.keys(this.presence.state).sort()
  }

  metas(user) {
    return this.presence.state[user]?.metas ?? []
  }

  /** Everything, in an order that does not depend on how it came. */
  get state() {
    const sorted = metas => metas.toSorted((a, b) => a.phx_ref < b.phx_ref ? -1 : 1)
    return this.users.map(user => [user, sorted(this.metas(user))])
  }

  /** Waits until holds(), which is asked after each list or diff of this one. */
  until(what, holds) {
    return Onlooker.until([this], what, holds)
  }

  /** Waits until holds(), which is asked after each list or diff of any of them. */
  static async until(onlookers, what, holds, ms = 10_000) {
    if (holds()) return
    let look
    try {
      await within(ms, what, new Promise(resolve => {
        look = () => holds() && resolve()
        for (const onlooker of onlookers) onlooker.#looks.add(look)
      }))
    } catch (error) {
      const seen = onlookers.map(onlooker => `${onlooker.client.user} sees ${JSON.stringify(onlooker.state)}`)
      throw new Error(`${error.message}: ${seen.join("; ")}`)
    } finally {
      for (const onlooker of onlookers) onlooker.#looks.delete(look)
    }
  }
}
