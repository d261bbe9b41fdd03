// The gain explorer's arithmetic: what `tell/figures/explorer.py` publishes, as rows, grades, group means and CSV. No page here.
// A gain is net / (seeds × images), without rounding; a group's mean counts a species by its images, as Python does.
// Intervals are read, never computed. A `view` holds the study's `tables`, a `target` and an `arm` of it, and what the reader set.
window.gainData = (() => {
  "use strict";

  // The levels of a target, fine to coarse, and the finest whose groups mostly have several species, and are not too many to name.
  const levelsOf = (target) => Object.keys(target.levels).reverse();
  const usualLevel = (target) => {
    const groups = (level) => target.levels[level].names.length;
    const levels = levelsOf(target);
    return levels.find((level) => groups(level) <= 40 && 2 * groups(level) <= target.species.length) || levels.at(-1);
  };

  // An interval as fractions; NaN where there is none, as with a single seed.
  const endsOf = ({ tables: { unit } }, { low, high }, place) => ({ low: (low[place] ?? NaN) * unit, high: (high[place] ?? NaN) * unit });

  const wordOf = ({ tables, well }, grade) =>
    grade === "best" && tables.graded === "annotated" ? `well represented (${well}+)` : tables.words[grade];

  // Every species of a target after one pretraining: its group at each level, gain and interval, and how it is represented.
  // `correct` are the correct images of the best source class that names the species, at a vote cut; 0 where none does.
  const rowsOf = (view) => {
    const { tables, target, arm, well, cut } = view;
    return target.species.map((species, i) => {
      const correct = target.correct?.[tables.cuts.indexOf(cut)][i] ?? null;
      const named = correct !== null && correct < well ? "some" : "best";
      const grade = target.named[i] === null ? "unknown" : target.named[i] ? named : "none";
      const groups = Object.entries(target.levels).map(([level, { names, of }]) => [level, names[of[i]]]);
      return {
        i, species, grade, correct, taxon: target.taxon[i] || "", images: target.images[i], net: arm.net[i], ...Object.fromEntries(groups),
        representation: wordOf(view, grade), mean: arm.net[i] / (arm.seeds.length * target.images[i]), ...endsOf(view, arm, i),
      };
    });
  };

  const sum = (rows, key) => rows.reduce((total, row) => total + row[key], 0);
  const meanOf = (rows, { seeds }) => (rows.length ? sum(rows, "net") / (seeds.length * sum(rows, "images")) : NaN);
  const sorted = (rows, key, falling) => {
    const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
    return [...rows].sort((a, b) => (falling ? -1 : 1) * compare(a[key], b[key]));
  };

  // Groups of a level, largest gain first, each with its rows (largest gain first), its mean and interval.
  const groupsOf = (view, rows, level) => {
    const groups = [...Map.groupBy(rows, (row) => row[level])].map(([name, of]) => ({
      name, rows: sorted(of, "mean", true), mean: meanOf(of, view.arm),
      ...endsOf(view, view.arm.groups[level], view.target.levels[level].names.indexOf(name)),
    }));
    return groups.sort((a, b) => b.mean - a.mean || a.name.localeCompare(b.name));
  };

  // Species, images and mean gain of each grade among the rows.
  const summaryOf = (view, rows) =>
    Object.keys(view.tables.words).map((grade) => {
      const of = rows.filter((row) => row.grade === grade);
      return { grade, word: wordOf(view, grade), species: of.length, images: sum(of, "images"), mean: meanOf(of, view.arm) };
    }).filter((one) => one.species || (view.tables.graded === "annotated" && ["best", "some"].includes(one.grade)));

  // Whether each typed word is part of the species' name, or begins a word of its taxon or of a group it is in; quoted text
  // must be the whole name.
  const plainText = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  const matches = ({ target }, row, typed) => {
    const [, exactly] = typed.trim().match(/^"(.*)"$/) || [];
    if (exactly) return plainText(row.species) === plainText(exactly);
    const [name, taxa] = [row.species, ["", row.taxon, ...levelsOf(target).map((level) => row[level])].join(" ")].map(plainText);
    return plainText(typed).split(/\s+/).filter(Boolean).every((word) => name.includes(word) || taxa.includes(` ${word}`));
  };

  const csvOf = ({ tables, target, arm, well, cut }, rows) => {
    const records = rows.map((row) => ({
      study: tables.study, target: target.name, pretraining: arm.arm, seeds: arm.seeds.join(" "), class_id: target.class_id[row.i],
      species: row.species, ...Object.fromEntries(Object.keys(target.levels).map((level) => [level, row[level]])),
      representation: row.representation,
      ...(tables.graded === "annotated" ? { correct_images: row.correct, threshold: well, vote_cut: cut } : {}),
      n_images: row.images, gain: row.mean, low: +row.low.toFixed(6), high: +row.high.toFixed(6),
    }));
    // A text that a spreadsheet would take for a formula begins with an apostrophe, as it is typed there.
    const cell = (value) => {
      const formula = typeof value === "string" && /^[=+\-@\t\r]/.test(value);
      const text = value === null || Number.isNaN(value) ? "" : `${formula ? "'" : ""}${value}`;
      return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    const lines = [Object.keys(records[0]), ...records.map(Object.values)];
    return lines.map((line) => `${line.map(cell).join(",")}\n`).join("");
  };

  return { levelsOf, usualLevel, endsOf, wordOf, rowsOf, meanOf, sorted, groupsOf, summaryOf, matches, csvOf };
})();
