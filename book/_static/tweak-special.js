// The distributions behind the tests, as scipy has them: t, chi-squared, F, both noncentral ones, and root finding.
(globalThis.gainTweak ??= []).push(function special(live) {
  "use strict";
  const { abs, exp, log, sqrt, max, min } = Math;
  const TINY = 1e-300;

  // ---- log gamma: Stirling's series from 15 on, below that by the recurrence

  const STIRLING = [1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156];
  const correction = (x) => STIRLING.reduceRight((sum, one) => sum / (x * x) + one, 0) / x;
  const lgamma = (x) => {
    let below = 1;
    let at = x;
    for (; at < 15; at += 1) below *= at;
    return (at - 0.5) * log(at) - at + 0.9189385332046727 + correction(at) - log(below);
  };

  // log of 1 / B(a, b); where both are large their logarithms would cancel each other's digits
  const logBeta = (a, b) => {
    const [small, large] = a < b ? [a, b] : [b, a];
    if (large < 15) return lgamma(a + b) - lgamma(a) - lgamma(b);
    const shared = (large - 0.5) * Math.log1p(small / large) + small * log(large + small) - small
      + correction(large + small) - correction(large);
    return shared - lgamma(small);
  };

  // ---- incomplete beta: [I_x(a, b), 1 - I_x(a, b)], each without loss; y is 1 - x

  const fraction = (a, b, x) => {
    const steady = (value) => (abs(value) < TINY ? TINY : value);
    let c = 1;
    let d = 1 / steady(1 - ((a + b) * x) / (a + 1));
    let result = d;
    for (let m = 1; m < 20000; m += 1) {
      const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
      d = 1 / steady(1 + even * d);
      c = steady(1 + even / c);
      result *= d * c;
      const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
      d = 1 / steady(1 + odd * d);
      c = steady(1 + odd / c);
      result *= d * c;
      if (abs(d * c - 1) < 1e-16) break;
    }
    return result;
  };
  const beta = (a, b, x, y = 1 - x) => {
    if (!(x > 0)) return [0, 1];
    if (!(y > 0)) return [1, 0];
    const front = exp(logBeta(a, b) + a * log(x) + b * log(y));
    if (x < (a + 1) / (a + b + 2)) {
      const lower = (front * fraction(a, b, x)) / a;
      return [lower, 1 - lower];
    }
    const upper = (front * fraction(b, a, y)) / b;
    return [1 - upper, upper];
  };

  // ---- incomplete gamma: [P(a, x), Q(a, x)]

  const gamma = (a, x) => {
    if (!(x > 0)) return [0, 1];
    const front = exp(a * log(x) - x - lgamma(a));
    if (x < a + 1) {
      let [term, sum] = [1 / a, 1 / a];
      for (let n = 1; n < 20000 && term > sum * 1e-17; n += 1) {
        term *= x / (a + n);
        sum += term;
      }
      return [front * sum, 1 - front * sum];
    }
    let b = x + 1 - a;
    let c = 1 / TINY;
    let d = 1 / b;
    let result = d;
    for (let i = 1; i < 20000; i += 1) {
      const an = -i * (i - a);
      b += 2;
      d = 1 / (an * d + b || TINY);
      c = b + an / c || TINY;
      result *= d * c;
      if (abs(d * c - 1) < 1e-16) break;
    }
    return [1 - front * result, front * result];
  };

  // ---- normal, t, chi-squared

  const ndtr = (x) => {
    const [within, beyond] = gamma(0.5, (x * x) / 2);
    return x < 0 ? beyond / 2 : 0.5 + within / 2;
  };

  // One-sided probability of t (at least 0) or more.
  const tTail = (df, t) => beta(df / 2, 0.5, df / (df + t * t), (t * t) / (df + t * t))[0] / 2;
  const tDensity = (df, t) => exp(logBeta(df / 2, 0.5) - 0.5 * log(df) - ((df + 1) / 2) * Math.log1p((t * t) / df));
  const stdtr = (df, t) => (t < 0 ? tTail(df, -t) : 1 - tTail(df, t));

  // Newton's method, halving the bracket where it would leave it. `step(at)`: [value of a growing function, slope].
  const newton = (step, start, low, high) => {
    let at = start;
    for (let i = 0; i < 200; i += 1) {
      const [value, slope] = step(at);
      if (value > 0) high = at;
      else low = at;
      let next = at - value / slope;
      if (!(next > low && next < high)) next = (low + high) / 2;
      if (abs(next - at) <= 1e-15 * max(1, abs(at))) return next;
      at = next;
    }
    return at;
  };

  const stdtrit = (df, p) => {
    const tail = min(p, 1 - p);
    if (tail === 0.5) return 0;
    const sign = p < 0.5 ? -1 : 1;
    if (tail > 0.1) return sign * newton((t) => [tail - tTail(df, t), tDensity(df, t)], 0, -1e-300, 1e6);
    const inLogs = (u) => {
      const [t, here] = [exp(u), tTail(df, exp(u))];
      return [log(tail) - log(here), (tDensity(df, t) * t) / here];
    };
    return sign * exp(newton(inLogs, 0.7, -5, 700));
  };

  // Degrees of freedom with which a t below `t` (above 0) has probability `p`.
  const stdtridf = (p, t) => exp(brentq((u) => 1 - p - tTail(exp(u), t), log(1e-3), log(1e10), 1e-15));

  const chdtri = (df, upper) => {
    const a = df / 2;
    const scale = lgamma(a);
    const z = normalGuess(1 - upper);
    const guess = a * (1 - 1 / (9 * a) + z / sqrt(9 * a)) ** 3;
    const small = (log(1 - upper) + log(a) + scale) / a;
    const start = guess > 0.01 * a ? log(guess) : small;
    const inLogs = (u) => {
      const x = exp(u);
      const [lower, rest] = gamma(a, x);
      const density = exp(a * u - x - scale); // times x
      return upper > 0.5 ? [log(lower) - log(1 - upper), density / lower] : [log(upper) - log(rest), density / rest];
    };
    return 2 * exp(newton(inLogs, start, -5000, 50));
  };
  // Good enough to start from.
  const normalGuess = (p) => 5.5556 * (1 - ((1 - p) / p) ** 0.1186);

  // ---- noncentral t: sums over Poisson weights (Lenth 1989), for t and nc from 0 on

  const nctdtr = (df, nc, t) => {
    const x = (t * t) / (df + t * t);
    const y = df / (df + t * t);
    const half = (nc * nc) / 2;
    let p = 0.5 * exp(-half);
    let q = sqrt(2 / Math.PI) * p * nc;
    let [a, b] = [0.5, df / 2];
    const rest = exp(b * log(y));
    let odd = beta(a, b, x, y)[0];
    let oddStep = 2 * rest * exp(a * log(x) - (0.5 * log(Math.PI) - logBeta(a, b) - 0.5 * log(Math.PI)));
    let even = 1 - rest;
    let evenStep = b * x * rest;
    let [sum, left] = [p * odd + q * even, 0.5 - p];
    for (let n = 1; n < 5000; n += 1) {
      a += 1;
      odd -= oddStep;
      even -= evenStep;
      oddStep *= (x * (a + b - 1)) / a;
      evenStep *= (x * (a + b - 0.5)) / (a + 0.5);
      p *= half / n;
      q *= half / (n + 0.5);
      left -= p;
      sum += p * odd + q * even;
      if (n > half && 2 * abs(left) * abs(odd - oddStep) < 1e-15 && p + q < 1e-17) break;
    }
    return min(1, sum + ndtr(-nc));
  };

  // ---- F, and noncentral F: Poisson weights from their largest outwards

  const fdtr = (first, second, f) => beta(first / 2, second / 2, (first * f) / (first * f + second), second / (first * f + second))[0];

  const fdtri = (first, second, p) => {
    const z = newton((u) => {
      const x = 1 / (1 + exp(-u));
      const density = exp(logBeta(first / 2, second / 2) + (first / 2) * log(x) + (second / 2) * Math.log1p(-x));
      return [beta(first / 2, second / 2, x)[0] - p, density];
    }, log(first / second), -50, 50);
    return (second / first) * exp(z);
  };

  const ncfdtr = (first, second, nc, f) => {
    const x = (first * f) / (first * f + second);
    const y = second / (first * f + second);
    const [half, b] = [nc / 2, second / 2];
    const middle = Math.floor(half);
    const weight = half > 0 ? exp(middle * log(half) - half - lgamma(middle + 1)) : 1;
    const walk = (way) => {
      let [j, w, sum, last] = [middle, weight, 0, Infinity];
      let a = first / 2 + j;
      let here = beta(a, b, x, y)[0];
      let step = exp(logBeta(a, b) + a * log(x) + b * log(y)) / a; // I(a) - I(a + 1)
      for (;;) {
        if (way > 0) {
          here -= step;
          step *= (x * (a + b)) / (a + 1);
          [a, j] = [a + 1, j + 1];
          w *= half / j;
        } else {
          if (j === 0) return sum;
          step *= a / (x * (a + b - 1));
          here += step;
          w *= j / half;
          [a, j] = [a - 1, j - 1];
        }
        sum += w * here;
        if (w * here < min(last, 1e-18 * sum) || !(here > 0)) return sum; // past the largest term, which may lie far below
        last = w * here;
      }
    };
    return weight * beta(first / 2 + middle, b, x, y)[0] + walk(1) + (half > 0 ? walk(-1) : 0);
  };

  // ---- Brent's method as in scipy, step by step: where it stops early, it must stop at the same place

  const brentq = (f, from, to, xtol = 2e-12, rtol = 8.881784197001252e-16) => {
    let [before, now, block, fBefore, fNow, fBlock, last, step] = [from, to, 0, f(from), f(to), 0, 0, 0];
    if (fBefore === 0) return before;
    if (fNow === 0) return now;
    if (fBefore > 0 === fNow > 0) throw new Error("no root between the ends");
    for (let i = 0; i < 100; i += 1) {
      if (fBefore !== 0 && fNow !== 0 && fBefore > 0 !== fNow > 0) {
        [block, fBlock] = [before, fBefore];
        last = step = now - before;
      }
      if (abs(fBlock) < abs(fNow)) {
        [before, now, block] = [now, block, now];
        [fBefore, fNow, fBlock] = [fNow, fBlock, fNow];
      }
      const delta = (xtol + rtol * abs(now)) / 2;
      const half = (block - now) / 2;
      if (fNow === 0 || abs(half) < delta) return now;
      let wanted = half;
      if (abs(last) > delta && abs(fNow) < abs(fBefore)) {
        const trial = before === block
          ? (-fNow * (now - before)) / (fNow - fBefore)
          : extrapolated((fBefore - fNow) / (before - now), (fBlock - fNow) / (block - now), fBefore, fNow, fBlock);
        if (2 * abs(trial) < min(abs(last), 3 * abs(half) - delta)) wanted = trial;
      }
      last = wanted === half ? half : step;
      step = wanted;
      [before, fBefore] = [now, fNow];
      now += abs(step) > delta ? step : half > 0 ? delta : -delta;
      fNow = f(now);
    }
    return now;
  };
  const extrapolated = (dBefore, dBlock, fBefore, fNow, fBlock) =>
    (-fNow * (fBlock * dBlock - fBefore * dBefore)) / (dBlock * dBefore * (fBlock - fBefore));

  const NORMAL_975 = 1.959963984540054;
  Object.assign(live, { ndtr, stdtr, stdtrit, stdtridf, chdtri, nctdtr, fdtr, fdtri, ncfdtr, brentq, NORMAL_975 });
});
