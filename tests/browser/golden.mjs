// Ranks cases with edge.wasm inside Chromium: `golden.mjs EDGE_WASM CASES_JSON CHROMIUM`, prints a
// JSON array of what `edge_rank` answered.
import { createServer } from "node:http";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { launch } from "./chromium.mjs";

const [wasm, cases, executablePath] = process.argv.slice(2);
const files = {
  "/": ["text/html", "<!doctype html><title>golden</title>"],
  "/edge.wasm": ["application/wasm", await readFile(wasm)],
  "/cases.json": ["application/json", await readFile(cases)],
};
const server = createServer(({ url }, response) => {
  const [type, body] = files[url] ?? [];
  response.writeHead(type ? 200 : 404, type && { "content-type": type }).end(body);
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const profile = await mkdtemp(join(tmpdir(), "edgewise-golden-"));
const context = await launch(executablePath, profile);
try {
  const page = await context.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  const ranked = await page.evaluate(async () => {
    const { instance } = await WebAssembly.instantiateStreaming(fetch("/edge.wasm"), {});
    const edge = instance.exports;
    const rank = (text) => {
      const bytes = new TextEncoder().encode(text);
      const at = edge.edge_input(bytes.length);
      new Uint8Array(edge.memory.buffer, at, bytes.length).set(bytes);
      const length = edge.edge_rank(bytes.length);
      return new TextDecoder().decode(new Uint8Array(edge.memory.buffer, edge.edge_output(), length));
    };
    return (await (await fetch("/cases.json")).json()).map(rank);
  });
  console.log(JSON.stringify(ranked));
} finally {
  await context.close();
  await rm(profile, { recursive: true, force: true });
  server.closeAllConnections();
  server.close();
}
