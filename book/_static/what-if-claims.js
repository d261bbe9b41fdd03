// A claim tested again with the reader's settings: what `tell/claims` does, on the data that `what_if_data` publishes.
(() => {
  "use strict";
  const { NothingToTest, ALPHA, answersOf, estimateMean, estimateDifference, estimateShare, groupSpread, groupMeans, holm } = window.gainWhatIf;
  const { above, below, interval, smallestDetectable, smallestMargin } = window.gainWhatIf;
  const { max, min, abs } = Math;
  const [SUPPORTED, CONTRADICTED, NO_DIFFERENCE, UNRESOLVED] = ["supported", "contradicted", "no relevant difference", "not resolvable"];

  // ---- the study as the settings leave it

  const bitsOf = (text, n) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return Float64Array.from({ length: n }, (_, i) => (bytes[i >> 3] >> (7 - (i & 7))) & 1);
  };

  // The images of the classes that stay in: `index` of each image among these, `classes` their places in the study's table.
  const narrowed = (tables, name, { level, without, seeds }) => {
    const target = tables.targets[name];
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
    const rowOf = (text) => { const bits = bitsOf(text, all.length); return Float64Array.from(images, (i) => bits[i]); };
    const runsOf = (arm) => new Map((arm?.seeds ?? []).map((seed, s) => [seed, arm.runs[s]]));
    // The runs of a part: of its target, or minus those of the other target with the same arm and seed.
    const armsOf = ({ downstream, other }) => {
      const found = {};
      for (const arm of Object.keys(target.arms[downstream])) {
        const [mine, theirs] = [downstream, other].map((name) => runsOf(target.arms[name]?.[arm]));
        const kept = [...mine.keys()].filter((seed) => (seeds === null || seeds.includes(seed)) && (!other || theirs.has(seed)));
        const minus = (row, other) => row.map((one, i) => one - other[i]);
        const rows = kept.map((seed) => (other ? minus(rowOf(mine.get(seed)), rowOf(theirs.get(seed))) : rowOf(mine.get(seed))));
        if (rows.length) found[arm] = rows;
      }
      return found;
    };
    return { target, classes, index, armsOf };
  };

  // The answers of a part's runs, for some classes only where it says so.
  const answersFor = (spec, { classes, index, armsOf }) => {
    const kept = spec.species ? classes.filter((c) => spec.species.includes(c)) : classes;
    return { kept, answers: restricted(armsOf(spec), index, classes, kept) };
  };
  const restricted = (arms, index, classes, kept) => {
    const place = new Map(kept.map((c, i) => [c, i]));
    const images = [...index.keys()].filter((i) => place.has(classes[index[i]]));
    const of = ([arm, rows]) => [arm, rows.map((row) => Float64Array.from(images, (i) => row[i]))];
    return answersOf(Object.fromEntries(Object.entries(arms).map(of)), images.map((i) => place.get(classes[index[i]])), kept.length);
  };

  // Groups of a level among these classes, in the order in which they first appear.
  const groupsOf = (names, classes) => {
    const found = [...new Set(classes.map((c) => names[c]))];
    return { found, group: classes.map((c) => found.indexOf(names[c])) };
  };
  const namesAt = (target, level) =>
    level === "representation" ? target.representation : target.levels[level].of.map((code) => target.levels[level].names[code]);

  // ---- the parts of a claim, as `tell/claims` has them

  const outcomeOf = (spec, bound, one, margin) => {
    const given = { what: spec.what, target: spec.downstream, test: spec.test, unit: spec.unit, signed: spec.signed, bound };
    const sizes = { n_seeds: one.nSeeds, n_classes: one.nClasses, n_images: one.nImages };
    if (spec.kind === "spread") {
      const tests = { p_for: one.p, p_against: 1 - one.p, p_within: null, p_different: one.pDifferent, detectable: one.smallestMargin };
      return { ...given, effect: one.sd, low: one.low, high: one.high, ...tests, ...sizes };
    }
    const [low, high] = interval(one);
    const within = (size) => max(above(one, -size), below(one, size));
    const tests = spec.test === "greater"
      ? { p_for: above(one, bound), p_against: below(one, bound), p_within: spec.kind === "arms" && bound === 0 ? within(margin) : null, detectable: smallestDetectable(one) }
      : { p_for: within(bound), p_against: min(1, 2 * min(above(one, bound), below(one, -bound))), p_within: null, detectable: smallestMargin(one) };
    const none = spec.kind === "share" ? 0.5 : 0; // no difference
    tests.p_different = 2 * min(above(one, none), below(one, none));
    if (!Number.isFinite(tests.detectable)) tests.detectable = null;
    return { ...given, effect: one.mean, low, high, ...tests, ...sizes };
  };

  // One part, or null where too few species are left for it.
  const partOf = (spec, data, margin, threshold) => {
    const bound = spec.test === "equal" ? margin : threshold ?? spec.bound;
    try {
      return outcomeOf(spec, bound, estimateOf(spec, data, bound), margin);
    } catch (error) {
      if (error instanceof NothingToTest) return null;
      throw error;
    }
  };
  const estimateOf = (spec, data, bound) => {
    const { kept, answers } = answersFor(spec, data);
    const { weights } = spec;
    if (!kept.length) throw new NothingToTest("no species");
    if (spec.kind === "arms") return estimateMean(answers, weights);
    if (spec.kind === "share") return estimateShare(answers, weights);
    if (spec.kind === "groups") {
      const used = kept.filter((c) => spec.between.some((group) => group.includes(c)));
      const { found, group } = groupsOf(spec.within ? namesAt(data.target, spec.within) : [], used);
      const side = used.map((c) => spec.between.findIndex((one) => one.includes(c)));
      const of = restricted(data.armsOf(spec), data.index, data.classes, used);
      return estimateDifference(of, weights, side, spec.within ? group : null, found.length);
    }
    const { found, group } = groupsOf(namesAt(data.target, spec.column), kept);
    const several = found.filter((_, g) => group.filter((one) => one === g).length > 1).length;
    if (found.length < 2 || found.length === kept.length || several < found.length / 2) throw new NothingToTest("too few species");
    return groupSpread(answers, weights, group, found.length, bound);
  };

  // ---- the verdict, as `tell/claims/ledger` gives it

  // As Python's format `.{n}g`.
  const digits = (value, n) => {
    if (value === 0 || !Number.isFinite(value)) return String(value);
    const [mantissa, power] = value.toExponential(n - 1).split("e").map(Number);
    if (power >= -4 && power < n) return String(Number(value.toPrecision(n)));
    return `${mantissa}e${power < 0 ? "-" : "+"}${String(abs(power)).padStart(2, "0")}`;
  };

  const pText = (p) => (p < 1e-4 ? "p < 0.0001" : `p = ${digits(p, 2)}`);
  const ruleOf = (verdict, part, n, p) => {
    const bound = part.bound ? `${digits(100 * part.bound, 3)} ${part.unit}` : "0";
    const what = part.test === "greater" ? `${part.what} > ${bound}` : `|${part.what}| < ${bound}`;
    const holds = `${what} (${pText(p)})`;
    const many = (text) => (n > 1 ? `; ${text}` : "");
    if (verdict === SUPPORTED) return `${holds}${many(`all of ${n} parts hold, this one least clearly`)}`;
    if (verdict === UNRESOLVED) return `neither ${holds} nor its opposite${many(`the least clear of ${n} parts`)}`;
    if (verdict === CONTRADICTED) return `not ${what}: the opposite is clear (${pText(p)})${many(`one of ${n} parts, corrected by Holm`)}`;
    const most = `the clearest of ${n} parts, corrected by Holm; the others hold, or are within the margin, too`;
    return `${part.what} is closer to 0 than the margin (${pText(p)})${many(most)}`;
  };

  const decide = (parts) => {
    if (!parts.length) return { verdict: "not testable", decisive: null, rule: "too few species are left for it" };
    const against = holm(parts.map((part) => part.p_against));
    const corrected = holm(parts.map((part) => part.p_within).filter((p) => p !== null));
    const within = parts.map((part) => (part.p_within === null ? 1 : corrected.shift()));
    const ofPart = parts.map((part, i) => {
      if (within[i] < ALPHA) return NO_DIFFERENCE;
      if (part.p_for < ALPHA) return SUPPORTED;
      return against[i] < ALPHA ? CONTRADICTED : UNRESOLVED;
    });
    const verdict = [CONTRADICTED, UNRESOLVED, NO_DIFFERENCE, SUPPORTED].find((one) => ofPart.includes(one));
    const places = [...parts.keys()].filter((i) => ofPart[i] === verdict);
    const first = (values, sign) => places.reduce((found, i) => (sign * values[i] < sign * values[found] ? i : found));
    const shown = { [CONTRADICTED]: against, [NO_DIFFERENCE]: within }[verdict];
    const pFor = parts.map((part) => part.p_for);
    const decisive = shown ? first(shown, 1) : first(pFor, -1);
    return { verdict, decisive, rule: ruleOf(verdict, parts[decisive], parts.length, (shown ?? pFor)[decisive]) };
  };

  // ---- what the page asks for

  // The verdict, its tests, and for claims about species the gain of each group, with interval.
  // `settings`: claim, margin, threshold, level, without, seeds; null is as in the book.
  const recompute = (tables, settings) => {
    const claim = tables.claims.find((one) => one.id === settings.claim);
    const data = narrowed(tables, claim.target, settings);
    const margin = settings.margin ?? data.target.margin;
    const tests = claim.parts.map((spec) => partOf(spec, data, margin, settings.threshold)).filter((part) => part !== null);
    return { ...decide(tests), tests, groups: groupsTable(claim.parts[0], data) };
  };

  const groupsTable = (spec, data) => {
    const { kept, answers } = answersFor(spec, data);
    if (!spec.column || !kept.length) return [];
    const { found, group } = groupsOf(namesAt(data.target, spec.column), kept);
    if (found.length === kept.length) return [];
    return groupMeans(answers, spec.weights, group, found.length).map((row, g) => ({ group: found[g], ...row }));
  };

  Object.assign(window.gainWhatIf, { recompute });
})();
