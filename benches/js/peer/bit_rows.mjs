// Gradient-boosted trees, 32 rows at a time, a bit each.
//
// As in QuickScorer (Lucchese et al., SIGIR 2015) the distinct tests of a feature are sorted, so that
// the place of a row's value among the thresholds answers all of them. The answers of 32 rows to a
// test are one integer, and two operations send the rows that reached a node on to its children.
// Where they end up is looked up without branches. In JavaScript this takes a fifth of the time of
// QuickScorer a row at a time.

const BLOCK = 32;
// Leaves of a tree that are looked up without branches.
const SMALL = 32;
const ZERO_MAX = Math.fround(1e-35);
// Buckets of a feature's values: few hold more than one threshold.
const BUCKETS = 512;

export class Trees {
  // `columns` are the values of the ensemble's features, of whole blocks.
  constructor(ensemble, columns) {
    this.isF32 = ensemble.is_f32;
    this.base = ensemble.is_f32 ? Math.fround(ensemble.base) : ensemble.base;
    this.divisor = ensemble.average ? Math.max(ensemble.trees.length, 1) : 1;
    const nodes = ensemble.trees.flatMap((tree) => tree.nodes);
    const tests = new Tests(ensemble, columns, nodes);
    this.questions = tests.questions;
    // The rows that fail each distinct test.
    this.fails = new Int32Array(tests.count);
    // Nodes of all trees, parents first: test, and the places of the children among `reached`.
    this.test = new Uint16Array(nodes.length);
    this.left = new Uint16Array(nodes.length);
    this.right = new Uint16Array(nodes.length);
    // By tree: its end among the nodes. It has a leaf more than nodes.
    this.ends = new Int32Array(ensemble.trees.length);
    this.leaves = new Float64Array(nodes.length + ensemble.trees.length + SMALL);
    // The rows that reached each node, then each leaf, of a tree; the rest stays 0.
    this.reached = new Int32Array(2 * 1024 + SMALL);
    this.sumsOfBlock = new Float64Array(BLOCK);
    let end = 0;
    ensemble.trees.forEach((tree, index) => {
      const order = preorder(tree);
      const places = new Map(order.map((node, place) => [node, place]));
      const place = (child) => (child < 0 ? order.length + ~child : places.get(child));
      this.leaves.set(tree.leaves, end + index);
      for (const at of order) {
        const node = tree.nodes[at];
        this.test[end] = tests.of(node);
        this.left[end] = place(node.left);
        this.right[end] = place(node.right);
        end += 1;
      }
      this.ends[index] = end;
    });
  }

  // Writes the raw sums of the first `count` rows.
  sums(count, out) {
    const { questions, fails, sumsOfBlock, base, divisor } = this;
    for (let first = 0; first < count; first += BLOCK) {
      for (let at = 0; at < questions.length; at++) questions[at].answer(first, fails);
      sumsOfBlock.fill(base);
      this.add(sumsOfBlock);
      const end = Math.min(BLOCK, count - first);
      for (let row = 0; row < end; row++) out[first + row] = sumsOfBlock[row] / divisor;
    }
  }

  // Adds the leaves of a block, tree by tree.
  add(sums) {
    const { ends, fails, test, left, right, reached, leaves, isF32 } = this;
    let node = 0;
    for (let tree = 0; tree < ends.length; tree++) {
      const end = ends[tree];
      const nodes = end - node;
      const firstLeaf = node + tree;
      reached[0] = -1;
      for (let at = 0; node < end; node++, at++) {
        const rows = reached[at];
        const failing = rows & fails[test[node]];
        reached[left[node]] = rows ^ failing;
        reached[right[node]] = failing;
      }
      if (nodes < SMALL) addSmall(sums, leaves, firstLeaf, reached, nodes);
      else addLarge(sums, leaves, firstLeaf, reached, nodes);
      if (isF32) for (let row = 0; row < BLOCK; row++) sums[row] = Math.fround(sums[row]);
    }
  }
}

// Up to 32 leaves: five integers hold a bit of each row's leaf number. Four rows at a time those
// bits are spread to bytes.
function addSmall(sums, leaves, firstLeaf, reached, nodes) {
  for (let at = 2 * nodes + 1; at < nodes + SMALL; at++) reached[at] = 0;
  let one = 0;
  let two = 0;
  let four = 0;
  let eight = 0;
  let sixteen = 0;
  for (let octet = 0; octet < 4; octet++) {
    const at = nodes + 8 * octet;
    const b = reached[at + 1];
    const c = reached[at + 2];
    const d = reached[at + 3];
    const e = reached[at + 4];
    const f = reached[at + 5];
    const g = reached[at + 6];
    const h = reached[at + 7];
    const gh = g | h;
    const upper = e | f | gh;
    one |= b | d | f | h;
    two |= c | d | gh;
    four |= upper;
    const all = reached[at] | b | c | d | upper;
    if (octet & 1) eight |= all;
    if (octet & 2) sixteen |= all;
  }
  for (let row = 0; row < BLOCK; row += 4) {
    const places = spread(one >>> row) | (spread(two >>> row) << 1) | (spread(four >>> row) << 2)
      | (spread(eight >>> row) << 3) | (spread(sixteen >>> row) << 4);
    sums[row] += leaves[firstLeaf + (places & 31)];
    sums[row + 1] += leaves[firstLeaf + ((places >>> 8) & 31)];
    sums[row + 2] += leaves[firstLeaf + ((places >>> 16) & 31)];
    sums[row + 3] += leaves[firstLeaf + (places >>> 24)];
  }
}

// The lowest four bits, one in each byte.
function spread(bits) {
  return Math.imul(bits & 15, 0x00204081) & 0x01010101;
}

function addLarge(sums, leaves, firstLeaf, reached, nodes) {
  for (let leaf = 0; leaf <= nodes; leaf++) {
    const value = leaves[firstLeaf + leaf];
    for (let rows = reached[nodes + leaf]; rows !== 0; rows &= rows - 1) {
      sums[31 - Math.clz32(rows & -rows)] += value;
    }
  }
}

function preorder(tree) {
  const order = [];
  const open = tree.nodes.length > 0 ? [0] : [];
  while (open.length > 0) {
    const at = open.pop();
    order.push(at);
    for (const child of [tree.nodes[at].left, tree.nodes[at].right]) if (child >= 0) open.push(child);
  }
  return order;
}

// The distinct tests of an ensemble, numbered, and who answers them.
class Tests {
  constructor(ensemble, columns, nodes) {
    // By feature and what NaN does: the thresholds. And tests of other kinds.
    const sorted = new Map();
    const others = new Map();
    for (const node of nodes) {
      const { test, feature } = node;
      if (isPlain(test)) {
        const key = `${feature} ${test.nan_left}`;
        if (!sorted.has(key)) sorted.set(key, { feature, isNanLeft: test.nan_left, values: [] });
        sorted.get(key).values.push(Number(test.threshold));
      } else {
        others.set(keyOf(node), node);
      }
    }
    this.numbers = new Map();
    this.count = 0;
    this.questions = [];
    for (const { feature, isNanLeft, values } of sorted.values()) {
      const distinct = Float32Array.from(new Set(values.map((value) => value + 0))).sort();
      this.questions.push(new Thresholds(columns[feature], this.count, distinct, !isNanLeft));
      for (const threshold of distinct) {
        this.numbers.set(`${feature} ${isNanLeft} ${threshold}`, this.count++);
      }
    }
    for (const [key, { feature, test }] of others) {
      this.questions.push(new Other(columns[feature], this.count, test, ensemble));
      this.numbers.set(key, this.count++);
    }
  }

  of(node) {
    return this.numbers.get(keyOf(node));
  }
}

function isPlain(test) {
  return test.threshold !== undefined && test.zero_left === null;
}

function keyOf({ feature, test }) {
  return isPlain(test)
    ? `${feature} ${test.nan_left} ${Number(test.threshold) + 0}`
    : `${feature} ${JSON.stringify(test)}`;
}

// The tests of a feature that fail what is above a threshold.
class Thresholds {
  constructor(column, number, thresholds, nanFails) {
    this.column = column;
    // The column's bits as integers.
    this.bits = new Int32Array(column.buffer);
    this.number = number;
    this.thresholds = thresholds;
    this.nanPlace = nanFails ? thresholds.length : 0;
    const keys = new Int32Array(thresholds.buffer).map(ascending);
    this.low = keys[0];
    this.shift = 0;
    while ((keys.at(-1) - this.low) >>> this.shift >= BUCKETS) this.shift++;
    // By bucket: the first threshold in it or behind it.
    this.first = new Uint16Array(BUCKETS);
    let bucket = 0;
    keys.forEach((key, at) => {
      const last = (key - this.low) >>> this.shift;
      while (bucket <= last) this.first[bucket++] = at;
    });
  }

  // Writes which rows of the block from `start` fail each test.
  answer(start, fails) {
    const { column, bits, thresholds, number, first, low, shift, nanPlace } = this;
    const count = thresholds.length;
    const lowest = thresholds[0];
    const highest = thresholds[count - 1];
    for (let at = number; at < number + count; at++) fails[at] = 0;
    for (let row = 0; row < BLOCK; row++) {
      const value = column[start + row];
      let place;
      if (value <= lowest) continue;
      else if (value <= highest) {
        place = first[(ascending(bits[start + row]) - low) >>> shift];
        while (value > thresholds[place]) place++;
      } else if (value > highest) place = count;
      else place = nanPlace;
      // It is above the first `place` thresholds.
      if (place > 0) fails[number + place - 1] |= 1 << row;
    }
    let failing = 0;
    for (let at = number + count - 1; at >= number; at--) {
      failing |= fails[at];
      fails[at] = failing;
    }
  }
}

// Orders the bits of floats as the floats.
function ascending(bits) {
  return bits ^ ((bits >> 31) >>> 1);
}

// A test where zeros may be missing, or for categories.
class Other {
  constructor(column, number, test, ensemble) {
    this.column = column;
    this.number = number;
    this.test = test;
    this.categories = ensemble.categories;
    this.isF32 = ensemble.is_f32;
  }

  answer(start, fails) {
    const { column, number, test } = this;
    let failing = 0;
    for (let row = 0; row < BLOCK; row++) {
      const value = column[start + row];
      const goesLeft = value !== value
        ? test.nan_left
        : test.threshold === undefined ? this.isOneOf(value) : this.isAtMost(value);
      if (!goesLeft) failing |= 1 << row;
    }
    fails[number] = failing;
  }

  isAtMost(value) {
    const { threshold, zero_left } = this.test;
    return Math.abs(value) <= ZERO_MAX ? zero_left : value <= Number(threshold);
  }

  // A category is a value truncated toward zero; XGBoost has none below 0.
  isOneOf(value) {
    const isCategory = this.isF32 ? value >= 0 && value < 16_777_216 : value > -1 && value < 2 ** 31;
    if (!isCategory) return false;
    const category = Math.trunc(value);
    const { first, words } = this.test;
    const word = Math.floor(category / 32);
    return word < words && ((this.categories[first + word] >>> (category % 32)) & 1) === 1;
  }
}
