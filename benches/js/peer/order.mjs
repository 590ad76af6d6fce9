// Rows by descending score, ties by the bytes of the id; sorted only as far as a page looks.

const STEP = 48;
const SHORT = 16;

export class Order {
  constructor(candidates, scores) {
    this.idBytes = candidates.idBytes;
    // By row.
    this.scores = scores;
    this.entries = new Int32Array(candidates.rows);
    this.length = 0;
    this.sorted = 0;
  }

  // Starts anew with the first `count` of `rows`.
  reset(rows, count) {
    for (let at = 0; at < count; at++) this.entries[at] = rows[at];
    this.length = count;
    this.sorted = 0;
  }

  // The row at a 0-based rank; -1 behind the last.
  get(rank) {
    if (rank >= this.length) return -1;
    if (rank >= this.sorted) {
      const end = Math.min(Math.max(rank + 1, this.sorted + STEP, 2 * this.sorted), this.length);
      this.sort(this.sorted, this.length - 1, end);
      this.sorted = end;
    }
    return this.entries[rank];
  }

  // Quicksort of what lies from `low` to `high`, as far as it comes before `end`.
  sort(low, high, end) {
    const { entries } = this;
    while (high - low >= SHORT && low < end) {
      const pivot = this.middle(entries[low], entries[(low + high) >>> 1], entries[high]);
      let left = low;
      let right = high;
      while (left <= right) {
        while (this.isBefore(entries[left], pivot)) left++;
        while (this.isBefore(pivot, entries[right])) right--;
        if (left <= right) {
          const swapped = entries[left];
          entries[left++] = entries[right];
          entries[right--] = swapped;
        }
      }
      this.sort(low, right, end);
      low = left;
    }
    if (low < end) this.insert(low, high);
  }

  insert(low, high) {
    const { entries } = this;
    for (let at = low + 1; at <= high; at++) {
      const row = entries[at];
      let to = at;
      while (to > low && this.isBefore(row, entries[to - 1])) entries[to] = entries[--to];
      entries[to] = row;
    }
  }

  middle(a, b, c) {
    if (this.isBefore(a, b)) return this.isBefore(b, c) ? b : this.isBefore(a, c) ? c : a;
    return this.isBefore(a, c) ? a : this.isBefore(b, c) ? c : b;
  }

  isBefore(a, b) {
    const { scores } = this;
    const difference = scores[b] - scores[a];
    if (difference < 0) return true;
    if (difference > 0) return false;
    // Equal, or both minus infinity.
    return this.isIdBefore(a, b);
  }

  isIdBefore(a, b) {
    const first = this.idBytes[a];
    const second = this.idBytes[b];
    const length = Math.min(first.length, second.length);
    for (let at = 0; at < length; at++) {
      if (first[at] !== second[at]) return first[at] < second[at];
    }
    return first.length === second.length ? a < b : first.length < second.length;
  }
}
