// A caching reverse proxy for any origin, in an isolate's memory: it moves bytes between clients,
// the origin and `proxy.wasm` and holds bodies. It decides nothing (ARCHITECTURE.md,
// "proxy.wasm interface"). entry.mjs loads it where EDGEWISE_PROXY names an origin.

/** A body may pause for so long, and its client. */
const BODY_IDLE_MS = 30_000;
/** Bytes that all bodies that are arriving may hold together; beyond, they are not kept. */
const ARRIVING_BYTES_MAX = 16 * 1024 * 1024;
/** The runtime ends what goes on too long without a word: its bytes count no longer. */
const ARRIVING_LIFE_MS = 2 * BODY_IDLE_MS;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** proxy.wasm, once it is loaded. */
let proxy;
/** Bodies that proxy.wasm refers to, by number. */
const bodies = new Map();
/** Bodies that are arriving. */
const arriving = new Set();

/** Answers a request. */
export async function proxied(request, env, ctx) {
  if (proxy === undefined) await load(env.EDGEWISE_PROXY);
  const { method, url, headers } = request;
  const client = headers.get("cf-connecting-ip") ?? "";
  const head = `${method}\n${url}\n${Date.now()}\n${Math.random()}\n${client}`;
  const { answer, fetch: asked } = ask("proxy_request", head, headers, respond);
  if (asked === undefined) return answer;
  if (answer !== undefined) {
    ctx.waitUntil(fetched(asked, null));
    return answer;
  }
  const body = method === "GET" || method === "HEAD" ? null : request.body;
  // The work goes on when the client leaves: what is whole is stored.
  return new Promise((resolve, reject) => {
    ctx.waitUntil(fetched(asked, body, resolve).catch(reject));
  });
}

/** Asks the origin, answers through `resolve` where a client waits, and keeps the body where
 * proxy.wasm says so. */
async function fetched(asked, body, resolve) {
  let waits = resolve !== undefined;
  const answerLate = () => {
    waits = false;
    resolve(read(proxy.proxy_late(asked.id, Date.now()), respond).answer);
  };
  const late = asked.late_ms && waits ? setTimeout(answerLate, asked.late_ms) : undefined;
  const origin = await exchange(asked, body);
  clearTimeout(late);
  const head = `${asked.id}\n${origin.status}\n${Date.now()}\n${origin.error ?? ""}`;
  let pump;
  const { answer } = ask("proxy_response", head, origin.headers, (control) => {
    const wanted = waits && control.answer?.body === "origin" && asked.method !== "HEAD";
    let content = wanted ? origin.body : null;
    if (control.keep !== undefined) {
      pump = new Pump(control.keep, origin, wanted);
      content = pump.readable;
    } else if (!wanted) {
      // A body that nobody reads would hold the connection.
      origin.body?.cancel().catch(() => {});
    }
    return waits ? respond(control, content) : undefined;
  });
  if (pump?.body === null) pump.end(true);
  if (waits) resolve(answer);
  await pump?.run();
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
    // No second cache below this one. `cache: "no-store"` would add fields to the request
    // (`Pragma`, `Cache-Control`).
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

/**
 * Reads the origin's body for the store and for a client. As long as it is kept it is read at the
 * origin's speed, so that a slow client does not hold it back, nor one that has left.
 */
class Pump {
  constructor([id, bytesMax], origin, wanted) {
    this.id = id;
    this.bytesMax = bytesMax;
    this.body = origin.body;
    this.chunks = [];
    this.bytes = 0;
    this.held = 0;
    this.touched = Date.now();
    this.sent = Promise.resolve();
    this.readable = null;
    if (!wanted || this.body === null) return;
    const named = origin.headers.get("content-length");
    this.length = named !== null && /^\d+$/.test(named) ? Number(named) : undefined;
    const { readable, writable } =
      this.length === undefined ? new IdentityTransformStream() : new FixedLengthStream(this.length);
    this.readable = readable;
    this.writer = writable.getWriter();
    this.writer.closed.catch(() => {});
  }

  async run() {
    if (this.body === null) return;
    arriving.add(this);
    const reader = this.body.getReader();
    try {
      for (;;) {
        const { done, value } = await within(BODY_IDLE_MS, reader.read());
        if (done) break;
        this.keep(value);
        // Before the client can know that it has all, so that its next request finds it.
        if (this.bytes === this.length) this.end(true);
        this.sent = this.sent.then(() => this.send(value));
        if (this.chunks === undefined) await this.sent;
        if (this.chunks === undefined && this.writer === undefined) throw new Error("unwanted");
      }
      this.end(true);
      await this.sent;
      await this.writer?.close().catch(() => {});
    } catch (error) {
      this.end(false);
      reader.cancel().catch(() => {});
      await this.sent;
      this.writer?.abort(error).catch(() => {});
    } finally {
      arriving.delete(this);
    }
  }

  keep(chunk) {
    this.touched = Date.now();
    this.bytes += chunk.length;
    if (this.chunks === undefined) return;
    this.held += chunk.length;
    this.chunks.push(chunk);
    if (this.bytes > this.bytesMax || arrivingBytes() > ARRIVING_BYTES_MAX) this.end(false);
  }

  async send(chunk) {
    if (this.writer === undefined) return;
    try {
      await within(BODY_IDLE_MS, this.writer.write(chunk));
      this.touched = Date.now();
    } catch (error) {
      // The client has left; the store may still want the body.
      this.writer.abort(error).catch(() => {});
      this.writer = undefined;
    }
  }

  /** Tells proxy.wasm, once, whether the body is whole. */
  end(whole) {
    const chunks = this.chunks;
    if (chunks === undefined) return;
    this.chunks = undefined;
    if (whole) bodies.set(this.id, joined(chunks, this.bytes));
    read(proxy.proxy_body(this.id, whole ? 1 : 0, whole ? this.bytes : 0), () => {});
  }
}

/** Bytes that arriving bodies hold. */
function arrivingBytes() {
  const dead = Date.now() - ARRIVING_LIFE_MS;
  let bytes = 0;
  for (const pump of arriving) {
    if (pump.touched < dead) arriving.delete(pump);
    else bytes += pump.held;
  }
  return bytes;
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
  if (at === 0) {
    const status = name === "proxy_request" ? 431 : 502;
    return { answer: new Response("too many header bytes\n", { status }) };
  }
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
  // Another request may have come first. None waits for another's work, which ends with it.
  proxy ??= instantiate(module, origin);
}

function instantiate(module, origin) {
  const { exports } = new WebAssembly.Instance(module, {});
  const bytes = encoder.encode(JSON.stringify({ origin }));
  const at = exports.proxy_input(bytes.length);
  new Uint8Array(exports.memory.buffer, at, bytes.length).set(bytes);
  const length = exports.proxy_init(bytes.length);
  if (length === 0) return exports;
  const error = new Uint8Array(exports.memory.buffer, exports.proxy_output(), length);
  throw new Error(`proxy.wasm refused its configuration: ${decoder.decode(error)}`);
}
