// The candidates as typed arrays, one column a fact, made once.

export class Candidates {
  constructor(facts) {
    this.rows = facts.ids.length;
    this.ids = facts.ids;
    const encoder = new TextEncoder();
    this.idBytes = facts.ids.map((id) => encoder.encode(id));
    this.idHashes = new Hashes(facts.id_hashes);
    this.authors = facts.authors;
    this.authorHashes = new Hashes(facts.author_hashes);
    this.author = Int32Array.from(facts.author);
    this.createdAt = Float64Array.from(facts.created_at_ms);
    this.sources = Uint8Array.from(facts.sources);
    this.sourceNames = facts.source_names;
    this.kind = Uint8Array.from(facts.kind);
    this.kindNames = facts.kind_names;
    // The tags of a row are those from `tagEnds[row]` to `tagEnds[row + 1]`.
    this.tagEnds = Int32Array.from([0, ...facts.tag_ends]);
    this.tags = Uint16Array.from(facts.tags);
    this.columns = facts.columns.map((column) => Float32Array.from(column, Number));
    this.present = Int32Array.from(facts.present);
    this.asOf = facts.as_of_ms;
    this.sketchScale = facts.sketch_scale;
    // Eight bytes a row; all 0 is none.
    this.sketches = new Int8Array(8 * this.rows);
    this.sketches.set(facts.sketches);
  }
}

// 64-bit hashes as two halves.
export class Hashes {
  constructor({ high, low }) {
    this.length = high.length;
    this.high = Uint32Array.from(high);
    this.low = Uint32Array.from(low);
  }

  // Whether these, ascending, hold another's hash at `at`.
  holds(other, at) {
    const high = other.high[at];
    const low = other.low[at];
    let start = 0;
    let end = this.length;
    while (start < end) {
      const middle = (start + end) >>> 1;
      const found = this.high[middle];
      if (found < high || (found === high && this.low[middle] < low)) start = middle + 1;
      else end = middle;
    }
    return start < this.length && this.high[start] === high && this.low[start] === low;
  }
}
