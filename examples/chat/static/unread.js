// How many messages of a room the user has not read. The server counts, and is
// told what was read; what comes while nobody looks is added until it has.
const waitMs = 250

export class Unread {
  #room
  #count = 0
  #readID = 0 // the newest that somebody saw
  #toldID = 0
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
    this.update()
    this.#room.onChange()
  }

  /** Something came, or the reader came to the room or to its end. */
  update() {
    if (this.#room.isRead) this.#readID = this.#room.lastID
    this.#timer ??= setTimeout(() => this.#tell(), waitMs)
  }

  /** The ids mean something else from now on. */
  reset() {
    this.#readID = this.#toldID = 0
  }

  #tell() {
    this.#timer = null
    const { isRead, ready } = this.#room
    const id = this.#readID
    if (!ready || (isRead && id === this.#toldID)) return
    this.#room.push("seen", { id }).receive("ok", ({ unread }) => {
      this.#count = unread
      this.#toldID = id
      this.#room.onChange()
    })
  }
}
