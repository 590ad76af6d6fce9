import assert from "node:assert/strict";
import { test } from "node:test";
import { Edgewise, EdgewiseError } from "../dist/index.js";
import { memory, serve } from "./server.mjs";

const page = (items, next_cursor = null, session = "s1") => ({
  request_id: "r", items: items.map((id) => ({ id, author: "a", score: 1, sources: ["follow"] })),
  next_cursor, session, session_status: "ok", model: "linear", config: "default@1", rung: "personal",
});

async function withService(t, answer, options = {}) {
  const service = await serve(answer);
  t.after(() => service.close());
  const storage = memory();
  const edge = new Edgewise({ base: service.base + "/", user: "u1", storage, retryMs: 10, ...options });
  t.after(() => edge.close());
  return { service, storage, edge };
}

test("a feed carries user, session, filters and explain, and names how it was served", async (t) => {
  const { service, edge, storage } = await withService(t, () => ({
    headers: {
      "edgewise-rung": "personal", "x-cache-status": "HIT", age: "12",
      "server-timing": 'bundle;dur=0.2;desc="isolate, 812 candidates", rank;dur=0.41',
    },
    body: page(["i1"]),
  }));
  const first = await edge.feed({ limit: 5, explain: true, exclude: ["x", "y&z"], tag: "" });
  await edge.feed();
  assert.deepEqual(service.requests[0].query, { user: "u1", limit: "5", explain: "1", exclude: "x,y&z" });
  assert.deepEqual(service.requests[1].query, { user: "u1", session: "s1" });
  assert.equal(first.meta.rung, "personal");
  assert.equal(first.meta.cache, "HIT");
  assert.equal(first.meta.ageS, 12);
  assert.deepEqual(first.meta.timing, [
    { name: "bundle", durMs: 0.2, desc: "isolate, 812 candidates" }, { name: "rank", durMs: 0.41 },
  ]);
  assert.ok([...storage.map.values()].includes("s1"), "the session is kept for the next visit");
});

test("pages end where the feed does", async (t) => {
  const { edge, service } = await withService(t, ({ query }) => ({
    body: query.cursor ? page(["i3"]) : page(["i1", "i2"], "c1"),
  }));
  const seen = [];
  for await (const { items } of edge.pages({ limit: 2 })) seen.push(...items.map(({ id }) => id));
  assert.deepEqual(seen, ["i1", "i2", "i3"]);
  assert.equal(service.requests[1].query.limit, "2");
});

test("items are asked for in batches of 100, once, and answered in the order asked", async (t) => {
  const { edge, service } = await withService(t, ({ query }) => ({
    body: { items: query.ids.split(",").filter((id) => id !== "i7").reverse().map((id) => ({ id, title: id })) },
  }));
  const ids = Array.from({ length: 205 }, (_, index) => `i${index}`);
  const found = await edge.items([...ids, "i0"]);
  assert.deepEqual([...found.keys()], ids.filter((id) => id !== "i7"));
  assert.deepEqual(service.requests.map(({ query }) => query.ids.split(",").length).sort(), [100, 100, 5]);
  await edge.items(["i1", "i2"]);
  assert.equal(service.requests.length, 3, "from the cache");
  await edge.items(["i1"], { fresh: true });
  assert.equal(service.requests.length, 4);
});

test("lists ask the right routes", async (t) => {
  const { edge, service } = await withService(t, () => ({ body: { items: [] } }));
  await edge.trending({ window: "1h", tag: "näh" });
  await edge.similar("a/b?c", { limit: 3 });
  await edge.suggestedUsers({ limit: 2 });
  assert.deepEqual(service.requests.map(({ path, query }) => [path, query]), [
    ["/api/v1/hot/trending", { window: "1h", tag: "näh" }],
    ["/api/v1/similar/a%2Fb%3Fc", { limit: "3" }],
    ["/api/v1/discover/suggested-users", { limit: "2", user: "u1" }],
  ]);
});

test("a problem document becomes a typed error", async (t) => {
  const { edge } = await withService(t, () => ({
    status: 400, headers: { "content-type": "application/problem+json" },
    body: { type: "https://edgewise.dev/problems/out-of-range", title: "Out of range", detail: "limit is 1 to 100", field: "limit", allowed: "1..100" },
  }));
  await assert.rejects(edge.feed({ limit: 500 }), (error) => {
    assert.ok(error instanceof EdgewiseError);
    assert.equal(error.status, 400);
    assert.equal(error.type, "https://edgewise.dev/problems/out-of-range");
    assert.equal(error.field, "limit");
    assert.equal(error.allowed, "1..100");
    assert.equal(error.message, "limit is 1 to 100");
    assert.equal(error.retryable, false);
    return true;
  });
});

test("a page that is no problem document, a broken body and a dead service are errors too", async (t) => {
  const answers = [{ status: 502, body: "<html>" }, { body: "{" }, null];
  const { edge } = await withService(t, ({ index }) => answers[index]);
  for (const status of [502, 0, 0]) {
    await assert.rejects(edge.trending(), (error) => error instanceof EdgewiseError && error.status === status && error.retryable);
  }
});

test("the caller's signal aborts, a slow answer times out", async (t) => {
  const { edge } = await withService(t, () => new Promise(() => {}), { timeoutMs: 60 });
  await assert.rejects(edge.feed({}, { signal: AbortSignal.abort() }), { name: "AbortError" });
  await assert.rejects(edge.feed(), (error) => error instanceof EdgewiseError && error.type === "network");
});

test("a token goes as a bearer token", async (t) => {
  const { edge, service } = await withService(t, () => ({ body: page([]) }), { token: "jwt" });
  await edge.feed();
  assert.equal(service.requests[0].headers.authorization, "Bearer jwt");
});

test("a storage that throws takes nothing away", async (t) => {
  const broken = () => { throw new Error("denied"); };
  const storage = { getItem: broken, setItem: broken, removeItem: broken };
  const { edge } = await withService(t, ({ path }) => ({
    body: path.endsWith("events") ? { accepted: 1, duplicate: 0, rejected: [], session: "s2" } : page(["i1"]),
  }), { storage });
  await edge.feed();
  assert.equal((await edge.track({ type: "like", item: "i1" })).status, "accepted");
  assert.equal(edge.session, "s2");
});
