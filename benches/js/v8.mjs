// Times a workload of `edgewise_workloads.wasm` in V8: `v8.mjs WASM WORK ROWS ROUNDS [INPUT]`.
// Prints JSON {median_us, check}: the median over rounds of the mean over 40 rotating batches.
import { readFile } from "node:fs/promises";

const [path, work, rows, rounds, inputPath] = process.argv.slice(2);
const { instance } = await WebAssembly.instantiate(await readFile(path), {});
const { input, memory, prepare, run } = instance.exports;
if (inputPath !== undefined) {
  const bytes = await readFile(inputPath);
  const at = input(bytes.length);
  new Uint8Array(memory.buffer, at, bytes.length).set(bytes);
}
prepare(Number(work), Number(rows));
let check = 0n;
for (let index = 0; index < 400; index++) check ^= run(index % 40);
const means = [];
for (let round = 0; round < Number(rounds); round++) {
  const start = process.hrtime.bigint();
  for (let index = 0; index < 40; index++) run(index);
  means.push(Number(process.hrtime.bigint() - start) / 40_000);
}
means.sort((a, b) => a - b);
check = 0n;
for (let index = 0; index < 40; index++) check ^= BigInt.asUintN(64, run(index)) + BigInt(index);
const digest = BigInt.asUintN(64, check).toString();
console.log(JSON.stringify({ median_us: means[means.length >> 1], check: digest }));
