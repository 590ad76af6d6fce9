/** The why panel: how an item's score came about and what put the item where it is. */

import type { FeedItem, FeedPage } from "./client.js";
import { el } from "./dom.js";
import * as format from "./format.js";

export interface Term {
  name: string;
  value: number;
  weight: number;
  contribution: number;
}

/** Where a ranked item comes from. */
export type Origin = Pick<FeedPage, "model" | "config" | "rung"> & { arm?: unknown; candidates?: number };

const SOURCES: Record<string, string> = {
  follow: "you follow this author",
  trending: "trending in the last 24 hours",
  affinity: "an author you often react to",
  similar: "like what you liked last",
  explore: "new, still gathering its first impressions",
};

const MOVES: Record<string, string> = {
  score: "Its score alone put it here.",
  author_cap: "At most two items of an author in any twenty: that moved it.",
  author_cap_relaxed: "The author cap was relaxed: nothing else was left.",
  variety: "Tag variety moved it, so that neighbours differ.",
  explore: "An explore slot: every tenth position goes to a new item, drawn at random.",
};

/** The terms of an item's score, as the answer explains them; none where it does not. */
export function termsOf(item: FeedItem): Term[] {
  const features: unknown = item.explain?.features;
  return Array.isArray(features) ? (features as Term[]).filter((term) => Number.isFinite(term?.contribution)) : [];
}

/** A thin bar of the terms' shares: the reason at a glance. */
export function ribbon(terms: readonly Term[]): HTMLElement {
  const bar = el("span", { class: "ribbon", attrs: { "aria-hidden": "true" } });
  const sum = terms.reduce((total, { contribution }) => total + Math.max(0, contribution), 0);
  for (const term of terms) {
    if (term.contribution <= 0) continue;
    const part = el("span", { attrs: { "data-term": term.name } });
    part.style.setProperty("flex-grow", String(term.contribution / sum));
    bar.append(part);
  }
  return bar;
}

/** What put the item at its position, in a sentence. */
function placement(item: FeedItem): string {
  const explain = item.explain ?? ({} as Record<string, unknown>);
  const stated: unknown = explain["moved_by"] ?? explain["placement"] ?? "score";
  const name = typeof stated === "string" ? stated : (Object.keys(Object(stated))[0] ?? "score");
  const known = MOVES[name.replaceAll("-", "_").toLowerCase()] ?? `Moved by: ${name}.`;
  return item.propensity === undefined ? known : `${known} Probability of this draw: ${format.score(item.propensity)}.`;
}

/** The panel for one item. */
export function whyPanel(item: FeedItem, origin: Origin, position: number): HTMLElement {
  const terms = termsOf(item);
  const rank = item.explain?.score_rank;
  const of = origin.candidates ? ` of ${origin.candidates}` : "";
  const place = rank === undefined
    ? `Position ${position}.`
    : `Rank ${rank}${of} by score, shown at position ${position}.`;
  return el(
    "section",
    { class: "why", testid: "why-panel", attrs: { "aria-label": "Why this is here", tabindex: -1 } },
    el("p", { class: "why-place" }, el("strong", {}, place), ` ${placement(item)}`),
    terms.length ? table(terms, item.score) : el("p", { class: "quiet" }, "This answer came without an explanation of the score."),
    el(
      "dl",
      { class: "why-facts" },
      ...fact("Sources", item.sources.map((source) => SOURCES[source] ?? source).join("; ") || "–"),
      ...fact("Model", origin.model),
      ...fact("Configuration", origin.config),
      ...fact("Arm", String(item.explain?.["arm"] ?? origin.arm ?? "none")),
      ...fact("Rung", origin.rung),
    ),
  );
}

function fact(name: string, value: string): HTMLElement[] {
  return [el("dt", {}, name), el("dd", {}, value)];
}

function table(terms: readonly Term[], total: number): HTMLElement {
  const longest = Math.max(...terms.map(({ contribution }) => Math.abs(contribution)), Number.MIN_VALUE);
  const rows = terms.map((term) => {
    const bar = el("span", { class: "bar", attrs: { "data-term": term.name, "data-negative": term.contribution < 0 } });
    bar.style.setProperty("--share", String(Math.abs(term.contribution) / longest));
    return el(
      "tr",
      {},
      el("th", { attrs: { scope: "row" } }, term.name.replaceAll("_", " ")),
      el("td", { class: "number" }, format.score(term.value)),
      el("td", { class: "number times" }, format.score(term.weight, 2)),
      el("td", { class: "bar-cell", attrs: { "aria-hidden": "true" } }, bar),
      el("td", { class: "number" }, format.score(term.contribution)),
    );
  });
  const head = ["Term", "Value", "Weight", "", "Adds"].map((name, index) =>
    name ? el("th", { class: index ? "number" : "", attrs: { scope: "col" } }, name) : el("td", { class: "bar-cell" }));
  return el(
    "table",
    { class: "terms" },
    el("caption", { class: "visually-hidden" }, "Each term's value times its weight; they sum to the score"),
    el("thead", {}, el("tr", {}, ...head)),
    el("tbody", {}, ...rows),
    el(
      "tfoot",
      {},
      el("tr", {}, el("th", { attrs: { scope: "row", colspan: 4 } }, "Score"), el("td", { class: "number" }, format.score(total))),
    ),
  );
}
