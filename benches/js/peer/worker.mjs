// A plain JavaScript Worker that gives the answers of the edge: the same candidates, features,
// trees, blend and selection, and the same hot list, into the same bytes. It is spared what it
// would need besides: routing, parameters, signing of tokens (fixed here), sessions, caches and
// their freshness, the overlay, logging what explore slots drew, ranks that only `explain` shows.
import { Feed } from "./feed.mjs";
import { exp } from "./libm.mjs";
import site from "./site.json";

const HEADERS = {
  "content-type": "application/json",
  "cache-control": "private, no-store",
  "edgewise-rung": "personal",
  "cache-status": "edgewise; hit",
};
const FEED = "/api/v1/feed";
const LIMIT = 20;
const encoder = new TextEncoder();
const feed = new Feed(site.feed, site.answer);

export default {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    const body = pathname.startsWith(FEED) ? page(pathname) : trending();
    return new Response(encoder.encode(body), { headers: HEADERS });
  },
};

// To compare answers, whose explore slots depend on it, the path may name the request's id.
function page(pathname) {
  const named = pathname.slice(FEED.length + 1);
  return feed.page(named || crypto.randomUUID().replaceAll("-", ""), site.now_ms, LIMIT);
}

function trending() {
  const items = site.hot
    .map(({ id, author, sum, at_ms }) => {
      const minutes = (site.now_ms - at_ms) / 60_000;
      return { id, author, score: sum * exp((-Math.LN2 * minutes) / site.half_life_minutes) };
    })
    .sort((a, b) => b.score - a.score)
    .slice(0, LIMIT);
  return JSON.stringify({ window: "24h", generated_at: site.generated_at, items, rung: "hot" });
}
