// Older messages of a room, a page at a time: when the reader comes near the
// top, or asks.
import { make, makeButton } from "/elements.js"

const pageSize = 50

export class History {
  #log
  #load
  #asking = null // what tells the page that is awaited
  #button
  #beginning
  #observer

  /** load({before, limit}) resolves to {messages, more}. */
  constructor(log, roomName, load) {
    this.#log = log
    this.#load = load
    this.#button = makeButton("older quiet", "", () => this.#older())
    this.#beginning = make("p", "beginning", `This is the beginning of ${roomName}.`)
    log.element.prepend(this.#button, this.#beginning)
    this.#observer = new IntersectionObserver(entries => {
      if (entries.at(-1).isIntersecting) this.#older()
    }, { root: log.element, rootMargin: "300px 0px 0px" })
    this.#show({ more: false })
  }

  /** Called when there may be something older: after a join, and when the log let go of it. */
  begin() {
    this.#asking = null
    this.#log.keepEnd(() => this.#show({ more: this.#log.oldestID > 1 }))
  }

  async #older() {
    if (this.#asking || this.#button.hidden) return
    const asking = this.#asking = Symbol("a page")
    this.#button.textContent = "Loading older messages"
    try {
      const { messages, more } = await this.#load({ before: this.#log.oldestID, limit: pageSize })
      if (asking !== this.#asking) return // the log has begun anew
      this.#log.prepend(messages)
      this.#asking = null
      this.#show({ more })
    } catch {
      if (asking !== this.#asking) return
      this.#asking = null
      // Not by itself again: that would not end while the reader looks at it.
      this.#observer.disconnect()
      this.#button.textContent = "Older messages could not be loaded. Try again"
    }
  }

  #show({ more }) {
    this.#button.hidden = !more
    this.#button.textContent = "Show older messages"
    this.#beginning.hidden = more || this.#log.empty
    this.#observer.disconnect()
    if (more) this.#observer.observe(this.#button) // reports at once if it is in view
  }
}
