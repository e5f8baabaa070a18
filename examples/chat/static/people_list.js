// Who is online in the room in view, one line for each user.
import { showAvatar } from "/avatar.js"
import { make } from "/elements.js"

const maxShown = 100
const devicesAsText = new Intl.ListFormat("en")

export class PeopleList {
  #parts
  #shown = null

  constructor(parts) {
    this.#parts = parts
    // Open where there is room beside the messages.
    parts.details.open = matchMedia("(min-width: 48rem)").matches
  }

  render({ entered, ready, people }) {
    const { details, list, count } = this.#parts
    details.hidden = !entered
    details.dataset.stale = !ready
    if (this.#shown === people.list) return
    this.#shown = people.list
    count.textContent = people.list.length || ""
    list.replaceChildren(...people.list.slice(0, maxShown).map(makePerson))
    const rest = people.list.length - maxShown
    if (rest > 0) list.append(make("li", "rest", `and ${rest} more`))
  }

  /** Says what is new to those who do not see the list. */
  announce(text) {
    this.#parts.news.textContent = text
  }
}

function makePerson({ user, isMe, tabs, devices, typing }) {
  const avatar = make("span", "avatar")
  avatar.ariaHidden = "true"
  showAvatar(avatar, user)
  const name = make("p", "person-name", make("span", "", user))
  if (isMe) name.append(" ", make("span", "you", "you"))
  const doing = typing ? make("p", "doing typing-now", "typing") : make("p", "doing", devicesAsText.format(devices) || "online")
  const item = make("li", "person", avatar, make("div", "", name, doing))
  if (tabs > 1) item.append(make("span", "count", `${tabs} tabs`))
  return item
}
