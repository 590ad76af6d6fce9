/** The demo page: a personal feed, the hot list, and how each came about. */

import { Edgewise, EdgewiseError, type FeedPage, type HotWindow } from "./client.js";
import type { Host, Shown } from "./card.js";
import { observe } from "./clock.js";
import { Device, setUpDevice } from "./device.js";
import { openDetail, setUpDetail } from "./detail.js";
import { byId, el, fill } from "./dom.js";
import { setUpKeys } from "./keys.js";
import { Opinions } from "./opinions.js";
import { showPeople } from "./people.js";
import { Stream, factsOf, type Batch, type Wording } from "./stream.js";
import { servedOf, type Served } from "./strip.js";

/** `/demo.json`: what the demo's data set says of itself. */
interface Demo {
  dataset?: string;
  generated?: boolean;
  title?: string;
  users?: (string | { id: string; name?: string })[];
  note?: string;
}

type Tab = "feed" | "trending";
const WINDOWS: readonly HotWindow[] = ["1h", "24h", "7d"];
const PAGE = 20;
/** A hot list has no cursor: it is asked for whole and shown in parts. */
const HOT_MAX = 200;
/** Items whose facts are fetched ahead where this device ranks: what one sees without a network. */
const AHEAD = 100;

const place = new URL(location.href).searchParams;
let tab: Tab = place.get("tab") === "trending" ? "trending" : "feed";
let hotWindow: HotWindow = WINDOWS.find((name) => name === place.get("window")) ?? "24h";
let tag = place.get("tag") ?? "";
let known = new Set<string>();
let edge: Edgewise;
let opinions: Opinions;
let stream: Stream | undefined;
let device: Device;
let onDevice = false;

// ---- what the lists are made of ------------------------------------------------------------

async function feedBatch(page: FeedPage, before: number, signal: AbortSignal): Promise<Batch> {
  observe(page["now_ms"] ?? Number(page.meta.headers.get("edgewise-now")));
  const facts = await factsOf(edge, page.items.map(({ id }) => id), signal);
  const served = servedOf(page);
  const { model, config, rung, request_id: requestId } = page;
  const origin = { model, config, rung, arm: page["arm"], candidates: served.candidates };
  const items = page.items.map((ranked, index): Shown => {
    if (ranked.sources.includes("follow")) opinions.learnFollowed(ranked.author);
    const position = before + index + 1;
    return { id: ranked.id, author: ranked.author, position, score: ranked.score, facts: facts.get(ranked.id), ranked, origin, requestId };
  });
  const next = async (more: AbortSignal): Promise<Batch> => {
    const following = await page.next({ signal: more });
    return following ? feedBatch(following, before + items.length, more) : { items: [], served, next: null };
  };
  return { items, served, next: page.next_cursor ? next : null };
}

async function firstFeed(signal: AbortSignal): Promise<Batch> {
  const params = { limit: PAGE, explain: true, tag };
  if (!onDevice) return feedBatch(await edge.feed(params, { signal }), 0, signal);
  const batch = await feedBatch(await device.first(edge, params, signal), 0, signal);
  void factsOf(edge, device.ahead(AHEAD), signal).catch(() => undefined);
  return batch;
}

async function firstTrending(signal: AbortSignal): Promise<Batch> {
  const answer = await edge.trending({ window: hotWindow, limit: HOT_MAX, tag }, { signal });
  observe(answer.generated_at);
  const served = servedOf({ ...answer, candidates: answer.items.length });
  const part = async (start: number, more: AbortSignal): Promise<Batch> => {
    const slice = answer.items.slice(start, start + PAGE);
    const facts = await factsOf(edge, slice.map(({ id }) => id), more);
    const items = slice.map((hot, index): Shown => {
      const item = facts.get(hot.id);
      return { id: hot.id, author: hot.author ?? item?.author ?? "", position: start + index + 1, score: hot.score, facts: item, hot };
    });
    const end = start + PAGE;
    return { items, served, next: end < answer.items.length ? (later) => part(end, later) : null };
  };
  return part(0, signal);
}

// ---- what the page says --------------------------------------------------------------------

let announceTimer: ReturnType<typeof setTimeout> | undefined;

/** Says it to screen readers and, for a moment, at the foot of the page. */
function announce(message: string, visible = true): void {
  const live = byId("live");
  live.textContent = message;
  live.classList.toggle("shown", visible);
  clearTimeout(announceTimer);
  announceTimer = setTimeout(() => live.classList.remove("shown"), 3_500);
}

const RUNG_NOTICES: Record<string, string> = {
  "personal-stale": "Your candidates are a little older than usual. They are ranked by this moment all the same.",
  segment: "This is the feed of your segment: there are no personal candidates for you yet. Like or follow something and the next page knows.",
  hot: "What is popular now: your own feed cannot be made at the moment.",
  "hot-stale": "What was popular a while ago: the service behind this page cannot be reached, so you see what is kept here.",
};

function showNotice(kind: "calm" | "trouble" | undefined, message = "", action?: HTMLElement): void {
  const notice = byId("notice");
  notice.hidden = !kind;
  notice.dataset["kind"] = kind ?? "";
  fill(notice, kind && el("p", {}, message), action);
}

function settled(served: Served | undefined, error: unknown, retry: () => void): void {
  byId("strip").toggleAttribute("data-old", Boolean(error));
  if (error) {
    const again = el("button", { class: "button", testid: "retry", attrs: { type: "button" }, on: { click: retry } }, "Try again");
    return showNotice("trouble", wordsFor(error), again);
  }
  const message = served && RUNG_NOTICES[served.rung];
  if (message && (tab === "feed" || served.rung === "hot-stale")) showNotice("calm", message);
  else showNotice(undefined);
}

function wordsFor(error: unknown): string {
  if (!navigator.onLine && onDevice && device.isReady) {
    return "You are offline. This device ranks what it holds; what you do is kept and sent when the network is back.";
  }
  if (!navigator.onLine) return "You are offline. What you do is kept and sent when the network is back.";
  if (!(error instanceof EdgewiseError)) return "Something went wrong on this page.";
  if (error.status === 0) return "The service does not answer. What you do is kept and sent when it does.";
  if (error.status === 429) return "That was a little fast. Wait a moment, then try again.";
  const field = error.field ? ` (${error.field}${error.allowed === undefined ? "" : `: ${String(error.allowed)}`})` : "";
  return `The service refused: ${error.message}${field}.`;
}

// ---- moving about --------------------------------------------------------------------------

const host: Omit<Host, "edge" | "opinions"> = {
  announce,
  openDetail: (shown, from) => openDetail(edge, shown, from),
  filterByTag: (name) => {
    tag = name;
    show();
  },
  authorHidden: (author) => {
    for (const card of stream?.cards ?? []) {
      if (card.shown.author === author && !card.root.classList.contains("gone")) card.gone(`Everything by ${author} is hidden.`);
    }
  },
};

const WORDING: Record<Tab, Wording> = {
  feed: { end: "That is everything for now. New posts appear at the top.", empty: "Nothing here yet." },
  trending: { end: "The end of the list.", empty: "Nothing has trended in this window yet." },
};

/** Shows the current tab from its top. */
function show(): void {
  stream?.close();
  showNotice(undefined);
  for (const name of ["feed", "trending"] as const) {
    byId(`tab-${name}`).setAttribute("aria-selected", String(name === tab));
    byId(`tab-${name}`).tabIndex = name === tab ? 0 : -1;
  }
  byId("panel").setAttribute("aria-labelledby", `tab-${tab}`);
  document.body.dataset["tab"] = tab;
  byId("windows").hidden = tab !== "trending";
  byId("device").hidden = tab === "trending";
  for (const name of WINDOWS) byId(`window-${name}`).setAttribute("aria-pressed", String(name === hotWindow));
  byId("tag-filter").hidden = !tag;
  byId("tag-name").textContent = tag;
  remember();
  scrollTo({ top: 0 });
  const first = tab === "feed" ? firstFeed : firstTrending;
  stream = new Stream({ ...host, edge, opinions }, first, WORDING[tab], settled);
}

/** Keeps the page's place in its address, so that a link shows the same. */
function remember(): void {
  const search = new URLSearchParams();
  if (edge.user) search.set("user", edge.user);
  if (tab === "trending") {
    search.set("tab", tab);
    search.set("window", hotWindow);
  }
  if (tag) search.set("tag", tag);
  history.replaceState(null, "", `?${search}`);
}

function switchTab(to: Tab): void {
  tab = to;
  show();
}

function switchUser(user: string): void {
  if (user === edge?.user) return;
  edge?.close();
  device = new Device();
  edge = new Edgewise({ user, onTrack: (event) => event.user === edge.user && device.track(event) });
  opinions = new Opinions(user);
  byId<HTMLInputElement>("user").value = user;
  store("user", user);
  void showPeople(edge, opinions, announce);
  show();
}

function setUpUserPicker(): void {
  const input = byId<HTMLInputElement>("user");
  const pick = (): void => {
    const user = input.value.trim();
    if (user) switchUser(user);
    else input.value = edge.user ?? "";
  };
  byId("user-form").addEventListener("submit", (event) => {
    event.preventDefault();
    pick();
    input.blur();
  });
  input.addEventListener("change", pick);
  input.addEventListener("focus", () => input.select());
  input.addEventListener("input", (event) => {
    // Picked from the list rather than typed: typing "u1" on the way to "u12" is no choice.
    const typed = (event as InputEvent).inputType?.startsWith("insertText");
    if (!typed && known.has(input.value)) pick();
  });
}

function setUpTabs(): void {
  const names = ["feed", "trending"] as const;
  for (const name of names) {
    byId(`tab-${name}`).addEventListener("click", () => switchTab(name));
    byId(`tab-${name}`).addEventListener("keydown", (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      const other = name === "feed" ? "trending" : "feed";
      switchTab(other);
      byId(`tab-${other}`).focus();
    });
  }
  for (const name of WINDOWS) {
    byId(`window-${name}`).addEventListener("click", () => {
      hotWindow = name;
      show();
    });
  }
  byId("tag-clear").addEventListener("click", () => {
    tag = "";
    show();
  });
  byId("refresh").addEventListener("click", show);
}

function setUpTheme(): void {
  const names = ["auto", "light", "dark"] as const;
  const button = byId("theme");
  const apply = (name: string): void => {
    document.documentElement.dataset["theme"] = name;
    button.setAttribute("aria-label", `Theme: ${name}`);
    button.setAttribute("title", `Theme: ${name}`);
    store("theme", name);
  };
  apply(names.find((name) => name === stored("theme")) ?? "auto");
  button.addEventListener("click", () => {
    const at = names.findIndex((name) => name === document.documentElement.dataset["theme"]);
    const next = names[(at + 1) % names.length] ?? "auto";
    apply(next);
    announce(`Theme: ${next}`);
  });
}

async function loadDemo(): Promise<Demo> {
  try {
    const response = await fetch("/demo.json", { signal: AbortSignal.timeout(3_000) });
    return response.ok ? ((await response.json()) as Demo) : {};
  } catch {
    return {};
  }
}

/** A replay's feed is told in its own time, which hot lists state; a silent service costs a moment. */
async function learnClock(): Promise<void> {
  try {
    const { generated_at: statedAt } = await new Edgewise({ storage: null, timeoutMs: 1_500 }).trending({ limit: 1 });
    observe(statedAt);
  } catch {
    // Ages are then told by the wall's clock.
  }
}

function showDemo(demo: Demo): void {
  const users = (Array.isArray(demo.users) ? demo.users : []).map((user) => (typeof user === "string" ? { id: user, name: undefined } : user));
  known = new Set(users.map(({ id }) => id));
  fill(byId("users"), ...users.map(({ id, name }) => el("option", { attrs: { value: id } }, name)));
  const about = byId("about");
  const note = demo.note ?? (demo.generated ? "The people, posts and pictures here were made by a program; the ranking is real." : "");
  about.hidden = !note;
  about.dataset["generated"] = String(Boolean(demo.generated));
  fill(about, el("p", {}, demo.generated && el("strong", {}, "Generated content"), note));
  const title = demo.title ?? demo.dataset;
  byId("dataset").textContent = title ?? "";
  if (title) document.title = `${title} · Edgewise`;
}

function stored(name: string): string | null {
  try {
    return localStorage.getItem(`edgewise-page:${name}`);
  } catch {
    return null;
  }
}

function store(name: string, value: string): void {
  try {
    localStorage.setItem(`edgewise-page:${name}`, value);
  } catch {
    // Without storage it lasts as long as the page.
  }
}

async function start(): Promise<void> {
  setUpTheme();
  setUpTabs();
  setUpUserPicker();
  setUpDetail();
  onDevice = stored("device") === "1";
  setUpDevice(onDevice, (on) => {
    onDevice = on;
    store("device", on ? "1" : "");
    device = new Device();
    switchTab("feed");
  });
  setUpKeys({
    cards: () => stream?.cards ?? [],
    loadMore: () => void stream?.load(),
    refresh: show,
    switchTab: () => switchTab(tab === "feed" ? "trending" : "feed"),
  });
  addEventListener("offline", () => showNotice(onDevice && device.isReady ? "calm" : "trouble", wordsFor(undefined)));
  addEventListener("online", () => (stream?.cards.length ? showNotice(undefined) : show()));
  const [demo] = await Promise.all([loadDemo(), learnClock()]);
  showDemo(demo);
  const [someone] = known;
  switchUser(place.get("user") || stored("user") || someone || `visitor-${crypto.randomUUID().slice(0, 8)}`);
  const item = place.get("item");
  if (item) await openShared(item);
}

/** A shared link names an item: shows it beside the feed. */
async function openShared(id: string): Promise<void> {
  const facts = (await factsOf(edge, [id], AbortSignal.timeout(5_000))).get(id);
  if (facts) openDetail(edge, { id, author: facts.author, position: 1, score: 0, facts }, byId("stream"));
  else announce("That item is not here any more.");
}

void start();
