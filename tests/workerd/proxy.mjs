// The Worker as a caching proxy, inside workerd, before an origin that misbehaves: what rules in
// virtual time cannot show. `proxy.mjs` ends with 0 where everything holds.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

const packed = gzipSync("hello ".repeat(100));
/** What the origin was asked, by path. */
const asked = new Map();
/** Answers that wait, by path. */
const held = new Map();

const routes = {
  "/gzip": (_, answer) => {
    answer.writeHead(200, { "cache-control": "max-age=100", "content-encoding": "gzip" });
    answer.end(packed);
  },
  "/cut": (_, answer) => {
    answer.writeHead(200, { "cache-control": "max-age=100", "content-length": 1000 });
    answer.write("x".repeat(500), () => answer.destroy());
  },
  "/held": (path, answer) => {
    answer.writeHead(200, { "cache-control": "max-age=100" });
    answer.write("first ");
    held.set(path, () => answer.end("last"));
  },
  "/refreshed": (path, answer) => {
    const fields = { "cache-control": "max-age=0, stale-while-revalidate=100" };
    answer.writeHead(200, fields).end(`${asked.get(path)}${"w".repeat(300_000)}`);
  },
  "/late": (path, answer) => {
    const fields = { "cache-control": "max-age=0, stale-if-error=100" };
    const send = () => answer.writeHead(200, fields).end(`${asked.get(path)}`);
    if (asked.get(path) === 2) held.set(path, send);
    else send();
  },
  "/cookies": (_, answer) => {
    const fields = ["cache-control", "public, max-age=100", "set-cookie", "a=1", "set-cookie", "b=2"];
    answer.writeHead(200, fields).end("c");
  },
  "/odd": (_, answer) => answer.writeHead(999).end(),
};
const origin = createServer((asking, answer) => {
  const path = asking.url;
  asked.set(path, (asked.get(path) ?? 0) + 1);
  routes[path](path, answer);
});
await new Promise((resolve) => origin.listen(0, "127.0.0.1", resolve));

const dir = await mkdtemp(join(tmpdir(), "edgewise-proxy-"));
const root = new URL("../../", import.meta.url).pathname;
await mkdir(join(dir, "build"));
await copyFile(join(root, "edge/worker/proxy.mjs"), join(dir, "proxy.mjs"));
await copyFile(join(root, "edge/worker/build/proxy.wasm"), join(dir, "build/proxy.wasm"));
await writeFile(
  join(dir, "main.mjs"),
  'import { proxied } from "./proxy.mjs"; export default { fetch: proxied };',
);
const port = await freePort();
await writeFile(
  join(dir, "config.capnp"),
  `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main), (name = "net", network = (allow = ["local"]))],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")]
);
const main :Workerd.Worker = (
  modules = [
    (name = "main.mjs", esModule = embed "main.mjs"),
    (name = "proxy.mjs", esModule = embed "proxy.mjs"),
    (name = "build/proxy.wasm", wasm = embed "build/proxy.wasm")
  ],
  bindings = [(name = "EDGEWISE_PROXY", text = "http://127.0.0.1:${origin.address().port}")],
  compatibilityDate = "2026-07-01",
  globalOutbound = "net"
);`,
);
const workerd = spawn(join(root, "node_modules/.bin/workerd"), ["serve", join(dir, "config.capnp")], {
  stdio: ["ignore", "inherit", "inherit"],
});
try {
  await until(() => get("/gzip").catch(() => undefined));
  await check();
} finally {
  workerd.kill("SIGKILL");
  origin.closeAllConnections();
  origin.close();
  await rm(dir, { recursive: true, force: true });
}

async function check() {
  const whole = await get("/gzip");
  assert.match(whole.headers["cache-status"], /hit/);
  assert.equal(whole.headers["content-encoding"], "gzip");
  assert.deepEqual(whole.body, packed, "bytes pass untouched");
  const head = await get("/gzip", { method: "HEAD" });
  assert.equal(head.headers["content-length"], String(packed.length));

  for (const times of [1, 2]) {
    await assert.rejects(get("/cut"), "what breaks off looks whole");
    assert.equal(asked.get("/cut"), times, "what breaks off was stored");
  }

  const leaving = request({ port, path: "/held" }).end();
  await new Promise((resolve) => leaving.on("response", resolve));
  leaving.on("error", () => {}).destroy();
  held.get("/held")();
  const stored = await until(() => cached("/held"));
  assert.equal(String(stored.body), "first last", "stored whole though its client left");

  assert.equal((await get("/refreshed")).body.length, 300_001);
  await pause(20);
  assert.equal((await get("/refreshed")).body[0], "1".charCodeAt(0), "stale at once");
  await until(async () => (await get("/refreshed")).body[0] > "1".charCodeAt(0));

  await get("/late");
  await pause(20);
  const stale = await get("/late");
  assert.match(stale.headers["cache-status"], /detail=origin-timeout/);
  assert.equal(String(stale.body), "1");
  held.get("/late")();
  await until(async () => String((await get("/late")).body) > "1");

  for (const from of [/fwd=uri-miss/, /hit/]) {
    const { headers } = await get("/cookies");
    assert.match(headers["cache-status"], from);
    assert.deepEqual(headers["set-cookie"], ["a=1", "b=2"]);
  }
  assert.equal((await get("/odd")).status, 502, "a status that no Worker can answer with");
}

/** What is stored, without asking the origin; undefined where nothing is. */
async function cached(path) {
  const answer = await get(path, { headers: { "cache-control": "only-if-cached" } });
  return answer.status === 200 ? answer : undefined;
}

function get(path, options = {}) {
  return new Promise((resolve, reject) => {
    const asking = request({ port, path, ...options }, (answer) => {
      const chunks = [];
      answer.on("data", (chunk) => chunks.push(chunk));
      answer.on("error", reject);
      answer.on("end", () => {
        const { statusCode: status, headers } = answer;
        resolve({ status, headers, body: Buffer.concat(chunks) });
      });
    });
    asking.on("error", reject).end();
  });
}

/** Asks until it is true, at most 20 s. */
async function until(ask) {
  for (let tries = 0; tries < 400; tries++) {
    const answer = await ask();
    if (answer) return answer;
    await pause(50);
  }
  throw new Error(`not within 20 s: ${ask}`);
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
