// Ranks packs with the real edge.wasm (`cargo xtask build edge`).
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { Edgewise } from "../dist/index.js";
import { OfflineError, OfflineFeed } from "../dist/offline.js";
import { NodeEdge, partsOf } from "./edge.mjs";
import { memory, serve } from "./server.mjs";

const root = new URL("../../../", import.meta.url);
const module = await readFile(new URL("edge/worker/build/edge.wasm", root)).then((bytes) => WebAssembly.compile(bytes), () => undefined);
const skip = module ? false : "edge.wasm is not built";
const golden = new Uint8Array(await readFile(new URL("shared/wire/golden/pack.v1.bin", root)));
const { packedAtMs: NOW_MS, ...parts } = partsOf(golden);
const bufferOf = (bytes) => bytes.slice().buffer;

/** An edge that knows what the golden pack holds. */
const nodeEdge = () => new NodeEdge(module, (path) => {
  if (path.startsWith("candidates/")) return parts.candidates;
  if (path === "overlay") return parts.overlay;
  return path.startsWith("models/") ? parts.snapshot : undefined;
});

/** A pack of a user at the start of their feed, and the edge it is from. */
async function packed() {
  const edge = nodeEdge();
  await edge.ask("/api/v1/feed?user=u1", { wallMs: NOW_MS });
  const { status, bytes } = await edge.ask("/api/v1/feed/offline?user=u1", { wallMs: NOW_MS });
  assert.equal(status, 200);
  return { edge, pack: bytes.buffer };
}

test("a pack is laid out as it is documented", () => {
  assert.deepEqual([parts.magic, parts.version, parts.user, parts.region, parts.isHotList], ["EWP1", 1, "u1", "BE", false]);
  assert.equal(NOW_MS - parts.storedAtMs, 1_500);
});

test("the device's items are the edge's, to the bit", { skip }, async () => {
  const { edge, pack } = await packed();
  const offline = await OfflineFeed.load(module);
  offline.use(pack, NOW_MS);
  for (const [query, params] of [
    ["explain=1", { explain: true }],
    ["limit=2&selection=none", { limit: 2, selection: "none" }],
    ["limit=3&profile=video&explain=1", { limit: 3, profile: "video", explain: true }],
  ]) {
    const { bytes } = await edge.ask(`/api/v1/feed?user=u1&${query}`, { wallMs: NOW_MS + 900 });
    const theirs = JSON.parse(new TextDecoder().decode(bytes));
    const ours = offline.feed(params, { domainMs: theirs.now_ms, requestId: theirs.request_id, wallMs: NOW_MS + 900 });
    assert.ok(theirs.items.length > 0);
    assert.equal(JSON.stringify(ours.items), JSON.stringify(theirs.items), query);
    assert.deepEqual([ours.rung, ours.model, ours.candidates, ours.now_ms], [theirs.rung, theirs.model, theirs.candidates, theirs.now_ms]);
    assert.equal(ours.meta.cache, "DEVICE");
  }
});

test("pages go on and end, and the next one follows from what was done", { skip }, async () => {
  const offline = await OfflineFeed.load(module);
  offline.use((await packed()).pack, NOW_MS);
  const seen = [];
  for (let page = offline.feed({ limit: 1 }); page; page = await page.next()) seen.push(...page.items.map(({ id }) => id));
  assert.ok(seen.length > 1);
  assert.equal(new Set(seen).size, seen.length);
  const [first] = offline.feed().items;
  offline.track({ id: "e1", user: "u1", type: "hide", item: first.id });
  for (const again of [1, 2]) {
    assert.ok(!offline.feed().items.some(({ id }) => id === first.id), `hidden, page ${again}`);
  }
  // A newer pack may not know of it yet.
  offline.use((await packed()).pack, NOW_MS);
  assert.ok(!offline.feed().items.some(({ id }) => id === first.id));
  assert.equal(offline.feed({}, { wallMs: NOW_MS + 90_000 }).rung, "personal-stale");
});

test("what is no pack is refused in a sentence, and the one before stays", { skip }, async () => {
  const offline = await OfflineFeed.load(module);
  assert.throws(() => offline.feed(), /there is no pack yet/);
  assert.throws(() => offline.use(new ArrayBuffer(3)), OfflineError);
  offline.use(bufferOf(golden), NOW_MS);
  const damaged = golden.slice();
  damaged[40] ^= 1;
  assert.throws(() => offline.use(damaged.buffer), (error) => error instanceof OfflineError && /checksum/.test(error.message));
  assert.equal(offline.pack.byteLength, golden.length);
  assert.equal(offline.receivedAtMs, NOW_MS);
  assert.ok(offline.feed().items);
  assert.throws(() => offline.feed({ limit: 500 }), /limit/);
  await assert.rejects(OfflineFeed.load(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0])), /this is not an edge.wasm/);
});

test("the client fetches packs as it fetches feeds, and tells of events", { skip }, async (t) => {
  const wasm = await readFile(new URL("edge/worker/build/edge.wasm", root));
  const sent = [];
  const service = await serve(({ path }) => path === "/refused" ? { status: 404 } : { status: 202, body: { accepted: 1, duplicate: 0, rejected: [], session: "s1" } });
  t.after(() => service.close());
  const fetched = [];
  const fetch = (input, init) => {
    const url = new URL(input);
    if (url.pathname !== "/api/v1/feed/offline") return globalThis.fetch(input, init);
    fetched.push(Object.fromEntries(url.searchParams));
    return Promise.resolve(new Response(golden));
  };
  const edge = new Edgewise({ base: service.base, user: "u1", storage: memory(), fetch, onTrack: (event) => sent.push(event) });
  t.after(() => edge.close());
  await edge.track({ type: "like", item: "i1", id: "e1" });
  assert.deepEqual(sent, [{ type: "like", item: "i1", id: "e1", user: "u1" }]);
  const pack = await edge.pack({ language: "en" });
  assert.deepEqual(fetched, [{ language: "en", user: "u1", session: "s1" }]);
  const offline = await OfflineFeed.load(wasm);
  offline.use(pack, NOW_MS);
  assert.ok(offline.ageMs > 0);
  await assert.rejects(OfflineFeed.load(`${service.base}/refused`), /the answer is 404/);
});
