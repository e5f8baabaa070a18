// The binaries under test, built by `go build` into a directory of their own.
import { execFile } from "node:child_process"
import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"

const run = promisify(execFile)
const root = fileURLToPath(new URL("../../..", import.meta.url))

const packages = { trunkline: "./cmd/server", conformance: "./examples/conformance" }

/** Builds one of the programs and returns its path. */
export async function build(name, directory) {
  await mkdir(directory, { recursive: true })
  const path = join(directory, name)
  await run("go", ["build", "-o", path, packages[name]], { cwd: root, timeout: 600_000 })
  return path
}
