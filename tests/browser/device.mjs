// The switch "Rank on this device" in Chromium: `device.mjs EDGE_URL CHROMIUM ARTIFACTS`.
// Ends with status 1 and a sentence at the first promise that is broken.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FORMS, launch } from "./chromium.mjs";

const [url, executablePath, artifacts] = process.argv.slice(2);
const profile = await mkdtemp(join(tmpdir(), "edgewise-device-"));
try {
  for (const [form, options] of Object.entries(FORMS)) {
    const context = await launch(executablePath, join(profile, form), options);
    const page = await context.newPage();
    const errors = [];
    page.on("pageerror", (error) => errors.push(error.message));
    const shot = (name) => page.screenshot({ path: join(artifacts, `device-${form}-${name}.png`) });
    try {
      await device(context, page, form, shot);
      assert.deepEqual(errors, [], "the page threw");
    } catch (error) {
      await shot("failure");
      throw error;
    }
    await context.close();
  }
} finally {
  await rm(profile, { recursive: true, force: true });
}

async function device(context, page, form, shot) {
  const state = page.getByTestId("device-state");
  const toggle = page.getByTestId("device-switch");
  const cards = () => page.getByTestId("card").evaluateAll((all) => all.filter((card) => !card.classList.contains("gone")).map((card) => card.dataset.id));
  const ranked = () => page.waitForFunction(() => document.getElementById("stream").getAttribute("aria-busy") === "false"
    && document.querySelector('[data-testid="card"]') && /^Ranked on this device/.test(document.getElementById("device-state").textContent));
  // Feeds that the page asks the edge for, in order.
  const asked = [];
  page.on("response", async (answer) => {
    const { pathname } = new URL(answer.url());
    if (pathname === "/api/v1/feed") asked.push(await answer.json().catch(() => null));
    if (pathname === "/edge.wasm") assert.match(answer.headers()["content-type"], /^application\/wasm/);
  });

  await page.goto(`${url}/?user=browser-${form}`);
  await page.getByTestId("card").first().waitFor({ timeout: 20_000 });
  assert.equal(await toggle.getAttribute("aria-checked"), "false");
  assert.equal(await state.innerText(), "");

  // Switched on: the same moment is ranked by the edge and here.
  await toggle.click();
  await ranked();
  assert.match(await state.innerText(), /^Ranked on this device in [\d.]+ ms, equal to the edge\.$/);
  assert.equal(await state.getAttribute("data-verdict"), "equal");
  assert.equal(await toggle.getAttribute("aria-checked"), "true");
  assert.match(await page.getByTestId("strip-cache").innerText(), /device/);
  const theirs = asked.at(-1).items.map(({ id }) => id);
  assert.deepEqual((await cards()).slice(0, theirs.length), theirs, "the page shows what the edge answered");
  const box = await toggle.boundingBox();
  assert.ok(box.height >= 40 && box.x >= 0 && box.x + box.width <= options(form).width, "the switch can be pressed");
  await shot("equal");

  // The choice is remembered, and the comparison made once more on a new page.
  await page.reload();
  await ranked();
  assert.equal(await state.getAttribute("data-verdict"), "equal");
  await page.waitForTimeout(500); // what is fetched ahead

  // Without a network: lists are ranked anew, and follow from what was done.
  await context.setOffline(true);
  const before = asked.length;
  await page.getByTestId("refresh").click();
  await ranked();
  const offline = await cards();
  assert.ok(offline.length > 0);
  assert.equal(asked.length, before, "nothing came from the edge");
  const titles = await page.getByTestId("card").evaluateAll((all) => all.map((card) => card.innerText).filter((text) => text.trim() === "").length);
  assert.equal(titles, 0, "cards have their facts");
  await page.getByTestId("hide").first().click();
  await page.waitForFunction((id) => !document.querySelector(`[data-testid="card"][data-id="${id}"]:not(.gone)`), offline[0]);
  await page.getByTestId("refresh").click();
  await ranked();
  assert.ok(!(await cards()).includes(offline[0]), "what was hidden without a network stays hidden");
  await page.evaluate(() => window.scrollTo(0, document.body.scrollHeight));
  await page.waitForFunction((count) => document.querySelectorAll('[data-testid="card"]').length > count, offline.length - 1);
  const all = await cards();
  assert.equal(new Set(all).size, all.length, "no item twice on the page");
  await page.evaluate(() => window.scrollTo(0, 0));
  await shot("offline");
  await context.setOffline(false);

  // A hot list is the edge's; switched off, feeds are again.
  await page.getByTestId("tab-trending").click();
  assert.ok(!(await toggle.isVisible()));
  await page.getByTestId("tab-feed").click();
  await toggle.click();
  await page.getByTestId("card").first().waitFor();
  assert.equal(await toggle.getAttribute("aria-checked"), "false");
  assert.equal(await state.innerText(), "");
}

function options(form) {
  return FORMS[form].viewport;
}
