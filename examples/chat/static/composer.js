// The box that messages are written in. Each room keeps its own draft.

export class Composer {
  #room = null
  #sending = false
  #input
  #button
  #error

  constructor(form, { input, button, error }) {
    this.#input = input
    this.#button = button
    this.#error = error
    form.addEventListener("submit", event => {
      event.preventDefault()
      this.#send()
    })
    input.addEventListener("keydown", event => {
      // isComposing: Enter may belong to an input method.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return
      event.preventDefault()
      this.#send()
    })
    input.addEventListener("input", () => {
      this.#showError("")
      if (input.value.trim() !== "") this.#room?.userTypes()
    })
  }

  keepDraft() {
    if (this.#room) this.#room.draft = this.#input.value
  }

  use(room) {
    if (room !== this.#room) {
      this.#room = room
      this.#input.value = room.draft
      this.#showError("")
    }
    this.#button.disabled = !room.ready
  }

  async #send() {
    const room = this.#room
    if (!room?.ready || this.#sending) return
    const body = this.#input.value
    this.#sending = true
    try {
      await room.send(body)
      if (room.draft === body) room.draft = ""
      if (room === this.#room && this.#input.value === body) this.#input.value = ""
    } catch (problem) {
      if (room === this.#room) this.#showError(problem)
    } finally {
      this.#sending = false
    }
  }

  #showError(text) {
    this.#error.textContent = text
    this.#input.setAttribute("aria-invalid", String(text !== ""))
  }
}
