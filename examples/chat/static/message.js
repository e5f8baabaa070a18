// One message as shown. Its author may edit it in place and delete it.
import { showAvatar } from "/avatar.js"
import { openEditor } from "/editor.js"
import { make, makeButton, makeTime } from "/elements.js"

export class Message {
  #text
  #edited = make("span", "edited", "edited")
  #bubble
  #closeEditor = () => {}
  deleted = false

  /** actions: edit(id, body) and remove(id), each a promise. */
  constructor(id, payload, own, actions) {
    this.author = String(payload.user_id ?? "Someone")
    this.element = make("li", own ? "message own" : "message")
    this.element.dataset.id = id
    const avatar = make("span", "avatar")
    avatar.ariaHidden = "true"
    showAvatar(avatar, this.author)
    const head = make("p", "head", make("span", "author", own ? "You" : this.author))
    const at = new Date(payload.at)
    if (!Number.isNaN(at.valueOf())) head.append(makeTime(at))
    head.append(this.#edited)
    this.#text = make("p", "text")
    this.#bubble = make("div", "bubble", head, this.#text)
    this.element.append(avatar, this.#bubble)
    if (own) {
      this.element.append(this.#makeActions(id, actions))
      this.element.tabIndex = -1 // so that a tap shows them
    }
    this.update(payload)
  }

  update({ body, edited_at: editedAt }) {
    if (this.deleted) return
    this.#text.textContent = body
    this.#edited.hidden = !editedAt
  }

  /** Leaves its place. */
  markDeleted() {
    this.deleted = true
    this.author = null
    this.#closeEditor()
    if (this.element.contains(document.activeElement)) this.element.closest(".log")?.focus({ preventScroll: true })
    this.element.className = "note deleted"
    this.element.removeAttribute("tabindex")
    this.element.replaceChildren("Message deleted")
  }

  #makeActions(id, { edit, remove }) {
    const actions = make("div", "actions")
    const editButton = makeButton("quiet", "Edit", () => {
      actions.hidden = true
      this.#closeEditor = openEditor(this.#text, body => edit(id, body), () => {
        actions.hidden = false
        editButton.focus()
      })
    })
    actions.append(editButton, makeButton("quiet", "Delete", () => remove(id)))
    return actions
  }
}

/** The place of a message that was deleted before it was seen. */
export function deletedMessage(id) {
  const message = new Message(id, {}, false)
  message.markDeleted()
  return message
}
