// Observers of presence for test/presence/check: phoenix.js as published, told
// by lines of JSON what to do, answering each with a line.
import { createInterface } from "node:readline"
import { Presence, Socket } from "phoenix"
import WebSocket from "ws"

const again = () => 200 + Math.random() * 300

const count = (times, what) => times.set(what, (times.get(what) ?? 0) + 1)

class Observer {
  #times = [] // of the busiest topic's diffs within the last second
  #presences = new Map()
  #left = new Set()
  #came = new Map() // times, by topic and key; empty unless keys are watched
  #went = new Map()
  #most = 0
  #joins = 0

  /** topics: the first is the busiest. */
  constructor({ name, node, url, topics, keys }) {
    this.name = name
    this.node = node
    this.socket = new Socket(url, { transport: WebSocket, reconnectAfterMs: again, rejoinAfterMs: again })
    this.socket.onOpen(() => { this.#times = [] }) // the limit is each node's
    for (const topic of topics) {
      const channel = this.socket.channel(topic, { observe: true })
      const presence = new Presence(channel)
      presence.onJoin((key, current) => { if (keys && !current) count(this.#came, `${topic} ${key}`) })
      presence.onLeave((key, current, left) => {
        left.metas.forEach(meta => this.#left.add(meta.id))
        if (keys && current.metas.length === 0) count(this.#went, `${topic} ${key}`)
      })
      channel.onMessage = (event, payload) => {
        if (event === "presence_diff" && topic === topics[0]) this.#count()
        return payload
      }
      channel.join().receive("ok", () => { this.#joins++ })
      this.#presences.set(topic, presence)
    }
    this.socket.connect()
  }

  #count() {
    const now = performance.now()
    this.#times.push(now)
    while (now - this.#times[0] >= 1000) this.#times.shift()
    this.#most = Math.max(this.#most, this.#times.length)
  }

  begin() {
    this.#left.clear()
    this.#came.clear()
    this.#went.clear()
    this.#most = 0
  }

  report() {
    const topics = {}
    for (const [topic, presence] of this.#presences) {
      const keys = topics[topic] = {}
      presence.list((key, { metas }) => { keys[key] = metas.map(meta => meta.id) })
    }
    return {
      name: this.name, node: this.node, joins: this.#joins, most: this.#most, left: [...this.#left], topics,
      came: Object.fromEntries(this.#came), went: Object.fromEntries(this.#went),
    }
  }
}

let observers = []
const commands = {
  start: ({ observers: wanted }) => { observers = wanted.map(one => new Observer(one)) },
  begin: () => observers.forEach(observer => observer.begin()),
  report: () => observers.map(observer => observer.report()),
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line)
  process.stdout.write(`${JSON.stringify(commands[command.op](command) ?? null)}\n`)
}
process.exit(0)
