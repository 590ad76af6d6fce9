// Ranks with edge.wasm in V8: `rank.mjs EDGE_WASM`. Standard input: chunks of `u32` length and
// so many bytes, in them `u32` length and JSON for each ranking; standard output: `u32` length
// and the answer for each.
import { readFile } from "node:fs/promises";
import { stdin, stdout } from "node:process";

const { instance } = await WebAssembly.instantiate(await readFile(process.argv[2]), {});
const edge = instance.exports;

/** The answer to one ranking, behind its length. */
function rank(json) {
  // The call may grow the memory, and the buffer of before is gone then.
  const at = edge.edge_input(json.length);
  new Uint8Array(edge.memory.buffer, at, json.length).set(json);
  const length = edge.edge_rank(json.length);
  const answer = Buffer.alloc(4 + length);
  answer.writeUInt32LE(length);
  const output = edge.edge_output();
  answer.set(new Uint8Array(edge.memory.buffer, output, length), 4);
  return answer;
}

function answerChunk(chunk) {
  const answers = [];
  for (let at = 0; at < chunk.length; ) {
    const length = chunk.readUInt32LE(at);
    answers.push(rank(chunk.subarray(at + 4, at + 4 + length)));
    at += 4 + length;
  }
  stdout.write(Buffer.concat(answers));
}

let pending = Buffer.alloc(0);
for await (const bytes of stdin) {
  pending = Buffer.concat([pending, bytes]);
  while (pending.length >= 4 && pending.length >= 4 + pending.readUInt32LE(0)) {
    const end = 4 + pending.readUInt32LE(0);
    answerChunk(pending.subarray(4, end));
    pending = pending.subarray(end);
  }
}
