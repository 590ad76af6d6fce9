/** The switch "Rank on this device": the edge's own edge.wasm ranks in the page, also without a network. */

import { EdgewiseError, type Edgewise, type FeedPage, type FeedParams, type TrackedEvent } from "./client.js";
import { OfflineFeed } from "./offline.js";
import { byId } from "./dom.js";
import * as format from "./format.js";

/** A pack older than this is fetched anew with the next list, where that can be done. */
const PACK_FRESH_MS = 30_000;
/** The overlay moves every second: a pack and a page that straddle that are asked for again. */
const TRIES = 4;
/** How long a newer pack is waited for where there is one to rank. */
const REFRESH_MS = 3_000;

/** Whether this device's items were the edge's, for the same moment. */
type Verdict = "equal" | "different" | "unknown";

/** One user's feed on this device. */
export class Device {
  #offline: OfflineFeed | undefined;
  #loading: Promise<OfflineFeed> | undefined;
  #verdict: Verdict = "unknown";

  /** The first page, ranked here; the edge's where there is nothing to rank or nothing to rank with. */
  async first(edge: Edgewise, params: FeedParams, signal: AbortSignal): Promise<FeedPage> {
    let offline: OfflineFeed;
    try {
      offline = await this.#load();
    } catch {
      const page = await edge.feed(params, { signal });
      say("Ranked at the edge: edge.wasm cannot be loaded here.", "unknown");
      return page;
    }
    if (this.#verdict === "unknown") {
      try {
        return await this.#compared(offline, edge, params, signal);
      } catch (error) {
        // Without an answer there is nothing to compare with, but there may be a pack.
        if (!isUnreachable(error) || !offline.pack) throw error;
      }
    } else if (offline.ageMs > PACK_FRESH_MS) {
      try {
        offline.use(await edge.pack({}, { signal: AbortSignal.any([signal, AbortSignal.timeout(REFRESH_MS)]) }));
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof EdgewiseError && !isUnreachable(error)) throw error;
      }
    }
    return this.#page(offline, params);
  }

  /** Has the next page follow from what the user did. */
  track(event: TrackedEvent): void {
    this.#offline?.track(event);
  }

  /** Whether there is something to rank without the network. */
  get isReady(): boolean {
    return this.#offline?.pack !== undefined;
  }

  /** Ids of what would be shown first, so that their facts can be had before the network goes. */
  ahead(count: number): string[] {
    return this.isReady ? (this.#offline?.feed({ limit: count }).items.map(({ id }) => id) ?? []) : [];
  }

  async #load(): Promise<OfflineFeed> {
    if (this.#offline) return this.#offline;
    this.#loading ??= OfflineFeed.load(new URL("./edge.wasm", document.baseURI));
    try {
      return (this.#offline = await this.#loading);
    } finally {
      this.#loading = undefined; // a failure is tried again
    }
  }

  /** The edge's page beside this device's for the same moment; both must have the same items. */
  async #compared(offline: OfflineFeed, edge: Edgewise, params: FeedParams, signal: AbortSignal): Promise<FeedPage> {
    for (let tries = 1; ; tries += 1) {
      const theirs = await edge.feed(params, { signal });
      offline.use(await edge.pack({}, { signal }));
      const domainMs = Number(theirs["now_ms"]);
      const ours = offline.feed(params, { requestId: theirs.request_id, ...(Number.isFinite(domainMs) && { domainMs }) });
      const equal = JSON.stringify(ours.items) === JSON.stringify(theirs.items);
      if (!equal && tries < TRIES) continue;
      this.#verdict = equal ? "equal" : "different";
      this.#say(ours);
      return ours;
    }
  }

  #page(offline: OfflineFeed, params: FeedParams): FeedPage {
    const page = offline.feed(params);
    this.#say(page, offline.ageMs);
    return page;
  }

  #say(page: FeedPage, ageMs = 0): void {
    const verdicts: Record<Verdict, string> = {
      equal: ageMs ? ", checked against the edge" : ", equal to the edge",
      different: ", not as at the edge",
      unknown: ", not compared with the edge",
    };
    const old = ageMs > PACK_FRESH_MS ? ` from what was kept ${format.staleness(ageMs / 1_000)} ago` : "";
    say(`Ranked on this device in ${format.milliseconds(page.meta.elapsedMs)}${old}${verdicts[this.#verdict]}.`, this.#verdict);
  }
}

/** Shows the switch's state; `choose` is told of a change. */
export function setUpDevice(on: boolean, choose: (on: boolean) => void): void {
  const button = byId("device-switch");
  if (typeof WebAssembly !== "object") return;
  button.hidden = false;
  button.setAttribute("aria-checked", String(on));
  button.addEventListener("click", () => {
    const next = button.getAttribute("aria-checked") !== "true";
    button.setAttribute("aria-checked", String(next));
    say(next ? "Fetching what is ranked …" : "", "unknown");
    choose(next);
  });
}

function say(text: string, verdict: Verdict): void {
  const state = byId("device-state");
  state.textContent = text;
  state.dataset["verdict"] = verdict;
}

function isUnreachable(error: unknown): boolean {
  return error instanceof EdgewiseError && error.retryable;
}
