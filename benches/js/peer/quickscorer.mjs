// Gradient-boosted trees by QuickScorer (Lucchese et al., SIGIR 2015), a row at a time: the tests of
// a feature lie in ascending order, a row stops at the first that it passes, and every test before
// it takes the leaves of its left subtree from the tree's bits. The lowest bit left is the leaf.

const BITS = 32;
const ZERO_MAX = Math.fround(1e-35);

export class Trees {
  // `columns` are the values of the ensemble's features.
  constructor(ensemble, columns) {
    this.ensemble = ensemble;
    this.columns = columns;
    this.isF32 = ensemble.is_f32;
    this.base = ensemble.is_f32 ? Math.fround(ensemble.base) : ensemble.base;
    this.divisor = ensemble.average ? Math.max(ensemble.trees.length, 1) : 1;
    // By tree: its first word of leaves; one more than trees.
    const words = [0];
    const leaves = [];
    // By feature and what NaN does: clears by threshold. And tests of other kinds.
    const sorted = new Map();
    this.others = [];
    for (const tree of ensemble.trees) {
      const first = words.at(-1);
      const { order, left } = numbered(tree);
      order.forEach((leaf, at) => (leaves[BITS * first + at] = tree.leaves[leaf]));
      words.push(first + Math.ceil(order.length / BITS));
      tree.nodes.forEach(({ feature, test }, node) => {
        const clears = clearsOf(left[node], first);
        if (test.threshold === undefined || test.zero_left !== null) {
          this.others.push({ feature, test, clears });
          return;
        }
        const key = `${feature} ${test.nan_left}`;
        if (!sorted.has(key)) sorted.set(key, { feature, isNanLeft: test.nan_left, clears: [] });
        const threshold = Number(test.threshold);
        for (const clear of clears) sorted.get(key).clears.push({ threshold, ...clear });
      });
    }
    this.words = Int32Array.from(words);
    this.leaves = Float64Array.from({ length: BITS * words.at(-1) }, (_, at) => leaves[at] ?? 0);
    this.alive = new Int32Array(words.at(-1));
    // Runs of clears: the feature, whether NaN fails, where the run ends.
    const runs = [...sorted.values()];
    this.features = Int32Array.from(runs, ({ feature }) => feature);
    this.nanFails = Uint8Array.from(runs, ({ isNanLeft }) => (isNanLeft ? 0 : 1));
    for (const { clears } of runs) clears.sort((a, b) => a.threshold - b.threshold);
    let end = 0;
    this.ends = Int32Array.from(runs, ({ clears }) => (end += clears.length));
    const all = runs.flatMap(({ clears }) => clears);
    this.thresholds = Float32Array.from(all, ({ threshold }) => threshold);
    this.word = Uint16Array.from(all, ({ word }) => word);
    this.kept = Int32Array.from(all, ({ kept }) => kept);
  }

  // Writes the raw sums of the first `count` rows.
  sums(count, out) {
    const { columns, alive, features, nanFails, ends, thresholds, word, kept, others } = this;
    for (let row = 0; row < count; row++) {
      alive.fill(-1);
      let at = 0;
      for (let run = 0; run < ends.length; run++) {
        const end = ends[run];
        const value = columns[features[run]][row];
        if (value === value || nanFails[run] === 0) {
          for (; at < end && value > thresholds[at]; at++) alive[word[at]] &= kept[at];
        } else {
          for (; at < end; at++) alive[word[at]] &= kept[at];
        }
        at = end;
      }
      for (let other = 0; other < others.length; other++) this.answer(others[other], row);
      out[row] = this.sum() / this.divisor;
    }
  }

  // The leaves that are left, tree by tree.
  sum() {
    const { words, alive, leaves, isF32 } = this;
    let sum = this.base;
    let word = 0;
    for (let tree = 1; tree < words.length; tree++) {
      while (alive[word] === 0) word++;
      sum += leaves[BITS * word + 31 - Math.clz32(alive[word] & -alive[word])];
      if (isF32) sum = Math.fround(sum);
      word = words[tree];
    }
    return sum;
  }

  // A test where zeros may be missing, or for categories.
  answer({ feature, test, clears }, row) {
    const value = this.columns[feature][row];
    const goesLeft = value !== value
      ? test.nan_left
      : test.threshold === undefined ? this.isOneOf(test, value) : isAtMost(test, value);
    if (goesLeft) return;
    for (const { word, kept } of clears) this.alive[word] &= kept;
  }

  // A category is a value truncated toward zero; XGBoost has none below 0.
  isOneOf({ first, words }, value) {
    const isCategory = this.isF32 ? value >= 0 && value < 16_777_216 : value > -1 && value < 2 ** 31;
    if (!isCategory) return false;
    const category = Math.trunc(value);
    const word = Math.floor(category / 32);
    const bits = this.ensemble.categories[first + word];
    return word < words && ((bits >>> (category % 32)) & 1) === 1;
  }
}

function isAtMost({ threshold, zero_left }, value) {
  return Math.abs(value) <= ZERO_MAX ? zero_left : value <= Number(threshold);
}

// The leaves from left to right, and the run of those under each node's left child.
function numbered(tree) {
  const order = [];
  const left = [];
  const visit = (at) => {
    if (at < 0) {
      order.push(~at);
      return;
    }
    const start = order.length;
    visit(tree.nodes[at].left);
    left[at] = [start, order.length];
    visit(tree.nodes[at].right);
  };
  visit(tree.nodes.length > 0 ? 0 : -1);
  return { order, left };
}

// By word: the leaves that are kept where those from `start` to `end` go.
function clearsOf([start, end], first) {
  const clears = [];
  for (let word = Math.floor(start / BITS); BITS * word < end; word++) {
    let kept = -1;
    for (let bit = 0; bit < BITS; bit++) {
      const leaf = BITS * word + bit;
      if (leaf >= start && leaf < end) kept &= ~(1 << bit);
    }
    clears.push({ word: first + word, kept });
  }
  return clears;
}
