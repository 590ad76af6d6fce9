// Ranks cases with edge.wasm inside workerd: `golden.mjs EDGE_WASM CASES_JSON`, prints a JSON
// array of what `edge_rank` answered.
import { spawn } from "node:child_process";
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [wasm, cases] = process.argv.slice(2);
const worker = `
import module from "edge.wasm";
const edge = new WebAssembly.Instance(module, {}).exports;
const rank = (text) => {
  const bytes = new TextEncoder().encode(text);
  const at = edge.edge_input(bytes.length);
  new Uint8Array(edge.memory.buffer, at, bytes.length).set(bytes);
  const length = edge.edge_rank(bytes.length);
  return new TextDecoder().decode(new Uint8Array(edge.memory.buffer, edge.edge_output(), length));
};
export default {
  async fetch(request) { return Response.json((await request.json()).map(rank)); },
};`;
const config = (port) => `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main)],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")]
);
const main :Workerd.Worker = (
  modules = [
    (name = "worker.mjs", esModule = embed "worker.mjs"),
    (name = "edge.wasm", wasm = embed "edge.wasm")
  ],
  compatibilityDate = "2026-07-01"
);`;

const dir = await mkdtemp(join(tmpdir(), "edgewise-golden-"));
const port = await freePort();
await writeFile(join(dir, "worker.mjs"), worker);
await copyFile(wasm, join(dir, "edge.wasm"));
await writeFile(join(dir, "config.capnp"), config(port));
const binary = new URL("../../node_modules/.bin/workerd", import.meta.url).pathname;
const workerd = spawn(binary, ["serve", join(dir, "config.capnp")], { stdio: ["ignore", "ignore", "inherit"] });
try {
  const body = await readFile(cases);
  console.log(await answer(`http://127.0.0.1:${port}/`, body));
} finally {
  workerd.kill("SIGKILL");
  await rm(dir, { recursive: true, force: true });
}

/** Asks until workerd is up, at most 20 s. */
async function answer(url, body) {
  for (let tries = 0; ; tries++) {
    try {
      return await (await fetch(url, { method: "POST", body })).text();
    } catch (error) {
      if (tries === 200) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
