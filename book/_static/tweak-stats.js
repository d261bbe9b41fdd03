// Estimates with uncertainty and tests: what `tell/crossed.py`, `stats.py`, `power.py` and `spread.py` do, in the same order.
// `values`: for each seed its images; `index`: the class of each image, 0..n-1. See those modules for what is estimated and why.
(globalThis.gainTweak ??= []).push(function stats(live) {
  "use strict";
  const { stdtr, stdtrit, stdtridf, chdtri, ndtr, nctdtr, fdtr, fdtri, ncfdtr, brentq } = live;
  const { abs, sqrt, max, min } = Math;
  const CAUTION = 2 / 3;
  const ANCHOR = 0.975;
  const ALPHA = 0.05;
  const POWER = 0.8;

  class NothingToTest extends Error {}

  // ---- sums

  const zeros = (n) => new Float64Array(n);
  const sum = (values) => values.reduce((all, one) => all + one, 0);
  const mean = (values) => sum(values) / values.length;
  const summed = (index, size, value) => {
    const sums = zeros(size);
    for (let i = 0; i < index.length; i += 1) sums[index[i]] += value(i);
    return sums;
  };
  const variance = (values, lacking) => {
    const middle = mean(values);
    return sum(values.map((one) => (one - middle) ** 2)) / (values.length - lacking);
  };
  // Mean over seeds of each place.
  const averaged = (bySeed) => zeros(bySeed[0].length).map((_, i) => sum(bySeed.map((row) => row[i])) / bySeed.length);
  // Variance of the mean over seeds, by seeds alone; 0 for a single seed.
  const seedVariance = (bySeed) => zeros(bySeed[0].length).map((_, i) =>
    bySeed.length > 1 ? variance(bySeed.map((row) => row[i]), 1) / bySeed.length : 0);
  const less = (bySeed, taken) => bySeed.map((row, s) => row.map((value, i) => value - taken(s, i)));

  const classMeans = (values, index, size) => {
    const images = summed(index, size, () => 1);
    return { images, means: values.map((row) => summed(index, size, (i) => row[i]).map((all, c) => all / images[c])) };
  };

  // ---- crossed: strata of units (images of a class, classes of a group), and combinations of them

  const strataOf = (values, given, index, size) => {
    const all = summed(index, size, (i) => given[i]);
    const weights = given.map((weight, i) => weight / all[index[i]]);
    const bySeed = values.map((row) => summed(index, size, (i) => row[i] * weights[i]));
    const deviations = less(values, (s, i) => bySeed[s][index[i]]);
    const squares = summed(index, size, (i) => weights[i] ** 2);
    const fourth = summed(index, size, (i) => weights[i] ** 4);
    const scale = weights.map((weight, i) => {
      const lacking = 1 - 2 * weight + squares[index[i]];
      return lacking > 1e-12 ? weight ** 2 / lacking : NaN;
    });
    const average = averaged(deviations);
    const seeds = values.length;
    const noise = zeros(index.length).map((_, i) =>
      sum(deviations.map((row) => (row[i] - average[i]) ** 2)) / (seeds * max(seeds - 1, 1)));
    return {
      bySeed, spread: summed(index, size, (i) => scale[i] * average[i] ** 2),
      shared: summed(index, size, (i) => scale[i] * noise[i]), df: squares.map((square, k) => square ** 2 / fourth[k] - 1),
    };
  };

  const imagesWithinClasses = (values, index, size) => {
    const images = summed(index, size, () => 1);
    const strata = strataOf(values, zeros(index.length).fill(1), index, size);
    const many = [...images.keys()].filter((c) => images[c] > 1);
    if (many.length === size || !many.length) return { strata, images };
    const df = sum(many.map((c) => images[c] - 1));
    const borrowed = (part) => sum(many.map((c) => part[c] * images[c] * (images[c] - 1))) / df;
    const [spread, shared] = [borrowed(strata.spread), borrowed(strata.shared)];
    images.forEach((n, c) => {
      if (n === 1) [strata.spread[c], strata.shared[c], strata.df[c]] = [spread, shared, df];
    });
    return { strata, images };
  };

  const combine = (strata, coefficients, group, size) => {
    const bySeed = strata.bySeed.map((row) => summed(group, size, (k) => row[k] * coefficients[k]));
    const parts = strata.spread.map((spread, k) => coefficients[k] ** 2 * spread);
    const units = summed(group, size, (k) => parts[k]);
    const shared = summed(group, size, (k) => coefficients[k] ** 2 * strata.shared[k]);
    const inverse = summed(group, size, (k) => (strata.df[k] > 0 ? parts[k] ** 2 / strata.df[k] : 0));
    const plain = summed(group, size, (k) => strata.df[k]);
    const unitDf = units.map((unit, g) => (inverse[g] > 0 ? unit ** 2 / inverse[g] : plain[g]));
    const seeds = seedVariance(bySeed);
    const totals = [...seeds.keys()].map((g) => total(seeds[g], units[g], shared[g], bySeed.length, unitDf[g]));
    return {
      mean: averaged(bySeed), variance: totals.map((one) => one.variance), df: totals.map((one) => one.df),
      units, unitDf, seeds, shared,
    };
  };

  const total = (seeds, units, shared, nSeeds, unitDf) => {
    const differ = seeds > shared * (1 + 1e-9);
    const all = differ ? seeds + units - shared : units;
    if (nSeeds < 2) return { variance: all, df: unitDf };
    const part = differ ? min(max(seeds / all, 0), 1) : 0;
    if (!(part > 0)) return { variance: all, df: unitDf };
    const satterthwaite = 1 / (part ** 2 / (nSeeds - 1) + (1 - part) ** 2 / unitDf);
    const banerjee = part * stdtrit(nSeeds - 1, ANCHOR) ** 2 + (1 - part) * stdtrit(unitDf, ANCHOR) ** 2;
    const critical = sqrt((1 - CAUTION) * stdtrit(satterthwaite, ANCHOR) ** 2 + CAUTION * banerjee);
    return { variance: all, df: stdtridf(ANCHOR, critical) };
  };

  // ---- tests far out in the tail

  const reach = ({ seeds, units, shared, nSeeds, unitDf }, level) => {
    const byUnits = stdtrit(unitDf, 1 - level) ** 2 * units;
    const rest = max(units - shared, 0);
    if (nSeeds < 2 || !(seeds + rest > 0)) return sqrt(byUnits);
    const part = seeds / (seeds + rest);
    const satterthwaite = 1 / (part ** 2 / (nSeeds - 1) + (1 - part) ** 2 / unitDf);
    const [mixed, few, many] = [satterthwaite, nSeeds - 1, unitDf].map((df) => stdtrit(df, 1 - level) ** 2);
    return sqrt(max((1 - CAUTION) * mixed * (seeds + rest) + CAUTION * (few * seeds + many * rest), byUnits));
  };
  const strictP = (sources, distance) => {
    if (distance >= reach(sources, 1e-12)) return 1e-12;
    return Math.exp(brentq((level) => reach(sources, Math.exp(level)) - distance, Math.log(1e-12), Math.log(0.5), 1e-4));
  };

  // ---- an estimate: mean, se, df, and sizes

  const estimate = (combined, nSeeds, nClasses, nImages) => {
    const sources = { nSeeds, seeds: combined.seeds[0], units: combined.units[0], shared: combined.shared[0], unitDf: combined.unitDf[0] };
    return { mean: combined.mean[0], se: sqrt(combined.variance[0]), df: combined.df[0], nSeeds, nClasses, nImages, sources };
  };

  const estimateMean = (values, index, size) => {
    const { strata, images } = imagesWithinClasses(values, index, size);
    if (size === index.length) throw new NothingToTest("fixed classes need at least one class with two images");
    const shares = images.map((n) => n / index.length);
    return estimate(combine(strata, shares, zeros(size), 1), values.length, size, index.length);
  };

  // Classes in `side` 0 minus those in 1; others are left out.
  const estimateDifference = (values, index, size, side) => {
    const { means, images } = classMeans(values, index, size);
    const used = [...side.keys()].filter((c) => side[c] >= 0);
    const strata = strataOf(means.map((row) => Float64Array.from(used, (c) => row[c])), Float64Array.from(used, (c) => images[c]),
      used.map((c) => side[c]), 2);
    const combined = combine(strata, [1, -1], [0, 0], 1);
    return estimate(combined, values.length, used.length, sum(used.map((c) => images[c])));
  };

  const shareAbove = (means, bound) =>
    sum(means.map((one) => (one > bound + 1e-12 ? 1 : 0))) / means.length
    + sum(means.map((one) => (abs(one - bound) <= 1e-12 ? 1 : 0))) / means.length / 2;

  const estimateShare = (values, index, size) => {
    const { means } = classMeans(values, index, size);
    const average = averaged(means);
    const nSeeds = values.length;
    const share = shareAbove(average, 0);
    const steadied = (share * size + 2) / (size + 4);
    let bySeeds = 0;
    if (nSeeds > 1 && size > 1) {
      const strata = strataOf(means, zeros(size).fill(1), zeros(size), 1);
      const excess = max(0, seedVariance(strata.bySeed)[0] - strata.shared[0]);
      const far = stdtrit(nSeeds - 1, 0.95);
      const shift = far * sqrt(excess);
      bySeeds = (max(share - shareAbove(average, shift), shareAbove(average, -shift) - share) / far) ** 2;
    }
    const { variance: all, df } = total(bySeeds, (steadied * (1 - steadied)) / size, 0, nSeeds, max(size - 1, 1));
    return { mean: share, se: sqrt(all), df, nSeeds, nClasses: size, nImages: index.length, sources: null, share: true };
  };

  const tOf = ({ mean: middle, se }, bound) => {
    const distance = middle - bound;
    if (abs(distance) < 1e-12) return 0;
    return se > 0 ? distance / se : Math.sign(distance) * Infinity;
  };
  const below = (one, bound) => {
    const t = tOf(one, bound);
    return Number.isFinite(t) ? stdtr(one.df, t) : t > 0 ? 1 : 0;
  };
  const above = (one, bound) => {
    const t = tOf(one, bound);
    return Number.isFinite(t) ? stdtr(one.df, -t) : t > 0 ? 0 : 1;
  };
  const strict = (one, p, bound) => {
    const distance = abs(one.mean - bound);
    return p >= 0.05 || !one.sources || distance < 1e-12 ? p : max(p, strictP(one.sources, distance));
  };
  const interval = (one) => {
    const half = stdtrit(one.df, 0.975) * one.se;
    const ends = [one.mean - half, one.mean + half];
    return one.share ? [max(ends[0], 0), min(ends[1], 1)] : ends;
  };

  // ---- the smallest effect that is found, and the smallest margin that no effect meets, with probability 0.8

  const smallest = (powerOf, se, df) => {
    if (!(df > 0)) return Infinity;
    if (!(se > 0)) return 0;
    let high = se;
    while (powerOf(high) < POWER) high *= 2;
    return brentq((size) => powerOf(size) - POWER, 0, high, 1e-9 * se, 1e-9);
  };
  const smallestDetectable = ({ se, df }) => {
    const critical = stdtrit(df, 1 - ALPHA);
    return smallest((effect) => 1 - nctdtr(df, effect / se, critical), se, df);
  };
  const smallestMargin = ({ se, df }) => {
    const critical = stdtrit(df, 1 - ALPHA);
    const spread = zeros(1000).map((_, i) => sqrt(chdtri(df, (i + 0.5) / 1000) / df));
    const powerOf = (margin) => mean(spread.map((one) => 2 * ndtr(max(margin / se - critical * one, 0)) - 1));
    return smallest(powerOf, se, df);
  };

  // ---- how much groups of classes differ: `group` of each class, 0..nGroups-1

  const errorOfGroups = (means, byGroup, group, sizes) => {
    const within = less(means, (s, c) => byGroup[s][group[c]]);
    const [dfClasses, dfGroups, nSeeds] = [group.length - sizes.length, sizes.length - 1, means.length];
    const classes = sum(averaged(within).map((one) => one ** 2)) / dfClasses;
    const seedByClass = sum(seedVariance(within)) / dfClasses;
    const centred = less(byGroup, (s) => mean(means[s]));
    const seedByGroup = sum(seedVariance(centred).map((one, g) => one * sizes[g])) / dfGroups;
    const excess = max(0, seedByGroup - seedByClass);
    const error = classes + excess;
    if (!excess) return [error, dfClasses];
    const unsure = classes ** 2 / dfClasses
      + (seedByGroup ** 2 + (seedByClass ** 2 * dfGroups) / dfClasses) / ((nSeeds - 1) * dfGroups);
    return [error, max(error ** 2 / unsure, min((nSeeds - 1) * dfGroups, dfClasses))];
  };

  const noncentrality = (f, first, second, probability) => {
    const missing = (nc) => ncfdtr(first, second, nc, f) - probability;
    if (fdtr(first, second, f) <= probability) return 0;
    let high = 1;
    while (missing(high) > 0) {
      high *= 2;
      if (high > 1e7) return Infinity;
    }
    return brentq(missing, high > 1 ? high / 2 : 0, high);
  };

  const groupSpread = (values, index, size, group, nGroups, margin) => {
    const { means } = classMeans(values, index, size);
    const sizes = summed(group, nGroups, () => 1);
    const byGroup = means.map((row) => summed(group, nGroups, (c) => row[c]).map((all, g) => all / sizes[g]));
    const [found, dfWithin] = errorOfGroups(means, byGroup, group, sizes);
    const error = max(found, (margin ** 2 * size) / 1e5);
    const ofGroups = averaged(byGroup);
    const middle = sum(ofGroups.map((one, g) => (one * sizes[g]) / size));
    const between = sum(ofGroups.map((one, g) => sizes[g] * (one - middle) ** 2)) / (nGroups - 1);
    const [f, df] = [between / error, nGroups - 1];
    const sd = (nc) => sqrt((nc * error) / size);
    return {
      sd: sd(max(0, f - 1) * df), low: sd(noncentrality(f, df, dfWithin, 0.975)), high: sd(noncentrality(f, df, dfWithin, 0.025)),
      p: ncfdtr(df, dfWithin, size * (margin ** 2 / error), f), margin: sd(noncentrality(fdtri(df, dfWithin, 0.8), df, dfWithin, 0.05)),
    };
  };

  const holm = (p) => {
    const order = [...p.keys()].sort((a, b) => p[a] - p[b]);
    const adjusted = [];
    let least = 0;
    order.forEach((place, i) => {
      least = max(least, p[place] * (p.length - i));
      adjusted[place] = min(least, 1);
    });
    return adjusted;
  };

  Object.assign(live, {
    ANCHOR, ALPHA, NothingToTest, zeros, sum, mean, summed, variance, averaged, seedVariance, less, strataOf, imagesWithinClasses,
    combine, total, estimateMean, estimateDifference, estimateShare, above, below, strict, interval, smallestDetectable,
    smallestMargin, groupSpread, holm,
  });
});
