// Estimates, intervals and tests: `tell/statistics` again, in JavaScript, on the distributions of jStat.
// See Python for what is estimated and why.
window.gainWhatIf = (() => {
  "use strict";
  const { jStat } = window;
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

  // ---- answers: `arms[name]` has a row of images for each run, `index` the class of each image, 0 to size - 1

  const zeros = (n) => new Float64Array(n);
  const sum = (values) => values.reduce((all, one) => all + one, 0);
  const mean = (values) => sum(values) / values.length;
  const dot = (first, second) => first.reduce((all, one, i) => all + one * second[i], 0);
  const summed = (index, size, value) => {
    const sums = zeros(size);
    for (let i = 0; i < index.length; i += 1) sums[index[i]] += value(i);
    return sums;
  };
  const averaged = (rows) => zeros(rows[0].length).map((_, i) => mean(rows.map((row) => row[i])));
  // Sum of squared distances of the rows from their mean, by column.
  const squaresOf = (rows) => {
    const middle = averaged(rows);
    return middle.map((one, i) => sum(rows.map((row) => (row[i] - one) ** 2)));
  };
  const answersOf = (arms, index, size) => {
    const images = summed(index, size, () => 1);
    const means = Object.fromEntries(Object.entries(arms).map(([arm, rows]) =>
      [arm, rows.map((row) => summed(index, size, (i) => row[i]).map((all, c) => all / images[c]))]));
    return { arms, means, index, size, images };
  };
  const contrastOf = ({ means, size }, weights) =>
    Object.entries(weights).reduce((all, [arm, weight]) => averaged(means[arm]).map((one, c) => all[c] + weight * one), zeros(size));
  const perRun = ({ arms }, weights) => sum(Object.entries(weights).map(([arm, weight]) => weight ** 2 / arms[arm].length));
  const within = (values, group, nGroups) => {
    const sizes = summed(group, nGroups, () => 1);
    const of = summed(group, nGroups, (c) => values[c]).map((all, g) => all / sizes[g]);
    return Float64Array.from(values, (one, c) => one - of[group[c]]);
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
    const squares = {};
    const dfs = {};
    for (const [arm, means] of Object.entries(answers.means)) {
      [squares[arm], dfs[arm]] = [squaresOf(means.map((row) => [dot(effect, row)]))[0], means.length - 1];
    }
    const df = sum(Object.values(dfs));
    if (!df) return { variance: 0, df: 0 };
    const pooled = sum(Object.values(squares)) / df;
    const several = Object.keys(dfs).filter((arm) => dfs[arm]);
    const p = bartlett(several.map((arm) => squares[arm] / dfs[arm]), several.map((arm) => dfs[arm]));
    const parts = Object.entries(weights).map(([arm, weight]) =>
      [(weight ** 2 / answers.arms[arm].length) * (dfs[arm] ? squares[arm] / dfs[arm] : pooled), dfs[arm] || df]);
    const separate = sum(parts.map(([part]) => part));
    if (p >= HOMOGENEITY || !(separate > 0)) return { variance: perRun(answers, weights) * pooled, df };
    return { variance: separate, df: separate ** 2 / sum(parts.map(([part, of]) => part ** 2 / of)) };
  };
  // Images within each class. Classes with fewer than nine share the variance of an image of all; where all have one, that of all images.
  const imageUnits = ({ arms, means, index, size, images }, weights) => {
    const df = images.map((n) => n - 1);
    const several = df.some((n) => n > 0);
    const allDf = several ? sum(df) : max(size - 1, 1);
    const total = zeros(index.length);
    const noise = zeros(size);
    for (const [arm, weight] of Object.entries(weights)) {
      const n = arms[arm].length;
      const rest = arms[arm].map((row, s) => Float64Array.from(index, (c, i) => row[i] - (several ? means[arm][s][c] : mean(means[arm][s]))));
      averaged(rest).forEach((one, i) => { total[i] += weight * one; });
      const squares = squaresOf(rest);
      summed(index, size, (i) => squares[i]).forEach((one, c) => { noise[c] += (weight ** 2 * one) / (n * max(n - 1, 1)); });
    }
    const together = [...df].map((n) => n < FEW);
    const ofImage = (squares) => squares.map((one, c) => (together[c] ? sum(squares) / allDf : one / df[c]) / images[c]);
    return {
      variance: ofImage(summed(index, size, (i) => total[i] ** 2)), shared: ofImage(noise), together,
      df: [...df].map((n, c) => (together[c] ? allDf : n)),
    };
  };
  // Classes within groups, one variance for all; with a covariate its slope is taken out, too.
  const classUnits = (answers, weights, group, nGroups, covariate = null) => {
    const df = answers.size - nGroups - (covariate ? 1 : 0);
    if (df < 1) throw new NothingToTest("too few classes");
    const slope = covariate && within(covariate, group, nGroups);
    const rest = (values) => {
      const left = within(values, group, nGroups);
      if (!slope) return left;
      const by = dot(left, slope) / dot(slope, slope);
      return left.map((one, c) => one - by * slope[c]);
    };
    const squares = (values) => sum(rest(values).map((one) => one ** 2));
    let shared = 0;
    for (const [arm, weight] of Object.entries(weights)) {
      const [middle, n] = [averaged(answers.means[arm]), answers.means[arm].length];
      const noise = sum(answers.means[arm].map((row) => squares(row.map((one, c) => one - middle[c]))));
      shared += (weight ** 2 * noise) / (n * max(n - 1, 1));
    }
    const each = (value) => zeros(answers.size).fill(value / df);
    const [dfs, together] = [zeros(answers.size).fill(df), Array(answers.size).fill(true)];
    return { variance: each(squares(contrastOf(answers, weights))), shared: each(shared), df: dfs, together };
  };
  const totalVariance = (runs, units, effect) => {
    const squares = effect.map((one) => one ** 2);
    const [variance, shared] = [dot(squares, units.variance), dot(squares, units.shared)];
    const [apart, joint] = [false, true].map((of) => squares.map((one, c) => (units.together[c] === of ? one * units.variance[c] : 0)));
    const joined = sum(joint) ** 2 / max(1, ...units.df.filter((_, c) => units.together[c]));
    const unitDf = variance > 0 ? variance ** 2 / (sum(apart.map((one, c) => one ** 2 / units.df[c])) + joined) : max(...units.df);
    const beyond = runs.df > 0 ? max(variance - shared, 0) : variance;
    const total = runs.variance + beyond;
    const unsure = (runs.df > 0 ? runs.variance ** 2 / runs.df : 0) + (beyond > 0 ? variance ** 2 / unitDf : 0);
    const df = unsure > 0 ? total ** 2 / unsure : max(runs.df, unitDf);
    return { se: sqrt(total), df: max(df, runs.df > 0 ? min(runs.df, unitDf) : unitDf) };
  };

  // ---- estimates: mean, se, df, and sizes

  const nSeedsOf = ({ arms }, weights) => min(...Object.keys(weights).map((arm) => arms[arm].length));
  const estimate = (answers, weights, effect, units) => {
    const used = [...effect.keys()].filter((c) => effect[c]);
    return {
      mean: dot(effect, contrastOf(answers, weights)), ...totalVariance(runPart(answers, weights, effect), units, effect),
      nSeeds: nSeedsOf(answers, weights), nClasses: used.length, nImages: sum(used.map((c) => answers.images[c])),
    };
  };
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
    const [contrast, size] = [contrastOf(answers, weights), answers.size];
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
    const sizes = { nSeeds: nSeedsOf(answers, weights), nClasses: size, nImages: answers.index.length };
    return { mean: share, se: sqrt(byClasses + byRuns), df: (byClasses + byRuns) ** 2 / unsure, ...sizes, share: true };
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

  const groupSpread = (answers, weights, group, nGroups, margin) => {
    const { size } = answers;
    const [contrast, sizes] = [contrastOf(answers, weights), summed(group, nGroups, () => 1)];
    const ofGroup = (values) => summed(group, nGroups, (c) => values[c]).map((all, g) => all / sizes[g]);
    const squares = (values) => sum(within(values, group, nGroups).map((one) => one ** 2));
    const [df, dfClasses] = [nGroups - 1, size - nGroups];
    const classes = squares(contrast) / dfClasses;
    let [byClass, byGroup, dfRuns] = [0, 0, 0];
    for (const means of Object.values(answers.means)) {
      const middle = averaged(means);
      dfRuns += means.length - 1;
      for (const row of means) {
        const noise = row.map((one, c) => one - middle[c]);
        const all = mean(noise);
        byClass += squares(noise);
        byGroup += sum(ofGroup(noise).map((one, g) => sizes[g] * (one - all) ** 2));
      }
    }
    const share = dfRuns ? perRun(answers, weights) / dfRuns : 0;
    const [seedByGroup, seedByClass] = [(share * byGroup) / df, (share * byClass) / dfClasses];
    const excess = max(0, seedByGroup - seedByClass);
    let dfWithin = dfClasses;
    if (excess) {
      const unsure = classes ** 2 / dfClasses + (seedByGroup ** 2 + (seedByClass ** 2 * df) / dfClasses) / (dfRuns * df);
      dfWithin = max((classes + excess) ** 2 / unsure, min(dfRuns * df, dfClasses));
    }
    const ofGroups = ofGroup(contrast);
    const middle = sum(ofGroups.map((one, g) => (one * sizes[g]) / size));
    const between = sum(ofGroups.map((one, g) => sizes[g] * (one - middle) ** 2));
    const error = max(classes + excess, (margin ** 2 * size) / 1e5, between / 1e6);
    const f = between / df / error;
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
      p: ncfdtr(df, dfWithin, size * (margin ** 2 / error), f), pDifferent: 1 - ncfdtr(df, dfWithin, 0, f),
      smallestMargin: sd(noncentrality(jStat.centralF.inv(0.8, df, dfWithin), 0.05)),
      nSeeds: nSeedsOf(answers, weights), nClasses: size, nImages: answers.index.length,
    };
  };

  // The mean of each group over its images, with an interval for classes like those of the group.
  const groupMeans = (answers, weights, group, nGroups) => {
    const whole = summed(group, nGroups, (c) => answers.images[c]);
    const units = classUnits(answers, weights, group, nGroups);
    const contrast = contrastOf(answers, weights);
    const [least, most] = [min, max].map((end) => sum(Object.values(weights).map((weight) => end(weight, 0))));
    return [...whole.keys()].map((g) => {
      const effect = answers.images.map((n, c) => (group[c] === g ? n / whole[g] : 0));
      const { se, df } = totalVariance(runPart(answers, weights, effect), units, effect);
      const [middle, half] = [dot(effect, contrast), stdtrit(df, ANCHOR) * se];
      return { mean: middle, low: max(middle - half, least), high: min(middle + half, most), classes: effect.filter((one) => one).length };
    });
  };

  return {
    ALPHA, NothingToTest, tTail, stdtrit, ncfdtr, answersOf, estimateMean, estimateDifference, estimateShare, above, below, interval,
    smallestDetectable, smallestMargin, groupSpread, groupMeans, holm,
  };
})();
