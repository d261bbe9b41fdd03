// A claim tested again with the reader's settings: what `tell/tweak.py` and `ledger.py` do, on what `tweak_data.py` publishes.
(globalThis.gainTweak ??= []).push(function claims(live) {
  "use strict";
  const { NothingToTest, ALPHA, estimateMean, estimateDifference, estimateShare, groupSpread, bootstrapMeans, holm } = live;
  const { above, below, strict, interval, smallestDetectable, smallestMargin } = live;
  const { max, min, abs } = Math;

  // ---- the study as the settings leave it

  const bitsOf = (text, n) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return Float64Array.from({ length: n }, (_, i) => (bytes[i >> 3] >> (7 - (i & 7))) & 1);
  };

  // The images of the classes that stay in: `index` of each image among these, `classes` their places in the study's table.
  const narrowed = (tables, domain, { level, without, seeds }) => {
    const target = tables.targets[domain];
    const { names, of } = target.levels[level];
    const out = new Set(without.map((name) => {
      if (!names.includes(name)) throw new NothingToTest(`group '${name}' is unknown; accepted: ${names.join(", ")}`);
      return names.indexOf(name);
    }));
    const classes = [...of.keys()].filter((c) => !out.has(of[c]));
    if (!classes.length) throw new NothingToTest("no species is left; accepted: at least one group that stays in");
    const place = new Map(classes.map((c, i) => [c, i]));
    const images = [];
    const index = [];
    let at = 0;
    target.images.forEach((n, c) => {
      for (let i = 0; i < n; i += 1, at += 1) {
        if (place.has(c)) {
          images.push(at);
          index.push(place.get(c));
        }
      }
    });
    const rows = tables.seeds.map((_, s) => s).filter((s) => seeds === null || seeds.includes(tables.seeds[s]));
    return { target, classes, images, index, rows, n: at };
  };

  // A weighted sum of arms, same image and same seed: one row a seed.
  const contrast = ({ target, images, rows, n }, weights) => {
    const arms = Object.entries(weights).map(([arm, weight]) => [rows.map((s) => bitsOf(target.arms[arm][s], n)), weight]);
    return rows.map((_, s) => Float64Array.from(images, (i) => arms.reduce((sum, [bits, weight]) => sum + weight * bits[s][i], 0)));
  };

  // The same for some classes only: values, index and size as the estimators want them.
  const ofClasses = (values, { index, classes }, wanted) => {
    if (!wanted) return { values, index, classes };
    const kept = classes.filter((c) => wanted.includes(c));
    const place = new Map(kept.map((c, i) => [c, i]));
    const images = [...index.keys()].filter((i) => place.has(classes[index[i]]));
    return {
      values: values.map((row) => Float64Array.from(images, (i) => row[i])),
      index: images.map((i) => place.get(classes[index[i]])), classes: kept,
    };
  };

  // Groups of a level among these classes, in the order in which they first appear.
  const groupsOf = (names, classes) => {
    const found = [...new Set(classes.map((c) => names[c]))];
    return { found, group: classes.map((c) => found.indexOf(names[c])) };
  };
  const namesAt = (target, level) =>
    level === "representation" ? target.representation : target.levels[level].of.map((code) => target.levels[level].names[code]);

  // ---- the parts of a claim, as `tell/claims.py` has them

  const sizesOf = (one) => ({ n_seeds: one.nSeeds, n_classes: one.nClasses, n_images: one.nImages });

  const greater = (what, one, bound) => {
    const [low, high] = interval(one);
    return {
      what, test: "greater", bound, effect: one.mean, low, high, p_for: above(one, bound),
      p_against: strict(one, below(one, bound), bound), detectable: smallestDetectable(one), ...sizesOf(one),
    };
  };

  const equal = (what, one, margin) => {
    const [low, high] = interval(one);
    const beyond = min(strict(one, above(one, margin), margin), strict(one, below(one, -margin), -margin));
    return {
      what, test: "equal", bound: margin, effect: one.mean, low, high, p_for: max(above(one, -margin), below(one, margin)),
      p_against: min(1, 2 * beyond), detectable: smallestMargin(one), ...sizesOf(one),
    };
  };

  const alike = (what, spread, margin, sizes) => ({
    what, test: "equal", bound: margin, effect: spread.sd, low: spread.low, high: spread.high, p_for: spread.p,
    p_against: 1 - spread.p, detectable: spread.margin, ...sizes,
  });

  // One part, or null where the species that are left cannot be compared so.
  const partOf = (spec, tables, data, margin, threshold) => {
    const bound = threshold ?? spec.bound;
    if (spec.kind === "arms") {
      const one = estimateMean(contrast(data, spec.weights), data.index, data.classes.length);
      return spec.test === "greater" ? greater(spec.what, one, bound) : equal(spec.what, one, margin);
    }
    const { values, index, classes } = ofClasses(contrast(data, spec.weights), data, spec.species);
    if (!classes.length) return null;
    if (spec.kind === "share") return greater(spec.what, estimateShare(values, index, classes.length), bound);
    if (spec.kind === "groups") {
      const side = classes.map((c) => spec.between.findIndex((group) => group.includes(c)));
      if ([0, 1].some((one) => side.filter((other) => other === one).length < 2)) return null;
      return equal(spec.what, estimateDifference(values, index, classes.length, side), margin);
    }
    const { found, group } = groupsOf(namesAt(data.target, spec.column), classes);
    if (!(found.length > 1 && found.length < classes.length)) return null;
    const spread = groupSpread(values, index, classes.length, group, found.length, margin);
    return alike(spec.what, spread, margin, { n_seeds: data.rows.length, n_classes: classes.length, n_images: data.index.length });
  };

  // ---- the verdict, as `tell/ledger.py` gives it

  const digits = (value, n) => {
    if (value === 0 || !Number.isFinite(value)) return String(value);
    const power = Number(value.toExponential(n - 1).split("e")[1]);
    if (power >= -4 && power < n) return String(Number(value.toPrecision(n)));
    const mantissa = String(Number(value.toExponential(n - 1).split("e")[0]));
    return `${mantissa}e${power < 0 ? "-" : "+"}${String(abs(power)).padStart(2, "0")}`;
  };

  const ruleOf = (verdict, part, n, pAgainst) => {
    const what = part.test === "greater" ? `${part.what} > ${digits(part.bound, 6)}` : `|${part.what}| < ${digits(part.bound, 6)}`;
    const many = (text) => (n > 1 ? text : "");
    if (verdict === "supported") return `${what} (p = ${digits(part.p_for, 2)})${many(`; all of ${n} parts hold, this one least clearly`)}`;
    if (verdict === "contradicted") {
      return `not ${what}: the opposite is clear (p = ${digits(pAgainst, 2)})${many(`; one of ${n} parts, corrected by Holm`)}`;
    }
    return `neither ${what} (p = ${digits(part.p_for, 2)}) nor its opposite${many(`; of ${n} parts this one holds least clearly`)}`;
  };

  const decide = (parts) => {
    if (!parts.length) return { verdict: "not run", decisive: null, rule: "too few species are left for it" };
    const against = holm(parts.map((part) => part.p_against));
    const least = parts.reduce((worst, part, i) => (part.p_for > parts[worst].p_for ? i : worst), 0);
    let [verdict, decisive] = ["not resolvable at this scale", least];
    if (parts[least].p_for < ALPHA) verdict = "supported";
    else if (min(...against) < ALPHA) [verdict, decisive] = ["contradicted", against.indexOf(min(...against))];
    return { verdict, decisive, rule: ruleOf(verdict, parts[decisive], parts.length, against[decisive]) };
  };

  // ---- what the page asks for

  const claimOf = (tables, settings) => tables.claims.find((one) => one.id === settings.claim);

  // Verdict and tests. `settings`: claim, margin, threshold, level, without, seeds, draws; null is as in the book.
  const recompute = (tables, settings) => {
    const claim = claimOf(tables, settings);
    const data = narrowed(tables, claim.domain, settings);
    const margin = settings.margin ?? tables.margin;
    const parts = claim.parts.map((spec) => partOf(spec, tables, data, margin, settings.threshold));
    const tests = parts.filter((part) => part !== null);
    return { ...decide(tests), tests, species: data.classes.length, images: data.index.length };
  };

  // Intervals by the bootstrap: of each part's contrast, or of the gain in each group of species.
  const drawn = (tables, settings) => {
    const claim = claimOf(tables, settings);
    const data = narrowed(tables, claim.domain, settings);
    const { draws } = settings;
    if (!claim.parts[0].column) {
      const together = data.classes.map(() => 0);
      return claim.parts.map((spec) => ({
        group: spec.what,
        ...bootstrapMeans(contrast(data, spec.weights), data.index, data.classes.length, together, 1, { byClasses: false, draws })[0],
      }));
    }
    const { values, index, classes } = ofClasses(contrast(data, claim.parts[0].weights), data, claim.parts[0].species);
    const { found, group } = groupsOf(namesAt(data.target, claim.parts[0].column), classes);
    const rows = bootstrapMeans(values, index, classes.length, group, found.length, { byClasses: true, draws });
    return rows.map((row, g) => ({ group: found[g], ...row }));
  };

  Object.assign(live, { recompute, drawn });
});
