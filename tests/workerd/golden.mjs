// Ranks cases with edge.wasm inside workerd: `golden.mjs EDGE_WASM CASES_JSON`, prints a JSON
// array of what `edge_rank` answered.
import { readFile } from "node:fs/promises";
import { Miniflare } from "miniflare";

const [wasm, cases] = process.argv.slice(2);
const worker = `
import module from "./edge.wasm";
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

const miniflare = new Miniflare({
  compatibilityDate: "2026-07-01",
  modules: [
    { type: "ESModule", path: "worker.mjs", contents: worker },
    { type: "CompiledWasm", path: "edge.wasm", contents: await readFile(wasm) },
  ],
});
const body = await readFile(cases);
const answer = await miniflare.dispatchFetch("http://localhost/", { method: "POST", body });
console.log(await answer.text());
await miniflare.dispose();
