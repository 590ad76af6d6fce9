// A page of the personal feed: removal rules, features, trees and formula, blend, selection, JSON.
import { Trees as BitRows } from "./bit_rows.mjs";
import { Candidates, Hashes } from "./columns.mjs";
import { Features, ageHours, engagement } from "./features.mjs";
import { exp, log1p } from "./libm.mjs";
import { Order } from "./order.mjs";
import { Selector } from "./select.mjs";
import { Trees as QuickScorer } from "./quickscorer.mjs";

const COUNTERS = ["likes", "comments", "shares"];
const FORMULA_READS = [...COUNTERS, "impressions", "interactions"];
// The edge writes 64-bit integers.
const INTEGER_MAX = 2 ** 63;
// Interactions whose logarithm is computed once: most are few.
const AFFINITIES = Float64Array.from({ length: 16 }, (_, count) => log1p(count));

export class Feed {
  // `answer` are the fields of a page that are fixed here: tokens, model, rung, times.
  constructor(facts, answer) {
    this.facts = facts;
    this.answer = answer;
    this.candidates = new Candidates(facts.candidates);
    this.removed = new Hashes(facts.removed_items);
    this.hidden = new Hashes(facts.hidden_authors);
    this.own = new Hashes(facts.own_author);
    const { rows, authors } = this.candidates;
    const trees = facts.heads.map(({ name, ensemble }) => ({
      name,
      ensemble,
      features: ensemble.features.map((feature) => facts.table[feature].name),
    }));
    const Trees = { quickscorer: QuickScorer, bit_rows: BitRows }[facts.trees];
    const wanted = trees.flatMap(({ features }) => features);
    this.features = new Features(facts, this.candidates, [...FORMULA_READS, ...wanted]);
    this.heads = facts.config.blend.map(({ head, weights, normalise }) => {
      const values = new Float64Array(rows);
      const found = trees.find(({ name }) => name === head);
      if (found === undefined && head !== "formula") throw new Error(`the peer has no head ${head}`);
      const columns = found?.features.map((name) => this.features.columns[name]);
      return {
        trees: found && new Trees(found.ensemble, columns),
        link: normalise === "sum" ? { name: "identity" } : found?.ensemble.link,
        isMinMax: normalise === "min_max",
        weights: Float64Array.from(weights),
        values,
      };
    });
    this.rows = new Int32Array(rows);
    this.authorIsOut = new Uint8Array(authors.length);
    // By row.
    this.scores = new Float64Array(rows);
    this.order = new Order(this.candidates, this.scores);
    this.selector = new Selector(this.candidates, facts.config, this.scores, this.order);
  }

  // The JSON of the first page.
  page(requestId, now, limit) {
    const { rows, selector, order } = this;
    const count = this.eligible();
    const bad = this.features.fill(rows, count, now);
    this.score(count, now);
    order.reset(rows, count);
    selector.run(rows, count, limit, requestId);
    const items = [];
    for (let at = 0; at < selector.length; at++) {
      items.push(this.item(selector.page[at], at + 1, selector.propensity[at]));
    }
    const { answer, facts } = this;
    // JSON leaves out what is undefined.
    return JSON.stringify({
      request_id: requestId,
      items,
      next_cursor: count > items.length ? answer.next_cursor : null,
      session: answer.session,
      session_status: answer.session_status,
      model: answer.model,
      config: facts.config.name,
      rung: answer.rung,
      candidates: count,
      author_cap_relaxed: selector.isRelaxed || undefined,
      made_at: answer.made_at,
      now_ms: now,
      degradations: bad || undefined,
    });
  }

  // Writes the rows that survive the removal rules; returns how many.
  eligible() {
    const { rows, candidates, authorIsOut, removed, hidden, own } = this;
    const { author, idHashes, authorHashes } = candidates;
    for (let at = 0; at < authorIsOut.length; at++) {
      const isOut = own.holds(authorHashes, at) || hidden.holds(authorHashes, at);
      authorIsOut[at] = isOut ? 1 : 0;
    }
    let count = 0;
    for (let row = 0; row < candidates.rows; row++) {
      if (authorIsOut[author[row]] === 0 && !removed.holds(idHashes, row)) rows[count++] = row;
    }
    return count;
  }

  // Writes the scores of the first `count` of the eligible rows.
  score(count, now) {
    const { rows, scores, heads } = this;
    const { kind } = this.candidates;
    for (let at = 0; at < count; at++) scores[rows[at]] = 0;
    for (const head of heads) {
      const { values, weights } = head;
      if (head.trees === undefined) {
        this.formula(values, count, now);
      } else {
        head.trees.sums(count, values);
        link(head.link, values, count);
      }
      if (head.isMinMax) minMax(values, count);
      for (let at = 0; at < count; at++) {
        scores[rows[at]] += weights[kind[rows[at]]] * values[at] + 0;
      }
    }
    for (let at = 0; at < count; at++) {
      if (!(Math.abs(scores[rows[at]]) < Infinity)) scores[rows[at]] = -Infinity;
    }
  }

  // The formula of the `feed` profile.
  formula(values, count, now) {
    const { rows, facts } = this;
    const { kind, createdAt } = this.candidates;
    const { likes, comments, shares, impressions, interactions } = this.features.columns;
    const { feed, freshness_decay_per_hour: decay } = facts.config;
    for (let at = 0; at < count; at++) {
      const row = rows[at];
      const weights = feed[kind[row]];
      const acts = interactions[at];
      const affinity = AFFINITIES[acts] ?? log1p(acts);
      const sum = weights[0] * exp(-decay * ageHours(now, createdAt[row]))
        + weights[1] * engagement(likes[at], comments[at], shares[at], impressions[at])
        + weights[2] * affinity + 0;
      values[at] = Math.abs(sum) < Infinity ? sum : -Infinity;
    }
  }

  item(row, position, propensity) {
    const { ids, authors, author, createdAt, sourceNames, kind, kindNames } = this.candidates;
    return {
      id: ids[row],
      author: authors[author[row]],
      score: this.scores[row],
      sources: sourceNames[row],
      position,
      created_at: createdAt[row],
      kind: kindNames[kind[row]],
      likes: this.counter(row, 0),
      comments: this.counter(row, 1),
      shares: this.counter(row, 2),
      propensity: propensity || undefined,
    };
  }

  // What was counted; the first three features are the counters.
  counter(row, feature) {
    const { present, columns } = this.candidates;
    if (((present[row] >>> feature) & 1) === 0) return undefined;
    return Math.max(Math.min(Math.trunc(columns[feature][row]) || 0, INTEGER_MAX), -INTEGER_MAX);
  }
}

function link({ name, scale }, values, count) {
  if (name === "identity") return;
  for (let at = 0; at < count; at++) {
    const value = values[at];
    values[at] = name === "exp" ? exp(value) : 1 / (1 + exp(-(scale * value)));
  }
}

// From 0 to 1 over all finite values.
function minMax(values, count) {
  let low = Infinity;
  let high = -Infinity;
  for (let at = 0; at < count; at++) {
    const value = values[at];
    if (!(Math.abs(value) < Infinity)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const span = high - low;
  const isUsable = span > 0 && span < Infinity;
  for (let at = 0; at < count; at++) values[at] = isUsable ? (values[at] - low) / span : 0;
}
