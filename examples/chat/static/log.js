// The messages of one room, as shown: by id, each once, the oldest first.
import { make, makeTime } from "/elements.js"
import { deletedMessage, Message } from "/message.js"

const maxShown = 500
const endPixels = 40

export class Log {
  #list = make("ol", "messages")
  #messages = new Map() // by id
  #user
  #actions
  #atEnd = true
  #changes = new Map() // newest edits of messages that are not shown, by their ids
  /** The oldest id that was looked at: what is older is to be asked for. */
  oldestID = null
  /** Told when the reader has come to the end, or left it. */
  onScroll = () => {}
  /** Told when the oldest were taken away: scrolling back brings them again. */
  onTrim = () => {}

  /** actions: what authors may do, see Message. */
  constructor(roomName, user, actions) {
    this.#user = user
    this.#actions = actions
    this.element = make("div", "log", this.#list)
    this.element.setAttribute("role", "log")
    this.element.setAttribute("aria-label", `Messages in ${roomName}`)
    this.element.tabIndex = 0
    this.element.addEventListener("scroll", () => {
      if (this.atEnd === this.#atEnd) return
      this.#atEnd = this.atEnd
      this.onScroll()
    }, { passive: true })
    new ResizeObserver(() => this.#atEnd && this.scrollToEnd()).observe(this.element)
  }

  get empty() {
    return this.#list.childElementCount === 0
  }

  get atEnd() {
    const { scrollTop, clientHeight, scrollHeight } = this.element
    return scrollTop + clientHeight > scrollHeight - endPixels
  }

  /** Shows the next entry of the stream. */
  append(entry) {
    this.oldestID ??= entry.id
    this.keepEnd(() => {
      if (entry.event === "message_updated" || entry.event === "message_deleted") {
        this.#change(entry.payload.message_id, entry.payload.payload)
      } else {
        this.#list.append(...this.#make(entry))
        this.#group(this.#list.lastElementChild)
      }
    })
  }

  /**
   * Shows an earlier page and keeps what the reader looks at in its place. Its
   * edits are left out: messages come as they were when the page was read.
   */
  prepend(entries) {
    if (entries.length === 0) return
    this.oldestID = entries[0].id
    const before = this.#list.firstElementChild
    const fromBottom = this.element.scrollHeight - this.element.scrollTop
    this.#list.prepend(...entries.flatMap(entry => this.#make(entry)))
    for (const { id } of entries) {
      if (this.#messages.has(id) && this.#changes.has(id)) this.#change(id, this.#changes.get(id))
    }
    for (let item = this.#list.firstElementChild; item && item !== before; item = item.nextElementSibling) this.#group(item)
    this.#group(before)
    this.element.scrollTop = this.element.scrollHeight - fromBottom
  }

  clear() {
    this.#list.replaceChildren()
    this.#messages.clear()
    this.#changes.clear()
    this.oldestID = null
  }

  /** An announcement of the server's; at: when, as far as known. */
  announce(body, at = new Date()) {
    this.keepEnd(() => this.#list.append(makeAnnouncement(body, at)))
  }

  /** A line of the page's own. */
  note(text) {
    this.keepEnd(() => this.#list.append(make("li", "note", text)))
  }

  scrollToEnd() {
    this.element.scrollTop = this.element.scrollHeight
  }

  /** Changes what is shown; a reader who has scrolled back is left where they are. */
  keepEnd(change) {
    const atEnd = this.atEnd
    change()
    if (!atEnd) return
    this.#trim()
    this.scrollToEnd()
  }

  #make({ id, event, payload, deleted, inserted_at: at }) {
    if (event === "announcement" && !deleted) return [makeAnnouncement(payload.body, at && new Date(at), id)]
    if (event !== "new_msg") return []
    const message = deleted
      ? deletedMessage(id)
      : new Message(id, { at, ...payload }, payload.user_id === this.#user, this.#actions)
    this.#messages.set(id, message)
    return [message.element]
  }

  /** payload: the new one; undefined deletes. */
  #change(id, payload) {
    const message = this.#messages.get(id)
    if (!message) this.#changes.set(id, payload)
    else if (payload) message.update(payload)
    else {
      message.markDeleted()
      this.#group(message.element)
      this.#group(message.element.nextElementSibling)
    }
  }

  /** Marks a message that follows one of the same author. */
  #group(item) {
    const author = this.#authorOf(item)
    item?.classList.toggle("follows", author !== null && author === this.#authorOf(item.previousElementSibling))
  }

  #authorOf(item) {
    return this.#messages.get(Number(item?.dataset.id))?.author ?? null
  }

  #trim() {
    let excess = this.#list.childElementCount - maxShown
    if (excess <= 0) return
    for (; excess > 0; excess--) {
      const item = this.#list.firstElementChild
      this.#messages.delete(Number(item.dataset.id))
      item.remove()
    }
    const oldest = this.#list.querySelector("[data-id]")
    if (oldest) this.oldestID = Number(oldest.dataset.id)
    this.onTrim()
  }
}

function makeAnnouncement(body, at = new Date(), id) {
  const item = make("li", "announcement",
    make("p", "head", make("span", "author", "Announcement"), makeTime(at)), make("p", "text", body))
  if (id !== undefined) item.dataset.id = id
  return item
}
