/** Numbers and times as people read them. */

/** 1,234 as `1.2k`. */
export function count(value: number): string {
  if (value < 1_000) return String(Math.round(value));
  const [scaled, unit] = value < 1_000_000 ? [value / 1_000, "k"] : [value / 1_000_000, "M"];
  return `${scaled < 10 ? scaled.toFixed(1).replace(/\.0$/, "") : Math.round(scaled)}${unit}`;
}

/** A score or a contribution. */
export function score(value: number | undefined, digits = 3): string {
  return value === undefined || !Number.isFinite(value) ? "–" : value.toFixed(digits);
}

/** `just now`, `5 min`, `3 h`, `2 d`, then the date. */
export function age(createdMs: number, nowMs: number): string {
  const minutes = Math.max(0, nowMs - createdMs) / 60_000;
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${Math.floor(minutes)} min`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h`;
  if (minutes < 45 * 24 * 60) return `${Math.floor(minutes / 1_440)} d`;
  return date(createdMs);
}

/** `2026-03-14`, or nothing for a time that no calendar has. */
export function date(ms: number): string {
  const day = new Date(ms);
  return Number.isNaN(day.getTime()) ? "" : day.toISOString().slice(0, 10);
}

/** How old stored data is: `12 s`, `4 min`, `2.5 h`. */
export function staleness(seconds: number): string {
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 6_000) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3_600).toFixed(1)} h`;
}

/** `0:42`, `12:05`. */
export function duration(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

export function milliseconds(ms: number): string {
  return `${ms < 10 ? ms.toFixed(ms < 1 ? 2 : 1) : Math.round(ms)} ms`;
}
