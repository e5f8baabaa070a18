// The box that messages are written in. Each room keeps its own draft.

export class Composer {
  #room = null
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
      this.#room.draft = input.value
      this.#setProblem("")
      this.#room.userTypes(input.value.trim() !== "")
    })
  }

  /** Shows the room's draft and what is wrong with it. */
  use(room) {
    this.#room = room
    if (this.#input.value !== room.draft) this.#input.value = room.draft
    this.#button.disabled = !room.entered
    this.#setProblem(room.problem)
  }

  #send() {
    const room = this.#room
    if (!room.entered) return
    if (room.draft.trim() === "") this.#setProblem("The message can't be blank.")
    else room.send(room.draft)
  }

  #setProblem(text) {
    this.#room.problem = text
    this.#error.textContent = text
    this.#input.setAttribute("aria-invalid", String(text !== ""))
  }
}
