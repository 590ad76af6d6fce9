// The page's pure parts, from its build (`node edge/page/build.mjs`).
import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { test } from "node:test";
import * as clock from "../dist/clock.js";
import * as format from "../dist/format.js";
import { safeLink } from "../dist/picture.js";
import { servedOf } from "../dist/strip.js";
import { termsOf } from "../dist/why.js";

const HOUR_MS = 3_600_000;

test("ages read like a person would say them, and never run into the future", () => {
  const said = [-5, 0.2 / 60, 5 / 60, 3, 47, 72, 24 * 100].map((hours) => format.age(0, hours * HOUR_MS));
  assert.deepEqual(said, ["just now", "just now", "5 min", "3 h", "47 h", "3 d", "1970-01-01"]);
  assert.equal(format.age(-1e17, 0), "", "a time that no calendar has");
});

test("counts, durations and scores keep to a few characters", () => {
  assert.deepEqual([0, 999, 1_000, 1_250, 12_345, 3_400_000].map(format.count), ["0", "999", "1k", "1.3k", "12k", "3.4M"]);
  assert.deepEqual([0, 42_000, 725_000].map(format.duration), ["0:00", "0:42", "12:05"]);
  assert.deepEqual([0.12345, Infinity, undefined].map((value) => format.score(value)), ["0.123", "–", "–"]);
});

test("the clock follows the latest statement of the service", () => {
  clock.observe("nonsense");
  clock.observe(Date.UTC(2030, 0, 1));
  clock.observe(Date.UTC(2029, 0, 1)); // a list that was stored a year ago
  assert.ok(Math.abs(clock.now() - Date.UTC(2030, 0, 1)) < 1_000);
});

test("only web addresses are links", () => {
  const urls = ["https://a.example/x", "javascript:alert(1)", "data:text/html,x", "/x", "", null];
  assert.deepEqual(urls.map(safeLink), ["https://a.example/x", ...Array(5).fill(undefined)]);
});

test("the strip reads candidates and ages wherever an answer states them", () => {
  const meta = (headers = {}, timing = [], more = {}) => ({ headers: new Headers(headers), timing, elapsedMs: 1, status: 200, ...more });
  const base = { rung: "hot", model: "linear", config: "default@1" };
  assert.equal(servedOf({ ...base, candidates: 812, meta: meta() }).candidates, 812);
  assert.equal(servedOf({ ...base, meta: meta({ "edgewise-candidates": "7" }) }).candidates, 7);
  assert.equal(servedOf({ ...base, meta: meta({}, [{ name: "rank", desc: "40 candidates" }]) }).candidates, 40);
  assert.equal(servedOf({ ...base, candidates: null, meta: meta() }).candidates, undefined);
  assert.equal(servedOf({ ...base, meta: meta({}, [], { rung: "segment", ageS: 3 }) }).rung, "segment");
  assert.equal(servedOf({ ...base, meta: meta({}, [], { ageS: 3 }) }).dataAgeS, 3);
});

test("an explanation that is absent or malformed has no terms", () => {
  const term = { name: "freshness", value: 1, weight: 0.3, contribution: 0.3 };
  const item = (explain) => ({ id: "i", author: "a", score: 1, sources: [], explain });
  assert.deepEqual(termsOf(item({ features: [term, null, { name: "x" }] })), [term]);
  assert.deepEqual(termsOf(item(undefined)), []);
});

test("nothing on the page builds markup from text, and the HTML has no inline script or style", async () => {
  const dist = new URL("../dist/", import.meta.url);
  const files = (await readdir(dist)).filter((name) => /\.(js|html)$/.test(name));
  assert.ok(files.includes("app.js") && files.includes("client.js"));
  for (const name of files) {
    const text = await readFile(new URL(name, dist), "utf8");
    assert.doesNotMatch(text, /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(/, name);
    if (name.endsWith(".html")) assert.doesNotMatch(text, /<script(?![^>]*src=)|<style|\son\w+=|\sstyle=/, name);
  }
});
