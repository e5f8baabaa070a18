// Waiting with a deadline, so that a hang says what it waited for.

/** The result of promise, or a failure that names `what` after ms. */
export async function within(ms, what, promise) {
  let timer
  const deadline = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms)
  })
  try {
    return await Promise.race([promise, deadline])
  } finally {
    clearTimeout(timer)
  }
}

/** What comes, in order; next() waits for what has not come yet. */
export class Inbox {
  #items = []
  #waiting = []

  constructor(what) {
    this.what = what
  }

  put(item) {
    this.#put(Promise.resolve(item))
  }

  /** Makes one next() reject. */
  fail(error) {
    const failure = Promise.reject(error)
    failure.catch(() => {}) // it may never be asked for
    this.#put(failure)
  }

  async next(ms = 10_000) {
    if (this.#items.length > 0) return this.#items.shift()
    return within(ms, this.what, new Promise(resolve => this.#waiting.push(resolve)))
  }

  /** How many have come that were not asked for. */
  get waiting() {
    return this.#items.length
  }

  /** Forgets what was not asked for. */
  clear() {
    this.#items = []
  }

  #put(item) {
    const waiting = this.#waiting.shift()
    if (waiting) waiting(item)
    else this.#items.push(item)
  }
}
