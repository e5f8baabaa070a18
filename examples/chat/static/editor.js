// Editing a text in its place.
import { make, makeButton } from "/elements.js"

/**
 * Replaces element by an editor of its text until it is saved or given up.
 * save(text) returns a promise that rejects with a sentence. onClose is told
 * that the editor has gone. Returns a function that closes it.
 */
export function openEditor(element, save, onClose) {
  const input = make("textarea", "")
  input.value = element.textContent
  input.rows = 1
  input.ariaLabel = "Edit message"
  const problem = make("p", "error")
  problem.setAttribute("role", "alert")
  const saveButton = make("button", "", "Save")
  const close = () => {
    if (!form.isConnected) return
    form.replaceWith(element)
    onClose()
  }
  const form = make("form", "editor", input, problem,
    make("div", "buttons", makeButton("quiet", "Cancel", close), saveButton))

  const submit = async event => {
    event.preventDefault()
    if (saveButton.disabled) return
    if (input.value === element.textContent) {
      close()
      return
    }
    saveButton.disabled = true
    problem.textContent = ""
    try {
      await save(input.value)
      close()
    } catch (sentence) {
      problem.textContent = sentence
      saveButton.disabled = false
    }
  }
  form.addEventListener("submit", submit)
  form.addEventListener("keydown", event => {
    if (event.key === "Escape") close()
    else if (event.key === "Enter" && event.target === input && !event.shiftKey && !event.isComposing) submit(event)
  })
  element.replaceWith(form)
  form.scrollIntoView({ block: "nearest" })
  input.focus()
  input.setSelectionRange(input.value.length, input.value.length)
  return close
}
