// Drives the page in Chromium: `page.mjs PHASE EDGE_URL CHROMIUM ARTIFACTS`, PHASE = `up` or `down`.
// Ends with status 1 and a sentence at the first promise that is broken.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FORMS, launch } from "./chromium.mjs";

const [phase, url, executablePath, artifacts] = process.argv.slice(2);
const profile = await mkdtemp(join(tmpdir(), "edgewise-page-"));
try {
  for (const [form, options] of Object.entries(FORMS)) {
    const context = await launch(executablePath, join(profile, form), options);
    const page = await context.newPage();
    const errors = [];
    page.on("pageerror", (error) => errors.push(error.message));
    const shot = (name) => page.screenshot({ path: join(artifacts, `${phase}-${form}-${name}.png`) });
    try {
      await (phase === "up" ? up(page, form, shot) : down(page, form, shot));
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

async function open(page, user) {
  await page.goto(`${url}/?user=${user}`);
  await page.getByTestId("card").first().waitFor({ timeout: 20_000 });
}

async function up(page, form, shot) {
  const user = `browser-${form}`;
  await open(page, user);
  const strip = (name) => page.getByTestId(`strip-${name}`).innerText();
  await page.waitForFunction(() => {
    const rung = document.querySelector('[data-testid="strip-rung"]');
    return rung && rung.textContent !== "" && rung.textContent !== "–";
  });
  assert.match(await strip("rung"), /personal/i);
  assert.ok(Number.parseInt((await strip("candidates")).replace(/\D/g, ""), 10) > 20, "candidates ranked");
  await shot("feed");

  const liked = page.waitForResponse(
    (answer) => answer.url().includes("/api/v1/events") && (answer.request().postData() ?? "").includes('"like"'),
  );
  const like = page.getByTestId("like").first();
  await like.click();
  await page.waitForFunction(
    () => document.querySelector('[data-testid="like"]').getAttribute("aria-pressed") === "true",
  );
  // The next page carries the like: items of its author gain affinity at once.
  const { session } = await (await liked).json();
  const author = await page.getByTestId("card").first().getAttribute("data-author");
  const query = new URLSearchParams({ user, limit: "100", explain: "1", selection: "none", session });
  const next = await page.evaluate(async (path) => (await fetch(path)).json(), `/api/v1/feed?${query}`);
  assert.equal(next.session_status, "ok");
  const affinity = next.items
    .filter((item) => item.author === author)
    .map((item) => item.explain.features.find((term) => term.name === "affinity").value);
  assert.ok(affinity.length > 0 && affinity.every((value) => value > 0), `affinity ${affinity}`);

  await page.getByTestId("why").first().click();
  const why = page.getByTestId("why-panel").first();
  await why.waitFor();
  const text = await why.innerText();
  for (const term of ["freshness", "engagement", "affinity"]) assert.match(text.toLowerCase(), new RegExp(term));
  await shot("why");
  await page.keyboard.press("Escape");

  const first = await page.getByTestId("card").first().getAttribute("data-id");
  const before = await page.getByTestId("card").count();
  await page.getByTestId("hide").first().click();
  await page.waitForFunction(
    (id) => !document.querySelector(`[data-testid="card"][data-id="${id}"]`), first, { timeout: 5_000 },
  );

  const follow = page.getByTestId("follow").first();
  await follow.click();
  await page.waitForFunction(
    () => document.querySelector('[data-testid="follow"]').getAttribute("aria-pressed") === "true",
  );
  await page.mouse.wheel(0, 50_000);
  await page.evaluate(() => window.scrollTo(0, document.body.scrollHeight));
  await page.waitForFunction(
    (count) => document.querySelectorAll('[data-testid="card"]').length > count, before, { timeout: 10_000 },
  );
  const ids = await page.getByTestId("card").evaluateAll((cards) => cards.map((card) => card.dataset.id));
  assert.equal(new Set(ids).size, ids.length, "no item twice on the page");

  await page.evaluate(() => window.scrollTo(0, 0));
  await page.getByTestId("similar").first().click();
  await page.getByTestId("similar-panel").waitFor();
  await shot("similar");
  await page.keyboard.press("Escape");

  await page.getByTestId("tab-trending").click();
  await page.getByTestId("window-7d").click();
  await page.getByTestId("card").first().waitFor();
  await shot("trending");

  // By keyboard alone: the next card, and why it is there.
  await page.getByTestId("tab-feed").click();
  await page.getByTestId("card").first().waitFor();
  await page.keyboard.press("j");
  const focused = await page.evaluate(() => document.activeElement?.closest('[data-testid="card"]') !== null);
  assert.ok(focused, "j moves to a card");
}

async function down(page, form, shot) {
  await open(page, `browser-${form}`);
  await page.waitForFunction(() => /personal/.test(document.querySelector('[data-testid="strip-rung"]')?.textContent));
  await page.getByTestId("like").nth(2).click();
  await page.waitForFunction(
    () => document.querySelectorAll('[data-testid="like"]')[2].getAttribute("aria-pressed") === "true",
  );
  // Somebody this edge has never seen still gets a feed, and the page says what kind.
  await open(page, `stranger-${form}`);
  await page.waitForFunction(() => /segment|hot/.test(document.querySelector('[data-testid="strip-rung"]')?.textContent));
  assert.ok(await page.getByTestId("notice").isVisible(), "a notice says that it is not personal");
  await page.waitForTimeout(300);
  await shot("feed");
}
