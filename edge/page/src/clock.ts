/**
 * The service's clock: a replay may live in another year and run at another speed, and ages
 * must be told by it. Answers state it; between them it goes on at the wall's pace.
 */

let offsetMs: number | undefined;

/** Learns from an answer. Stored lists are older than now, so the latest statement wins. */
export function observe(stated: unknown): void {
  const ms = typeof stated === "string" ? Date.parse(stated) : stated;
  if (typeof ms !== "number" || !Number.isFinite(ms) || ms <= 0) return;
  const offset = ms - Date.now();
  if (offsetMs === undefined || offset > offsetMs) offsetMs = offset;
}

/** Domain time, Unix ms. */
export function now(): number {
  return Date.now() + (offsetMs ?? 0);
}
