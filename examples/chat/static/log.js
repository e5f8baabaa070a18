// The messages of one room, as shown. Text is only ever set as text.
import { showAvatar } from "/avatar.js"

const maxShown = 500
const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" })

function make(tag, className, text) {
  const element = document.createElement(tag)
  element.className = className
  if (text !== undefined) element.textContent = text
  return element
}

function timeElement(at) {
  const element = make("time", "at", time.format(at))
  element.dateTime = at.toISOString()
  return element
}

export class Log {
  #list
  #user
  #lastAuthor = null

  constructor(roomName, user) {
    this.#user = user
    this.#list = make("ol", "messages")
    this.element = make("div", "log")
    this.element.append(this.#list)
    this.element.setAttribute("role", "log")
    this.element.setAttribute("aria-label", `Messages in ${roomName}`)
    this.element.tabIndex = 0
  }

  message({ body, user_id: author, at }) {
    const own = author === this.#user
    const item = make("li", own ? "message own" : "message")
    if (author === this.#lastAuthor) item.classList.add("follows")
    this.#lastAuthor = author

    const avatar = make("span", "avatar")
    avatar.ariaHidden = "true"
    showAvatar(avatar, author)
    const bubble = make("div", "bubble")
    const head = make("p", "head")
    head.append(make("span", "author", own ? "You" : author), timeElement(new Date(at)))
    bubble.append(head, make("p", "text", body))
    item.append(avatar, bubble)
    this.#append(item, own)
  }

  announcement(body) {
    const item = make("li", "announcement")
    const head = make("p", "head")
    head.append(make("span", "author", "Announcement"), timeElement(new Date()))
    item.append(head, make("p", "text", body))
    this.#append(item)
    this.#lastAuthor = null
  }

  /** A line of the page's own, such as a gap after a lost connection. */
  note(text) {
    this.#append(make("li", "note", text))
    this.#lastAuthor = null
  }

  scrollToEnd() {
    this.element.scrollTop = this.element.scrollHeight
  }

  // A reader who has scrolled back is left where they are.
  #append(item, always = false) {
    const { scrollTop, clientHeight, scrollHeight } = this.element
    const atEnd = scrollTop + clientHeight > scrollHeight - 40
    this.#list.append(item)
    while (this.#list.childElementCount > maxShown) this.#list.firstElementChild.remove()
    if (always || atEnd) this.scrollToEnd()
  }
}
