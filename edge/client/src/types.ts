/**
 * What the API takes and answers. Times named `_at` or `_ms` are Unix milliseconds
 * of the domain clock, which a replay may run at another speed than the wall's.
 */

/** The ladder of answers, best first: every feed and hot list names its rung. */
export type Rung = "personal" | "personal-stale" | "segment" | "hot" | "hot-stale";

/** Why an item is a candidate. */
export type Source = "follow" | "trending" | "affinity" | "similar" | "explore";

/** Behaviour that the service learns from. */
export type EventType =
  | "impression"
  | "view"
  | "click"
  | "like"
  | "unlike"
  | "comment"
  | "share"
  | "follow"
  | "unfollow"
  | "hide"
  | "purchase";

/** A behaviour event as the caller states it; the client adds `id` and `user`. */
export interface TrackEvent {
  type: EventType;
  /** Required but for follow, unfollow and a hide of an author. */
  item?: string;
  /** Required for follow and unfollow; a hide with it hides the author. */
  author?: string;
  /** Domain time. Leave it out unless the domain clock is known: the server takes its receipt. */
  ts_ms?: number;
  watch_ms?: number;
  duration_ms?: number;
  value?: number;
  /** The page that showed the item, and where: what off-policy evaluation needs. */
  request_id?: string;
  position?: number;
  /** Idempotency key, counted once in 48 h. Made by the client where absent. */
  id?: string;
}

/** An event as it is sent: with the client's `id` and `user`. */
export interface TrackedEvent extends TrackEvent {
  id: string;
  user: string;
}

/** What became of one event. */
export interface TrackOutcome {
  id: string;
  /**
   * `accepted`: answered by the server, counted once. `beacon`: handed to the browser, which
   * gives no answer. `rejected`: the server said why. `dropped`: the queue was full, the
   * client has no user, or the event is over 48 h old.
   */
  status: "accepted" | "beacon" | "rejected" | "dropped";
  reason?: string;
}

/** The answer to `POST /api/v1/events`. */
export interface EventsAnswer {
  accepted: number;
  duplicate: number;
  rejected: { index: number; reason: string }[];
  session?: string | null;
}

/** One term of a score: `contribution = value * weight`; the terms sum to the score. */
export interface Contribution {
  name: string;
  value: number;
  weight: number;
  contribution: number;
}

/** Where an item stands and why, with `explain`. */
export interface Explanation {
  features: Contribution[];
  /** 1-based rank by score alone. */
  score_rank?: number;
  /** 1-based position in the feed, earlier pages counted. */
  position?: number;
  /** What put it there: its score, the author cap, variety, an explore draw. */
  moved_by?: string;
  [more: string]: unknown;
}

/** One ranked item of a feed. */
export interface FeedItem {
  id: string;
  author: string;
  score: number;
  sources: Source[];
  position?: number;
  /** Probability of the explore draw that placed it. */
  propensity?: number;
  explain?: Explanation;
  [more: string]: unknown;
}

/** What to ask of a feed. */
export interface FeedParams {
  /** 1 to 100; 20 where absent. */
  limit?: number;
  cursor?: string;
  profile?: "feed" | "video";
  tag?: string;
  language?: string;
  region?: string;
  /** At most 100 item ids that must not appear. */
  exclude?: readonly string[];
  /** `none` gives pure score order. */
  selection?: "none";
  explain?: boolean;
}

/** A ranked page as the API answers it. */
export interface FeedAnswer {
  request_id: string;
  items: FeedItem[];
  /** Null when everything was seen. */
  next_cursor: string | null;
  session?: string | null;
  session_status?: string;
  model: string;
  config: string;
  rung: Rung;
  [more: string]: unknown;
}

/** A ranked page with how it was served, and the way to the next. */
export interface FeedPage extends FeedAnswer {
  meta: Meta;
  /** The page after this one, or null at the feed's end. */
  next(options?: CallOptions): Promise<FeedPage | null>;
}

/** The windows that hot lists are kept for. */
export type HotWindow = "1h" | "24h" | "7d";

/** What to ask of a hot list. */
export interface TrendingParams {
  window?: HotWindow;
  /** 1 to 200; 20 where absent. */
  limit?: number;
  region?: string;
  language?: string;
  tag?: string;
}

/** An item of a hot list. */
export interface HotItem {
  id: string;
  author?: string;
  score: number;
  [more: string]: unknown;
}

/** A hot list. */
export interface TrendingAnswer {
  window: HotWindow;
  generated_at: number;
  items: HotItem[];
  rung: Rung;
  meta: Meta;
}

/** Items near another one, and why. */
export interface SimilarAnswer {
  item: string;
  items: { id: string; score: number; reasons?: string[]; [more: string]: unknown }[];
  meta: Meta;
}

/** Authors this user may want to follow. */
export interface SuggestedUsersAnswer {
  items: { user: string; score: number; common?: number | string[]; [more: string]: unknown }[];
  meta: Meta;
}

/** An item's facts. */
export interface Item {
  id: string;
  author: string;
  title: string;
  created_at: number;
  kind?: string | null;
  thumbnail?: string | null;
  link?: string | null;
  duration_ms?: number | null;
  tags?: string[];
  [more: string]: unknown;
}

/** How an answer was served, read from its headers. */
export interface Meta {
  status: number;
  /** `Edgewise-Rung`. */
  rung?: string;
  /** `X-Cache-Status`, else the word that `Cache-Status` comes to: HIT, MISS or STALE. */
  cache?: string;
  /** `Cache-Status` (RFC 9211) as sent. */
  cacheStatus?: string;
  /** `Age`, seconds. */
  ageS?: number;
  /** `Server-Timing`, in order. */
  timing: { name: string; durMs?: number; desc?: string }[];
  /** Seen from the client, request to parsed answer. */
  elapsedMs: number;
  headers: Headers;
}

/** Options of every call. */
export interface CallOptions {
  signal?: AbortSignal;
}

/** The part of `Storage` that the client needs. */
export type KeyValue = Pick<Storage, "getItem" | "setItem" | "removeItem">;

/** How to reach the service, and as whom. */
export interface EdgewiseOptions {
  /** Where the service is, without `/api`; the page's own origin where absent. */
  base?: string;
  /** The user's id. Without it feeds are those of the segment, and events are dropped. */
  user?: string;
  /** A JWT whose `sub` is `user`; sent as a bearer token. */
  token?: string;
  fetch?: typeof globalThis.fetch;
  /** Keeps the session and unsent events; `localStorage` where absent, nothing where null. */
  storage?: KeyValue | null;
  /** Told of every event as it is tracked; what an `OfflineFeed` follows from. */
  onTrack?: (event: TrackedEvent) => void;
  /** For one read or one delivery; 10,000 where absent. */
  timeoutMs?: number;
  /** Impressions and views are gathered this long; 2,000 where absent. */
  flushMs?: number;
  /** First pause of the back-off; 500 where absent, doubled up to 30,000. */
  retryMs?: number;
}
