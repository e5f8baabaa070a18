// The user's own topic: notifications of the chosen levels.
const maxShown = 20
const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" })

export class Notifications {
  #parts
  #unread = 0

  constructor(socket, user, parts) {
    this.#parts = parts
    const { details, levels, hint } = parts
    const payload = () => ({ levels: [...levels.querySelectorAll("input:checked")].map(box => box.value) })

    // Open where there is room beside the messages.
    details.open = matchMedia("(min-width: 48rem)").matches
    details.addEventListener("toggle", () => this.#setUnread(0))
    hint.textContent = `Send yourself one: trunkline broadcast notifications:${user} notification '{"level":"info","body":"Hello"}'`

    const channel = socket.channel(`notifications:${user}`, payload)
    channel.on("notification", notification => this.#show(notification))
    // Busy while the server does not know what is ticked.
    const known = () => { levels.ariaBusy = "false" }
    levels.addEventListener("change", () => {
      levels.ariaBusy = "true"
      channel.push("subscribe_levels", payload()).receive("ok", known)
    })
    channel.onError(() => { levels.ariaBusy = "true" })
    channel.join().receive("ok", known).receive("error", () => {
      channel.leave()
      details.hidden = true
    })
  }

  #show({ level, body }) {
    const { details, list } = this.#parts
    const item = document.createElement("li")
    item.dataset.level = level
    const head = document.createElement("p")
    head.className = "head"
    const name = document.createElement("span")
    name.className = "level"
    name.textContent = level
    const at = document.createElement("time")
    at.className = "at"
    at.textContent = time.format(new Date())
    const text = document.createElement("p")
    text.textContent = body
    head.append(name, at)
    item.append(head, text)
    list.prepend(item)
    while (list.childElementCount > maxShown) list.lastElementChild.remove()
    if (!details.open) this.#setUnread(this.#unread + 1)
  }

  #setUnread(n) {
    this.#unread = n
    this.#parts.unread.textContent = n
    this.#parts.unread.hidden = n === 0
  }
}
