// Builds the client and the page into edge/page/dist: plain files that any static host can serve.
// Run with `node edge/page/build.mjs` from anywhere.
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const page = dirname(fileURLToPath(import.meta.url));
const client = join(page, "..", "client");
const dist = join(page, "dist");
const tsc = createRequire(import.meta.url).resolve("typescript/lib/tsc.js");

function compile(project) {
  try {
    execFileSync(process.execPath, [tsc, "-p", project], { stdio: ["ignore", "pipe", "pipe"] });
  } catch (error) {
    process.stderr.write(`${error.stdout ?? ""}${error.stderr ?? ""}`);
    process.exit(1);
  }
}

compile(client);
mkdirSync(dist, { recursive: true });
for (const file of readdirSync(dist)) {
  if (file !== "demo.json") rmSync(join(dist, file), { recursive: true }); // the demo put that one there
}
compile(page);
for (const file of ["index.html", "app.css", "favicon.svg"]) copyFileSync(join(page, file), join(dist, file));
copyFileSync(join(client, "dist", "index.js"), join(dist, "client.js"));
copyFileSync(join(client, "dist", "offline.js"), join(dist, "offline.js"));
// What the edge runs, for devices; without it the page's switch says that it cannot be loaded.
const wasm = join(page, "..", "worker", "build", "edge.wasm");
if (existsSync(wasm)) copyFileSync(wasm, join(dist, "edge.wasm"));
console.log(`page built: ${dist}`);
