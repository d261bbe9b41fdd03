// A claim tested again with the reader's settings: what `tell/claims` does, on the data that `what_if_data` publishes.
(() => {
  "use strict";
  const { NothingToTest, ALPHA, answersOf, estimateMean, estimateDifference, estimateShare, groupSpread, groupMeans, holm } = window.gainWhatIf;
  const { above, below, interval, smallestDetectable, smallestMargin } = window.gainWhatIf;
  const { max, min } = Math;
  const [SUPPORTED, CONTRADICTED, NO_DIFFERENCE, UNRESOLVED] = ["supported", "contradicted", "no relevant difference", "not resolvable"];

  // ---- the study as the settings leave it; species by their row in the target's table

  const speciesLeft = (target, { level, without }) => {
    const { names, of } = target.levels[level];
    const unknown = without.filter((name) => !names.includes(name));
    if (unknown.length) throw new NothingToTest(`group '${unknown[0]}' is unknown; accepted: ${names.join(", ")}`);
    const left = [...of.keys()].filter((c) => !without.includes(names[of[c]]));
    if (!left.length) throw new NothingToTest("no species is left; accepted: at least one group that stays in");
    return left;
  };
  const speciesOf = (spec, { species }) => (spec.species ? species.filter((c) => spec.species.includes(c)) : species);

  // The answers of a part's runs on the images of these species: those on its target, or minus those on the other target of the same
  // arm and seed. A run is text: one bit per image.
  const answersFor = ({ downstream, other }, { target, seeds }, species) => {
    const place = new Map(species.map((c, i) => [c, i]));
    const all = target.images.flatMap((n, c) => Array(n).fill(place.get(c))); // for each image, where its species is, if it is in
    const images = [...all.keys()].filter((i) => all[i] !== undefined);
    const rowOf = (text) => {
      const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
      return Float64Array.from(images, (i) => (bytes[i >> 3] >> (7 - (i & 7))) & 1);
    };
    const arms = {};
    for (const [arm, runs] of Object.entries(target.arms[downstream])) {
      const others = other ? target.arms[other][arm] ?? {} : runs;
      const kept = Object.keys(runs).filter((seed) => seed in others && (seeds === null || seeds.includes(Number(seed))));
      const minus = (row, subtracted) => row.map((one, i) => one - subtracted[i]);
      const rows = kept.map((seed) => (other ? minus(rowOf(runs[seed]), rowOf(others[seed])) : rowOf(runs[seed])));
      if (rows.length) arms[arm] = rows;
    }
    return answersOf(arms, images.map((i) => all[i]), species.length);
  };

  // Groups of a level among these species, in the order in which they first appear; without a level, one of all.
  const groupsOf = ({ representation, levels }, level, species) => {
    const nameOf = (c) => (level === "representation" ? representation[c] : level && levels[level].names[levels[level].of[c]]);
    const found = [...new Set(species.map(nameOf))];
    return { found, group: species.map((c) => found.indexOf(nameOf(c))) };
  };

  // ---- the parts of a claim, as `tell/claims` has them

  const outcomeOf = (spec, one, bound, margin) => {
    const { what, downstream: target, test, unit, signed, kind } = spec;
    const given = { what, target, test, unit, signed, bound };
    if (kind === "spread") return { ...given, ...one };
    const [low, high] = interval(one);
    const within = (size) => max(above(one, -size), below(one, size));
    const greater = test === "greater";
    const none = kind === "share" ? 0.5 : 0; // no difference
    const detectable = greater ? smallestDetectable(one) : smallestMargin(one);
    const { mean: effect, n_seeds, n_classes, n_images } = one;
    return {
      ...given, effect, low, high, n_seeds, n_classes, n_images,
      p_for: greater ? above(one, bound) : within(bound),
      p_against: greater ? below(one, bound) : min(1, 2 * min(above(one, bound), below(one, -bound))),
      p_within: greater && kind === "arms" && bound === 0 ? within(margin) : null,
      p_different: 2 * min(above(one, none), below(one, none)),
      detectable: Number.isFinite(detectable) ? detectable : null,
    };
  };

  // One part, or null where too few species are left for it.
  const partOf = (spec, data, margin, threshold) => {
    const bound = spec.test === "equal" ? margin : threshold ?? spec.bound;
    try {
      return outcomeOf(spec, estimateOf(spec, data, bound), bound, margin);
    } catch (error) {
      if (error instanceof NothingToTest) return null;
      throw error;
    }
  };
  const estimateOf = (spec, data, bound) => {
    const { kind, weights, between, within } = spec;
    const all = speciesOf(spec, data);
    const kept = kind === "groups" ? all.filter((c) => between.some((group) => group.includes(c))) : all;
    if (!kept.length) throw new NothingToTest("no species");
    const answers = answersFor(spec, data, kept);
    if (kind === "arms") return estimateMean(answers, weights);
    if (kind === "share") return estimateShare(answers, weights);
    const { found, group } = groupsOf(data.target, kind === "groups" ? within : spec.column, kept);
    if (kind === "groups") {
      const side = kept.map((c) => between.findIndex((one) => one.includes(c)));
      return estimateDifference(answers, weights, side, within ? group : null, found.length);
    }
    const several = found.filter((_, g) => group.filter((one) => one === g).length > 1).length;
    if (found.length < 2 || found.length === kept.length || several < found.length / 2) throw new NothingToTest("too few species");
    return groupSpread(answers, weights, group, found.length, bound);
  };

  // ---- the verdict, as `tell/claims/ledger` gives it

  const digits = (value, n) => String(Number(value.toPrecision(n)));
  const pText = (p) => (p < 1e-4 ? "p < 0.0001" : `p = ${digits(p, 2)}`);
  const ruleOf = (verdict, part, n, p) => {
    const bound = part.bound ? `${digits(100 * part.bound, 3)} ${part.unit}` : "0";
    const what = part.test === "greater" ? `${part.what} > ${bound}` : `|${part.what}| < ${bound}`;
    const [rule, among] = {
      [SUPPORTED]: [`${what} (${pText(p)})`, `all of ${n} parts hold, this one least clearly`],
      [CONTRADICTED]: [`not ${what}: the opposite is clear (${pText(p)})`, `one of ${n} parts, corrected by Holm`],
      [UNRESOLVED]: [`neither ${what} (${pText(p)}) nor its opposite`, `the least clear of ${n} parts`],
      [NO_DIFFERENCE]: [`${part.what} is closer to 0 than the margin (${pText(p)})`,
        `the clearest of ${n} parts, corrected by Holm; the others hold, or are within the margin, too`],
    }[verdict];
    return n > 1 ? `${rule}; ${among}` : rule;
  };

  // As every part must hold, a claim of `nParts` with a part that cannot be tested is at best not resolvable.
  const decide = (parts, nParts) => {
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
    const corrects = { [CONTRADICTED]: against, [NO_DIFFERENCE]: within }[verdict];
    const p = corrects ?? parts.map((part) => part.p_for);
    const shown = (corrects ? min : max)(...p.filter((_, i) => ofPart[i] === verdict)); // of the clearest, else the least clear
    const decisive = p.findIndex((one, i) => one === shown && ofPart[i] === verdict);
    const rule = ruleOf(verdict, parts[decisive], parts.length, shown), missing = nParts - parts.length;
    if (!missing || [CONTRADICTED, UNRESOLVED].includes(verdict)) return { verdict, decisive, rule };
    return { verdict: UNRESOLVED, decisive, rule: `${rule}; but ${missing} of ${nParts} parts cannot be tested` };
  };

  // ---- what the page asks for

  // The verdict, its tests, and for claims about species the gain of each group, with interval.
  // `settings`: claim, margin, threshold, level, without, seeds; null is as in the book.
  const recompute = (tables, settings) => {
    const claim = tables.claims.find((one) => one.id === settings.claim);
    const target = tables.targets[claim.target];
    const data = { target, seeds: settings.seeds, species: speciesLeft(target, settings) };
    const margin = settings.margin ?? target.margin;
    const tests = claim.parts.map((spec) => partOf(spec, data, margin, settings.threshold)).filter((part) => part !== null);
    return { ...decide(tests, claim.parts.length), tests, groups: groupsTable(claim.parts[0], data) };
  };

  const groupsTable = (spec, data) => {
    const kept = speciesOf(spec, data);
    if (!spec.column || !kept.length) return [];
    const { found, group } = groupsOf(data.target, spec.column, kept);
    if (found.length === kept.length) return [];
    return groupMeans(answersFor(spec, data, kept), spec.weights, group, found.length).map((row, g) => ({ group: found[g], ...row }));
  };

  Object.assign(window.gainWhatIf, { recompute });
})();
