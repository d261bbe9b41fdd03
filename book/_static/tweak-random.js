// Random numbers as numpy's `default_rng` makes them, draw by draw: SeedSequence, PCG64 and what the bootstrap draws from it.
// Each part of the page's arithmetic is a function of `live`, which it adds to: so a worker can be made of their texts, also
// in a book that is opened from disk.
(globalThis.gainTweak ??= []).push(function random(live) {
  "use strict";
  const { fround, imul } = Math;

  // ---- SeedSequence: whole numbers -> eight words

  const shifted = (value) => (value ^ (value >>> 16)) >>> 0;

  const poolOf = (entropy) => {
    let constant = 0x43b0d7e5;
    const hashed = (word) => {
      const value = word ^ constant;
      constant = imul(constant, 0x931e8875);
      return shifted(imul(value, constant));
    };
    const mixed = (x, y) => shifted(imul(0xca01f9dd, x) - imul(0x4973f715, y));
    const pool = [0, 1, 2, 3].map((i) => hashed(entropy[i] ?? 0));
    for (let from = 0; from < 4; from += 1) {
      for (let to = 0; to < 4; to += 1) if (from !== to) pool[to] = mixed(pool[to], hashed(pool[from]));
    }
    return pool;
  };

  const wordsOf = (entropy) => {
    let constant = 0x8b51f9dd;
    const pool = poolOf(entropy);
    return [...Array(8).keys()].map((i) => {
      const value = pool[i % 4] ^ constant;
      constant = imul(constant, 0x58f38ded);
      return shifted(imul(value, constant));
    });
  };

  // ---- PCG64: 128 bits of state as eight numbers of 16 bits, lowest first

  const halves = (...words) => words.reverse().flatMap((word) => [word & 0xffff, word >>> 16]);
  const MULTIPLIER = halves(0x2360ed05, 0x1fc65da4, 0x4385df64, 0x9fccf645);

  const generator = (...entropy) => {
    const w = wordsOf(entropy);
    const state = new Float64Array(8);
    const next = new Float64Array(8);
    const doubled = halves(w[5], w[4], w[7], w[6]);
    const step = Float64Array.from(doubled, (half, i) => ((half << 1) & 0xffff) | (i ? doubled[i - 1] >>> 15 : 1));
    let [low, high, kept] = [0, 0, null];

    const advance = () => {
      let carry = 0;
      for (let k = 0; k < 8; k += 1) {
        let sum = carry + step[k];
        for (let i = 0; i <= k; i += 1) sum += state[i] * MULTIPLIER[k - i];
        carry = Math.floor(sum / 65536);
        next[k] = sum - carry * 65536;
      }
      state.set(next);
    };

    // 64 new bits in `low` and `high`: both halves of the state joined by xor, turned by its highest bits.
    const draw = () => {
      advance();
      const x = ((state[0] ^ state[4]) | ((state[1] ^ state[5]) << 16)) >>> 0;
      const y = ((state[2] ^ state[6]) | ((state[3] ^ state[7]) << 16)) >>> 0;
      const turn = state[7] >>> 10;
      const [a, b] = turn & 32 ? [y, x] : [x, y];
      const by = turn & 31;
      low = by ? ((a >>> by) | (b << (32 - by))) >>> 0 : a;
      high = by ? ((b >>> by) | (a << (32 - by))) >>> 0 : b;
    };

    advance();
    let carry = 0;
    halves(w[1], w[0], w[3], w[2]).forEach((half, i) => {
      const sum = state[i] + half + carry;
      carry = sum > 65535 ? 1 : 0;
      state[i] = sum & 0xffff;
    });
    advance();

    const double = () => {
      draw();
      return (high * 2097152 + (low >>> 11)) / 9007199254740992;
    };
    const word = () => {
      if (kept !== null) {
        const value = kept;
        kept = null;
        return value;
      }
      draw();
      kept = high;
      return low;
    };
    return { double, word, single: () => fround((word() >>> 8) / 16777216) };
  };

  // ---- a whole number in 0..most, and an order of 0..n-1

  const atMost = (rng, most) => {
    const mask = 2 ** (32 - Math.clz32(most)) - 1;
    for (;;) {
      const drawn = (rng.word() & mask) >>> 0;
      if (drawn <= most) return drawn;
    }
  };

  const order = (rng, n) => {
    const places = Int32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i -= 1) {
      const j = atMost(rng, i);
      [places[i], places[j]] = [places[j], places[i]];
    }
    return places;
  };

  // ---- how often each of `size` images is drawn, `draws` times: by inversion of binomials, as numpy does for small n × p

  const binomial = (rng, n, p) => {
    const q = 1 - p;
    const none = Math.exp(n * Math.log(q));
    const bound = Math.floor(Math.min(n, n * p + 10 * Math.sqrt(n * p * q + 1)));
    let [x, px, u] = [0, none, rng.double()];
    while (u > px) {
      x += 1;
      if (x > bound) {
        [x, px, u] = [0, none, rng.double()];
      } else {
        u -= px;
        px = ((n - x + 1) * p * px) / (x * q);
      }
    }
    return x;
  };

  // (size × draws): counts of image i in draw d at i * draws + d.
  const resamples = (rng, size, draws) => {
    const counts = new Uint16Array(size * draws);
    for (let d = 0; d < draws; d += 1) {
      let [left, remaining] = [size, 1];
      for (let i = 0; i < size - 1 && left > 0; i += 1) {
        const p = 1 / size / remaining;
        const n = p <= 0.5 ? binomial(rng, left, p) : left - binomial(rng, left, 1 - p);
        counts[i * draws + d] = n;
        left -= n;
        remaining -= 1 / size;
      }
      if (left > 0) counts[(size - 1) * draws + d] = left;
    }
    return counts;
  };

  // ---- ziggurats in single precision: 256 layers of equal area under the curve

  const ziggurat = (end, area, curve, inverse, digits) => {
    const layers = { reach: new Float64Array(256) };
    const scale = 8388608;
    const widths = new Float64Array(256);
    let x = end;
    const heights = new Float64Array(256);
    heights[255] = curve(end);
    widths[255] = end / scale;
    layers.reach[0] = Math.floor(((end * heights[255]) / area) * scale);
    widths[0] = area / heights[255] / scale;
    for (let i = 254; i > 0; i -= 1) {
      const inner = inverse(area / x + heights[i + 1]);
      layers.reach[i + 1] = Math.floor((inner / x) * scale);
      widths[i] = inner / scale;
      heights[i] = curve(inner);
      x = inner;
    }
    heights[0] = 1;
    // numpy's tables are texts of so many digits, rounded once more
    const single = (values) => Float32Array.from(values, (value) => Number(value.toPrecision(digits)));
    return { ...layers, width: single(widths), height: single(heights) };
  };
  const NORMAL_END = 3.6541528853610088;
  const EXPONENTIAL_END = 7.69711747013104972;
  const NORMAL = ziggurat(NORMAL_END, 0.004928673233974655, (x) => Math.exp(-0.5 * x * x), (y) => Math.sqrt(-2 * Math.log(y)), 17);
  const EXPONENTIAL = ziggurat(EXPONENTIAL_END, 0.003949659822581557, (x) => Math.exp(-x), (y) => -Math.log(y), 9);

  const between = ({ height }, layer, part) =>
    fround(fround(fround(height[layer - 1] - height[layer]) * part) + height[layer]);

  const normalTail = (rng, negative) => {
    const inverse = fround(1 / NORMAL_END);
    for (;;) {
      const x = fround(-inverse * fround(Math.log1p(-rng.single())));
      const y = fround(-fround(Math.log1p(-rng.single())));
      if (fround(y + y) > fround(x * x)) return negative ? -fround(fround(NORMAL_END) + x) : fround(fround(NORMAL_END) + x);
    }
  };

  const normal = (rng) => {
    for (;;) {
      const bits = rng.word();
      const layer = bits & 0xff;
      const size = bits >>> 9;
      let x = fround(size * NORMAL.width[layer]);
      if ((bits >>> 8) & 1) x = -x;
      if (size < NORMAL.reach[layer]) return x;
      if (layer === 0) return normalTail(rng, (size >>> 8) & 1);
      if (between(NORMAL, layer, rng.single()) < Math.exp(-0.5 * x * x)) return x;
    }
  };

  const exponential = (rng) => {
    for (;;) {
      const bits = rng.word() >>> 1;
      const layer = bits & 0xff;
      const size = bits >>> 8;
      const x = fround(size * EXPONENTIAL.width[layer]);
      if (size < EXPONENTIAL.reach[layer]) return x;
      if (layer === 0) return fround(fround(EXPONENTIAL_END) - fround(Math.log1p(-rng.single())));
      if (between(EXPONENTIAL, layer, rng.single()) < fround(Math.exp(-x))) return x;
    }
  };

  Object.assign(live, { generator, order, resamples, normal, exponential });
});
