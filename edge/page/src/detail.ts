/** The drawer: an item by itself, and those near it. */

import type { Edgewise } from "./client.js";
import { nameOf, titleOf, type Shown } from "./card.js";
import { now } from "./clock.js";
import { byId, el, fill } from "./dom.js";
import * as format from "./format.js";
import { pictureOf, safeLink } from "./picture.js";

const NEIGHBOURS = 12;

let opened: { shown: Shown; at: number; end: AbortController; from: HTMLElement } | undefined;

/** Opens the drawer; how long it stayed open is the item's watch time. */
export function openDetail(edge: Edgewise, shown: Shown, from: HTMLElement): void {
  const drawer = byId<HTMLDialogElement>("detail");
  leave(edge);
  const end = new AbortController();
  opened = { shown, at: performance.now(), end, from: opened?.from ?? from };
  const list = el("div", { class: "neighbours", attrs: { "aria-busy": "true" } }, el("p", { class: "quiet" }, "Looking for neighbours …"));
  fill(byId("detail-body"), head(shown), el("h3", {}, "Similar items"), list);
  byId("detail-body").scrollTop = 0;
  if (!drawer.open) {
    drawer.showModal();
    drawer.addEventListener("close", () => closed(edge), { once: true });
  }
  void neighbours(edge, shown, list, end.signal);
}

/** Wires what belongs to the drawer itself. */
export function setUpDetail(): void {
  const drawer = byId<HTMLDialogElement>("detail");
  byId("detail-close").addEventListener("click", () => drawer.close());
  drawer.addEventListener("click", (event) => {
    if (event.target === drawer) drawer.close(); // the backdrop
  });
}

function closed(edge: Edgewise): void {
  const from = opened?.from;
  leave(edge);
  opened = undefined;
  from?.focus({ preventScroll: true });
}

/** Reports the time an item was open, as a view. */
function leave(edge: Edgewise): void {
  if (!opened) return;
  const { shown, at, end } = opened;
  end.abort();
  const durationMs = shown.facts?.duration_ms ?? undefined;
  const openMs = Math.round(performance.now() - at);
  void edge.track({
    type: "view",
    item: shown.id,
    watch_ms: Math.min(openMs, durationMs ?? openMs),
    ...(durationMs ? { duration_ms: durationMs } : {}),
    ...(shown.requestId ? { request_id: shown.requestId, position: shown.position } : {}),
  });
}

function head(shown: Shown): HTMLElement {
  const { facts } = shown;
  const link = safeLink(facts?.link);
  const parts = [nameOf(shown), facts && format.age(facts.created_at, now()), facts?.kind, facts?.duration_ms && format.duration(facts.duration_ms)];
  return el(
    "div",
    { class: "detail-head" },
    el("div", { class: "detail-picture" }, pictureOf(shown.id, facts?.thumbnail, facts?.tags?.[0] ?? shown.author)),
    el("h2", { attrs: { id: "detail-title", tabindex: -1 } }, titleOf(shown)),
    el("p", { class: "quiet" }, parts.filter(Boolean).join(" · ")),
    facts?.tags?.length ? el("p", { class: "quiet" }, facts.tags.join(", ")) : null,
    link ? el("p", {}, el("a", { attrs: { href: link, rel: "noopener noreferrer nofollow", target: "_blank" } }, "Open the original")) : null,
  );
}

async function neighbours(edge: Edgewise, shown: Shown, list: HTMLElement, signal: AbortSignal): Promise<void> {
  try {
    const { items } = await edge.similar(shown.id, { limit: NEIGHBOURS }, { signal });
    const facts = await edge.items(items.map(({ id }) => id), { signal });
    const rows = items.map((near, index) => {
      const item = facts.get(near.id);
      const next: Shown = { id: near.id, author: item?.author ?? "", position: index + 1, score: near.score, ...(item && { facts: item }) };
      return el(
        "li",
        {},
        el(
          "button",
          { class: "neighbour", testid: "similar-item", attrs: { type: "button", "data-id": near.id }, on: { click: () => openDetail(edge, next, list) } },
          pictureOf(near.id, item?.thumbnail, item?.tags?.[0] ?? ""),
          el(
            "span",
            { class: "neighbour-text" },
            el("span", { class: "neighbour-title" }, titleOf(next)),
            el("span", { class: "quiet" }, [nameOf(next), reasonsOf(near)].filter(Boolean).join(" · ")),
          ),
          el("span", { class: "number quiet" }, format.score(near.score, 2)),
        ),
      );
    });
    fill(list, rows.length ? el("ol", {}, ...rows) : el("p", { class: "quiet" }, "Nothing is near this yet: neighbours come from what people react to together."));
  } catch (error) {
    if (signal.aborted) return;
    const retry = el("button", { class: "button", attrs: { type: "button" }, on: { click: () => void neighbours(edge, shown, list, signal) } }, "Try again");
    fill(list, el("p", { class: "quiet" }, `No neighbours right now: ${error instanceof Error ? error.message : "unknown"}. `), retry);
  } finally {
    list.setAttribute("aria-busy", "false");
  }
}

function reasonsOf({ reasons }: { reasons?: unknown }): string {
  if (!Array.isArray(reasons)) return "";
  return reasons.map((reason) => String(Object(reason)["name"] ?? reason).replaceAll(/[_-]/g, " ")).join(", ");
}
