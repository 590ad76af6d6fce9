/**
 * Browser client for Edgewise.
 *
 * ```ts
 * const edge = new Edgewise({ base: "https://feed.example", user: "u42" });
 * const page = await edge.feed({ limit: 20 });
 * const facts = await edge.items(page.items.map((item) => item.id));
 * await edge.track({ type: "like", item: page.items[0].id });
 * const more = await page.next(); // already knows of the like
 * ```
 */

import type {
  CallOptions,
  EdgewiseOptions,
  EventsAnswer,
  FeedAnswer,
  FeedPage,
  FeedParams,
  Item,
  KeyValue,
  Meta,
  SimilarAnswer,
  SuggestedUsersAnswer,
  TrackEvent,
  TrackOutcome,
  TrackedEvent,
  TrendingAnswer,
  TrendingParams,
} from "./types.js";

export type * from "./types.js";

/** Events that wait for delivery; the oldest are dropped beyond it. */
const QUEUE_MAX = 500;
/** Events in one delivery. */
const BATCH_MAX = 50;
/** A beacon or a `keepalive` body may have 64 KiB, shared by all that are under way. */
const BATCH_BYTES = 48_000;
/** The server knows an event's id for 48 h: an older one could be counted twice. */
const EVENT_LIFE_MS = 48 * 3_600_000;
const RETRY_MAX_MS = 30_000;
/** How long a feed waits for events under way, so that it carries their session. */
const SETTLE_MS = 400;
/** `/api/v1/items`: ids in one request, and the lifetime a browser may keep them. */
const IDS_MAX = 100;
const ITEM_FRESH_MS = 60_000;
const ITEMS_KEPT = 1_000;

/** A problem document (RFC 9457), or a failure to get any answer (`status` 0, type `network`). */
export class EdgewiseError extends Error {
  override readonly name = "EdgewiseError";
  constructor(
    readonly status: number,
    /** Stable: the problem's `type`. */
    readonly type: string,
    message: string,
    /** The parameter at fault and what it may be, for a 400. */
    readonly field?: string,
    readonly allowed?: unknown,
    /** From `Retry-After`. */
    readonly retryAfterMs?: number,
    cause?: unknown,
  ) {
    super(message, { cause });
  }

  /** Whether the same request may succeed later. */
  get retryable(): boolean {
    return [0, 408, 425, 429].includes(this.status) || this.status >= 500;
  }
}

interface Queued {
  event: TrackedEvent;
  /** Wall time of the event. */
  at: number;
  settle?: (outcome: TrackOutcome) => void;
}

type Query = Record<string, string | number | boolean | readonly string[] | undefined>;

/** One user's connection. Close it before making another for the same tab. */
export class Edgewise {
  /** Whose feed this is. */
  readonly user: string | undefined;
  readonly #base: string;
  readonly #token: string | undefined;
  readonly #fetch: typeof globalThis.fetch;
  readonly #storage: KeyValue | null;
  readonly #timeoutMs: number;
  readonly #flushMs: number;
  readonly #retryMs: number;
  readonly #onTrack: EdgewiseOptions["onTrack"];
  readonly #items = new Map<string, { item: Item; at: number }>();
  readonly #end = new AbortController();

  #session: string | undefined;
  /** Counts replacements by event answers, which a feed that started earlier must not undo. */
  #sessionEpoch = 0;

  /** Impressions and views that wait for the next beacon. */
  #passive: Queued[] = [];
  #passiveTimer: ReturnType<typeof setTimeout> | undefined;
  /** Everything that wants an answer, in order: a like and its undo must not overtake each other. */
  #queue: Queued[] = [];
  #delivery: Promise<void> | undefined;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #failures = 0;

  constructor(options: EdgewiseOptions = {}) {
    this.#base = (options.base ?? "").replace(/\/+$/, "");
    this.user = options.user || undefined;
    this.#token = options.token;
    const request = options.fetch ?? globalThis.fetch;
    this.#fetch = (input, init) => request(input, init); // a browser's fetch wants no other `this`
    this.#storage = options.storage === undefined ? localStorageOrNull() : options.storage;
    this.#timeoutMs = options.timeoutMs ?? 10_000;
    this.#flushMs = options.flushMs ?? 2_000;
    this.#retryMs = options.retryMs ?? 500;
    this.#onTrack = options.onTrack;
    this.#session = this.#read("session") || undefined;
    this.#queue = this.#stored();
    if (this.#queue.length) this.#deliver();
    this.#listen();
  }

  /** The token that carries the user's last minutes; every feed and events answer renews it. */
  get session(): string | undefined {
    return this.#session;
  }

  /** Events that no server has answered yet. */
  get pending(): number {
    return this.#queue.length + this.#passive.length;
  }

  // ---- reads -----------------------------------------------------------------------------

  /** A ranked page. Waits briefly for events under way, so that it follows from them. */
  async feed(params: FeedParams = {}, options: CallOptions = {}): Promise<FeedPage> {
    await this.#settled(options.signal);
    const epoch = this.#sessionEpoch;
    const query: Query = {
      ...params,
      user: this.user,
      explain: params.explain ? 1 : undefined,
      session: this.#session,
    };
    const { body, meta } = await this.#get<FeedAnswer>("/api/v1/feed", query, options);
    if (body.session && epoch === this.#sessionEpoch) this.#keepSession(body.session);
    const next = async (more: CallOptions = {}): Promise<FeedPage | null> =>
      body.next_cursor ? this.feed({ ...params, cursor: body.next_cursor }, more) : null;
    return { ...body, meta, next };
  }

  /** The feed page by page: `for await (const page of edge.pages()) ...`. */
  async *pages(params: FeedParams = {}, options: CallOptions = {}): AsyncGenerator<FeedPage, void> {
    let page: FeedPage | null = await this.feed(params, options);
    while (page) {
      yield page;
      page = await page.next(options);
    }
  }

  /**
   * What a feed would be ranked from now, for an `OfflineFeed`: the user's candidates, what
   * changed since, the model, and the session with what the user just did.
   */
  async pack(params: Pick<FeedParams, "cursor" | "language" | "region"> = {}, options: CallOptions = {}): Promise<ArrayBuffer> {
    await this.#settled(options.signal);
    const query: Query = { ...params, user: this.user, session: this.#session };
    const init: RequestInit = { headers: this.#headers() };
    return (await this.#call(pathOf("/api/v1/feed/offline", query), init, options.signal)).bytes;
  }

  /** The hot list of a window. */
  async trending(params: TrendingParams = {}, options: CallOptions = {}): Promise<TrendingAnswer> {
    return this.#list("/api/v1/hot/trending", { ...params }, options);
  }

  /** Items near this one; never personal. */
  async similar(
    item: string,
    params: { limit?: number; tag?: string } = {},
    options: CallOptions = {},
  ): Promise<SimilarAnswer> {
    return this.#list(`/api/v1/similar/${encodeURIComponent(item)}`, { ...params }, options);
  }

  /** Authors this user may want to follow. */
  async suggestedUsers(
    params: { limit?: number } = {},
    options: CallOptions = {},
  ): Promise<SuggestedUsersAnswer> {
    const query = { ...params, user: this.user };
    return this.#list("/api/v1/discover/suggested-users", query, options);
  }

  /** Facts of items by id, in the order asked; unknown ids are left out. `fresh` skips the cache. */
  async items(
    ids: Iterable<string>,
    options: CallOptions & { fresh?: boolean } = {},
  ): Promise<Map<string, Item>> {
    const wanted = [...new Set(ids)];
    const oldest = Date.now() - ITEM_FRESH_MS;
    const missing = wanted.filter(
      (id) => options.fresh || (this.#items.get(id)?.at ?? 0) < oldest,
    );
    const batches: string[][] = [];
    while (missing.length) batches.push(missing.splice(0, IDS_MAX));
    const answers = await Promise.all(
      batches.map((batch) => this.#get<{ items: Item[] }>("/api/v1/items", { ids: batch }, options)),
    );
    const found = new Map(answers.flatMap(({ body }) => body.items.map((item) => [item.id, item])));
    const result = new Map<string, Item>();
    for (const id of wanted) {
      const item = found.get(id) ?? this.#items.get(id)?.item;
      if (item) result.set(id, item);
    }
    for (const [id, item] of found) {
      this.#items.delete(id); // a Map keeps the order of insertion: the first is the oldest
      this.#items.set(id, { item, at: Date.now() });
    }
    for (const id of this.#items.keys()) {
      if (this.#items.size <= ITEMS_KEPT) break;
      this.#items.delete(id);
    }
    return result;
  }

  async #list<T>(path: string, query: Query, options: CallOptions): Promise<T & { meta: Meta }> {
    const { body, meta } = await this.#get<T>(path, query, options);
    return { ...body, meta };
  }

  async #get<T>(path: string, query: Query, { signal }: CallOptions): Promise<{ body: T; meta: Meta }> {
    const started = performance.now();
    const init: RequestInit = { headers: this.#headers() };
    const { response, bytes } = await this.#call(pathOf(path, query), init, signal);
    return { body: jsonOf<T>(bytes), meta: metaOf(response, performance.now() - started) };
  }

  /** The single place that touches the network and turns failures into {@link EdgewiseError}. */
  async #call(path: string, init: RequestInit, signal?: AbortSignal) {
    const signals = [AbortSignal.timeout(this.#timeoutMs)];
    if (signal) signals.push(signal);
    let response: Response;
    let bytes: ArrayBuffer;
    try {
      response = await this.#fetch(this.#base + path, { ...init, signal: AbortSignal.any(signals) });
      bytes = await response.arrayBuffer();
    } catch (cause) {
      signal?.throwIfAborted();
      throw new EdgewiseError(0, "network", "no answer from the service", undefined, undefined, undefined, cause);
    }
    if (!response.ok) throw problemOf(response, textOf(bytes));
    return { response, bytes };
  }

  #headers(): Record<string, string> {
    return this.#token ? { authorization: `Bearer ${this.#token}` } : {};
  }

  // ---- events ----------------------------------------------------------------------------

  /**
   * Tells what the user did. Impressions and views go by beacon every two seconds; the rest at
   * once, in order, retried with the same id until the server answers. Never rejects.
   */
  track(event: TrackEvent): Promise<TrackOutcome> {
    const id = event.id ?? crypto.randomUUID();
    const { user } = this;
    if (!user) return Promise.resolve({ id, status: "dropped", reason: "no user" });
    return new Promise((settle) => {
      const queued: Queued = { event: { ...event, id, user }, at: Date.now(), settle };
      this.#onTrack?.(queued.event);
      if (event.type === "impression" || event.type === "view") {
        this.#passive.push(queued);
        if (this.#passive.length >= BATCH_MAX) this.flush();
        else this.#passiveTimer ??= setTimeout(() => this.flush(), this.#flushMs);
      } else {
        this.#enqueue([queued]);
      }
    });
  }

  /** Sends the gathered impressions and views now. The client does so itself when the page hides. */
  flush(): void {
    clearTimeout(this.#passiveTimer);
    this.#passiveTimer = undefined;
    while (this.#passive.length) {
      const batch = takeBatch(this.#passive);
      if (this.#beacon(batch)) settleAll(batch, "beacon");
      else this.#enqueue(batch);
    }
  }

  /** Sends what waits and stops listening. Unsent events stay in the storage. */
  close(): void {
    this.flush();
    clearTimeout(this.#retryTimer);
    this.#end.abort();
  }

  /** A beacon carries no bearer token and is lost without a network: then the queue takes over. */
  #beacon(batch: Queued[]): boolean {
    const { navigator } = globalThis;
    if (this.#token || !navigator?.sendBeacon || navigator.onLine === false) return false;
    // A string goes as text/plain, which needs no CORS preflight.
    const body = JSON.stringify({ events: batch.map(({ event }) => event) });
    return navigator.sendBeacon(`${this.#base}/api/v1/events`, body);
  }

  #enqueue(added: Queued[]): void {
    this.#queue.push(...added);
    const surplus = this.#queue.splice(0, Math.max(0, this.#queue.length - QUEUE_MAX));
    settleAll(surplus, "dropped", "the queue is full");
    this.#persist(surplus);
    this.#deliver();
  }

  #deliver(): void {
    if (this.#delivery || this.#retryTimer !== undefined || this.#end.signal.aborted) return;
    this.#delivery = this.#deliverAll().finally(() => {
      this.#delivery = undefined;
      if (this.#queue.length) this.#deliver(); // added since the loop's last look
    });
  }

  async #deliverAll(): Promise<void> {
    while (this.#queue.length) {
      const expired = this.#queue.filter(({ at }) => Date.now() - at > EVENT_LIFE_MS);
      this.#done(expired, () => ({ status: "dropped", reason: "too old" }));
      const batch = takeBatch([...this.#queue]);
      if (!batch.length) return;
      try {
        const answer = await this.#post(batch);
        this.#failures = 0;
        if (answer.session) {
          this.#sessionEpoch += 1;
          this.#keepSession(answer.session);
        }
        const reasons = new Map(answer.rejected?.map(({ index, reason }) => [index, reason]));
        this.#done(batch, (index) => {
          const reason = reasons.get(index);
          return reason === undefined ? { status: "accepted" } : { status: "rejected", reason };
        });
      } catch (error) {
        const failure = error as EdgewiseError;
        if (failure.retryable) return this.#pause(failure);
        this.#done(batch, () => ({ status: "rejected", reason: failure.message }));
      }
    }
  }

  async #post(batch: Queued[]): Promise<EventsAnswer> {
    const events = batch.map(({ event }) => event);
    const init: RequestInit = {
      method: "POST",
      keepalive: true,
      // text/plain spares the CORS preflight; the endpoint takes JSON under it.
      headers: { "content-type": "text/plain;charset=UTF-8", ...this.#headers() },
      body: JSON.stringify({ events, session: this.#session }),
    };
    return jsonOf<EventsAnswer>((await this.#call("/api/v1/events", init)).bytes);
  }

  /** Back-off with jitter, or what the server asked for. */
  #pause(failure: EdgewiseError): void {
    if (this.#end.signal.aborted) return;
    const backoffMs = Math.min(RETRY_MAX_MS, this.#retryMs * 2 ** this.#failures);
    this.#failures += 1;
    const pauseMs = failure.retryAfterMs ?? backoffMs * (0.5 + Math.random() / 2);
    this.#retryTimer = setTimeout(() => this.#resume(), pauseMs);
  }

  #resume(): void {
    clearTimeout(this.#retryTimer);
    this.#retryTimer = undefined;
    if (this.#queue.length) this.#deliver();
  }

  #done(batch: Queued[], outcome: (index: number) => Omit<TrackOutcome, "id">): void {
    if (!batch.length) return;
    this.#queue = this.#queue.filter((queued) => !batch.includes(queued));
    this.#persist(batch);
    batch.forEach(({ event, settle }, index) => settle?.({ id: event.id, ...outcome(index) }));
  }

  /** Until events under way are answered, but not while they wait for a retry. */
  async #settled(signal?: AbortSignal): Promise<void> {
    if (this.#delivery) {
      const limit = new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
      await Promise.race([this.#delivery, limit]);
    }
    signal?.throwIfAborted();
  }

  #listen(): void {
    if (typeof globalThis.addEventListener !== "function") return;
    const { signal } = this.#end;
    const hidden = () => globalThis.document?.visibilityState === "hidden" && this.flush();
    globalThis.document?.addEventListener("visibilitychange", hidden, { signal });
    globalThis.addEventListener("pagehide", () => this.flush(), { signal });
    globalThis.addEventListener("online", () => this.#resume(), { signal });
  }

  // ---- storage ---------------------------------------------------------------------------

  #keepSession(session: string): void {
    this.#session = session;
    this.#write("session", session);
  }

  #stored(): Queued[] {
    try {
      const stored: unknown = JSON.parse(this.#read("queue") ?? "[]");
      return Array.isArray(stored) ? stored.filter((queued) => queued?.event?.id && queued.at) : [];
    } catch {
      return [];
    }
  }

  /** Other tabs of the user share the list: what they added stays, what was settled here goes. */
  #persist(settled: Queued[]): void {
    if (!this.#storage) return;
    const gone = new Set([...settled, ...this.#queue].map(({ event }) => event.id));
    const others = this.#stored().filter(({ event }) => !gone.has(event.id));
    const all = [...others, ...this.#queue].slice(-QUEUE_MAX);
    this.#write("queue", all.length ? JSON.stringify(all) : undefined);
  }

  #key(name: string): string {
    return `edgewise:${this.#base}:${this.user ?? ""}:${name}`;
  }

  #read(name: string): string | null {
    try {
      return this.#storage?.getItem(this.#key(name)) ?? null;
    } catch {
      return null;
    }
  }

  /** A full or forbidden storage loses durability, never an event under way. */
  #write(name: string, value: string | undefined): void {
    try {
      if (value === undefined) this.#storage?.removeItem(this.#key(name));
      else this.#storage?.setItem(this.#key(name), value);
    } catch {
      // See above.
    }
  }
}

/** What an element shows, for {@link ImpressionObserver}. */
export type Impression = Omit<TrackEvent, "type" | "id">;

/**
 * Reports an impression once half of an element (or half of the window, for tall ones) was
 * visible for a second without a break.
 */
export class ImpressionObserver {
  readonly #observer: IntersectionObserver;
  readonly #shown = new Map<Element, { impression: Impression; timer?: ReturnType<typeof setTimeout> }>();

  constructor(
    private readonly report: (impression: Impression) => void,
    private readonly dwellMs = 1_000,
  ) {
    const threshold = [0, 0.25, 0.5, 0.75, 1];
    const seen = (entries: IntersectionObserverEntry[]) => entries.forEach((entry) => this.#seen(entry));
    this.#observer = new IntersectionObserver(seen, { threshold });
  }

  /** Reports `impression` the first time `element` is seen. */
  observe(element: Element, impression: Impression): void {
    this.#shown.set(element, { impression });
    this.#observer.observe(element);
  }

  /** Forgets an element that was not seen yet. */
  unobserve(element: Element): void {
    clearTimeout(this.#shown.get(element)?.timer);
    this.#shown.delete(element);
    this.#observer.unobserve(element);
  }

  /** Forgets all. */
  disconnect(): void {
    for (const element of [...this.#shown.keys()]) this.unobserve(element);
    this.#observer.disconnect();
  }

  #seen({ target, intersectionRatio, intersectionRect, rootBounds }: IntersectionObserverEntry): void {
    const shown = this.#shown.get(target);
    if (!shown) return;
    const coverage = intersectionRect.height / (rootBounds?.height || Infinity);
    const visible = intersectionRatio >= 0.5 || coverage >= 0.5;
    if (!visible) {
      clearTimeout(shown.timer);
      delete shown.timer;
    } else {
      shown.timer ??= setTimeout(() => this.#dwelt(target), this.dwellMs);
    }
  }

  #dwelt(target: Element): void {
    const shown = this.#shown.get(target);
    if (!shown) return;
    if (document.visibilityState === "hidden") {
      shown.timer = setTimeout(() => this.#dwelt(target), this.dwellMs);
      return;
    }
    this.unobserve(target);
    this.report(shown.impression);
  }
}

function pathOf(path: string, query: Query): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && String(value)) search.set(name, String(value));
  }
  const text = search.toString();
  return path + (text && `?${text}`);
}

const textOf = (bytes: ArrayBuffer): string => new TextDecoder().decode(bytes);

function jsonOf<T>(bytes: ArrayBuffer): T {
  try {
    return JSON.parse(textOf(bytes)) as T;
  } catch (cause) {
    throw new EdgewiseError(0, "network", "the answer is not JSON", undefined, undefined, undefined, cause);
  }
}

function settleAll(batch: Queued[], status: TrackOutcome["status"], reason?: string): void {
  for (const { event, settle } of batch) {
    settle?.({ id: event.id, status, ...(reason && { reason }) });
  }
}

/** Takes the first events off `queue` that fit one delivery; at least one. */
function takeBatch(queue: Queued[]): Queued[] {
  let bytes = 0;
  const end = queue.findIndex(({ event }, index) => {
    bytes += JSON.stringify(event).length * 2; // characters beyond ASCII take more bytes
    return index > 0 && (index === BATCH_MAX || bytes > BATCH_BYTES);
  });
  return queue.splice(0, end < 0 ? queue.length : end);
}

function problemOf(response: Response, text: string): EdgewiseError {
  let problem: Record<string, unknown> = {};
  try {
    problem = Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    // A proxy's page, not ours: the status says enough.
  }
  const { type = "about:blank", title, detail, field, allowed } = problem;
  const message = String(detail ?? title ?? `the service answered ${response.status}`);
  const at = field === undefined || field === null ? undefined : String(field);
  return new EdgewiseError(response.status, String(type), message, at, allowed, retryAfterMs(response));
}

/** `Retry-After` in seconds or as a date, at most the longest back-off. */
function retryAfterMs(response: Response): number | undefined {
  const value = response.headers.get("retry-after");
  if (!value) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), RETRY_MAX_MS * 4) : undefined;
}

function metaOf(response: Response, elapsedMs: number): Meta {
  const { headers, status } = response;
  const rung = headers.get("edgewise-rung");
  const cacheStatus = headers.get("cache-status");
  const cache = headers.get("x-cache-status") ?? cacheWord(cacheStatus);
  const age = Number.parseFloat(headers.get("age") ?? "");
  return {
    status,
    headers,
    elapsedMs,
    timing: timingOf(headers.get("server-timing") ?? ""),
    ...(rung && { rung }),
    ...(cache && { cache }),
    ...(cacheStatus && { cacheStatus }),
    ...(Number.isFinite(age) && { ageS: age }),
  };
}

function cacheWord(cacheStatus: string | null): string | undefined {
  if (!cacheStatus) return undefined;
  if (/fwd=stale|ttl=-/.test(cacheStatus)) return "STALE";
  return /;\s*hit\b/.test(cacheStatus) ? "HIT" : "MISS";
}

function timingOf(header: string): Meta["timing"] {
  // Commas and semicolons may stand inside a quoted description.
  const entries = header.match(/(?:[^,"]|"(?:\\.|[^"\\])*")+/g) ?? [];
  return entries.map((entry) => {
    const dur = /;\s*dur="?([\d.]+)/i.exec(entry)?.[1];
    const desc = /;\s*desc=(?:"((?:\\.|[^"\\])*)"|([^;\s]+))/i.exec(entry);
    const text = desc?.[1]?.replace(/\\(.)/g, "$1") ?? desc?.[2];
    return {
      name: entry.split(";")[0]?.trim() ?? "",
      ...(dur !== undefined && { durMs: Number(dur) }),
      ...(text !== undefined && { desc: text }),
    };
  });
}

function localStorageOrNull(): KeyValue | null {
  try {
    return globalThis.localStorage ?? null;
  } catch {
    return null; // forbidden by the browser's settings
  }
}
