// Servers that share one Postgres, in a temporary directory.
import { execFile } from "node:child_process"
import { chmod, mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import pg from "pg"
import { build } from "./build.mjs"
import { freePort, ServerProcess } from "./server_process.mjs"

const run = promisify(execFile)

/** The secret of both applications under test. */
export const secret = "0123456789abcdef".repeat(4)

export class Cluster {
  #directory
  #binary
  #servers = []
  #settings

  constructor(directory, program, binary, settings) {
    this.#directory = directory
    this.program = program
    this.#binary = binary
    this.#settings = settings
  }

  /** program: "conformance" or "trunkline". settings: environment variables of its servers. */
  static async create(program, settings = {}) {
    const directory = await mkdtemp(join(tmpdir(), "trunkline-js-"))
    await chmod(directory, 0o755) // Postgres runs as another user
    return new Cluster(directory, program, await build(program, join(directory, "bin")), settings)
  }

  get #environment() {
    return { TRUNKLINE_DATA_DIR: join(this.#directory, "postgres"), SECRET_KEY_BASE: secret, ...this.#settings }
  }

  /** Starts one more node. Without DATABASE_URL the first one runs Postgres, so kill another. */
  async startNode() {
    const port = await freePort()
    const command = this.program === "conformance"
      ? { args: ["-listen", `127.0.0.1:${port}`], env: this.#environment }
      : { args: ["dev"], env: { ...this.#environment, PORT: String(port) } }
    const server = new ServerProcess({ path: this.#binary, port, ...command })
    this.#servers.push(server)
    return server.start()
  }

  /** Runs a command of the trunkline program on the cluster's database and returns what it printed. */
  async command(...args) {
    const env = { ...process.env, ...this.#environment, DATABASE_URL: await this.#databaseURL() }
    return (await run(this.#binary, args, { env, timeout: 30_000 })).stdout
  }

  /** A connection to the cluster's database, as an application's; to be ended by the caller. */
  async sql() {
    const client = new pg.Client({ connectionString: await this.#databaseURL(), statement_timeout: 30_000 })
    await client.connect()
    return client
  }

  async #databaseURL() {
    if (process.env.DATABASE_URL) return process.env.DATABASE_URL
    // The lock of the embedded Postgres says where its socket is.
    const lock = JSON.parse(await readFile(join(this.#environment.TRUNKLINE_DATA_DIR, "lock"), "utf8"))
    const query = new URLSearchParams({ host: lock.socket_dir, port: lock.port, sslmode: "disable" })
    return `postgres://postgres@/trunkline?${query}`
  }

  /** Stops the servers, the one with Postgres last. */
  async stop() {
    for (const server of this.#servers.reverse()) await server.stop()
    await rm(this.#directory, { recursive: true, force: true })
  }
}
