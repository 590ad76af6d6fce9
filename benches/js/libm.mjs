// exp and log1p of FreeBSD's msun, as the `libm` crate has them: JavaScript's own may differ in the
// last bit from engine to engine, and the peer has to give the same bytes. For finite arguments of
// the formulas (exp: x <= 0, log1p: x >= 0).
const float = new Float64Array(1);
const words = new Uint32Array(float.buffer);

export function exp(x) {
  if (x < -708) return Math.exp(x);
  float[0] = x;
  const sign = words[1] >>> 31;
  const high = words[1] & 0x7fffffff;
  let k = 0;
  let hi = x;
  let lo = 0;
  if (high > 0x3fd62e42) {
    k = high >= 0x3ff0a2b2 ? Math.trunc(1.4426950408889634 * x + (sign ? -0.5 : 0.5)) : 1 - sign - sign;
    hi = x - k * 6.93147180369123816490e-1;
    lo = k * 1.90821492927058770002e-10;
    x = hi - lo;
  } else if (high <= 0x3e300000) {
    return 1 + x;
  }
  const xx = x * x;
  const c = x - xx * (1.66666666666666019037e-1 + xx * (-2.77777777770155933842e-3
    + xx * (6.61375632143793436117e-5 + xx * (-1.65339022054652515390e-6 + xx * 4.13813679705723846039e-8))));
  const y = 1 + ((x * c) / (2 - c) - lo + hi);
  return k === 0 ? y : y * 2 ** k;
}

export function log1p(x) {
  float[0] = x;
  const high = words[1];
  if (high < 0x3ca00000) return x;
  let k = 0;
  let c = 0;
  let f = x;
  if (high >= 0x3fda827a) {
    const u = 1 + x;
    float[0] = u;
    const reduced = (words[1] + 0x3ff00000 - 0x3fe6a09e) >>> 0;
    k = (reduced >>> 20) - 0x3ff;
    c = k >= 54 ? 0 : (k >= 2 ? 1 - (u - x) : x - (u - 1)) / u;
    words[1] = (reduced & 0x000fffff) + 0x3fe6a09e;
    f = float[0] - 1;
  }
  const hfsq = 0.5 * f * f;
  const s = f / (2 + f);
  const z = s * s;
  const w = z * z;
  const t1 = w * (3.999999999940941908e-1 + w * (2.222219843214978396e-1 + w * 1.531383769920937332e-1));
  const t2 = z * (6.666666666666735130e-1
    + w * (2.857142874366239149e-1 + w * (1.818357216161805012e-1 + w * 1.479819860511658591e-1)));
  return s * (hfsq + (t2 + t1)) + (k * 1.90821492927058770002e-10 + c) - hfsq + f + k * 6.93147180369123816490e-1;
}
