import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { Edgewise, ImpressionObserver } from "../dist/index.js";
import { memory, serve } from "./server.mjs";

const accepted = (count, session) => ({ status: 202, body: { accepted: count, duplicate: 0, rejected: [], session } });

async function withService(t, answer, options = {}) {
  const service = await serve(answer);
  t.after(() => service.close());
  const storage = options.storage ?? memory();
  const edge = new Edgewise({ base: service.base, user: "u1", retryMs: 10, flushMs: 30, ...options, storage });
  t.after(() => edge.close());
  return { service, storage, edge };
}

function beacons(result = true) {
  const sent = [];
  const sendBeacon = (url, body) => (sent.push({ url, events: JSON.parse(body).events }), result);
  Object.defineProperty(globalThis, "navigator", { value: { sendBeacon, onLine: true }, configurable: true });
  return sent;
}

afterEach(() => { delete globalThis.navigator; });

test("a like's answer replaces the session, and the next feed carries it", async (t) => {
  const { edge, service } = await withService(t, ({ path }) =>
    path.endsWith("events") ? accepted(1, "after-like") : { body: { items: [], next_cursor: null } });
  const liked = edge.track({ type: "like", item: "i1", request_id: "r", position: 3 });
  await edge.feed(); // not awaiting the like: the feed does
  assert.equal(service.requests[1].query.session, "after-like");
  assert.equal((await liked).status, "accepted");
  const [event] = service.events()[0].body.events;
  assert.match(event.id, /^[0-9a-f-]{36}$/);
  assert.deepEqual({ ...event, id: "" }, { id: "", type: "like", user: "u1", item: "i1", request_id: "r", position: 3 });
});

test("a feed that started before a like does not undo its session", async (t) => {
  let release;
  const held = new Promise((resolve) => (release = resolve));
  const { edge } = await withService(t, async ({ path }) => {
    if (path.endsWith("events")) return accepted(1, "after-like");
    await held;
    return { body: { items: [], next_cursor: null, session: "before-like" } };
  });
  const feed = edge.feed();
  await edge.track({ type: "like", item: "i1" });
  release();
  await feed;
  assert.equal(edge.session, "after-like");
});

test("events keep their order, and those that wait go together with the session so far", async (t) => {
  let count = 0;
  const { edge, service } = await withService(t, ({ body }) => accepted(body.events.length, `s${++count}`));
  await Promise.all(["like", "unlike", "share"].map((type) => edge.track({ type, item: "i1" })));
  assert.deepEqual(service.events().map(({ body }) => [body.session, body.events.map(({ type }) => type)]), [
    [undefined, ["like"]], ["s1", ["unlike", "share"]],
  ]);
});

test("a failed delivery is repeated with the same id, at the server's pace", async (t) => {
  const answers = [null, { status: 503, headers: { "retry-after": "0" } }, { status: 429, headers: { "retry-after": "1" } }];
  const times = [];
  const { edge, service } = await withService(t, ({ index }) => (times.push(Date.now()), index < 3 ? answers[index] : accepted(1)));
  assert.equal((await edge.track({ type: "share", item: "i1" })).status, "accepted");
  const ids = new Set(service.events().map(({ body }) => body.events[0].id));
  assert.equal(service.events().length, 4);
  assert.equal(ids.size, 1);
  assert.ok(times[3] - times[2] >= 990, "Retry-After of one second is kept");
  assert.equal(edge.pending, 0);
});

test("what a server refuses is not repeated, and names its reason", async (t) => {
  const { edge, service } = await withService(t, ({ index }) => index === 0
    ? { status: 202, body: { accepted: 0, duplicate: 0, rejected: [{ index: 0, reason: "too old" }] } }
    : { status: 403, body: { type: "t", detail: "not your user" } });
  assert.deepEqual(await edge.track({ type: "like", item: "i1", id: "e1" }), { id: "e1", status: "rejected", reason: "too old" });
  assert.deepEqual(await edge.track({ type: "like", item: "i1", id: "e2" }), { id: "e2", status: "rejected", reason: "not your user" });
  assert.equal(service.events().length, 2);
});

test("unsent events outlive the tab", async (t) => {
  const storage = memory();
  let down = true;
  const { edge, service } = await withService(t, ({ body }) => down ? { status: 503 } : accepted(body.events.length), { storage, retryMs: 60_000 });
  void edge.track({ type: "like", item: "i1", id: "kept" });
  while (service.events().length < 1) await new Promise((wait) => setTimeout(wait, 5));
  edge.close();
  down = false;
  const later = new Edgewise({ base: service.base, user: "u1", storage });
  t.after(() => later.close());
  while (later.pending) await new Promise((wait) => setTimeout(wait, 5));
  assert.deepEqual(service.events().map(({ body }) => body.events[0].id), ["kept", "kept"]);
  assert.ok(![...storage.map.keys()].some((key) => key.endsWith(":queue")), "and are forgotten once answered");
});

test("the queue is bounded: the oldest are dropped, and say so", async (t) => {
  const { edge } = await withService(t, () => ({ status: 503 }), { retryMs: 60_000 });
  const outcomes = Array.from({ length: 501 }, () => edge.track({ type: "share", item: "i1" }));
  assert.deepEqual((await outcomes[0]).status, "dropped");
  assert.equal(edge.pending, 500);
});

test("impressions and views go by beacon, gathered", async (t) => {
  const sent = beacons();
  const { edge, service } = await withService(t, () => accepted(1));
  const outcomes = await Promise.all([
    edge.track({ type: "impression", item: "i1" }),
    edge.track({ type: "view", item: "i1", watch_ms: 900, duration_ms: 1_000 }),
  ]);
  assert.deepEqual(outcomes.map(({ status }) => status), ["beacon", "beacon"]);
  assert.equal(sent.length, 1);
  assert.equal(sent[0].url, `${service.base}/api/v1/events`);
  assert.deepEqual(sent[0].events.map(({ type }) => type), ["impression", "view"]);
  assert.equal(service.requests.length, 0);
});

test("a refused beacon, or a token that a beacon cannot carry, goes by fetch", async (t) => {
  const refused = beacons(false);
  const { edge } = await withService(t, () => accepted(1));
  assert.equal((await edge.track({ type: "impression", item: "i1" })).status, "accepted");
  assert.equal(refused.length, 1);
  const none = beacons();
  const signed = await withService(t, () => accepted(1), { token: "jwt" });
  assert.equal((await signed.edge.track({ type: "impression", item: "i1" })).status, "accepted");
  assert.equal(none.length, 0);
  assert.equal(signed.service.requests[0].headers.authorization, "Bearer jwt");
});

test("close flushes, and without a user nothing is sent", async (t) => {
  const sent = beacons();
  const { edge, service } = await withService(t, () => accepted(1), { flushMs: 60_000 });
  void edge.track({ type: "impression", item: "i1" });
  edge.close();
  assert.equal(sent.length, 1);
  const nobody = new Edgewise({ base: service.base, storage: null });
  assert.equal((await nobody.track({ type: "like", item: "i1" })).status, "dropped");
  assert.equal(service.requests.length, 0);
});

test("an impression is half of the element for a whole while, once", async (t) => {
  let callback;
  globalThis.IntersectionObserver = class {
    constructor(given) { callback = given; }
    observe() {} unobserve() {} disconnect() {}
  };
  globalThis.document = { visibilityState: "visible", addEventListener() {} };
  t.after(() => { delete globalThis.IntersectionObserver; delete globalThis.document; });
  const seen = [];
  const observer = new ImpressionObserver(({ item }) => seen.push(item), 30);
  const [brief, tall, long] = [{}, {}, {}];
  observer.observe(brief, { item: "brief" });
  observer.observe(tall, { item: "tall" });
  observer.observe(long, { item: "long" });
  const entry = (target, intersectionRatio, height = 0) =>
    callback([{ target, intersectionRatio, intersectionRect: { height }, rootBounds: { height: 100 } }]);
  entry(brief, 0.6);
  entry(tall, 0.1, 60);
  entry(long, 0.5);
  await new Promise((wait) => setTimeout(wait, 10));
  entry(brief, 0.4);
  entry(long, 0.9);
  await new Promise((wait) => setTimeout(wait, 60));
  entry(long, 1);
  await new Promise((wait) => setTimeout(wait, 60));
  assert.deepEqual(seen.sort(), ["long", "tall"]);
  observer.disconnect();
});
