/**
 * Ranks on the device what an edge packed for it, with the edge's own `edge.wasm`.
 *
 * ```ts
 * import { OfflineFeed } from "@edgewise/client/offline";
 *
 * const offline = await OfflineFeed.load("/edge.wasm");
 * const edge = new Edgewise({ user: "u42", onTrack: (event) => offline.track(event) });
 * offline.use(await edge.pack());
 * const page = offline.feed({ limit: 20 }); // no network; the bits that the edge would answer
 * ```
 */

import type { FeedAnswer, FeedPage, FeedParams, Meta, TrackedEvent } from "./types.js";

/** Version of the interface of `edge.wasm` that this module speaks. */
const ABI = 1;
/** A session holds interactions for so long, and so many of each kind. */
const EVENT_LIFE_MS = 30 * 60_000;
const EVENTS_MAX = 64;
/** Where a pack says when it was packed: after its magic and version. */
const PACKED_AT = 5;

interface Exports {
  memory: WebAssembly.Memory;
  edge_abi(): number;
  edge_input(length: number): number;
  edge_feed?(length: number): number;
  edge_output(): number;
}

/** What `edge.wasm` says is wrong with a pack or a parameter, in one sentence. */
export class OfflineError extends Error {
  override readonly name = "OfflineError";
}

/** Sets what is else drawn or read from the clock; for tests and comparisons. */
export interface OfflineMoment {
  /** Wall time by the edge's clock, Unix ms. */
  wallMs?: number;
  /** Domain time, Unix ms; an answer's `now_ms`. */
  domainMs?: number;
  /** 32 hexadecimal digits; an answer's `request_id`. */
  requestId?: string;
}

/** One user's feed, ranked here. */
export class OfflineFeed {
  readonly #wasm: Exports;
  #pack: Uint8Array<ArrayBuffer> | undefined;
  #skewMs = 0;
  #receivedAtMs = 0;
  /** Holds what was folded into it; of this device, no edge takes it. */
  #session: string | undefined;
  /** What the session does not hold yet. */
  #unfolded: TrackedEvent[] = [];
  #recent: { event: TrackedEvent; at: number }[] = [];

  private constructor(wasm: Exports) {
    this.#wasm = wasm;
  }

  /** Loads `edge.wasm` from an address (compiled while it arrives), or takes its bytes or module. */
  static async load(source: string | URL | BufferSource | WebAssembly.Module = "/edge.wasm"): Promise<OfflineFeed> {
    const wasm = (await instantiate(source)).exports as unknown as Exports;
    if (wasm.edge_abi?.() !== ABI || !wasm.edge_feed) {
      throw new OfflineError(`this is not an edge.wasm with interface ${ABI} that ranks packs`);
    }
    return new OfflineFeed(wasm);
  }

  /**
   * Ranks from this pack from now on (`Edgewise.pack()`). Keep {@link pack} and
   * {@link receivedAtMs} to go on with it after a restart: both are given back here.
   */
  use(pack: ArrayBuffer, receivedAtMs = Date.now()): void {
    if (pack.byteLength < PACKED_AT + 8) throw new OfflineError("this is not a pack");
    const before = { pack: this.#pack, skewMs: this.#skewMs, receivedAtMs: this.#receivedAtMs, session: this.#session };
    this.#pack = new Uint8Array(pack);
    this.#receivedAtMs = receivedAtMs;
    this.#skewMs = Number(new DataView(pack).getBigInt64(PACKED_AT, true)) - receivedAtMs;
    this.#session = undefined;
    try {
      this.#answer({ limit: 1 }, {}, []);
    } catch (error) {
      this.#pack = before.pack;
      this.#skewMs = before.skewMs;
      this.#receivedAtMs = before.receivedAtMs;
      this.#session = before.session;
      throw error;
    }
    // The edge may not have heard of the last ones; those it has are known by their ids.
    this.#unfolded = this.#recent.filter(({ at }) => Date.now() - at < EVENT_LIFE_MS).map(({ event }) => event);
  }

  /** What is ranked, to be kept by the app; the caller must not change it. */
  get pack(): ArrayBuffer | undefined {
    return this.#pack?.buffer;
  }

  /** When the pack came, by this device's clock. */
  get receivedAtMs(): number {
    return this.#receivedAtMs;
  }

  /** Age of the pack, ms; without a pack infinite. */
  get ageMs(): number {
    return this.#pack ? Date.now() - this.#receivedAtMs : Infinity;
  }

  /** Has the next page follow from what the user did, as the edge's would. */
  track(event: TrackedEvent): void {
    this.#recent.push({ event, at: Date.now() });
    this.#recent.splice(0, this.#recent.length - EVENTS_MAX);
    this.#unfolded.push(event);
    this.#unfolded.splice(0, this.#unfolded.length - EVENTS_MAX);
  }

  /**
   * A ranked page, of this moment unless another is named; made at once, without the network.
   * @throws {OfflineError} where there is no pack, or a parameter is refused.
   */
  feed(params: FeedParams = {}, moment: OfflineMoment = {}): FeedPage {
    const started = performance.now();
    const answer = this.#answer(params, moment, this.#unfolded);
    const elapsedMs = performance.now() - started;
    this.#unfolded = [];
    if (answer.session) this.#session = answer.session;
    const meta: Meta = {
      status: 200,
      rung: answer.rung,
      cache: "DEVICE",
      timing: [],
      elapsedMs,
      headers: new Headers(),
    };
    const next = async (): Promise<FeedPage | null> =>
      answer.next_cursor ? this.feed({ ...params, cursor: answer.next_cursor }) : null;
    return { ...answer, meta, next };
  }

  #answer(params: FeedParams, moment: OfflineMoment, events: readonly TrackedEvent[]): FeedAnswer {
    const pack = this.#pack;
    if (!pack) throw new OfflineError("there is no pack yet");
    const query = new URLSearchParams();
    const given = { ...params, explain: params.explain ? 1 : undefined, session: this.#session };
    for (const [name, value] of Object.entries(given)) {
      if (value !== undefined && String(value)) query.set(name, String(value));
    }
    const asked = {
      query: query.toString(),
      wall_ms: Math.round(moment.wallMs ?? Date.now() + this.#skewMs),
      domain_ms: moment.domainMs,
      request_id: moment.requestId ?? crypto.randomUUID().replaceAll("-", ""),
      events,
    };
    const text = this.#call(new TextEncoder().encode(JSON.stringify(asked)), pack);
    // A sentence never begins with a brace.
    if (!text.startsWith("{")) throw new OfflineError(text);
    return JSON.parse(text) as FeedAnswer;
  }

  /** `u32` length, JSON, pack in; text out. Both buffers are the module's until the next call. */
  #call(json: Uint8Array, pack: Uint8Array): string {
    const { memory, edge_input, edge_feed, edge_output } = this.#wasm;
    const length = 4 + json.length + pack.length;
    const at = edge_input(length);
    if (!at || !edge_feed) throw new OfflineError(`${length} bytes are more than edge.wasm takes`);
    // After the call: it may grow the memory, which detaches older views.
    const input = new Uint8Array(memory.buffer, at, length);
    new DataView(memory.buffer, at).setUint32(0, json.length, true);
    input.set(json, 4);
    input.set(pack, 4 + json.length);
    const written = edge_feed(length);
    return new TextDecoder().decode(new Uint8Array(memory.buffer, edge_output(), written));
  }
}

async function instantiate(source: string | URL | BufferSource | WebAssembly.Module): Promise<WebAssembly.Instance> {
  if (source instanceof WebAssembly.Module) return WebAssembly.instantiate(source, {});
  if (typeof source !== "string" && !(source instanceof URL)) return (await WebAssembly.instantiate(source, {})).instance;
  const response = await fetch(source);
  if (!response.ok) throw new OfflineError(`edge.wasm cannot be had: the answer is ${response.status}`);
  if (response.headers.get("content-type")?.startsWith("application/wasm")) {
    return (await WebAssembly.instantiateStreaming(response, {})).instance;
  }
  return (await WebAssembly.instantiate(await response.arrayBuffer(), {})).instance;
}
