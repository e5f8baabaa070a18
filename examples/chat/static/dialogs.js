// Questions to the user.
const $ = id => document.getElementById(id)

/**
 * Shows a dialog with its form emptied until submit() resolves, which tries
 * again after a rejection, or the user gives up. Resolves to whether it did.
 */
function ask(name, submit) {
  const dialog = $(`${name}-dialog`)
  const form = $(`${name}-form`)
  const done = new AbortController()
  return new Promise(resolve => {
    const finish = answer => {
      done.abort()
      dialog.close()
      resolve(answer)
    }
    form.reset()
    $(`${name}-error`).textContent = ""
    let busy = false
    form.addEventListener("submit", async event => {
      event.preventDefault()
      if (busy) return
      busy = true
      try {
        await submit()
        finish(true)
      } catch (problem) {
        $(`${name}-error`).textContent = problem
      } finally {
        busy = false
      }
    }, { signal: done.signal })
    $(`${name}-cancel`).addEventListener("click", () => finish(false), { signal: done.signal })
    dialog.addEventListener("cancel", () => finish(false), { signal: done.signal })
    dialog.showModal()
  })
}

/** Resolves to whether the user got into the room. */
export function askPassword(room) {
  return ask("password", async () => {
    try {
      await room.join({ password: $("password").value })
    } catch (refusal) {
      $("password").select()
      throw refusal === "bad password" ? "That is not the password." : `Not let in: ${refusal}.`
    }
  })
}

/** Calls remove, which returns a promise, once the user has confirmed. */
export function confirmDelete(remove) {
  return ask("delete", remove)
}
