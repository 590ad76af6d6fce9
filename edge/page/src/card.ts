/** One item of a feed or a list: what it is, what one can do with it, and why it is here. */

import type { Edgewise, FeedItem, HotItem, Item, TrackEvent } from "./client.js";
import { now } from "./clock.js";
import { el, fill, iconButton } from "./dom.js";
import * as format from "./format.js";
import type { Opinions } from "./opinions.js";
import { pictureOf } from "./picture.js";
import { ribbon, termsOf, whyPanel, type Origin } from "./why.js";

/** An item as it is shown: what ranked it and the facts of it. */
export interface Shown {
  id: string;
  author: string;
  /** 1-based, earlier pages counted. */
  position: number;
  score: number;
  facts?: Item;
  /** The feed's item; absent in a hot list. */
  ranked?: FeedItem;
  hot?: HotItem;
  origin?: Origin;
  requestId?: string;
}

/** What a card needs of the page around it. */
export interface Host {
  edge: Edgewise;
  opinions: Opinions;
  /** Says it to screen readers, and unless `visible` is false shows it for a moment. */
  announce(message: string, visible?: boolean): void;
  openDetail(shown: Shown, from: HTMLElement): void;
  filterByTag(tag: string): void;
  authorHidden(author: string): void;
}

const COUNTERS = ["likes", "comments", "shares"] as const;
type Counter = (typeof COUNTERS)[number];

export class Card {
  readonly root: HTMLElement;
  readonly #counts: Partial<Record<Counter, number>>;
  readonly #countNodes: Record<Counter, HTMLElement>;
  readonly #like: HTMLButtonElement;
  readonly #follow: HTMLButtonElement;
  readonly #why: HTMLButtonElement | undefined;
  readonly #body: HTMLElement;
  readonly #forget: () => void;
  #panel: HTMLElement | undefined;

  constructor(
    readonly shown: Shown,
    private readonly host: Host,
  ) {
    const { id, author, ranked } = shown;
    this.#counts = countersOf(shown);
    const counter = (): HTMLElement => el("span", { class: "count" });
    this.#countNodes = { likes: counter(), comments: counter(), shares: counter() };
    this.#like = iconButton("like", "Like", "like", () => this.like(), this.#countNodes.likes);
    this.#follow = el("button", {
      class: "text-button", testid: "follow", attrs: { type: "button" }, on: { click: () => this.follow() },
    });
    this.#why = ranked && iconButton("why", "Why is this here?", "why", () => this.why(), el("span", {}, "Why"));
    this.#why?.setAttribute("aria-expanded", "false");
    this.#body = el("div", { class: "card-body" }, this.#heading(), this.#byline(), this.#tags(), this.#actions());
    this.root = el(
      "article",
      {
        class: "card",
        testid: "card",
        attrs: {
          tabindex: 0,
          "aria-labelledby": `title-${shown.position}`,
          "aria-posinset": shown.position,
          "aria-setsize": -1,
          "data-id": id,
          "data-author": author,
          "data-position": shown.position,
        },
      },
      this.#picture(),
      this.#body,
    );
    this.#forget = host.opinions.onChange(() => this.#refresh());
    this.#refresh();
  }

  /** Call when the card leaves the page for good. */
  close(): void {
    this.#forget();
  }

  // ---- what it shows ---------------------------------------------------------------------

  #picture(): HTMLElement {
    const { shown } = this;
    const { facts } = shown;
    const length = facts?.duration_ms ? format.duration(facts.duration_ms) : undefined;
    return el(
      "button",
      { class: "picture", testid: "open", attrs: { type: "button", tabindex: -1, "aria-label": `Open ${titleOf(shown)}` }, on: { click: () => this.open() } },
      pictureOf(shown.id, facts?.thumbnail, facts?.tags?.[0] ?? shown.author),
      el("span", { class: "position", attrs: { "aria-hidden": "true" } }, String(shown.position)),
      length && el("span", { class: "length" }, length),
    );
  }

  #heading(): HTMLElement {
    const { shown } = this;
    const open = el("button", { class: "title-button", attrs: { type: "button" }, on: { click: () => this.open() } }, titleOf(shown));
    const terms = shown.ranked ? termsOf(shown.ranked) : [];
    return el(
      "header",
      { class: "card-head" },
      el("h2", { class: "title", attrs: { id: `title-${shown.position}` } }, open),
      el(
        "span",
        { class: "score", testid: "score", attrs: { title: `${shown.hot ? "Hot score" : "Score"} ${shown.score}` } },
        el("span", { class: "visually-hidden" }, shown.hot ? "Hot score " : "Score "),
        format.score(shown.score, shown.hot && shown.score >= 10 ? 1 : 3),
        terms.length ? ribbon(terms) : null,
      ),
    );
  }

  #byline(): HTMLElement {
    const { author, facts, ranked } = this.shown;
    const created = facts?.created_at;
    const kind = facts?.kind && facts.kind !== "post" ? facts.kind : undefined;
    const explore = ranked?.propensity !== undefined || ranked?.sources.includes("explore");
    return el(
      "p",
      { class: "byline" },
      el("span", { class: "author", testid: "author" }, nameOf(this.shown)),
      this.#follow,
      created !== undefined && el("time", { class: "age", attrs: { title: format.date(created) } }, format.age(created, now())),
      kind && el("span", { class: "kind" }, kind),
      explore && el("span", { class: "kind new" }, "new"),
      el("span", { class: "visually-hidden" }, `by ${author}`),
    );
  }

  #tags(): HTMLElement | null {
    const tags = this.shown.facts?.tags ?? [];
    if (!tags.length) return null;
    const button = (tag: string): HTMLElement =>
      el("button", { class: "tag", testid: "tag", attrs: { type: "button", title: `Only ${tag}` }, on: { click: () => this.host.filterByTag(tag) } }, tag);
    return el("p", { class: "tags" }, ...tags.slice(0, 5).map(button));
  }

  #actions(): HTMLElement {
    const { shares, comments } = this.#countNodes;
    return el(
      "div",
      { class: "actions", attrs: { role: "group", "aria-label": "Actions" } },
      this.#like,
      iconButton("comment", "Comment", "comment", () => this.comment(), comments),
      iconButton("share", "Share", "share", () => void this.share(), shares),
      el("span", { class: "gap" }),
      this.#why,
      iconButton("similar", "Similar items", "similar", (event) => this.similar(event.currentTarget as HTMLElement), el("span", { class: "wide" }, "Similar")),
      iconButton("hide", "Hide this item", "hide", () => this.hide()),
      iconButton("mute", `Hide everything by ${nameOf(this.shown)}`, "hide-author", () => this.hideAuthor()),
    );
  }

  #refresh(): void {
    const { opinions } = this.host;
    const liked = opinions.isLiked(this.shown.id);
    this.#like.setAttribute("aria-pressed", String(liked));
    this.#like.setAttribute("aria-label", liked ? "Take the like back" : "Like");
    const followed = opinions.isFollowed(this.shown.author);
    this.#follow.setAttribute("aria-pressed", String(followed));
    this.#follow.textContent = followed ? "Following" : "Follow";
    this.#follow.setAttribute("aria-label", `${followed ? "Unfollow" : "Follow"} ${nameOf(this.shown)}`);
    for (const counter of COUNTERS) {
      const value = this.#counts[counter];
      this.#countNodes[counter].textContent = value ? format.count(value) : "";
    }
  }

  // ---- what one can do -------------------------------------------------------------------

  /** Sends an event with the place where the item was shown. */
  async #track(event: Omit<TrackEvent, "item">, counter?: Counter, change = 0): Promise<boolean> {
    this.#count(counter, change);
    const { id, requestId, position } = this.shown;
    const place = requestId ? { request_id: requestId, position } : {};
    const outcome = await this.host.edge.track({ item: id, ...place, ...event });
    if (outcome.status === "accepted" || outcome.status === "beacon") return true;
    this.#count(counter, -change);
    this.host.announce(`That did not count: ${outcome.reason ?? "it was refused"}.`);
    return false;
  }

  #count(counter: Counter | undefined, change: number): void {
    if (!counter) return;
    this.#counts[counter] = Math.max(0, (this.#counts[counter] ?? 0) + change);
    this.#refresh();
  }

  like(): void {
    const { opinions, announce } = this.host;
    const { id } = this.shown;
    const liked = !opinions.isLiked(id);
    opinions.setLiked(id, liked);
    announce(liked ? "Liked. The next page takes it into account." : "Like taken back.");
    void this.#track({ type: liked ? "like" : "unlike" }, "likes", liked ? 1 : -1).then((counted) => {
      if (!counted) opinions.setLiked(id, !liked);
    });
  }

  follow(): void {
    const { opinions, edge, announce } = this.host;
    const { author } = this.shown;
    const followed = !opinions.isFollowed(author);
    opinions.setFollowed(author, followed);
    announce(followed ? `You follow ${nameOf(this.shown)}.` : `You no longer follow ${nameOf(this.shown)}.`);
    void edge.track({ type: followed ? "follow" : "unfollow", author }).then(({ status, reason }) => {
      if (status === "accepted") return;
      opinions.setFollowed(author, !followed);
      announce(`That did not count: ${reason ?? "it was refused"}.`);
    });
  }

  comment(): void {
    const open = this.#body.querySelector<HTMLInputElement>(".comment-form input");
    if (open) return open.focus();
    const input = el("input", {
      testid: "comment-input",
      attrs: { type: "text", maxlength: 280, "aria-label": "Your comment", placeholder: "Say something (counted, not published)" },
    });
    const form = el("form", { class: "comment-form" }, input, el("button", { class: "button", testid: "comment-send", attrs: { type: "submit" } }, "Send"));
    const close = (): void => {
      form.remove();
      this.root.focus({ preventScroll: true });
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!input.value.trim()) return input.focus();
      close();
      this.host.announce("Comment counted.");
      void this.#track({ type: "comment" }, "comments", 1);
    });
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      close();
    });
    this.#body.append(form);
    input.focus();
  }

  async share(): Promise<void> {
    const { facts, id } = this.shown;
    void this.#track({ type: "share" }, "shares", 1);
    const link = facts?.link ?? new URL(`?item=${encodeURIComponent(id)}`, location.href).href;
    try {
      await navigator.clipboard.writeText(link);
      this.host.announce("Link copied.");
    } catch {
      this.host.announce("Share counted."); // the browser gave no clipboard
    }
  }

  hide(): void {
    void this.#track({ type: "hide" });
    const author = nameOf(this.shown);
    const also = el("button", { class: "text-button", testid: "hide-author", attrs: { type: "button" }, on: { click: () => this.hideAuthor() } }, `Hide everything by ${author}`);
    this.#leave("Hidden. It will not come back.", also);
  }

  hideAuthor(): void {
    const { author } = this.shown;
    void this.#track({ type: "hide", author });
    this.#leave(`Everything by ${nameOf(this.shown)} is hidden.`);
    this.host.authorHidden(author);
  }

  /** Leaves a line where the card was. */
  gone(message: string): void {
    this.#leave(message);
  }

  #leave(message: string, action?: HTMLElement): void {
    this.root.classList.add("gone");
    this.root.dataset["testid"] = "card-gone";
    this.root.removeAttribute("aria-labelledby");
    const hadFocus = this.root.contains(document.activeElement);
    fill(this.root, el("p", { class: "gone-text" }, message, action));
    if (hadFocus) this.root.focus({ preventScroll: true });
    this.host.announce(message, false);
    this.close();
  }

  similar(from: HTMLElement = this.root): void {
    this.host.openDetail(this.shown, from);
  }

  /** A click on the item itself. */
  open(): void {
    void this.#track({ type: "click" });
    this.host.openDetail(this.shown, this.root);
  }

  why(): void {
    const { ranked, origin, position } = this.shown;
    if (!ranked || !origin) return;
    if (this.#panel) {
      if (this.#panel.contains(document.activeElement)) this.root.focus({ preventScroll: true });
      this.#panel.remove();
      this.#panel = undefined;
    } else {
      this.#panel = whyPanel(ranked, origin, position);
      this.root.append(this.#panel);
      this.#panel.focus({ preventScroll: true });
      this.#panel.scrollIntoView({ block: "nearest" });
    }
    this.#why?.setAttribute("aria-expanded", String(Boolean(this.#panel)));
  }
}

/** The title, or what stands for it until the facts are known. */
export function titleOf({ facts, id }: Pick<Shown, "facts" | "id">): string {
  return facts?.title || `Item ${id}`;
}

/** The author's name where an answer gives one, else the id. */
export function nameOf({ author, facts }: Pick<Shown, "facts" | "author">): string {
  const name = facts?.["author_name"];
  return typeof name === "string" && name ? name : author;
}

/** Counters, where any of the answers states them. */
function countersOf({ facts, ranked, hot }: Shown): Partial<Record<Counter, number>> {
  const places = [ranked, ranked?.["counters"], ranked?.explain, ranked?.explain?.["facts"], hot, hot?.["counters"], facts, facts?.["counters"]];
  const counts: Partial<Record<Counter, number>> = {};
  for (const counter of COUNTERS) {
    for (const place of places) {
      const value: unknown = (place as Record<string, unknown> | undefined)?.[counter];
      if (typeof value === "number" && Number.isFinite(value)) {
        counts[counter] = value;
        break;
      }
    }
  }
  return counts;
}
