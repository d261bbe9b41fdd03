// Estimates, intervals and tests: `tell/statistics` again, in JavaScript, on the distributions of jStat.
// `values`: for each seed its images; `index`: the class of each image, 0 to size - 1. See Python for what is estimated and why.
window.gainWhatIf = (() => {
  "use strict";
  const { jStat } = window;
  const { abs, sqrt, exp, log, max, min, floor } = Math;
  const [CAUTION, ANCHOR, ALPHA, POWER, FEW_CLASSES] = [2 / 3, 0.975, 0.05, 0.8, 10];

  class NothingToTest extends Error {}

  // ---- distributions, under scipy's names

  const tTail = (df, t) => jStat.ibeta(df / (df + t * t), df / 2, 0.5) / 2; // beyond |t|, precise far out
  const stdtr = (df, t) => (t < 0 ? tTail(df, t) : 1 - tTail(df, t));
  const stdtrit = (df, p) => jStat.studentt.inv(p, df);
  // Noncentral F: a Poisson mixture of incomplete betas, over all terms whose weight counts.
  const ncfdtr = (first, second, nc, f) => {
    const [half, x] = [nc / 2, (first * f) / (first * f + second)];
    if (!(half > 0)) return jStat.ibeta(x, first / 2, second / 2);
    const reach = 10 * sqrt(half) + 20;
    let total = 0;
    for (let j = max(0, floor(half - reach)); j < half + reach; j += 1) {
      total += exp(j * log(half) - half - jStat.gammaln(j + 1)) * jStat.ibeta(x, first / 2 + j, second / 2);
    }
    return total;
  };
  // Where a monotone function crosses 0 between `low` and `high`, by halving.
  const root = (f, low, high) => {
    const rising = f(high) > 0;
    for (let i = 0; i < 200 && high - low > 1e-15 * max(abs(low), abs(high)); i += 1) {
      const middle = (low + high) / 2;
      if (f(middle) > 0 === rising) high = middle;
      else low = middle;
    }
    return (low + high) / 2;
  };

  // ---- sums over images, classes and seeds

  const zeros = (n) => new Float64Array(n);
  const sum = (values) => values.reduce((all, one) => all + one, 0);
  const mean = (values) => sum(values) / values.length;
  const summed = (index, size, value) => {
    const sums = zeros(size);
    for (let i = 0; i < index.length; i += 1) sums[index[i]] += value(i);
    return sums;
  };
  const averaged = (bySeed) => zeros(bySeed[0].length).map((_, i) => mean(bySeed.map((row) => row[i])));
  // Variance of the mean over seeds, by seeds alone; 0 for a single seed.
  const seedVariance = (bySeed) => {
    const [middle, n] = [averaged(bySeed), bySeed.length];
    return middle.map((one, i) => sum(bySeed.map((row) => (row[i] - one) ** 2)) / (n * max(n - 1, 1)));
  };
  const less = (bySeed, taken) => bySeed.map((row, s) => row.map((value, i) => value - taken(s, i)));
  const classMeans = (values, index, size) => {
    const images = summed(index, size, () => 1);
    return { images, means: values.map((row) => summed(index, size, (i) => row[i]).map((all, c) => all / images[c])) };
  };

  // ---- variances of means over crossed seeds and units (images of a class, classes of a group)

  const strataOf = (values, given, index, size) => {
    const all = summed(index, size, (i) => given[i]);
    const weights = given.map((weight, i) => weight / all[index[i]]);
    const bySeed = values.map((row) => summed(index, size, (i) => row[i] * weights[i]));
    const deviations = less(values, (s, i) => bySeed[s][index[i]]);
    const squares = summed(index, size, (i) => weights[i] ** 2);
    const scale = weights.map((weight, i) => {
      const lacking = 1 - 2 * weight + squares[index[i]];
      return lacking > 1e-12 ? weight ** 2 / lacking : NaN;
    });
    const [average, noise] = [averaged(deviations), seedVariance(deviations)];
    const fourth = summed(index, size, (i) => weights[i] ** 4);
    return {
      bySeed, spread: summed(index, size, (i) => scale[i] * average[i] ** 2),
      shared: summed(index, size, (i) => scale[i] * noise[i]), df: squares.map((square, k) => square ** 2 / fourth[k] - 1),
    };
  };
  // A class with a single image gets the variance of an image that the other classes have on average.
  const imagesWithinClasses = (values, index, size) => {
    const images = summed(index, size, () => 1);
    const strata = strataOf(values, zeros(index.length).fill(1), index, size);
    const many = [...images.keys()].filter((c) => images[c] > 1);
    const df = sum(many.map((c) => images[c] - 1));
    const borrowed = (part) => sum(many.map((c) => part[c] * images[c] * (images[c] - 1))) / df;
    const lent = [borrowed(strata.spread), borrowed(strata.shared), df];
    images.forEach((n, c) => {
      if (n === 1) [strata.spread[c], strata.shared[c], strata.df[c]] = lent;
    });
    return { strata, images };
  };
  // The critical value that lies CAUTION of the way from Satterthwaite's to Banerjee's, squared; `part`: the seeds' share.
  const criticalSquared = (part, nSeeds, unitDf, p) => {
    const satterthwaite = 1 / (part ** 2 / (nSeeds - 1) + (1 - part) ** 2 / unitDf);
    const [mixed, few, many] = [satterthwaite, nSeeds - 1, unitDf].map((df) => stdtrit(df, p) ** 2);
    return (1 - CAUTION) * mixed + CAUTION * (part * few + (1 - part) * many);
  };
  const total = (seeds, units, shared, nSeeds, unitDf) => {
    const differ = seeds > shared * (1 + 1e-9);
    const variance = differ ? seeds + units - shared : units;
    const part = differ ? min(max(seeds / variance, 0), 1) : 0;
    if (nSeeds < 2 || !(part > 0)) return { variance, df: unitDf };
    const critical = sqrt(criticalSquared(part, nSeeds, unitDf, ANCHOR));
    return { variance, df: exp(root((u) => 1 - ANCHOR - tTail(exp(u), critical), log(1e-3), log(1e10))) };
  };
  const combine = (strata, coefficients, group, size) => {
    const bySeed = strata.bySeed.map((row) => summed(group, size, (k) => row[k] * coefficients[k]));
    const [middle, seeds] = [averaged(bySeed), seedVariance(bySeed)];
    const parts = strata.spread.map((spread, k) => coefficients[k] ** 2 * spread);
    const units = summed(group, size, (k) => parts[k]);
    const shared = summed(group, size, (k) => coefficients[k] ** 2 * strata.shared[k]);
    const inverse = summed(group, size, (k) => (strata.df[k] > 0 ? parts[k] ** 2 / strata.df[k] : 0));
    const plain = summed(group, size, (k) => strata.df[k]);
    return [...seeds.keys()].map((g) => {
      const sources = { seeds: seeds[g], units: units[g], shared: shared[g], nSeeds: bySeed.length };
      sources.unitDf = inverse[g] > 0 ? units[g] ** 2 / inverse[g] : plain[g];
      const { variance, df } = total(sources.seeds, sources.units, sources.shared, sources.nSeeds, sources.unitDf);
      return { mean: middle[g], se: sqrt(variance), df, sources };
    });
  };

  // ---- estimates: mean, se, df, and sizes

  const estimateMean = (values, index, size) => {
    const { strata, images } = imagesWithinClasses(values, index, size);
    if (size === index.length) throw new NothingToTest("fixed classes need at least one class with two images");
    const [one] = combine(strata, images.map((n) => n / index.length), zeros(size), 1);
    return { ...one, nSeeds: values.length, nClasses: size, nImages: index.length };
  };
  // Classes in `side` 0 minus those in 1; others are left out.
  const estimateDifference = (values, index, size, side) => {
    const { means, images } = classMeans(values, index, size);
    const used = [...side.keys()].filter((c) => side[c] >= 0);
    const of = (row) => Float64Array.from(used, (c) => row[c]);
    const [one] = combine(strataOf(means.map(of), of(images), used.map((c) => side[c]), 2), [1, -1], [0, 0], 1);
    return { ...one, nSeeds: values.length, nClasses: used.length, nImages: sum(of(images)) };
  };
  const shareAbove = (means, bound) => mean(Array.from(means, (one) => (abs(one - bound) <= 1e-12 ? 0.5 : Number(one > bound))));
  const estimateShare = (values, index, size) => {
    const { means } = classMeans(values, index, size);
    const [average, nSeeds] = [averaged(means), values.length];
    const share = shareAbove(average, 0);
    const steadied = (share * size + 2) / (size + 4);
    let bySeeds = 0;
    if (nSeeds > 1 && size > 1) {
      const strata = strataOf(means, zeros(size).fill(1), zeros(size), 1);
      const far = stdtrit(nSeeds - 1, 0.95);
      const shift = far * sqrt(max(0, seedVariance(strata.bySeed)[0] - strata.shared[0]));
      bySeeds = (max(share - shareAbove(average, shift), shareAbove(average, -shift) - share) / far) ** 2;
    }
    const { variance, df } = total(bySeeds, (steadied * (1 - steadied)) / size, 0, nSeeds, max(size - 1, 1));
    return { mean: share, se: sqrt(variance), df, nSeeds, nClasses: size, nImages: index.length, share: true };
  };

  // ---- tests and intervals

  // One-sided p: small when the truth is below the bound, or above it.
  const below = ({ mean: middle, se, df }, bound) => {
    const distance = middle - bound;
    if (abs(distance) < 1e-12) return 0.5;
    return se > 0 ? stdtr(df, distance / se) : Number(distance > 0);
  };
  const above = ({ mean: middle, ...one }, bound) => below({ ...one, mean: -middle }, -bound);
  const interval = (one) => {
    const half = stdtrit(one.df, ANCHOR) * one.se;
    return one.share ? [max(one.mean - half, 0), min(one.mean + half, 1)] : [one.mean - half, one.mean + half];
  };
  // How far from the truth the mean may come out with one-sided probability `level`, far out in the tail.
  const reach = ({ seeds, units, shared, nSeeds, unitDf }, level) => {
    const byUnits = stdtrit(unitDf, 1 - level) ** 2 * units;
    const variance = seeds + max(units - shared, 0);
    if (nSeeds < 2 || !(variance > 0)) return sqrt(byUnits);
    return sqrt(max(variance * criticalSquared(seeds / variance, nSeeds, unitDf, 1 - level), byUnits));
  };
  // A one-sided p as it must be where it is compared with levels below 0.05.
  const strict = ({ mean: middle, sources }, p, bound) => {
    const distance = abs(middle - bound);
    if (p >= 0.05 || !sources || distance < 1e-12) return p;
    if (distance >= reach(sources, 1e-12)) return max(p, 1e-12);
    return max(p, exp(root((level) => reach(sources, exp(level)) - distance, log(1e-12), log(0.5))));
  };
  const holm = (p) => {
    const adjusted = [];
    let least = 0;
    [...p.keys()].sort((a, b) => p[a] - p[b]).forEach((place, i) => {
      least = max(least, p[place] * (p.length - i));
      adjusted[place] = min(least, 1);
    });
    return adjusted;
  };

  // ---- the smallest effect that is found, and the smallest margin that no effect meets, with probability 0.8

  const smallest = (powerOf, se, df) => {
    if (!(df > 0)) return Infinity;
    if (!(se > 0)) return 0;
    let high = se;
    while (powerOf(high) < POWER) high *= 2;
    return root((size) => powerOf(size) - POWER, 0, high);
  };
  const smallestDetectable = ({ se, df }) => {
    const critical = stdtrit(df, 1 - ALPHA);
    return smallest((effect) => 1 - jStat.noncentralt.cdf(critical, df, effect / se), se, df);
  };
  const smallestMargin = ({ se, df }) => {
    const critical = stdtrit(df, 1 - ALPHA);
    const spread = zeros(1000).map((_, i) => sqrt(jStat.chisquare.inv((i + 0.5) / 1000, df) / df));
    const powerOf = (margin) => mean(spread.map((one) => 2 * jStat.normal.cdf(max(margin / se - critical * one, 0), 0, 1) - 1));
    return smallest(powerOf, se, df);
  };

  // ---- groups of classes: `group` of each class, 0 to nGroups - 1

  const groupSpread = (values, index, size, group, nGroups, margin) => {
    const { means } = classMeans(values, index, size);
    const { images: sizes, means: byGroup } = classMeans(means, group, nGroups);
    const [nSeeds, df, dfClasses] = [values.length, nGroups - 1, size - nGroups];
    const within = less(means, (s, c) => byGroup[s][group[c]]);
    const classes = sum(averaged(within).map((one) => one ** 2)) / dfClasses;
    const seedByClass = sum(seedVariance(within)) / dfClasses;
    const seedByGroup = sum(seedVariance(less(byGroup, (s) => mean(means[s]))).map((one, g) => one * sizes[g])) / df;
    const excess = max(0, seedByGroup - seedByClass);
    const error = max(classes + excess, (margin ** 2 * size) / 1e5);
    let dfWithin = dfClasses;
    if (excess) {
      const unsure = classes ** 2 / dfClasses + (seedByGroup ** 2 + (seedByClass ** 2 * df) / dfClasses) / ((nSeeds - 1) * df);
      dfWithin = max((classes + excess) ** 2 / unsure, min((nSeeds - 1) * df, dfClasses));
    }
    const ofGroups = averaged(byGroup);
    const middle = sum(ofGroups.map((one, g) => (one * sizes[g]) / size));
    const f = sum(ofGroups.map((one, g) => sizes[g] * (one - middle) ** 2)) / df / error;
    const noncentrality = (at, probability) => {
      const missing = (nc) => ncfdtr(df, dfWithin, nc, at) - probability;
      let high = 1;
      if (missing(0) <= 0) return 0;
      while (missing(high) > 0) {
        high *= 2;
        if (high > 1e7) return Infinity;
      }
      return root(missing, high > 1 ? high / 2 : 0, high);
    };
    const sd = (nc) => sqrt((nc * error) / size);
    return {
      sd: sd(max(0, f - 1) * df), low: sd(noncentrality(f, 0.975)), high: sd(noncentrality(f, 0.025)),
      p: ncfdtr(df, dfWithin, size * (margin ** 2 / error), f), smallestMargin: sd(noncentrality(jStat.centralF.inv(0.8, df, dfWithin), 0.05)),
      nSeeds, nClasses: size, nImages: index.length,
    };
  };

  // The mean of each group with its interval, as Python's `group_means` with classes resampled. Groups of few classes take
  // from all what seeds do and how classes vary within groups.
  const groupMeans = (values, index, size, group, nGroups) => {
    const { means, images } = classMeans(values, index, size);
    const { images: sizes, means: byGroup } = classMeans([averaged(means)], group, nGroups);
    const whole = summed(group, nGroups, (c) => images[c]);
    const concentration = summed(group, nGroups, (c) => (images[c] / whole[group[c]]) ** 2);
    const common = seedVariance(means.map((row) => [mean(row)]))[0];
    const each = sum(seedVariance(less(means, (s) => mean(means[s])))) / max(size - 1, 1);
    const within = sum(averaged(means).map((one, c) => (one - byGroup[0][group[c]]) ** 2)) / (size - nGroups);
    const [least, most] = [min, max].map((end) => values.reduce((all, row) => row.reduce((a, b) => end(a, b), all), values[0][0]));
    return combine(strataOf(means, images, group, nGroups), zeros(nGroups).fill(1), [...sizes.keys()], nGroups).map((one, g) => {
      let { se, df } = one;
      if (nGroups > 1 && sizes[g] < FEW_CLASSES) {
        const borrowed = total(common, concentration[g] * within, each / size, values.length, size - nGroups);
        [se, df] = [sqrt(borrowed.variance), borrowed.df];
      }
      const half = stdtrit(df, ANCHOR) * se;
      return { mean: one.mean, low: max(one.mean - half, least), high: min(one.mean + half, most), classes: sizes[g] };
    });
  };

  return {
    ALPHA, NothingToTest, tTail, stdtrit, ncfdtr, estimateMean, estimateDifference, estimateShare, above, below, strict, interval,
    smallestDetectable, smallestMargin, groupSpread, groupMeans, holm,
  };
})();
