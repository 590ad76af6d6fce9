// An edge in Node: the real edge.wasm with an origin that holds the parts of one pack. It reads
// packs by their documented layout, not by the module's own code.

/** The parts of a pack (shared/wire/src/pack.rs). */
export function partsOf(pack) {
  const view = new DataView(pack.buffer, pack.byteOffset, pack.byteLength);
  let at = 31; // magic, version, packed at, stored at, rung, session status, offset
  const varint = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = pack[at++];
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  const bytes = () => {
    const length = varint();
    return pack.subarray(at, (at += length));
  };
  const text = () => (pack[at++] ? new TextDecoder().decode(bytes()) : undefined);
  const [user, region] = [text(), text()];
  const [session, cursor] = [bytes(), bytes()];
  const isHotList = pack[at++] === 1;
  const [candidates, overlay, snapshot] = [bytes(), bytes(), bytes()];
  if (at + 8 !== pack.length) throw new Error("the layout of packs has changed");
  return {
    magic: new TextDecoder().decode(pack.subarray(0, 4)), version: pack[4],
    packedAtMs: Number(view.getBigInt64(5, true)), storedAtMs: Number(view.getBigInt64(13, true)),
    user, region, session, cursor, isHotList, candidates, overlay, snapshot,
  };
}

/** An edge whose origin answers `origin(path)` with bytes or undefined. */
export class NodeEdge {
  #edge;
  #origin;
  constructor(module, origin) {
    this.#edge = new WebAssembly.Instance(module, {}).exports;
    this.#origin = origin;
    const config = JSON.stringify({ keys: "k:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", plain_user: true });
    this.#write([new TextEncoder().encode(config)], "edge_init");
  }

  /** Asks at `wallMs`: status, headers and body; does what follows too. */
  async ask(target, { wallMs = Date.now(), method = "GET", body = "" } = {}) {
    const random = crypto.randomUUID().replaceAll("-", "");
    const head = new TextEncoder().encode(`${method}\n${target}\n${wallMs}\n${random}\n192.0.2.1\n\n\n`);
    let output = this.#write([u32(head.length), head, new TextEncoder().encode(body)], "edge_start");
    let answer;
    for (;;) {
      answer ??= output.control.answer && { ...output.control.answer, bytes: slice(output.raw, output.control.answer.body) };
      if (output.control.asset || output.control.done) return output.control.asset ? null : answer;
      const parts = [u32(output.control.h), u64(wallMs), u32(output.control.effects.length)];
      for (const effect of output.control.effects) {
        const found = effect.op === "fetch" ? await this.#origin(effect.path.replace("/internal/v1/", "")) : undefined;
        const status = effect.op === "fetch" ? (found ? 200 : 404) : ["sleep", "send", "limit"].includes(effect.op) ? 200 : 0;
        parts.push(u32(effect.id), u32(status), u32(0), u32(found?.length ?? 0), found ?? new Uint8Array());
      }
      output = this.#write(parts, "edge_resume");
    }
  }

  #write(parts, call) {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    const at = this.#edge.edge_input(length);
    const input = new Uint8Array(this.#edge.memory.buffer, at, length);
    parts.reduce((start, part) => (input.set(part, start), start + part.length), 0);
    const written = this.#edge[call](length);
    const output = new Uint8Array(this.#edge.memory.buffer, this.#edge.edge_output(), written).slice();
    if (call === "edge_init") {
      if (written) throw new Error(new TextDecoder().decode(output));
      return undefined;
    }
    const control = new DataView(output.buffer).getUint32(0, true);
    return { control: JSON.parse(new TextDecoder().decode(output.subarray(4, 4 + control))), raw: output.subarray(4 + control) };
  }
}

const slice = (raw, [offset, length]) => raw.slice(offset, offset + length);
const u32 = (value) => new Uint8Array(new Uint32Array([value]).buffer);
const u64 = (value) => new Uint8Array(new BigUint64Array([BigInt(value)]).buffer);
