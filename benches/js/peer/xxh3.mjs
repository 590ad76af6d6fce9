// XXH3-64 of the two short inputs that draw explore slots.

const PRIME = 0x9e3779b185ebca87n;
const FLIP_LOW = 0x1f67b3b7a4a44072n ^ 0x78e5c0cc4ee679cbn;
const FLIP_HIGH = 0x2172ffcc7dd05a82n ^ 0x8e2443f7744608b8n;
const bytes = new Uint8Array(32);
const view = new DataView(bytes.buffer);
const encoder = new TextEncoder();

// The seed: the hash of a request id, 32 hexadecimal digits.
export function seedOf(requestId) {
  encoder.encodeInto(requestId, bytes);
  const first = fold(view.getBigUint64(0, true) ^ 0xbe4ba423396cfeb8n, view.getBigUint64(8, true) ^ 0x1cad21f72c81017cn);
  const last = fold(view.getBigUint64(16, true) ^ 0xdb979083e96dd4den, view.getBigUint64(24, true) ^ 0x1f67b3b7a4a44072n);
  return avalanche(BigInt.asUintN(64, 32n * PRIME + first + last));
}

// The index that is drawn among `count`: the hash of seed and position, scaled to the range.
export function draw(seed, position, count) {
  const low = seed ^ FLIP_LOW;
  const high = ((seed >> 32n) | (BigInt(position) << 32n)) ^ FLIP_HIGH;
  view.setBigUint64(0, low, true);
  const swapped = view.getBigUint64(0, false);
  const hash = avalanche(BigInt.asUintN(64, 12n + swapped + high + fold(low, high)));
  return Number((hash * BigInt(count)) >> 64n);
}

// The halves of a product.
function fold(a, b) {
  const product = a * b;
  return BigInt.asUintN(64, product) ^ (product >> 64n);
}

function avalanche(hash) {
  const mixed = BigInt.asUintN(64, (hash ^ (hash >> 37n)) * 0x165667919e3779f9n);
  return mixed ^ (mixed >> 32n);
}
