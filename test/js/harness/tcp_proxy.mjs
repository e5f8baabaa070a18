// A TCP proxy that can break down, and that goes to a live target as a load
// balancer does.
import { once } from "node:events"
import { connect, createServer } from "node:net"

export class TCPProxy {
  #targets
  #up = true
  #open = new Set()
  #rotate = false
  #server = createServer(client => {
    if (this.#rotate) this.#targets.push(this.#targets.shift())
    this.#serve(client, [...this.#targets])
  })
  /** The ports that connections went to. */
  reached = new Set()

  /** ports: the first that accepts a connection gets it; with rotate they take turns. */
  static async start(ports, { rotate = false } = {}) {
    const proxy = new TCPProxy()
    proxy.#targets = ports
    proxy.#rotate = rotate
    proxy.#server.listen(0, "127.0.0.1")
    await once(proxy.#server, "listening")
    return proxy
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}`
  }

  get socketURL() {
    return this.url.replace("http", "ws")
  }

  /** Resets every connection, and new ones too, until up(). */
  down() {
    this.#up = false
    for (const socket of this.#open) socket.resetAndDestroy()
  }

  up() {
    this.#up = true
  }

  async stop() {
    this.down()
    this.#server.close()
    await once(this.#server, "close")
  }

  #serve(client, targets) {
    client.on("error", () => {}) // close follows
    const port = targets.shift()
    if (!this.#up || port === undefined) {
      client.resetAndDestroy()
      return
    }
    const upstream = connect(port, "127.0.0.1")
    const refused = () => this.#serve(client, targets)
    upstream.once("error", refused)
    upstream.once("connect", () => {
      upstream.off("error", refused)
      if (!this.#up) { // it went down meanwhile
        upstream.destroy()
        client.resetAndDestroy()
        return
      }
      this.reached.add(port)
      for (const [socket, other] of [[client, upstream], [upstream, client]]) {
        this.#open.add(socket)
        socket.on("error", () => {})
        socket.once("close", () => {
          this.#open.delete(socket)
          other.destroy()
        })
        socket.pipe(other)
      }
    })
  }
}
