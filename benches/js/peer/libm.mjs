// exp and log1p of FreeBSD's msun, as the `libm` crate has them: JavaScript's own may differ in the
// last bit from engine to engine, and the peer has to give the same bytes.
const float = new Float64Array(1);
const words = new Uint32Array(float.buffer);
// 2 ** k at k + 1022: the exponents of normal numbers.
const POWERS = Float64Array.from({ length: 2046 }, (_, at) => 2 ** (at - 1022));

// The smallest numbers whose upper words are 0x3fd62e43, 0x3ff0a2b2 and 0x3e300001.
const HALF_LN2 = ofWord(0x3fd62e43);
const THREE_HALVES_LN2 = ofWord(0x3ff0a2b2);
const TINY = ofWord(0x3e300001);
const SQRT2_LESS_1 = ofWord(0x3fda827a);

function ofWord(word) {
  words[1] = word;
  words[0] = 0;
  return float[0];
}

export function exp(x) {
  if (x !== x || x > 709.782712893383973096) return x * Infinity;
  if (x < -745.13321910194110842) return 0;
  const size = Math.abs(x);
  let k = 0;
  let hi = x;
  let lo = 0;
  if (size >= HALF_LN2) {
    k = size >= THREE_HALVES_LN2
      ? (1.44269504088896338700 * x + (x < 0 ? -0.5 : 0.5)) | 0
      : x < 0 ? -1 : 1;
    hi = x - k * 6.93147180369123816490e-1;
    lo = k * 1.90821492927058770002e-10;
    x = hi - lo;
  } else if (size < TINY) {
    return 1 + x;
  }
  const xx = x * x;
  const c = x - xx * (1.66666666666666019037e-1 + xx * (-2.77777777770155933842e-3
    + xx * (6.61375632143793436117e-5 + xx * (-1.65339022054652515390e-6 + xx * 4.13813679705723846039e-8))));
  const y = 1 + ((x * c) / (2 - c) - lo + hi);
  if (k >= -1022 && k <= 1023) return y * POWERS[k + 1022];
  // Rounded once, in the last multiplication.
  return k > 0 ? y * 2 * POWERS[2045] : y * POWERS[k + 969 + 1022] * POWERS[1022 - 969];
}

// For x >= 0.
export function log1p(x) {
  // Upper words below 0x3ca00000 and from 0x3fda827a.
  if (x < 1.1102230246251565e-16) return x;
  let k = 0;
  let c = 0;
  let f = x;
  if (x >= SQRT2_LESS_1) {
    if (x === Infinity) return x;
    const u = 1 + x;
    float[0] = u;
    const reduced = (words[1] + (0x3ff00000 - 0x3fe6a09e)) | 0;
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
