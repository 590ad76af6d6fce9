// A caching reverse proxy for any origin, in an isolate's memory: it moves bytes between clients,
// the origin and `proxy.wasm` and holds bodies. It decides nothing (ARCHITECTURE.md,
// "proxy.wasm interface"). entry.mjs loads it where EDGEWISE_PROXY names an origin.

/** A body may pause for so long. */
const BODY_IDLE_MS = 30_000;
/** Bytes that all bodies that are arriving may hold together; beyond, they are not kept. */
const ARRIVING_BYTES_MAX = 16 * 1024 * 1024;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** proxy.wasm, once it is loaded. */
let proxy;
let loading;
/** Bodies that proxy.wasm refers to, by number. */
const bodies = new Map();
let arrivingBytes = 0;

/** Answers a request. */
export async function proxied(request, env, ctx) {
  if (proxy === undefined) await (loading ??= load(env.EDGEWISE_PROXY));
  const { method, url, headers } = request;
  const client = headers.get("cf-connecting-ip") ?? "";
  const head = `${method}\n${url}\n${Date.now()}\n${Math.random()}\n${client}`;
  const { answer, fetch: asked } = ask("proxy_request", head, headers, respond);
  if (asked === undefined) return answer;
  if (answer !== undefined) {
    ctx.waitUntil(fetched(asked, null, () => {}));
    return answer;
  }
  // The work goes on when the client leaves: what is whole is stored.
  return new Promise((resolve, reject) => {
    ctx.waitUntil(fetched(asked, request.body, resolve).catch(reject));
  });
}

/** Asks the origin, answers through `resolve`, and keeps the body where proxy.wasm says so. */
async function fetched(asked, body, resolve) {
  const late = asked.late_ms && setTimeout(() => resolve(whenLate(asked.id)), asked.late_ms);
  const origin = await exchange(asked, body);
  clearTimeout(late);
  const head = `${asked.id}\n${origin.status}\n${Date.now()}\n${origin.error ?? ""}`;
  let pump;
  const { answer } = ask("proxy_response", head, origin.headers, (control) => {
    const client = control.answer?.body === "origin" && asked.method !== "HEAD";
    if (control.keep !== undefined) {
      const [id, bytesMax] = control.keep;
      pump = new Pump(id, bytesMax, origin, client);
      return respond(control, pump.readable);
    }
    // A body that goes to nobody would hold the connection.
    if (!client) origin.body?.cancel().catch(() => {});
    return respond(control, client ? origin.body : null);
  });
  if (pump?.isEmpty()) pump.end(true);
  resolve(answer);
  if (pump !== undefined) await pump.run();
}

function whenLate(id) {
  return read(proxy.proxy_late(id, Date.now()), respond).answer;
}

/** The origin's answer, or `{status: 0}` with why there is none. */
async function exchange(asked, body) {
  const { url, method, headers, budget_ms, repeatable } = asked;
  const control = new AbortController();
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    control.abort();
  }, budget_ms);
  const options = {
    method,
    headers,
    body,
    signal: control.signal,
    redirect: "manual",
    // As it came, compressed or not: what is stored is what the origin said.
    encodeResponseBody: "manual",
    // No second cache below this one. `cache: "no-store"` would add fields to the request.
    cf: { cacheTtl: -1 },
  };
  try {
    for (let attempt = 0; ; attempt++) {
      try {
        return await fetch(url, options);
      } catch (error) {
        // The connection may have been closed while it was idle.
        if (timedOut || attempt > 0 || !repeatable) throw error;
      }
    }
  } catch {
    return { status: 0, error: timedOut ? "timeout" : "", headers: [], body: null };
  } finally {
    clearTimeout(timer);
  }
}

/** Reads the origin's body for the client and for the store. */
class Pump {
  constructor(id, bytesMax, origin, client) {
    this.id = id;
    this.bytesMax = bytesMax;
    this.body = origin.body;
    this.chunks = [];
    this.bytes = 0;
    this.readable = null;
    if (!client || this.body === null) return;
    const length = Number(origin.headers.get("content-length") ?? NaN);
    this.length = Number.isSafeInteger(length) ? length : undefined;
    const { readable, writable } =
      this.length === undefined ? new IdentityTransformStream() : new FixedLengthStream(length);
    this.readable = readable;
    this.writer = writable.getWriter();
    this.writer.closed.catch(() => {});
  }

  isEmpty() {
    return this.body === null;
  }

  async run() {
    if (this.isEmpty()) return;
    const reader = this.body.getReader();
    try {
      for (;;) {
        const { done, value } = await within(BODY_IDLE_MS, reader.read());
        if (done) break;
        this.keep(value);
        // Before the client can know that it has all, so that its next request finds it.
        if (this.bytes === this.length) this.end(true);
        await this.send(value);
        if (this.chunks === undefined && this.writer === undefined) throw new Error("unwanted");
      }
      this.end(true);
      await this.writer?.close().catch(() => {});
    } catch (error) {
      this.end(false);
      reader.cancel().catch(() => {});
      this.writer?.abort(error).catch(() => {});
    }
  }

  keep(chunk) {
    this.bytes += chunk.length;
    if (this.chunks === undefined) return;
    arrivingBytes += chunk.length;
    this.chunks.push(chunk);
    if (this.bytes > this.bytesMax || arrivingBytes > ARRIVING_BYTES_MAX) this.end(false);
  }

  async send(chunk) {
    try {
      await this.writer?.write(chunk);
    } catch {
      // The client has left; the store still wants it.
      this.writer = undefined;
    }
  }

  /** Tells proxy.wasm, once, whether the body is whole. */
  end(whole) {
    const chunks = this.chunks;
    if (chunks === undefined) return;
    this.chunks = undefined;
    for (const chunk of chunks) arrivingBytes -= chunk.length;
    if (whole) bodies.set(this.id, joined(chunks, this.bytes));
    read(proxy.proxy_body(this.id, whole ? 1 : 0, whole ? this.bytes : 0), () => {});
  }
}

function joined(chunks, length) {
  const all = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

/** The Response that `control` asks for; `origin` is the body that the origin is sending. */
function respond({ answer }, origin = null) {
  if (answer === undefined) return undefined;
  const { status, headers, body } = answer;
  let content = null;
  if (body === "origin") content = origin;
  else if (body.stored) content = bodies.get(body.stored[0]).subarray(body.stored[1], body.stored[2]);
  else if (body.text) content = body.text;
  return new Response(content, { status, headers, encodeBody: "manual" });
}

/** Hands proxy.wasm text and header lines; what it says, as an answer made by `make`. */
function ask(name, head, headers, make) {
  let text = head;
  for (const [field, value] of headers) text += `\n${field}: ${value}`;
  // UTF-8 takes at most three bytes a UTF-16 unit.
  const length = text.length * 3;
  // First the call: it may grow the memory, which detaches the buffer.
  const at = proxy.proxy_input(length);
  if (at === 0) return { answer: new Response("too large\n", { status: 431 }) };
  const { written } = encoder.encodeInto(text, new Uint8Array(proxy.memory.buffer, at, length));
  return read(proxy[name](written), make);
}

/** The last call's output: its answer made, then bodies that it no longer refers to let go of. */
function read(length, make) {
  const output = new Uint8Array(proxy.memory.buffer, proxy.proxy_output(), length);
  const control = JSON.parse(decoder.decode(output));
  const answer = make(control);
  for (const id of control.drop ?? []) bodies.delete(id);
  return { answer, fetch: control.fetch };
}

/** `promise`, or a rejection after `ms`. */
function within(ms, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("timed out")), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function load(origin) {
  const { default: module } = await import("./build/proxy.wasm");
  const exports = new WebAssembly.Instance(module, {}).exports;
  const bytes = encoder.encode(JSON.stringify({ origin }));
  const at = exports.proxy_input(bytes.length);
  new Uint8Array(exports.memory.buffer, at, bytes.length).set(bytes);
  const length = exports.proxy_init(bytes.length);
  if (length > 0) {
    const error = new Uint8Array(exports.memory.buffer, exports.proxy_output(), length);
    throw new Error(`proxy.wasm refused its configuration: ${decoder.decode(error)}`);
  }
  proxy = exports;
}
