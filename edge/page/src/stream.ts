/** A list that grows as one scrolls: the feed and the hot list alike. */

import { EdgewiseError, ImpressionObserver, type Edgewise, type Item } from "./client.js";
import { Card, type Host, type Shown } from "./card.js";
import { byId, el, fill } from "./dom.js";
import { showStrip, type Served } from "./strip.js";

/** Some items and the way to more. */
export interface Batch {
  items: Shown[];
  served: Served;
  next: ((signal: AbortSignal) => Promise<Batch>) | null;
}

/** What a list says when it has come to its end, and what to do when it has nothing. */
export interface Wording {
  end: string;
  empty: string;
}

/** Pages that load ahead by themselves before the button has to be pressed. */
const AHEAD_PX = 800;

export class Stream {
  readonly cards: Card[] = [];
  readonly #end = new AbortController();
  readonly #impressions: ImpressionObserver;
  readonly #scroll: IntersectionObserver;
  readonly #list = byId("stream");
  readonly #more = byId<HTMLButtonElement>("load-more");
  readonly #foot = byId("stream-end");
  #next: Batch["next"];
  #loading = false;
  #failed = false;

  constructor(
    private readonly host: Host,
    first: (signal: AbortSignal) => Promise<Batch>,
    private readonly wording: Wording,
    private readonly settled: (served: Served | undefined, error: unknown, retry: () => void) => void,
  ) {
    this.#next = first;
    const { edge } = host;
    this.#impressions = new ImpressionObserver((impression) => void edge.track({ type: "impression", ...impression }));
    this.#scroll = new IntersectionObserver(
      ([entry]) => entry?.isIntersecting && !this.#failed && void this.load(),
      { rootMargin: `${AHEAD_PX}px` },
    );
    this.#more.addEventListener("click", () => void this.load(), { signal: this.#end.signal });
    fill(this.#list, ...Array.from({ length: 4 }, () => el("div", { class: "card ghost", attrs: { "aria-hidden": "true" } })));
    this.#foot.textContent = "";
    void this.load();
  }

  /** Stops loading and forgets the cards. */
  close(): void {
    this.#end.abort();
    this.#scroll.disconnect();
    this.#impressions.disconnect();
    for (const card of this.cards) card.close();
  }

  /** Loads what comes next; one page at a time. */
  async load(): Promise<void> {
    const next = this.#next;
    if (!next || this.#loading) return;
    this.#busy(true);
    const { signal } = this.#end;
    try {
      const batch = await next(signal);
      if (signal.aborted) return;
      this.#failed = false;
      this.#next = batch.next;
      this.#show(batch);
      this.settled(batch.served, undefined, () => void this.load());
    } catch (error) {
      if (signal.aborted) return;
      this.#failed = true;
      this.#list.querySelectorAll(".ghost").forEach((ghost) => ghost.remove());
      this.settled(undefined, error, () => void this.load());
    }
    this.#busy(false);
  }

  #busy(loading: boolean): void {
    this.#loading = loading;
    this.#list.setAttribute("aria-busy", String(loading));
    this.#more.disabled = loading;
    this.#more.hidden = !this.#next || !this.cards.length; // before the first card the notice offers to retry
    this.#more.textContent = loading ? "Ranking …" : this.#failed ? "Try again" : "Show more";
    if (!loading) {
      // Observed anew, so that a page too short for the window is followed by the next.
      this.#scroll.disconnect();
      if (this.#next && this.cards.length) this.#scroll.observe(this.#more);
    }
  }

  #show({ items, served, next }: Batch): void {
    showStrip(served);
    const first = !this.cards.length;
    if (first) this.#list.replaceChildren();
    for (const shown of items) {
      const card = new Card(shown, this.host);
      const { id, author, requestId, position } = shown;
      this.cards.push(card);
      this.#list.append(card.root);
      this.#impressions.observe(card.root, { item: id, author, ...(requestId ? { request_id: requestId, position } : {}) });
    }
    if (!next) this.#foot.textContent = this.cards.length ? this.wording.end : this.wording.empty;
    if (!first && items.length) this.host.announce(`${items.length} more items.`, false);
  }
}

/** Facts that were shown before, for when none can be had. */
const kept = new Map<string, Item>();
const KEPT_MAX = 2_000;
/** How long newer facts are waited for where all are kept. */
const RENEW_MS = 400;

/** The facts of items, as of before where none can be had; without any the cards show ids. */
export async function factsOf(edge: Edgewise, ids: string[], signal: AbortSignal): Promise<Map<string, Item>> {
  const known = ids.every((id) => kept.has(id));
  const limit = known ? AbortSignal.any([signal, AbortSignal.timeout(RENEW_MS)]) : signal;
  try {
    const facts = await edge.items(ids, { signal: limit });
    for (const [id, item] of facts) {
      kept.delete(id); // the first of a Map is the oldest
      kept.set(id, item);
    }
    for (const id of kept.keys()) {
      if (kept.size <= KEPT_MAX) break;
      kept.delete(id);
    }
    return facts;
  } catch (error) {
    signal.throwIfAborted();
    if (!known && !(error instanceof EdgewiseError)) throw error;
    return new Map(ids.flatMap((id) => kept.get(id) ?? []).map((item) => [item.id, item]));
  }
}
