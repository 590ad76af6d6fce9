// How alike two rows are, by tags and by vectors, 0 to 1.

export class Variety {
  constructor(candidates, vectors) {
    const { rows, tags, tagEnds, sketches } = candidates;
    this.vectors = vectors;
    this.tags = tags;
    this.tagEnds = tagEnds;
    this.sketches = sketches;
    // Squares of the lengths of the sketches: exact.
    this.norms = Float64Array.from({ length: rows }, (_, row) => this.dot(row, row));
  }

  similarity(a, b) {
    const tags = this.jaccard(a, b);
    if (!(this.vectors > 0)) return tags;
    return (1 - this.vectors) * tags + this.vectors * Math.max(this.cosine(a, b), 0);
  }

  // Of two ascending runs of tags; 0 where both are empty.
  jaccard(a, b) {
    const { tags, tagEnds } = this;
    const endA = tagEnds[a + 1];
    const endB = tagEnds[b + 1];
    let atA = tagEnds[a];
    let atB = tagEnds[b];
    const total = endA - atA + endB - atB;
    let shared = 0;
    while (atA < endA && atB < endB) {
      const x = tags[atA];
      const y = tags[atB];
      if (x === y) shared++;
      if (x <= y) atA++;
      if (y <= x) atB++;
    }
    return shared === 0 ? 0 : shared / (total - shared);
  }

  // 0 where one of the sketches is missing.
  cosine(a, b) {
    const norms = this.norms[a] * this.norms[b];
    return norms > 0 ? this.dot(a, b) / Math.sqrt(norms) : 0;
  }

  dot(a, b) {
    const { sketches } = this;
    const x = 8 * a;
    const y = 8 * b;
    return sketches[x] * sketches[y] + sketches[x + 1] * sketches[y + 1]
      + sketches[x + 2] * sketches[y + 2] + sketches[x + 3] * sketches[y + 3]
      + sketches[x + 4] * sketches[y + 4] + sketches[x + 5] * sketches[y + 5]
      + sketches[x + 6] * sketches[y + 6] + sketches[x + 7] * sketches[y + 7];
  }
}
