// Who is in a room: users with their tabs, as presence tells.
import { Presence } from "/phoenix.mjs"

export class People {
  #me
  #presence = null
  #known = false // whether the first list has come: before it nobody is new
  #spoken = new Map() // refs of metas that typed what has been said since, by user
  /** {user, isMe, tabs, devices, typing} of everybody, oneself first, then by name. Another array after each change. */
  list = []
  onChange = () => {}
  /** Told of users other than oneself: "joined" or "left". */
  onNews = () => {}

  constructor(me) {
    this.#me = me
  }

  /** Follows a channel, before it is joined, instead of an earlier one. */
  follow(channel) {
    this.forget()
    const presence = this.#presence = new Presence(channel)
    const tell = (user, what) => {
      if (presence === this.#presence && this.#known && user !== this.#me) this.onNews(user, what)
    }
    presence.onJoin((user, before) => {
      if (!before) tell(user, "joined")
    })
    presence.onLeave((user, now) => {
      if (now.metas.length > 0) return
      this.#spoken.delete(user)
      tell(user, "left")
    })
    presence.onSync(() => {
      if (presence !== this.#presence) return
      this.#known = true
      this.#update()
      this.onChange()
    })
  }

  forget() {
    this.#presence = null
    this.#known = false
    this.#spoken.clear()
    this.list = []
  }

  /** A message ends its author's typing at once; presence follows. */
  spoke(user) {
    const typing = this.#presence.state[user]?.metas.filter(meta => meta.typing) ?? []
    if (typing.length === 0) return
    this.#spoken.set(user, new Set(typing.map(meta => meta.phx_ref)))
    this.#update()
    this.onChange()
  }

  /** Who is typing, as a sentence; "" when nobody else is. */
  typingText() {
    const users = this.list.filter(({ typing, isMe }) => typing && !isMe).map(({ user }) => user)
    switch (users.length) {
      case 0: return ""
      case 1: return `${users[0]} is typing`
      case 2: return `${users[0]} and ${users[1]} are typing`
    }
    return "Several people are typing"
  }

  #update() {
    this.list = this.#presence.list((user, { metas }) => ({
      user,
      isMe: user === this.#me,
      tabs: metas.length,
      devices: [...new Set(metas.map(meta => meta.device).filter(Boolean))].sort(),
      typing: metas.some(meta => meta.typing && !this.#spoken.get(user)?.has(meta.phx_ref)),
    })).sort((a, b) => b.isMe - a.isMe || a.user.localeCompare(b.user))
  }
}
