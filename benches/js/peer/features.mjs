// Values of the feature table for the eligible rows, as trees read them: 32-bit floats.
import { exp, log1p } from "./libm.mjs";

const RATE_PRIOR = 20;
const VIEWS_PRIOR = 10;
const TREND_PRIOR = 1;

// Derived features that are a smoothed rate: of, to, prior.
const RATES = {
  like_rate: ["likes", "impressions", RATE_PRIOR],
  comment_rate: ["comments", "impressions", RATE_PRIOR],
  share_rate: ["shares", "impressions", RATE_PRIOR],
  click_rate: ["clicks", "impressions", RATE_PRIOR],
  hide_rate: ["hides", "impressions", RATE_PRIOR],
  completed_rate: ["completed_views", "timed_views", VIEWS_PRIOR],
  trend_day: ["hot_1h", "hot_24h", TREND_PRIOR],
  trend_week: ["hot_24h", "hot_7d", TREND_PRIOR],
};
const SOURCES = { from_follow: 1, from_trending: 2, from_affinity: 4, from_similar: 8, from_explore: 16 };
const WINDOWS = { hot_1h: 0, hot_24h: 1, hot_7d: 2 };
const INPUTS = {
  engagement: ["likes", "comments", "shares", "impressions"],
  affinity: ["interactions"],
  completion: ["watch_ratio_sum", "timed_views"],
  deep: ["deep_dot"],
};
const READY = ["age_hours", "freshness", "source_count", "kind", "tag_count"];

export class Features {
  // `wanted` are names; those they are computed from come by themselves.
  constructor(facts, candidates, wanted) {
    this.candidates = candidates;
    this.config = facts.config;
    this.prior = facts.prior;
    this.vector = facts.user_vector;
    this.names = facts.table.map(({ name }) => name);
    const held = new Set(wanted);
    for (const name of wanted) {
      const inputs = RATES[name]?.slice(0, 2) ?? INPUTS[name] ?? [];
      for (const input of inputs) held.add(input);
    }
    // Columns by name, written by `fill`.
    this.columns = {};
    for (const name of held) this.columns[name] = new Float32Array(Math.ceil(candidates.rows / 32) * 32);
    this.stored = [];
    this.derived = [];
    facts.table.forEach((spec, at) => {
      if (!held.has(spec.name)) return;
      if (at < candidates.columns.length) {
        const [fallback, min, max] = [spec.default, spec.min, spec.max].map(Number);
        this.stored.push({ name: spec.name, at, fallback, min, max, kinds: spec.kinds });
      } else {
        const known = RATES[spec.name] ?? SOURCES[spec.name] ?? INPUTS[spec.name];
        if (known === undefined && !READY.includes(spec.name)) {
          throw new Error(`the peer does not know the feature ${spec.name}`);
        }
        this.derived.push(spec.name);
      }
    });
  }

  // Writes the columns for the first `count` of `rows`; returns how many stored values were bad.
  fill(rows, count, now) {
    let bad = 0;
    for (const spec of this.stored) {
      const out = this.columns[spec.name];
      bad += checked(out, this.candidates, spec, rows, count);
      if (spec.name === "deep_dot" && this.vector !== null) this.dots(out, spec.at, rows, count);
      if (spec.name in WINDOWS) {
        const left = this.decay(WINDOWS[spec.name], now);
        if (left !== 1) for (let at = 0; at < count; at++) out[at] *= left;
      }
    }
    for (const name of this.derived) this.derive(name, this.columns[name], rows, count, now);
    return bad;
  }

  // What the time since the candidates were read has left of a hot score.
  decay(window, now) {
    const minutes = (now - Math.min(this.candidates.asOf, now)) / 60_000;
    return exp((-Math.LN2 * minutes) / this.config.half_life_minutes[window]);
  }

  // Dot products of the sketches, where none was given.
  dots(out, feature, rows, count) {
    const { present, sketches, sketchScale } = this.candidates;
    const { scale, values } = this.vector;
    if (values.every((value) => value === 0)) return;
    const both = sketchScale * scale;
    for (let at = 0; at < count; at++) {
      const row = rows[at];
      if ((present[row] >>> feature) & 1) continue;
      let dot = 0;
      let any = 0;
      for (let dimension = 0; dimension < 8; dimension++) {
        const value = sketches[8 * row + dimension];
        any |= value;
        dot += value * values[dimension];
      }
      const scaled = Math.fround(dot * both);
      if (any !== 0 && Math.abs(scaled) < Infinity) out[at] = scaled;
    }
  }

  derive(name, out, rows, count, now) {
    const { columns, candidates, config } = this;
    if (name in RATES) {
      const [of, to, prior] = RATES[name];
      rate(out, columns[of], columns[to], prior, count);
    } else if (name in SOURCES) {
      flag(out, candidates.sources, SOURCES[name], rows, count);
    } else if (name === "age_hours") {
      for (let at = 0; at < count; at++) out[at] = ageHours(now, candidates.createdAt[rows[at]]);
    } else if (name === "freshness") {
      const decay = config.freshness_decay_per_hour;
      for (let at = 0; at < count; at++) {
        out[at] = exp(-decay * ageHours(now, candidates.createdAt[rows[at]]));
      }
    } else if (name === "engagement") {
      const { likes, comments, shares, impressions } = columns;
      for (let at = 0; at < count; at++) {
        out[at] = engagement(likes[at], comments[at], shares[at], impressions[at]);
      }
    } else if (name === "affinity") {
      for (let at = 0; at < count; at++) out[at] = log1p(columns.interactions[at]);
    } else if (name === "completion") {
      const { watch_ratio_sum: sums, timed_views: views } = columns;
      const weight = config.completion_prior_views;
      const prior = this.prior >= 0 && this.prior <= 1 ? this.prior : 0.5;
      for (let at = 0; at < count; at++) out[at] = (sums[at] + weight * prior) / (views[at] + weight);
    } else if (name === "deep") {
      for (let at = 0; at < count; at++) {
        const dot = columns.deep_dot[at];
        out[at] = dot === 0 ? 0.5 : 1 / (1 + exp(-dot));
      }
    } else if (name === "source_count") {
      for (let at = 0; at < count; at++) out[at] = candidates.sourceNames[rows[at]].length;
    } else if (name === "kind") {
      for (let at = 0; at < count; at++) out[at] = candidates.kind[rows[at]];
    } else if (name === "tag_count") {
      const { tagEnds } = candidates;
      for (let at = 0; at < count; at++) out[at] = tagEnds[rows[at] + 1] - tagEnds[rows[at]];
    }
  }
}

export function ageHours(now, createdAt) {
  return Math.max(now - createdAt, 0) / 3_600_000;
}

export function engagement(likes, comments, shares, impressions) {
  const acts = likes + 2 * comments + 3 * shares;
  return log1p(acts / (impressions > 1 ? impressions : 1));
}

// A stored feature: its default where it is absent, out of range or not of the row's kind.
function checked(out, candidates, spec, rows, count) {
  const { present, kind } = candidates;
  const values = candidates.columns[spec.at];
  const { at: feature, kinds, min, max, fallback } = spec;
  let bad = 0;
  for (let at = 0; at < count; at++) {
    const row = rows[at];
    if ((present[row] >>> feature) & (kinds >>> kind[row]) & 1) {
      const value = values[row];
      if (value >= min && value <= max) {
        out[at] = value + 0;
      } else {
        out[at] = fallback;
        bad++;
      }
    } else {
      out[at] = fallback;
    }
  }
  return bad;
}

function rate(out, of, to, prior, count) {
  for (let at = 0; at < count; at++) out[at] = of[at] / Math.fround(to[at] + prior);
}

function flag(out, sources, bit, rows, count) {
  for (let at = 0; at < count; at++) out[at] = sources[rows[at]] & bit ? 1 : 0;
}
