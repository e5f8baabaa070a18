// Keys of requests, so that a repeat is known as one.

/** randomUUID is missing where the page does not come over HTTPS. */
export const newKey = () => crypto.randomUUID?.() ??
  crypto.getRandomValues(new Uint8Array(16)).reduce((hex, byte) => hex + byte.toString(16).padStart(2, "0"), "")
