/**
 * What this user did on this page, kept per user in the browser: a like that is pressed stays
 * pressed after a reload, so that it cannot be given twice by accident.
 */

const KEPT = 1_000;

export class Opinions {
  readonly #key: string;
  readonly #liked: Set<string>;
  readonly #follows: Map<string, boolean>;
  readonly #listeners = new Set<() => void>();

  constructor(user: string) {
    this.#key = `edgewise-page:${user}`;
    const stored = read(this.#key);
    this.#liked = new Set(stored.liked);
    this.#follows = new Map(stored.follows);
  }

  isLiked(item: string): boolean {
    return this.#liked.has(item);
  }

  setLiked(item: string, liked: boolean): void {
    if (liked) this.#liked.add(item);
    else this.#liked.delete(item);
    this.#changed();
  }

  isFollowed(author: string): boolean {
    return this.#follows.get(author) ?? false;
  }

  setFollowed(author: string, followed: boolean): void {
    this.#follows.delete(author);
    this.#follows.set(author, followed);
    this.#changed();
  }

  /** An answer showed that the user follows this author; what was pressed here is newer. */
  learnFollowed(author: string): void {
    if (!this.#follows.has(author)) this.setFollowed(author, true);
  }

  /** Calls back after every change, until the returned function is called. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #changed(): void {
    const kept = { liked: [...this.#liked].slice(-KEPT), follows: [...this.#follows].slice(-KEPT) };
    try {
      localStorage.setItem(this.#key, JSON.stringify(kept));
    } catch {
      // Without storage it lasts as long as the page.
    }
    for (const listener of this.#listeners) listener();
  }
}

function read(key: string): { liked: string[]; follows: [string, boolean][] } {
  try {
    const { liked, follows } = JSON.parse(localStorage.getItem(key) ?? "{}");
    return { liked: Array.isArray(liked) ? liked : [], follows: Array.isArray(follows) ? follows : [] };
  } catch {
    return { liked: [], follows: [] };
  }
}
