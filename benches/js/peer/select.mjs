// From scored candidates to a page: author cap, variety, explore slots.
//
// The queue holds what the author cap alone would show from here on. Variety may take an item from
// up to `variety_displacement` places behind its head, where the rest still respects the cap.
import { AuthorCap } from "./cap.mjs";
import { Variety } from "./variety.mjs";
import { draw, seedOf } from "./xxh3.mjs";

const EXPLORE = 16;
const DISPLACEMENT_MAX = 50;
const PAGE_MAX = 100;

export class Selector {
  constructor(candidates, config, scores, order) {
    const { rows, author, sources, idHashes } = candidates;
    this.author = author;
    this.scores = scores;
    this.order = order;
    this.every = config.explore_every;
    this.lambda = config.variety_lambda;
    this.displacement = Math.min(config.variety_displacement, DISPLACEMENT_MAX);
    this.variety = new Variety(candidates, config.variety_vectors);
    const positions = 2 * PAGE_MAX + DISPLACEMENT_MAX;
    const authors = candidates.authors.length;
    this.cap = new AuthorCap(config, authors, positions);
    this.ahead = new AuthorCap(config, authors, positions);
    // Candidates of the explore source by the hash of the id.
    const { high, low } = idHashes;
    this.pool = Int32Array.from(sources.keys())
      .filter((row) => sources[row] & EXPLORE)
      .sort((a, b) => high[a] - high[b] || low[a] - low[b]);
    // Rows on the page and their draws' probabilities, 0 elsewhere.
    this.page = new Int32Array(PAGE_MAX);
    this.propensity = new Float64Array(PAGE_MAX);
    this.length = 0;
    this.isRelaxed = false;
    // By row: may not be placed any more.
    this.placed = new Uint8Array(rows);
    this.taken = new Uint8Array(rows);
    this.queue = new Int32Array(PAGE_MAX + DISPLACEMENT_MAX);
    this.queued = 0;
    // By row of the queue: the filling it came with, its place in the capped order, whether the cap
    // is broken there, its largest similarity to the first `compared` items of the page.
    this.filling = 0;
    this.filled = new Int32Array(rows);
    this.place = new Int32Array(rows);
    this.relaxed = new Uint8Array(rows);
    this.similarity = new Float64Array(rows);
    this.compared = new Int32Array(rows);
    this.gains = new Float64Array(PAGE_MAX + DISPLACEMENT_MAX);
  }

  // Builds a page of `limit` from the first `count` of `rows`, which `order` knows too.
  run(rows, count, limit, requestId) {
    this.limit = Math.min(limit, count);
    this.requestId = requestId;
    this.seed = null;
    this.length = 0;
    this.isRelaxed = false;
    this.queued = 0;
    this.filling += 1;
    // Items placed outside explore slots.
    this.places = 0;
    this.scale(rows, count);
    this.cap.reset(this.author, rows, count);
    this.placed.fill(1);
    for (let at = 0; at < count; at++) this.placed[rows[at]] = 0;
    while (this.length < this.limit) {
      const isSlot = this.every !== 0 && (this.length + 1) % this.every === 0;
      if (isSlot && this.explore()) continue;
      if (this.isOutdated()) this.refill();
      if (this.queued === 0) break;
      this.take(this.choose());
    }
  }

  // The range of finite scores.
  scale(rows, count) {
    let low = Infinity;
    let high = -Infinity;
    for (let at = 0; at < count; at++) {
      const score = this.scores[rows[at]];
      if (score === -Infinity) continue;
      if (score < low) low = score;
      if (score > high) high = score;
    }
    const span = high - low;
    this.low = low;
    this.span = Math.abs(span) < Infinity ? span : 0;
  }

  relevance(row) {
    const score = this.scores[row];
    return this.span > 0 && score !== -Infinity ? (score - this.low) / this.span : 0;
  }

  // Whether an explore item made the head of the queue wrong.
  isOutdated() {
    if (this.queued === 0) return true;
    const head = this.queue[0];
    return this.relaxed[head] ? this.cap.allowsAny() : !this.cap.allows(this.author[head]);
  }

  // Computes the queue from the page as it is: the best the cap allows, else the best of all.
  refill() {
    const { author, order, queue, taken, ahead: cap, filled, place } = this;
    const wanted = Math.min(this.limit - this.length, PAGE_MAX) + this.displacement;
    const outdated = this.filling;
    this.filling += 1;
    this.queued = 0;
    cap.copy(this.cap);
    taken.set(this.placed);
    // Everything ranked before `open` is taken.
    let open = 0;
    while (this.queued < wanted && cap.totalLeft > 0) {
      const relaxed = !cap.allowsAny();
      let rank = open;
      let row = order.get(rank);
      while (row >= 0 && (taken[row] || !(relaxed || cap.allows(author[row])))) {
        rank += 1;
        if (taken[row] && rank === open + 1) open += 1;
        row = order.get(rank);
      }
      if (row < 0) return;
      taken[row] = 1;
      cap.place(author[row]);
      // What was delayed in the queue that is replaced has used up that delay.
      const here = this.places + this.queued;
      if (filled[row] === outdated) {
        place[row] = Math.min(place[row], here);
      } else {
        place[row] = here;
        this.similarity[row] = 0;
        this.compared[row] = 0;
      }
      filled[row] = this.filling;
      this.relaxed[row] = relaxed ? 1 : 0;
      queue[this.queued++] = row;
    }
  }

  // The index in the queue of the item with the largest marginal relevance.
  choose() {
    const { author, queue, gains, lambda, place, relaxed, similarity, cap } = this;
    const head = queue[0];
    const isDue = place[head] + this.displacement <= this.places;
    if (!(lambda < 1) || relaxed[head] || isDue) return 0;
    const reach = this.places + this.displacement;
    let window = 0;
    while (window < this.queued && place[queue[window]] <= reach && !relaxed[queue[window]]) {
      const row = queue[window];
      this.compare(row);
      gains[window] = window === 0 || cap.allows(author[row])
        ? lambda * this.relevance(row) - (1 - lambda) * similarity[row]
        : -Infinity;
      window += 1;
    }
    for (;;) {
      let best = 0;
      for (let at = 1; at < window; at++) if (gains[at] > gains[best]) best = at;
      if (best === 0 || this.keepsCap(best)) return best;
      gains[best] = -Infinity;
    }
  }

  // Brings a row's similarity up to date with the page.
  compare(row) {
    let largest = this.similarity[row];
    for (let at = this.compared[row]; at < this.length && largest < 1; at++) {
      const similarity = this.variety.similarity(row, this.page[at]);
      if (similarity > largest) largest = similarity;
    }
    this.similarity[row] = largest;
    this.compared[row] = this.length;
  }

  // Whether the queue still respects the cap when the item at `index` goes first.
  keepsCap(index) {
    const { author, queue } = this;
    const { window, max, history, length } = this.cap;
    const moved = author[queue[index]];
    const placesLeft = this.limit - this.length;
    if (placesLeft <= window) {
      let at = 0;
      while (at < index && author[queue[at]] !== moved) at += 1;
      if (at === index) return true;
    }
    const end = Math.min(index + window, placesLeft, this.queued);
    for (let place = 1; place < end; place++) {
      const row = queue[place <= index ? place - 1 : place];
      if (this.relaxed[row]) continue;
      const own = author[row];
      let count = 0;
      for (let at = Math.max(place + 1 - window, 0); at <= place; at++) {
        const other = at === 0 ? index : at <= index ? at - 1 : at;
        if (author[queue[other]] === own) count += 1;
      }
      const reach = Math.min(Math.max(window - 1 - place, 0), length);
      for (let at = length - reach; at < length; at++) if (history[at] === own) count += 1;
      if (count > max) return false;
    }
    return true;
  }

  // Moves a queued item to the page.
  take(index) {
    const row = this.queue[index];
    this.remove(index);
    if (this.relaxed[row]) this.isRelaxed = true;
    this.places += 1;
    this.push(row, 0);
  }

  remove(index) {
    this.queued -= 1;
    for (let at = index; at < this.queued; at++) this.queue[at] = this.queue[at + 1];
  }

  push(row, propensity) {
    this.placed[row] = 1;
    this.cap.place(this.author[row]);
    this.page[this.length] = row;
    this.propensity[this.length] = propensity;
    this.length += 1;
  }

  // Fills the next position by a draw; false where no candidate may stand there.
  explore() {
    const { pool, placed, author, cap } = this;
    let count = 0;
    for (let at = 0; at < pool.length; at++) {
      if (placed[pool[at]] === 0 && cap.allows(author[pool[at]])) count += 1;
    }
    if (count === 0) return false;
    this.seed ??= seedOf(this.requestId);
    let left = draw(this.seed, this.length + 1, count);
    let at = 0;
    for (; ; at++) {
      if (placed[pool[at]] === 0 && cap.allows(author[pool[at]]) && left-- === 0) break;
    }
    this.push(pool[at], 1 / count);
    if (this.length < this.limit) this.leaveQueue(pool[at]);
    return true;
  }

  // Takes an explored item out of the queue, which is computed anew where its author comes soon.
  leaveQueue(explored) {
    const { queue, author, place } = this;
    const index = queue.subarray(0, this.queued).indexOf(explored);
    if (index >= 0) {
      this.remove(index);
      for (let at = index; at < this.queued; at++) place[queue[at]] = Math.max(place[queue[at]] - 1, 0);
    }
    const end = Math.min(this.cap.window, this.queued);
    for (let at = 0; at < end; at++) {
      if (author[queue[at]] === author[explored]) {
        this.refill();
        return;
      }
    }
  }
}
