// Who is here: a name from ?user= or from the last visit, and a token for it.
const key = "trunkline-chat-name"

/** Resolves to {token, userID}. Rejects with a sentence to show. */
export async function requestToken(name) {
  let answer
  try {
    answer = await fetch(`/demo/token?user=${encodeURIComponent(name)}`)
  } catch {
    throw new Error("The server does not answer. Try again.")
  }
  const body = await answer.json()
  if (body.errors) throw new Error(`The name ${body.errors.user[0]}.`)
  if (!answer.ok) throw new Error("The server could not sign a token. Try again.")
  return { token: body.token, userID: body.user_id }
}

/** Asks for a name where none is known, and again when the server refuses it. */
export async function signIn() {
  let name = new URLSearchParams(location.search).get("user") ?? localStorage.getItem(key)
  let problem = ""
  for (;;) {
    if (!name) name = await askName(problem)
    try {
      const session = await requestToken(name)
      localStorage.setItem(key, session.userID)
      return session
    } catch (error) {
      problem = error.message
      name = null
    } finally {
      document.getElementById("name-dialog").close()
    }
  }
}

/** Starts again, asking for a name. */
export function forgetName() {
  localStorage.removeItem(key)
  location.assign("/")
}

function askName(problem) {
  const dialog = document.getElementById("name-dialog")
  document.getElementById("name-error").textContent = problem
  dialog.showModal()
  const asked = new AbortController()
  // There is nothing to see without a name, so Escape does not close it.
  dialog.addEventListener("cancel", event => event.preventDefault(), { signal: asked.signal })
  return new Promise(resolve => {
    document.getElementById("name-form").addEventListener("submit", event => {
      event.preventDefault()
      asked.abort()
      resolve(document.getElementById("name").value.trim())
    }, { signal: asked.signal })
  })
}
