// Elements of the page. Text is only ever set as text.
const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" })
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" })
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" })

/** An element of a class, with text or children. */
export function make(tag, className, ...content) {
  const element = document.createElement(tag)
  if (className) element.className = className
  element.append(...content)
  return element
}

/** A button that is no form's. */
export function makeButton(className, text, onClick) {
  const button = make("button", className, text)
  button.type = "button"
  button.addEventListener("click", onClick)
  return button
}

/** When something was said: the day is shown where it is not today. */
export function makeTime(at) {
  const today = at.toDateString() === new Date().toDateString()
  const element = make("time", "at", today ? time.format(at) : `${day.format(at)}, ${time.format(at)}`)
  element.dateTime = at.toISOString()
  element.title = full.format(at)
  return element
}
