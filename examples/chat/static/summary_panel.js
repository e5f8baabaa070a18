// The panel with the summary of the room in view.
import { make, makeButton, makeTime } from "/elements.js"

const number = new Intl.NumberFormat()

export class SummaryPanel {
  #parts
  #room = null
  #view = null

  /** parts: {button, panel, close, title, body, news}. */
  constructor(parts) {
    this.#parts = parts
    parts.button.addEventListener("click", () => {
      if (parts.button.ariaDisabled !== "true") this.#room.summary.ask()
    })
    parts.close.addEventListener("click", () => {
      this.#room.summary.dismiss()
      parts.button.focus()
    })
  }

  render(room) {
    const { button, panel, title } = this.#parts
    const { view, isWorking } = room.summary
    button.hidden = !room.entered
    // Not disabled: that would take the focus away.
    button.ariaDisabled = String(isWorking || !room.ready)
    const elsewhere = room !== this.#room
    if (!elsewhere && view === this.#view) return
    const before = elsewhere ? null : this.#view
    this.#room = room
    this.#view = view
    panel.hidden = view === null
    panel.dataset.state = view?.state ?? ""
    title.textContent = `Summary of ${room.name}`
    if (view?.state !== "working" || before?.state !== "working") this.#announce(view, elsewhere)
    this.#fill(view, before)
  }

  /** Says the beginning and the end to those who do not see it; not each step. */
  #announce(view, elsewhere) {
    if (elsewhere) return
    const texts = { working: "Summarising this room.", done: view?.result?.summary, failed: view?.problem }
    this.#parts.news.textContent = texts[view?.state] ?? ""
  }

  #fill(view, before) {
    const { body } = this.#parts
    if (view?.state === "working") {
      if (before?.state !== "working") body.replaceChildren(...makeProgress())
      body.querySelector("progress").value = view.percent
      body.querySelector(".step").textContent = view.node ? `${view.step}, on ${view.node}` : view.step
      return
    }
    switch (view?.state) {
      case "done":
        body.replaceChildren(...makeResult(view.result))
        break
      case "failed":
        body.replaceChildren(make("p", "error", view.problem), makeButton("quiet", "Try again", () => {
          this.#room.summary.ask()
          this.#parts.close.focus() // this button is gone
        }))
        break
      default:
        body.replaceChildren()
    }
  }
}

function makeProgress() {
  const bar = make("progress")
  bar.max = 100
  bar.ariaLabel = "Progress of the summary"
  return [bar, make("p", "step"), make("p", "aside", "A job of the server does it, and pauses at each step to be seen at work. Go on chatting.")]
}

function makeResult({ summary, messages, writers, busiest_hour: hour, longest, words, node }) {
  const facts = make("dl", "facts")
  const add = (term, ...text) => facts.append(make("div", "", make("dt", "", term), make("dd", "", ...text)))
  if (messages > 0) {
    add("Who wrote", ranking(writers))
    if (hour) add("Busiest hour", "from ", makeTime(new Date(hour.at)), `, ${counted(hour.messages, "message")}`)
    if (longest) add("Longest message", `${longest.user_id}, ${counted(longest.characters, "character")}: `, make("q", "", longest.excerpt))
    if (words.length > 0) add("Most used words", ranking(words))
  }
  return [make("p", "lead", summary), facts, make("p", "aside", `Counted by a job on ${node}. Words have four letters or more.`)]
}

const counted = (n, what) => `${number.format(n)} ${what}${n === 1 ? "" : "s"}`
const ranking = places => places.map(({ name, count }) => `${name} ${number.format(count)}`).join(", ")
