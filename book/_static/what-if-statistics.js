// Estimates, intervals and tests: `tell/statistics` again, in JavaScript, on the distributions of jStat.
// See Python for what is estimated and why.
window.gainWhatIf = (() => {
  "use strict";
  const { jStat } = window;
  const { sum, mean, sumsqrd: squared, sumsqerr: squares } = jStat;
  const { abs, sqrt, exp, log, max, min, floor } = Math;
  const [ANCHOR, ALPHA, POWER, HOMOGENEITY, FEW] = [0.975, 0.05, 0.8, 0.01, 8];

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
  // Where a rising function of sizes from 0 on crosses 0: doubles `high` until it is beyond, then halves the range.
  const crossing = (f, high) => {
    if (f(0) >= 0) return 0;
    while (f(high) < 0) {
      high *= 2;
      if (high > 1e7) return Infinity;
    }
    let low = 0;
    for (let i = 0; i < 200 && high - low > 1e-15 * high; i += 1) {
      const middle = (low + high) / 2;
      if (f(middle) < 0) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  };

  // ---- answers: `arms[name]` has a row of images for each run, `index` the class of each image, 0 to size - 1

  const zeros = (n) => new Float64Array(n);
  const dot = (first, second) => first.reduce((all, one, i) => all + one * second[i], 0);
  // Sums and means of values by class or group: `index` has that of each value.
  const summed = (values, index, size) => {
    const sums = zeros(size);
    values.forEach((one, i) => { sums[index[i]] += one; });
    return sums;
  };
  const countsOf = (index, size) => summed(index.map(() => 1), index, size);
  const meansBy = (values, index, size) => {
    const counts = countsOf(index, size);
    return summed(values, index, size).map((all, c) => all / counts[c]);
  };
  const within = (values, group, nGroups) => {
    const means = meansBy(values, group, nGroups);
    return Float64Array.from(values, (one, c) => one - means[group[c]]);
  };
  // Sum, mean or sum of squared distances from the mean over rows, by column.
  const byColumn = (of, rows) => zeros(rows[0].length).map((_, i) => of(rows.map((row) => row[i])));
  const answersOf = (arms, index, size) => {
    const byClass = ([arm, rows]) => [arm, rows.map((row) => meansBy(row, index, size))];
    return { arms, means: Object.fromEntries(Object.entries(arms).map(byClass)), index, size, images: countsOf(index, size) };
  };
  const contrastOf = (means, weights) =>
    byColumn(sum, Object.entries(weights).map(([arm, weight]) => byColumn(mean, means[arm]).map((one) => weight * one)));
  const perRun = ({ arms }, weights) => sum(Object.entries(weights).map(([arm, weight]) => weight ** 2 / arms[arm].length));
  // How many runs, classes with an effect, and images an estimate rests on.
  const sizesOf = ({ arms, images }, weights, effect = images) => {
    const used = [...effect.keys()].filter((c) => effect[c]);
    const nSeeds = min(...Object.keys(weights).map((arm) => arms[arm].length));
    return { n_seeds: nSeeds, n_classes: used.length, n_images: sum(used.map((c) => images[c])) };
  };

  // ---- the variance of a weighted sum of arms and of classes (`effect`, a weight per class): runs and units

  const bartlett = (variances, dfs) => {
    if (variances.length < 2 || variances.some((one) => !(one > 1e-20))) return 1; // rounding may leave a 0 a little above it
    const [all, k] = [sum(dfs), variances.length - 1];
    const pooled = dot(dfs, variances) / all;
    const statistic = (all * log(pooled) - dot(dfs, variances.map(log))) / (1 + (sum(dfs.map((df) => 1 / df)) - 1 / all) / (3 * k));
    return 1 - jStat.chisquare.cdf(statistic, k);
  };
  const runPart = (answers, weights, effect) => {
    const own = {}; // by arm
    for (const [arm, rows] of Object.entries(answers.means)) {
      own[arm] = { squares: squares(rows.map((row) => dot(effect, row))), df: rows.length - 1 };
      own[arm].variance = own[arm].squares / own[arm].df;
    }
    const df = sum(Object.values(own).map((one) => one.df));
    if (!df) return { variance: 0, df: 0 };
    const pooled = sum(Object.values(own).map((one) => one.squares)) / df;
    const several = Object.values(own).filter((one) => one.df);
    const p = bartlett(several.map((one) => one.variance), several.map((one) => one.df));
    const parts = Object.entries(weights).map(([arm, weight]) =>
      [(weight ** 2 / answers.arms[arm].length) * (own[arm].df ? own[arm].variance : pooled), own[arm].df || df]);
    const separate = sum(parts.map(([part]) => part));
    if (p >= HOMOGENEITY || !(separate > 0)) return { variance: perRun(answers, weights) * pooled, df };
    return { variance: separate, df: separate ** 2 / sum(parts.map(([part, of]) => part ** 2 / of)) };
  };
  // What `rest` leaves of the arms' rows: squares of their weighted sum, and how much of these is variation between runs.
  const residuals = (arms, weights, rest) => {
    const left = Object.fromEntries(Object.keys(weights).map((arm) => [arm, arms[arm].map(rest)]));
    const noise = Object.entries(left).map(([arm, rows]) => {
      const share = weights[arm] ** 2 / (rows.length * max(rows.length - 1, 1));
      return byColumn(squares, rows).map((one) => share * one);
    });
    return { total: contrastOf(left, weights).map((one) => one ** 2), noise: byColumn(sum, noise) };
  };
  // Images within each class. Classes with fewer than nine share the variance of an image of all; where all have one, that of all images.
  const imageUnits = ({ arms, index, size, images }, weights) => {
    const df = [...images].map((n) => n - 1);
    const several = df.some((n) => n > 0);
    const allDf = several ? sum(df) : max(size - 1, 1);
    const rest = (row) => (several ? within(row, index, size) : within(row, index.map(() => 0), 1));
    const { total, noise } = residuals(arms, weights, rest);
    const together = df.map((n) => n < FEW);
    const ofImage = (values, pooled = sum(values) / allDf) =>
      summed(values, index, size).map((one, c) => (together[c] ? pooled : one / df[c]) / images[c]);
    return { variance: ofImage(total), shared: ofImage(noise), together, df: df.map((n, c) => (together[c] ? allDf : n)) };
  };
  // Classes within groups, one variance for all; with a covariate its slope is taken out, too.
  const classUnits = ({ means, size }, weights, group, nGroups, covariate = null) => {
    const df = size - nGroups - (covariate ? 1 : 0);
    if (df < 1) throw new NothingToTest("too few classes");
    const slope = covariate && within(covariate, group, nGroups);
    const rest = (values) => {
      const left = within(values, group, nGroups);
      if (!slope) return left;
      const by = dot(left, slope) / dot(slope, slope);
      return left.map((one, c) => one - by * slope[c]);
    };
    const { total, noise } = residuals(means, weights, rest);
    const each = (value) => zeros(size).fill(value);
    return { variance: each(sum(total) / df), shared: each(sum(noise) / df), df: each(df), together: Array(size).fill(true) };
  };
  const totalVariance = (runs, units, effect) => {
    const factors = effect.map((one) => one ** 2);
    const [variance, shared] = [dot(factors, units.variance), dot(factors, units.shared)];
    const [apart, joint] = [false, true].map((of) => factors.map((one, c) => (units.together[c] === of ? one * units.variance[c] : 0)));
    const joined = sum(joint) ** 2 / max(1, ...units.df.filter((_, c) => units.together[c]));
    const unitDf = variance > 0 ? variance ** 2 / (sum(apart.map((one, c) => one ** 2 / units.df[c])) + joined) : max(...units.df);
    const beyond = runs.df > 0 ? max(variance - shared, 0) : variance;
    const total = runs.variance + beyond;
    const unsure = (runs.df > 0 ? runs.variance ** 2 / runs.df : 0) + (beyond > 0 ? variance ** 2 / unitDf : 0);
    const df = unsure > 0 ? total ** 2 / unsure : max(runs.df, unitDf);
    return { se: sqrt(total), df: max(df, runs.df > 0 ? min(runs.df, unitDf) : unitDf) };
  };

  // ---- estimates: mean, se, df, and sizes

  const estimate = (answers, weights, effect, units) => ({
    mean: dot(effect, contrastOf(answers.means, weights)), ...totalVariance(runPart(answers, weights, effect), units, effect),
    ...sizesOf(answers, weights, effect),
  });
  const estimateMean = (answers, weights) =>
    estimate(answers, weights, answers.images.map((n) => n / answers.index.length), imageUnits(answers, weights));
  // Classes in `side` 0 minus those in 1, in classes of these two only; with `family` among classes of one family.
  const estimateDifference = (answers, weights, side, family, nFamilies) => {
    const first = Float64Array.from(side, (one) => Number(one === 0));
    const n = sum(first);
    if (min(n, answers.size - n) < 2) throw new NothingToTest("too few classes");
    if (!family) {
      const effect = first.map((one) => (one ? 1 / n : -1 / (answers.size - n)));
      return estimate(answers, weights, effect, classUnits(answers, weights, [...first], 2));
    }
    const left = within(first, family, nFamilies).map((one) => (abs(one) < 1e-12 ? 0 : one));
    if (new Set(family.filter((_, c) => left[c])).size < 2) throw new NothingToTest("fewer than two groups hold classes of both kinds");
    return estimate(answers, weights, left.map((one) => one / dot(left, left)), classUnits(answers, weights, family, nFamilies, first));
  };
  const estimateShare = (answers, weights) => {
    const [contrast, size] = [contrastOf(answers.means, weights), answers.size];
    // A class at the bound counts half.
    const above = (bound) => mean([...contrast].map((one) => (Number(one > bound + 1e-12) + Number(one >= bound - 1e-12)) / 2));
    const share = above(0);
    const steadied = (share * size + 2) / (size + 4);
    const byClasses = (steadied * (1 - steadied)) / size;
    const runs = runPart(answers, weights, zeros(size).fill(1 / size));
    let byRuns = 0;
    if (runs.df) {
      const reach = stdtrit(runs.df, 0.95);
      byRuns = (max(share - above(reach * sqrt(runs.variance)), above(-reach * sqrt(runs.variance)) - share) / reach) ** 2;
    }
    const unsure = byClasses ** 2 / max(size - 1, 1) + (runs.df ? byRuns ** 2 / runs.df : 0);
    const df = (byClasses + byRuns) ** 2 / unsure;
    return { mean: share, se: sqrt(byClasses + byRuns), df, ...sizesOf(answers, weights), share: true };
  };

  // ---- tests and intervals

  // One-sided p: small when the truth is below the bound, or above it; one half at the bound, or without any spread.
  const below = ({ mean: middle, se, df }, bound) => {
    const distance = middle - bound;
    return se > 0 && abs(distance) >= 1e-12 ? stdtr(df, distance / se) : 0.5;
  };
  const above = ({ mean: middle, ...one }, bound) => below({ ...one, mean: -middle }, -bound);
  const interval = (one) => {
    const half = stdtrit(one.df, ANCHOR) * one.se;
    return one.share ? [max(one.mean - half, 0), min(one.mean + half, 1)] : [one.mean - half, one.mean + half];
  };
  const holm = (p) => {
    const times = (one) => one * p.filter((other) => other >= one).length;
    return p.map((one) => min(1, max(...p.filter((other) => other <= one).map(times))));
  };

  // ---- the smallest effect that is found, and the smallest margin that no effect meets, with probability 0.8

  const smallest = (powerOf, se, df) => {
    if (!(df > 0)) return Infinity;
    return se > 0 ? crossing((size) => powerOf(size) - POWER, se) : 0;
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

  const groupSpread = (answers, weights, group, nGroups, margin) => {
    const { size } = answers;
    const [contrast, sizes] = [contrastOf(answers.means, weights), countsOf(group, nGroups)];
    // The groups' means minus the mean of all.
    const groupsOf = (values) => meansBy(values, group, nGroups).map((one) => one - mean(values));
    const [df, dfClasses] = [nGroups - 1, size - nGroups];
    const classes = squared(within(contrast, group, nGroups)) / dfClasses;
    let [byClass, byGroup, dfRuns] = [0, 0, 0];
    for (const rows of Object.values(answers.means)) {
      dfRuns += rows.length - 1;
      byClass += sum(byColumn(squares, rows.map((row) => within(row, group, nGroups))));
      byGroup += dot(sizes, byColumn(squares, rows.map(groupsOf)));
    }
    const share = dfRuns ? perRun(answers, weights) / dfRuns : 0;
    const [seedByGroup, seedByClass] = [(share * byGroup) / df, (share * byClass) / dfClasses];
    const excess = max(0, seedByGroup - seedByClass);
    const unsure = classes ** 2 / dfClasses + (seedByGroup ** 2 + (seedByClass ** 2 * df) / dfClasses) / (dfRuns * df);
    const dfWithin = excess ? max((classes + excess) ** 2 / unsure, min(dfRuns * df, dfClasses)) : dfClasses;
    const between = dot(sizes, groupsOf(contrast).map((one) => one ** 2));
    const error = max(classes + excess, (margin ** 2 * size) / 1e5, between / 1e6);
    const f = between / df / error;
    const noncentrality = (at, probability) => crossing((nc) => probability - ncfdtr(df, dfWithin, nc, at), 1);
    const sd = (nc) => sqrt((nc * error) / size);
    const p = ncfdtr(df, dfWithin, size * (margin ** 2 / error), f);
    return {
      effect: sd(max(0, f - 1) * df), low: sd(noncentrality(f, 0.975)), high: sd(noncentrality(f, 0.025)),
      p_for: p, p_against: 1 - p, p_within: null, p_different: 1 - ncfdtr(df, dfWithin, 0, f),
      detectable: sd(noncentrality(jStat.centralF.inv(0.8, df, dfWithin), 0.05)), ...sizesOf(answers, weights),
    };
  };

  // The mean of each group over its images, with an interval for classes like those of the group.
  const groupMeans = (answers, weights, group, nGroups) => {
    const whole = summed(answers.images, group, nGroups);
    const units = classUnits(answers, weights, group, nGroups);
    const [least, most] = [min, max].map((end) => sum(Object.values(weights).map((weight) => end(weight, 0))));
    return [...whole.keys()].map((g) => {
      const effect = answers.images.map((n, c) => (group[c] === g ? n / whole[g] : 0));
      const { mean: middle, se, df, n_classes: classes } = estimate(answers, weights, effect, units);
      const half = stdtrit(df, ANCHOR) * se;
      return { mean: middle, low: max(middle - half, least), high: min(middle + half, most), classes };
    });
  };

  return {
    ALPHA, NothingToTest, tTail, stdtrit, ncfdtr, answersOf, estimateMean, estimateDifference, estimateShare, above, below, interval,
    smallestDetectable, smallestMargin, groupSpread, groupMeans, holm,
  };
})();
