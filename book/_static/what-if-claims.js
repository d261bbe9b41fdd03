// A claim tested again with the reader's settings: what `tell/claims` does, on the data that `what_if_data` publishes.
(() => {
  "use strict";
  const { NothingToTest, ALPHA, estimateMean, estimateDifference, estimateShare, groupSpread, groupMeans, holm } = window.gainWhatIf;
  const { above, below, strict, interval, smallestDetectable, smallestMargin } = window.gainWhatIf;
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
    const all = target.images.flatMap((n, c) => Array(n).fill(c)); // the class of each image
    const place = new Map(classes.map((c, i) => [c, i]));
    const images = [...all.keys()].filter((i) => place.has(all[i]));
    const index = images.map((i) => place.get(all[i]));
    const rows = tables.seeds.map((_, s) => s).filter((s) => seeds === null || seeds.includes(tables.seeds[s]));
    return { target, classes, images, index, rows, n: all.length };
  };

  // A weighted sum of arms, same image and same seed: one row a seed.
  const contrast = ({ target, images, rows, n }, weights) => {
    const arms = Object.entries(weights).map(([arm, weight]) => [rows.map((s) => bitsOf(target.arms[arm][s], n)), weight]);
    return rows.map((_, s) => Float64Array.from(images, (i) => arms.reduce((sum, [bits, weight]) => sum + weight * bits[s][i], 0)));
  };

  // The same for some classes only: values, index and classes as the estimators want them.
  const ofClasses = (values, { index, classes }, wanted) => {
    if (!wanted) return { values, index, classes };
    const kept = classes.filter((c) => wanted.includes(c));
    const place = new Map(kept.map((c, i) => [c, i]));
    const images = [...index.keys()].filter((i) => place.has(classes[index[i]]));
    const of = (row) => Float64Array.from(images, (i) => row[i]);
    return { values: values.map(of), index: images.map((i) => place.get(classes[index[i]])), classes: kept };
  };

  // Groups of a level among these classes, in the order in which they first appear.
  const groupsOf = (names, classes) => {
    const found = [...new Set(classes.map((c) => names[c]))];
    return { found, group: classes.map((c) => found.indexOf(names[c])) };
  };
  const namesAt = (target, level) =>
    level === "representation" ? target.representation : target.levels[level].of.map((code) => target.levels[level].names[code]);

  // ---- the parts of a claim, as `tell/claims` has them

  const outcomeOf = (spec, bound, one) => {
    const given = { what: spec.what, test: spec.test, unit: spec.unit, signed: spec.signed, bound };
    const sizes = { n_seeds: one.nSeeds, n_classes: one.nClasses, n_images: one.nImages };
    if (spec.kind === "spread") {
      const tests = { p_for: one.p, p_against: 1 - one.p, detectable: one.smallestMargin };
      return { ...given, effect: one.sd, low: one.low, high: one.high, ...tests, ...sizes };
    }
    const [low, high] = interval(one);
    const beyond = () => min(strict(one, above(one, bound), bound), strict(one, below(one, -bound), -bound));
    const tests = spec.test === "greater"
      ? { p_for: above(one, bound), p_against: strict(one, below(one, bound), bound), detectable: smallestDetectable(one) }
      : { p_for: max(above(one, -bound), below(one, bound)), p_against: min(1, 2 * beyond()), detectable: smallestMargin(one) };
    return { ...given, effect: one.mean, low, high, ...tests, ...sizes };
  };

  // One part, or null where too few species are left for it.
  const partOf = (spec, data, margin, threshold) => {
    const bound = spec.test === "equal" ? margin : threshold ?? spec.bound;
    const { values, index, classes } = ofClasses(contrast(data, spec.weights), data, spec.species);
    const size = classes.length;
    if (spec.kind === "arms") return outcomeOf(spec, bound, estimateMean(values, index, size));
    if (spec.kind === "share") return size ? outcomeOf(spec, bound, estimateShare(values, index, size)) : null;
    if (spec.kind === "groups") {
      const side = classes.map((c) => spec.between.findIndex((group) => group.includes(c)));
      const enough = [0, 1].every((one) => side.filter((other) => other === one).length > 1);
      return enough ? outcomeOf(spec, bound, estimateDifference(values, index, size, side)) : null;
    }
    const { found, group } = groupsOf(namesAt(data.target, spec.column), classes);
    const enough = found.length > 1 && found.length < size;
    return enough ? outcomeOf(spec, bound, groupSpread(values, index, size, group, found.length, bound)) : null;
  };

  // ---- the verdict, as `tell/claims/ledger` gives it

  // As Python's format `.{n}g`.
  const digits = (value, n) => {
    if (value === 0 || !Number.isFinite(value)) return String(value);
    const [mantissa, power] = value.toExponential(n - 1).split("e").map(Number);
    if (power >= -4 && power < n) return String(Number(value.toPrecision(n)));
    return `${mantissa}e${power < 0 ? "-" : "+"}${String(abs(power)).padStart(2, "0")}`;
  };

  const ruleOf = (verdict, part, n, pAgainst) => {
    const what = part.test === "greater" ? `${part.what} > ${digits(part.bound, 6)}` : `|${part.what}| < ${digits(part.bound, 6)}`;
    const holds = `${what} (p = ${digits(part.p_for, 2)})`;
    const many = (text) => (n > 1 ? `; ${text}` : "");
    if (verdict === "supported") return `${holds}${many(`all of ${n} parts hold, this one least clearly`)}`;
    if (verdict === "not resolvable at this scale") return `neither ${holds} nor its opposite${many(`of ${n} parts this one holds least clearly`)}`;
    return `not ${what}: the opposite is clear (p = ${digits(pAgainst, 2)})${many(`one of ${n} parts, corrected by Holm`)}`;
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

  // The verdict, its tests, and for claims about species the gain of each group, with interval.
  // `settings`: claim, margin, threshold, level, without, seeds; null is as in the book.
  const recompute = (tables, settings) => {
    const claim = tables.claims.find((one) => one.id === settings.claim);
    const data = narrowed(tables, claim.domain, settings);
    const margin = settings.margin ?? tables.margin;
    const tests = claim.parts.map((spec) => partOf(spec, data, margin, settings.threshold)).filter((part) => part !== null);
    return { ...decide(tests), tests, groups: groupsTable(claim.parts[0], data) };
  };

  const groupsTable = (spec, data) => {
    const { values, index, classes } = ofClasses(contrast(data, spec.weights), data, spec.species);
    if (!spec.column || !classes.length) return [];
    const { found, group } = groupsOf(namesAt(data.target, spec.column), classes);
    if (found.length === classes.length) return [];
    return groupMeans(values, index, classes.length, group, found.length).map((row, g) => ({ group: found[g], ...row }));
  };

  Object.assign(window.gainWhatIf, { recompute });
})();
