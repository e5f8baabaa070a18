// A user's colour and initial, the same on every page.

/** Turns element into the avatar of user. */
export function showAvatar(element, user) {
  let hash = 0
  for (const char of user) hash = (hash * 31 + char.codePointAt(0)) % 360
  element.style.setProperty("--hue", hash)
  element.textContent = [...user][0].toUpperCase()
}
