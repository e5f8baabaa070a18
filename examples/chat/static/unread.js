// How many messages of a room the user has not read. The server counts, and is
// told what was read; what comes while nobody looks is added until it has.
const waitMs = 250

export class Unread {
  #room
  #count = 0
  #seenID = 0
  #timer = null

  /** room: {isRead, lastID, ready, push(event, payload), onChange()}. */
  constructor(room) {
    this.#room = room
  }

  get count() {
    return this.#room.isRead ? 0 : this.#count
  }

  /** A message came. */
  add() {
    if (!this.#room.isRead) this.#count++
    this.#room.onChange()
    this.update()
  }

  /** Something came, or the reader came to the room or to its end. */
  update() {
    this.#timer ??= setTimeout(() => this.#tell(), waitMs)
  }

  #tell() {
    this.#timer = null
    const { isRead, lastID, ready } = this.#room
    if (!ready || (isRead && this.#seenID === lastID)) return
    const id = isRead ? lastID : 0 // 0 only asks
    this.#room.push("seen", { id }).receive("ok", ({ unread }) => {
      this.#count = unread
      this.#seenID = Math.max(this.#seenID, id)
      this.#room.onChange()
    })
  }
}
