/** Pictures: the item's own where it has a safe one, else one drawn from its id. */

import { el } from "./dom.js";

/** An image for an item; decorative, since its title stands beside it. */
export function pictureOf(id: string, thumbnail: string | null | undefined, topic: string): HTMLImageElement {
  const drawn = drawnFor(id, topic);
  const image = el("img", {
    attrs: { alt: "", loading: "lazy", decoding: "async", referrerpolicy: "no-referrer", width: 320, height: 200 },
  });
  image.addEventListener("error", () => {
    if (image.src !== drawn) image.src = drawn;
  });
  image.src = thumbnail && isPicture(thumbnail) ? thumbnail : drawn;
  return image;
}

/** Only what an `img` shows as a picture; a script in an SVG does not run there. */
function isPicture(url: string): boolean {
  return /^(https?:\/\/|data:image\/|\/(?!\/))/i.test(url);
}

/** A web address that a person may be sent to, or undefined. */
export function safeLink(url: string | null | undefined): string | undefined {
  return url && /^https?:\/\//i.test(url) ? url : undefined;
}

/** Hills under a sky: the topic gives the colours, the id the shapes. */
function drawnFor(id: string, topic: string): string {
  const next = generator(hash(id));
  const hue = hash(topic) % 360;
  const tint = (shift: number, saturation: number, lightness: number): string =>
    `hsl(${(hue + shift + 360) % 360} ${saturation}% ${lightness}%)`;
  const ridge = (base: number, height: number): string => {
    const points = Array.from({ length: 6 }, (_, step) => [step * 64, base - next() * height] as const);
    const curve = points.slice(1).map(([x, y], index) => {
      const before = points[index] ?? [0, base];
      const middle = (before[0] + x) / 2;
      return `C${middle} ${before[1].toFixed(0)} ${middle} ${y.toFixed(0)} ${x} ${y.toFixed(0)}`;
    });
    return `M0 200V${points[0]?.[1].toFixed(0)}${curve.join("")}V200Z`;
  };
  const sun = { x: 40 + next() * 240, y: 40 + next() * 50, r: 16 + next() * 20 };
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 200" preserveAspectRatio="xMidYMid slice">` +
    `<defs><linearGradient id="s" x2="0" y2="1"><stop stop-color="${tint(-24, 45, 78)}"/>` +
    `<stop offset="1" stop-color="${tint(18, 60, 90)}"/></linearGradient></defs>` +
    `<rect width="320" height="200" fill="url(#s)"/>` +
    `<circle cx="${sun.x.toFixed(0)}" cy="${sun.y.toFixed(0)}" r="${sun.r.toFixed(0)}" fill="${tint(40, 80, 94)}"/>` +
    `<path d="${ridge(140, 60)}" fill="${tint(0, 34, 66)}"/>` +
    `<path d="${ridge(165, 55)}" fill="${tint(8, 38, 50)}"/>` +
    `<path d="${ridge(190, 45)}" fill="${tint(16, 44, 34)}"/></svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (const character of text) value = Math.imul(value ^ (character.codePointAt(0) ?? 0), 0x01000193);
  return value >>> 0;
}

/** Mulberry32: numbers in [0, 1) from a seed. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
