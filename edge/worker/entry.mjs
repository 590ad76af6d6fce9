// The Worker's entry: it moves bytes between Cloudflare and `edge.wasm` and does the
// effects that edge.wasm asks for. It decides nothing (ARCHITECTURE.md, "edge.wasm
// interface"). The `worker`-crate module is loaded only by queue, cron and rate limiter:
// its glue would cost every request (docs/decisions/0002-two-wasm-modules.md).
import edgeModule from "./build/edge.wasm";
import edgeHash from "./build/edge.wasm.sha256.mjs";
import { coalesced } from "./flights.mjs";

export { EdgewiseFlights } from "./flights.mjs";

const edge = new WebAssembly.Instance(edgeModule, {}).exports;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Largest request body that is read; one byte more tells the core it was too large. */
const BODY_LIMIT = 256 * 1024 + 1;
/** A body that takes longer is given up. */
const BODY_TIMEOUT_MS = 10_000;
/** A store that does not answer counts as absent. */
const STORE_TIMEOUT_MS = 500;
/** Request headers the core may see. Each costs a call into the runtime, so few are asked for. */
const READ_HEADERS = ["authorization", "if-none-match", "origin", "traceparent"];
const REQUEST_HEADERS = [
  ...READ_HEADERS,
  "content-type",
  "access-control-request-method",
  "access-control-request-headers",
];

const FEED = "/api/v1/feed";

let initialised = false;
/** The data centre, the same for all requests of an isolate. */
let colo = "local";

export default {
  async fetch(request, env, ctx) {
    if (!initialised) {
      // Loaded only where it is asked for: its module would cost every isolate its start.
      if (env.EDGEWISE_PROXY) return (await import("./proxy.mjs")).proxied(request, env, ctx);
      initialise(request, env);
    }
    const { method } = request;
    const isRead = method === "GET" || method === "HEAD";
    let body;
    if (!isRead && request.body !== null) {
      try {
        body = await within(BODY_TIMEOUT_MS, readBody(request.body));
      } catch {
        return incomplete();
      }
    }
    const length = start(request, method, isRead ? READ_HEADERS : REQUEST_HEADERS, body);
    const id = edge.edge_repeated();
    const known = answers.get(id);
    if (known !== undefined) return new Response(known.body, known.init);
    let output = read(length);
    if (id !== 0) remember(id, output);
    if (output.control.asset) return asset(request, env);
    while (output.control.answer === undefined) {
      if (output.control.done) return new Response("no answer", { status: 500 });
      output = await step(output, env);
    }
    const response = respond(output);
    if (!output.control.done) ctx.waitUntil(finish(output, env));
    return response;
  },

  async queue(batch, env, ctx) {
    const worker = await workerModule();
    await worker.queue(batch, env, ctx);
  },

  async scheduled(event, env, ctx) {
    const worker = await workerModule();
    await worker.scheduled(event, env, ctx);
  },
};

/** Does what is left after the answer was returned. */
async function finish(output, env) {
  while (!output.control.done) output = await step(output, env);
}

/** Does all effects of `output` at once and tells the core how they went. */
async function step(output, env) {
  const effects = output.control.effects ?? [];
  const results = await Promise.all(
    effects.map((effect) => perform(effect, output.bytes, env).catch(() => FAILED)),
  );
  return resume(output.control.h, effects, results);
}

const FAILED = { status: 0, age: 0, body: undefined };
const DONE = { status: 200, age: 0, body: undefined };

async function perform(effect, bytes, env) {
  switch (effect.op) {
    case "cache_get": {
      const found = await within(STORE_TIMEOUT_MS, caches.default.match(cacheUrl(effect.key)));
      if (!found) return FAILED;
      return { status: 200, age: 0, body: new Uint8Array(await found.arrayBuffer()) };
    }
    case "cache_put": {
      const headers = { "cache-control": `max-age=${effect.ttl_s}` };
      const stored = new Response(slice(bytes, effect.body), { headers });
      await caches.default.put(cacheUrl(effect.key), stored);
      return DONE;
    }
    case "kv_get": {
      const get = env.EDGEWISE_KV.get(effect.key, { type: "arrayBuffer", cacheTtl: 60 });
      const found = await within(STORE_TIMEOUT_MS, get);
      return found === null ? FAILED : { status: 200, age: 0, body: new Uint8Array(found) };
    }
    case "kv_put": {
      const options = { expirationTtl: Math.max(60, effect.ttl_s) };
      await env.EDGEWISE_KV.put(effect.key, slice(bytes, effect.body), options);
      return DONE;
    }
    case "fetch":
      return fetchOrigin(effect, env);
    case "send": {
      const text = decoder.decode(slice(bytes, effect.body));
      await env.EDGEWISE_EVENTS.send(text, { contentType: "text" });
      return DONE;
    }
    case "limit": {
      const allowed = await (await workerModule()).limit(env, effect.key);
      return { status: allowed ? 200 : 429, age: 0, body: undefined };
    }
    case "sleep":
      await new Promise((resolve) => setTimeout(resolve, effect.ms));
      return DONE;
    default:
      return FAILED;
  }
}

async function fetchOrigin(effect, env) {
  const headers = new Headers(effect.headers);
  headers.set("authorization", `Bearer ${env.EDGEWISE_ADMIN_TOKEN}`);
  const signal = AbortSignal.timeout(effect.timeout_ms);
  const answer = env.EDGEWISE_FLIGHTS
    ? await coalesced(env.EDGEWISE_FLIGHTS, colo, effect.path, headers, signal)
    : await fetch(env.EDGEWISE_ORIGIN + effect.path, { headers, signal, redirect: "manual" });
  const age = Number(answer.headers.get("age") ?? 0) || 0;
  return { status: answer.status, age, body: new Uint8Array(await answer.arrayBuffer()) };
}

/** `promise`, or a rejection after `ms`. */
function within(ms, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("timed out")), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

const cacheUrl = (key) => `https://edgewise.invalid/${encodeURIComponent(key)}`;

/** A copy: effects outlive the next call into the core, which reuses its buffers. */
const slice = (bytes, [offset, length]) => bytes.subarray(offset, offset + length);

function initialise(request, env) {
  colo = request.cf?.colo ?? colo;
  const config = {
    keys: env.EDGEWISE_TOKEN_KEYS ?? "",
    plain_user: env.EDGEWISE_PLAIN_USER === "allow",
    offline: env.EDGEWISE_OFFLINE !== "deny",
    coalesces: env.EDGEWISE_FLIGHTS !== undefined,
    rate_per_s: Number(env.EDGEWISE_RATE_PER_S ?? 0),
    cors_origins: (env.EDGEWISE_CORS_ORIGINS ?? "").split(",").filter(Boolean),
    build: edgeHash,
  };
  const bytes = encoder.encode(JSON.stringify(config));
  inputBuffer(bytes.length).set(bytes);
  const length = edge.edge_init(bytes.length);
  if (length > 0) throw new Error(`edge.wasm refused its configuration: ${outputText(length)}`);
  initialised = true;
}

/** Answers the core gives again, by the id it gives them: what a Response is made of. */
const answers = new Map();
const ANSWERS_MAX = 64;

function remember(id, { control, bytes }) {
  const { status, headers, body } = control.answer;
  if (answers.size >= ANSWERS_MAX) answers.clear();
  answers.set(id, {
    body: isBodyless(status) ? null : slice(bytes, body),
    init: { status, headers: new Headers(headers) },
  });
}

/** Hands the core a request; the length of its output. */
function start(request, method, names, body) {
  const url = request.url;
  const path = url.slice(url.indexOf("/", 8));
  const headers = request.headers;
  let header = `${method}\n${path}\n${Date.now()}\n`;
  header += `${crypto.randomUUID().replaceAll("-", "")}\n`;
  header += `${headers.get("cf-connecting-ip") ?? ""}\n${place(request, path)}`;
  for (const name of names) {
    const value = headers.get(name);
    if (value !== null) header += `\n${name}: ${value}`;
  }
  const bodyLength = body?.length ?? 0;
  // UTF-8 takes at most three bytes a UTF-16 unit.
  const input = inputBuffer(4 + header.length * 3 + bodyLength);
  const { written } = encoder.encodeInto(header, input.subarray(4));
  view(input).setUint32(0, written, true);
  if (body) input.set(body, 4 + written);
  return edge.edge_start(4 + written + bodyLength);
}

/** Country, region and zone, which only feeds depend on. */
function place(request, path) {
  if (!path.startsWith(FEED)) return "\n\n";
  const geo = request.cf ?? {};
  const line = (text) => (text ? String(text).replaceAll("\n", " ") : "");
  return `${line(geo.country)}\n${line(geo.region)}\n${line(zone(path, geo.timezone))}`;
}

/** Offsets of time zones from UTC, minutes; they change with the season. */
const offsets = new Map();
const OFFSET_LIFETIME_MS = 15 * 60_000;
const OFFSETS_MAX = 600;
/** A zone's name as a parameter: short, so that names cannot fill the memory. */
const ZONE_ASKED = /[?&]tz=([A-Za-z][A-Za-z0-9_%/-]{1,47})(?:&|$)/;

/** The zone of the request, `NAME;OFFSET`: the name a feed asks for, else where it comes from. */
function zone(path, located) {
  const asked = ZONE_ASKED.exec(path);
  for (const name of [asked?.[1].replaceAll("%2F", "/"), located]) {
    const minutes = name ? offset(name) : undefined;
    if (minutes !== undefined) return `${name};${minutes}`;
  }
  return "";
}

/** The zone's offset, from memory where it is known; undefined for a name that is no zone. */
function offset(name) {
  const now = Date.now();
  let known = offsets.get(name);
  if (known === undefined || known.until < now) {
    known = { minutes: utcOffset(name, now), until: now + OFFSET_LIFETIME_MS };
    if (offsets.size >= OFFSETS_MAX) offsets.clear();
    offsets.set(name, known);
  }
  return known.minutes;
}

/** Minutes east of UTC; undefined for a name that is no zone. */
function utcOffset(name, now) {
  try {
    const format = new Intl.DateTimeFormat("en-US", { timeZone: name, timeZoneName: "longOffset" });
    const text = format.formatToParts(now).find((part) => part.type === "timeZoneName").value;
    const [, sign, hours, minutes] = /GMT([+-])(\d+):(\d+)/.exec(text) ?? [];
    return sign === undefined ? 0 : Number(`${sign}1`) * (Number(hours) * 60 + Number(minutes));
  } catch {
    return undefined;
  }
}

function resume(handle, effects, results) {
  let length = 16;
  for (const result of results) length += 16 + (result.body?.length ?? 0);
  const input = inputBuffer(length);
  const data = view(input);
  data.setUint32(0, handle, true);
  data.setBigUint64(4, BigInt(Date.now()), true);
  data.setUint32(12, results.length, true);
  let at = 16;
  results.forEach((result, index) => {
    const size = result.body?.length ?? 0;
    data.setUint32(at, effects[index].id, true);
    data.setUint32(at + 4, result.status, true);
    data.setUint32(at + 8, result.age, true);
    data.setUint32(at + 12, size, true);
    if (size > 0) input.set(result.body, at + 16);
    at += 16 + size;
  });
  return read(edge.edge_resume(length));
}

/** The output of the last call: its control part parsed, its raw bytes copied out. */
function read(length) {
  const output = new Uint8Array(edge.memory.buffer, edge.edge_output(), length);
  const controlLength = view(output).getUint32(0, true);
  const control = JSON.parse(decoder.decode(output.subarray(4, 4 + controlLength)));
  return { control, bytes: output.slice(4 + controlLength) };
}

function respond({ control, bytes }) {
  const { status, headers, body } = control.answer;
  return new Response(isBodyless(status) ? null : slice(bytes, body), { status, headers });
}

const isBodyless = (status) => status === 204 || status === 304;

/** The body never came whole: the core has nothing to decide on. */
function incomplete() {
  const problem = {
    type: "https://edgewise.dev/problems/incomplete-body",
    title: "Incomplete body",
    status: 408,
    detail: "the request's body did not arrive within 10 s",
  };
  const headers = { "content-type": "application/problem+json", "cache-control": "no-store" };
  return new Response(JSON.stringify(problem), { status: 408, headers });
}

async function asset(request, env) {
  if (env.ASSETS) return env.ASSETS.fetch(request);
  return new Response("not found", { status: 404 });
}

async function readBody(stream) {
  const reader = stream.getReader();
  const chunks = [];
  let length = 0;
  while (length < BODY_LIMIT) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    length += value.length;
  }
  if (length >= BODY_LIMIT) reader.cancel().catch(() => {});
  const body = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.length;
  }
  return body.subarray(0, Math.min(length, BODY_LIMIT));
}

function inputBuffer(length) {
  // First the call: it may grow the memory, which detaches the buffer.
  const at = edge.edge_input(length);
  return new Uint8Array(edge.memory.buffer, at, length);
}

const view = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const outputText = (length) =>
  decoder.decode(new Uint8Array(edge.memory.buffer, edge.edge_output(), length));

/** The `worker`-crate module, loaded on first use. */
async function workerModule() {
  const [bindings, { default: module }] = await Promise.all([
    import("./build/worker.js"),
    import("./build/worker_bg.wasm"),
  ]);
  bindings.initSync({ module });
  return bindings;
}
