// At most so many items of an author in any so many consecutive positions; every step is O(1).

export class AuthorCap {
  constructor({ author_max: max, author_window: window }, authors, positions) {
    this.max = Math.max(max, 1);
    this.window = Math.max(window, 1);
    // Authors by position.
    this.history = new Int32Array(positions);
    this.length = 0;
    // By author: items within the last `window - 1` positions, and candidates not placed yet.
    this.recent = new Int32Array(authors);
    this.left = new Int32Array(authors);
    this.totalLeft = 0;
    // Candidates not placed yet whose author is at the maximum.
    this.blockedLeft = 0;
  }

  // Starts anew with the authors of the first `count` of `rows`.
  reset(author, rows, count) {
    this.length = 0;
    this.recent.fill(0);
    this.left.fill(0);
    for (let at = 0; at < count; at++) this.left[author[rows[at]]] += 1;
    this.totalLeft = count;
    this.blockedLeft = 0;
  }

  copy(other) {
    this.history.set(other.history);
    this.length = other.length;
    this.recent.set(other.recent);
    this.left.set(other.left);
    this.totalLeft = other.totalLeft;
    this.blockedLeft = other.blockedLeft;
  }

  allows(author) {
    return this.recent[author] < this.max;
  }

  allowsAny() {
    return this.totalLeft > this.blockedLeft;
  }

  // Puts a candidate of `author` at the next position.
  place(author) {
    const { history, recent, left, max } = this;
    this.totalLeft -= 1;
    left[author] -= 1;
    if (recent[author] >= max) this.blockedLeft -= 1;
    const reach = this.window - 1;
    if (reach === 0) return;
    if (this.length >= reach) {
      const released = history[this.length - reach];
      if (recent[released] === max) this.blockedLeft -= left[released];
      recent[released] -= 1;
    }
    history[this.length++] = author;
    recent[author] += 1;
    if (recent[author] === max) this.blockedLeft += left[author];
  }
}
