// Intervals as `tell/bootstrap.py` makes them (with `exact`, in double precision), from the same draws.
(globalThis.gainTweak ??= []).push(function bootstrap(live) {
  "use strict";
  const { generator, order, resamples, normal, exponential, stdtrit, NORMAL_975 } = live;
  const { ANCHOR, zeros, sum, mean, summed, variance, averaged, seedVariance, less, strataOf, imagesWithinClasses, combine, total } = live;
  const { max, min, sqrt } = Math;
  const FEW_CLASSES = 10;
  const SEED = 0;

  // What all comparisons of the same images share: made once.
  const kept = new Map();
  const once = (name, make) => {
    if (!kept.has(name)) kept.set(name, make());
    return kept.get(name);
  };
  const resamplesOf = (size, draws) => once(`images ${size} ${draws}`, () => resamples(generator(SEED, size), size, draws));
  // n orders of the draws, and n normal deviates more, from the same generator.
  const ordersOf = (n, draws) => once(`orders ${n} ${draws}`, () => {
    const rng = generator(SEED);
    const orders = Array.from({ length: n }, () => order(rng, draws));
    return { orders, normals: Float64Array.from({ length: draws }, () => normal(rng)) };
  });
  const forget = () => kept.clear();

  // Values by class and group: `group` of each class (0..groups-1).
  const tableOf = (values, index, size, group, groups) => {
    const { strata, images } = imagesWithinClasses(values, index, size);
    const ofGroup = summed(group, groups, (c) => images[c]);
    const whole = summed(index, size, (i) => sum(values.map((row) => row[i])));
    return {
      strata, images, group, groups, average: averaged(values), sizes: summed(group, groups, () => 1), ofGroup,
      weights: images.map((n, c) => n / ofGroup[group[c]]),
      mean: summed(group, groups, (c) => whole[c]).map((all, g) => all / (values.length * ofGroup[g])),
    };
  };

  const closedForms = (table, byClasses) => {
    const { strata, images, group, groups, sizes, weights } = table;
    const places = [...Array(groups).keys()];
    const closed = byClasses
      ? combine(strataOf(strata.bySeed, images, group, groups), zeros(groups).fill(1), places, groups)
      : combine(strata, weights, group, groups);
    const few = places.filter((g) => sizes[g] < FEW_CLASSES && groups > 1);
    if (few.length) {
      const borrowed = borrow(table, closed, byClasses);
      for (const g of few) for (const part of ["variance", "df", "units", "unitDf"]) closed[part][g] = borrowed[part][g];
    }
    return closed;
  };

  const borrow = ({ strata, group, groups, sizes, weights }, closed, byClasses) => {
    const { bySeed } = strata;
    const [nSeeds, nClasses] = [bySeed.length, bySeed[0].length];
    const concentration = summed(group, groups, (c) => weights[c] ** 2);
    const common = seedVariance(bySeed.map((row) => [mean(row)]))[0];
    const centred = less(bySeed, (s) => mean(bySeed[s]));
    const each = sum(seedVariance(centred)) / max(nClasses - 1, 1);
    let [units, unitDf] = [null, null];
    if (byClasses) {
      const ofClasses = averaged(bySeed);
      const ofGroups = summed(group, groups, (c) => ofClasses[c]).map((all, g) => all / sizes[g]);
      const df = nClasses - groups;
      const within = sum(ofClasses.map((one, c) => (one - ofGroups[group[c]]) ** 2));
      units = concentration.map((one) => (one * within) / df);
      unitDf = units.map(() => df);
    } else {
      const beyond = concentration.map((one) => one * max(0, each - mean(strata.shared)));
      units = closed.units.map((unit, g) => unit + beyond[g]);
      unitDf = units.map((unit, g) => {
        const own = closed.units[g] > 0 ? closed.units[g] ** 2 / closed.unitDf[g] : 0;
        const unsure = beyond[g] ** 2 / max((nSeeds - 1) * (nClasses - 1), 1) + own;
        return unsure > 0 ? unit ** 2 / unsure : closed.unitDf[g];
      });
    }
    const totals = [...units.keys()].map((g) => total(common, units[g], each / nClasses, nSeeds, unitDf[g]));
    return { units, unitDf, variance: totals.map((one) => one.variance), df: totals.map((one) => one.df) };
  };

  // Draws of each group's mean less the mean, images resampled within classes; and the generator's normal deviates.
  const resampleImages = ({ images, group, sizes, groups, weights, average }, draws) => {
    const deviations = Array.from({ length: groups }, () => zeros(draws));
    const starts = [];
    images.reduce((start, n, c) => ((starts[c] = start), start + n), 0);
    const mixed = [...images.keys()].filter((c) => images[c] > 1 && sizes[group[c]] > 1);
    const { orders, normals } = ordersOf(mixed.length, draws);
    const bySize = [...images.keys()].filter((c) => images[c] > 1).sort((a, b) => images[a] - images[b] || a - b);
    let place = 0;
    for (const c of bySize) {
      const n = images[c];
      const counts = resamplesOf(n, draws);
      const own = average.slice(starts[c], starts[c] + n);
      const middle = mean(own);
      const drawn = zeros(draws);
      for (let i = 0; i < n; i += 1) {
        const value = ((own[i] - middle) * weights[c]) / sqrt(n * (n - 1));
        if (value) for (let d = 0; d < draws; d += 1) drawn[d] += value * counts[i * draws + d];
      }
      const at = sizes[group[c]] > 1 ? orders[place++] : null;
      const into = deviations[group[c]];
      for (let d = 0; d < draws; d += 1) into[d] += drawn[at ? at[d] : d];
    }
    return { deviations, normals };
  };

  const reweightClasses = ({ images, group, sizes, groups, strata, mean: means }, closed, draws) => {
    const rng = generator(SEED);
    const average = averaged(strata.bySeed);
    const deviations = Array.from({ length: groups }, (_, g) => {
      const own = zeros(draws);
      if (sizes[g] < FEW_CLASSES && groups > 1) return own;
      const members = [...images.keys()].filter((c) => group[c] === g);
      for (let d = 0; d < draws; d += 1) {
        let [above, below] = [0, 0];
        for (const c of members) {
          const weight = exponential(rng);
          above += weight * images[c] * (average[c] - means[g]);
          below += weight * images[c];
        }
        own[d] = above / below;
      }
      const drawn = variance(own, 0);
      const scale = drawn > 0 ? sqrt(closed.units[g] / drawn) : 0;
      return own.map((one) => one * scale);
    });
    return { deviations, normals: Float64Array.from({ length: draws }, () => normal(rng)) };
  };

  const quantile = (rising, part) => {
    const at = (rising.length - 1) * part;
    const left = Math.floor(at);
    const [a, b, t] = [rising[left], rising[min(left + 1, rising.length - 1)], at - left];
    return t >= 0.5 ? b - (b - a) * (1 - t) : a + (b - a) * t;
  };

  // [{ mean, low, high }] of each group of classes.
  const bootstrapMeans = (values, index, size, group, groups, { byClasses, draws }) => {
    const table = tableOf(values, index, size, group, groups);
    const reweighted = byClasses && table.sizes.some((n) => n > 1);
    const closed = closedForms(table, reweighted);
    const { deviations, normals } = reweighted ? reweightClasses(table, closed, draws) : resampleImages(table, draws);
    const flat = values.flatMap((row) => [row.reduce((a, b) => min(a, b)), row.reduce((a, b) => max(a, b))]);
    const clipped = (end) => min(max(end, min(...flat)), max(...flat));
    return deviations.map((own, g) => {
      const stretch = stdtrit(closed.unitDf[g], ANCHOR) / NORMAL_975;
      const wanted = (stdtrit(closed.df[g], ANCHOR) / NORMAL_975) ** 2 * closed.variance[g];
      const missing = wanted - stretch ** 2 * variance(own, 0);
      const extra = missing <= 1e-12 * wanted ? 0 : sqrt(missing);
      const rising = own.map((one, d) => one * stretch + extra * normals[d]).sort();
      const ends = [1 - ANCHOR, ANCHOR].map((part) => clipped(table.mean[g] + quantile(rising, part)));
      return { mean: table.mean[g], low: ends[0], high: ends[1], classes: table.sizes[g] };
    });
  };

  Object.assign(live, { bootstrapMeans, forget });
});
