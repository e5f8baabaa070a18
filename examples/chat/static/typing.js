// Who is typing in a room: an event says so, silence or a message ends it.
const lastsMs = 3500

export class Typing {
  #timers = new Map()
  #onChange

  constructor(onChange) {
    this.#onChange = onChange
  }

  add(user) {
    clearTimeout(this.#timers.get(user))
    this.#timers.set(user, setTimeout(() => this.remove(user), lastsMs))
    this.#onChange()
  }

  remove(user) {
    clearTimeout(this.#timers.get(user))
    if (this.#timers.delete(user)) this.#onChange()
  }

  text() {
    const users = [...this.#timers.keys()]
    switch (users.length) {
      case 0: return ""
      case 1: return `${users[0]} is typing`
      case 2: return `${users[0]} and ${users[1]} are typing`
    }
    return "Several people are typing"
  }
}
