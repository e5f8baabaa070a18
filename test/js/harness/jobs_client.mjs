// A client of jobs for test/jobs/check: phoenix.js as published, told by lines
// of JSON what to do, answering each with a line.
import { createInterface } from "node:readline"
import { Socket } from "phoenix"
import WebSocket from "ws"

const again = () => 200 + Math.random() * 300

class Client {
  #pending = new Set() // the keys of what it waits for
  #channel
  #answers = []
  #joins = []

  constructor({ url, user, topic }) {
    const socket = new Socket(url, { transport: WebSocket, params: { user }, reconnectAfterMs: again, rejoinAfterMs: again })
    socket.connect()
    this.#channel = socket.channel(topic, () => ({ job_keys: [...this.#pending] }))
    this.#channel.on("job_reply", ({ key, status, response }) => this.#take("job_reply", key, status, response))
    this.#channel.join().receive("ok", () => this.#joins.push(Date.now()))
  }

  /** An answer to the push's ref, or the event after a reconnect. */
  #take(event, key, status, response) {
    this.#pending.delete(key)
    this.#answers.push({ event, key, status, response, at: Date.now() })
  }

  push({ event, payload }) {
    const { key } = payload
    this.#pending.add(key)
    const push = this.#channel.push(event, payload, 120_000)
    for (const status of ["ok", "error"]) {
      push.receive(status, response => this.#take("phx_reply", key, status, response))
    }
  }

  report() {
    return { joins: this.#joins, answers: this.#answers }
  }
}

let client
const commands = {
  start: command => { client = new Client(command) },
  push: command => client.push(command),
  report: () => client.report(),
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line)
  process.stdout.write(`${JSON.stringify(commands[command.op](command) ?? null)}\n`)
}
process.exit(0)
