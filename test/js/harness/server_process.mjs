// One server as a process: started until ready, stopped or killed.
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createServer } from "node:net"
import { setTimeout as delay } from "node:timers/promises"
import { within } from "./wait.mjs"

const readyWithinMs = 60_000
const stopWithinMs = 30_000
const keptOutput = 20_000

/** A TCP port that was free a moment ago. */
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address()
  server.close()
  await once(server, "close")
  return port
}

export class ServerProcess {
  #command
  #child = null
  #ended = null
  #killWithUs = () => this.#child?.kill("SIGKILL")
  output = ""

  /** command: {path, args, env, port}. */
  constructor(command) {
    this.#command = command
    this.port = command.port
    this.url = `http://127.0.0.1:${command.port}`
    this.socketURL = `ws://127.0.0.1:${command.port}`
  }

  /** The name that it goes by in the cluster since its start. */
  get node() {
    return [...this.output.matchAll(/bus: started" node=(\S+)/g)].at(-1)[1]
  }

  get running() {
    return this.#child !== null
  }

  /** Resolves once /readyz answers 200. May be called again after stop or kill. */
  async start() {
    const { path, args, env } = this.#command
    const child = spawn(path, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] })
    this.#child = child
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", text => { this.output = (this.output + text).slice(-keptOutput) })
    }
    let running = true
    this.#ended = new Promise((resolve, reject) => {
      child.once("error", reject)
      child.once("exit", (code, signal) => resolve({ code, signal }))
    }).finally(() => { running = false })
    this.#ended.catch(() => {}) // start and stop look at it
    process.once("exit", this.#killWithUs)

    const deadline = Date.now() + readyWithinMs
    for (;;) {
      if (!running) {
        const how = await this.#ended
        throw new Error(`${path} ended at its start: ${JSON.stringify(how)}\n${this.output}`)
      }
      const answer = await fetch(`${this.url}/readyz`, { signal: AbortSignal.timeout(5000) }).catch(() => null)
      await answer?.body?.cancel()
      if (answer?.status === 200) return this
      if (Date.now() > deadline) throw new Error(`${path} was not ready within ${readyWithinMs} ms\n${this.output}`)
      await delay(25)
    }
  }

  /** Asks the server to end, as a deploy does; resolves to its exit code. */
  async stop() {
    if (!this.#child) return 0
    this.#child.kill("SIGTERM")
    try {
      const { code } = await within(stopWithinMs, "the server to stop", this.#ended)
      return code
    } catch (error) {
      this.#child.kill("SIGKILL")
      throw new Error(`${error.message}\n${this.output}`)
    } finally {
      this.#forget()
    }
  }

  /** kill -9. */
  async kill() {
    this.#child.kill("SIGKILL")
    await within(stopWithinMs, "the killed server", this.#ended)
    this.#forget()
  }

  #forget() {
    process.off("exit", this.#killWithUs)
    this.#child = null
  }
}
