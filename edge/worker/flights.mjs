// Coalescing across isolates: requests for one path of the origin that come while one is under
// way get that one's answer. An isolate's requests may not share I/O, a Durable Object's may.
// The origin request is the object's own: whoever asked first may leave without taking it away.

/** Objects a data centre; each takes about 1,000 requests a second. */
const SHARDS = 16;
/** The origin gets this long, however short those who ask can wait. */
const ORIGIN_TIMEOUT_MS = 5_000;
/** Most origin requests under way in one object. */
const FLIGHTS_MAX = 256;
/** Paths are told to the object as a URL of this host. */
const BASE = "https://flights.invalid";

/** One origin request at a time for each path. */
export class EdgewiseFlights {
  /** Path to the promise of `{status, headers, body}`. */
  #flights = new Map();
  #env;

  constructor(_state, env) {
    this.#env = env;
  }

  async fetch(request) {
    const path = request.url.slice(BASE.length);
    const known = this.#flights.get(path);
    if (known === undefined && this.#flights.size >= FLIGHTS_MAX) {
      return new Response(null, { status: 503 });
    }
    const flight = known ?? this.#begin(path, request.headers);
    try {
      const { status, age, body } = await flight;
      const headers = { age, "edgewise-collapsed": known === undefined ? "0" : "1" };
      return new Response(body, { status, headers });
    } catch {
      return new Response(null, { status: 504 });
    }
  }

  #begin(path, headers) {
    const flight = this.#ask(path, headers).finally(() => this.#flights.delete(path));
    this.#flights.set(path, flight);
    return flight;
  }

  async #ask(path, headers) {
    const answer = await fetch(this.#env.EDGEWISE_ORIGIN + path, {
      headers,
      redirect: "manual",
      signal: AbortSignal.timeout(ORIGIN_TIMEOUT_MS),
    });
    const body = await answer.arrayBuffer();
    return { status: answer.status, age: answer.headers.get("age") ?? "0", body };
  }
}

/** Asks for `path` through the object of this data centre that it belongs to. */
export function coalesced(namespace, colo, path, headers, signal) {
  const object = namespace.getByName(`${colo}-${shard(path)}`);
  return object.fetch(BASE + path, { headers, signal });
}

/** FNV-1a of the path. */
function shard(path) {
  let hash = 0x811c9dc5;
  for (let at = 0; at < path.length; at++) {
    hash = Math.imul(hash ^ path.charCodeAt(at), 0x01000193);
  }
  return (hash >>> 0) % SHARDS;
}
