// The gain explorer's arithmetic: what `tell/figures/explorer.py` publishes, as rows, grades, group means and CSV. No page here.
// A gain is net / (seeds × images), without rounding; a group's mean counts a species by its images, as Python does.
// Intervals are read, never computed.
window.gainData = (() => {
  "use strict";
  const GRADES = ["best", "some", "none", "unknown"];

  // The levels of a target, fine to coarse; a table without any has one group of all.
  const levelsOf = (target) => (Object.keys(target.levels).length ? Object.keys(target.levels).reverse() : ["all"]);
  const groupName = (target, level, i) =>
    level === "all" ? "all species" : target.levels[level].names[target.levels[level].of[i]];

  // The finest level whose groups mostly have several species, and are not too many to name.
  const usualLevel = (target) => {
    const groups = (level) => (level === "all" ? 1 : target.levels[level].names.length);
    const levels = levelsOf(target);
    return levels.find((level) => groups(level) <= 40 && 2 * groups(level) <= target.species.length) || levels.at(-1);
  };

  // An end of an interval as a fraction; NaN where there is no interval, as with a single seed.
  const endOf = (tables, value) => (value === null ? NaN : value * tables.unit);

  // Every species of a target after one pretraining: gain and interval as fractions, and how it is represented. `correct` are
  // the correct images of the best source class that names the species, at a vote cut; 0 where none does.
  const rowsOf = (tables, target, arm, { well, cut }) => {
    const counts = target.correct?.[tables.cuts.indexOf(cut)];
    let place = 0;
    return target.species.map((species, i) => {
      const correct = counts ? (target.named[i] ? counts[place++] : 0) : null;
      const named = counts && correct < well ? "some" : "best";
      const grade = target.named[i] === null ? "unknown" : target.named[i] ? named : "none";
      return {
        i, species, grade, correct, taxon: target.taxon[i] || "", images: target.images[i], net: arm.net[i],
        mean: arm.net[i] / (arm.seeds.length * target.images[i]), low: endOf(tables, arm.low[i]), high: endOf(tables, arm.high[i]),
      };
    });
  };

  const wordOf = (tables, grade, well) =>
    grade === "best" && tables.graded === "annotated" ? `well represented (${well}+)` : tables.words[grade];

  const sum = (rows, key) => rows.reduce((total, row) => total + row[key], 0);
  const meanOf = (rows, seeds) => (sum(rows, "images") ? sum(rows, "net") / (seeds * sum(rows, "images")) : NaN);

  // Groups of a level, largest gain first, each with its rows (largest gain first), its mean and interval.
  const groupsOf = (tables, target, arm, rows, level) => {
    const found = new Map();
    for (const row of rows) {
      const name = groupName(target, level, row.i);
      found.set(name, [...(found.get(name) || []), row]);
    }
    const ends = level === "all" ? arm.all : arm.groups[level];
    const groups = [...found].map(([name, of]) => {
      const code = level === "all" ? 0 : target.levels[level].names.indexOf(name);
      const [low, high] = [endOf(tables, ends.low[code]), endOf(tables, ends.high[code])];
      return { name, rows: of.sort((a, b) => b.mean - a.mean), mean: meanOf(of, arm.seeds.length), low, high };
    });
    return groups.sort((a, b) => b.mean - a.mean || a.name.localeCompare(b.name));
  };

  // Species, images and mean gain of each grade among the rows.
  const summaryOf = (tables, rows, arm, well) =>
    GRADES.map((grade) => {
      const of = rows.filter((row) => row.grade === grade);
      return { grade, word: wordOf(tables, grade, well), species: of.length, images: sum(of, "images"), mean: meanOf(of, arm.seeds.length) };
    }).filter((one) => one.species || (tables.graded === "annotated" && ["best", "some"].includes(one.grade)));

  const plainText = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

  // Whether each typed word is part of the species' name, or begins a word of its taxon or of a group it is in; quoted text
  // must be the whole name.
  const matches = (target, row, typed) => {
    const [, exactly] = typed.trim().match(/^"(.*)"$/) || [];
    if (exactly) return plainText(row.species) === plainText(exactly);
    const groups = Object.keys(target.levels).map((level) => groupName(target, level, row.i));
    const [name, taxa] = [plainText(row.species), ` ${plainText([row.taxon, ...groups].join(" "))}`];
    return plainText(typed).split(/\s+/).filter(Boolean).every((word) => name.includes(word) || taxa.includes(` ${word}`));
  };

  const sorted = (target, rows, key, falling) => {
    const valueOf = (row) => (key in target.levels ? groupName(target, key, row.i) : row[key]);
    const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
    return [...rows].sort((a, b) => (falling ? -1 : 1) * compare(valueOf(a), valueOf(b)));
  };

  const csvOf = (tables, target, arm, rows, { well, cut }) => {
    const levels = Object.keys(target.levels);
    const graded = tables.graded === "annotated" ? ["correct_images", "threshold", "vote_cut"] : [];
    // A text that a spreadsheet would take for a formula begins with an apostrophe, as it is typed there.
    const cell = (value) => {
      const formula = typeof value === "string" && /^[=+\-@\t\r]/.test(value);
      const text = value === null || Number.isNaN(value) ? "" : `${formula ? "'" : ""}${value}`;
      return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    const head = ["study", "target", "pretraining", "seeds", "class_id", "species", ...levels, "representation",
      ...graded, "n_images", "gain", "low", "high"];
    const line = (row) => [
      tables.study, target.name, arm.arm, arm.seeds.join(" "), target.class_id[row.i], row.species,
      ...levels.map((level) => groupName(target, level, row.i)), wordOf(tables, row.grade, well),
      ...(graded.length ? [row.correct, well, cut] : []), row.images, row.mean, +row.low.toFixed(6), +row.high.toFixed(6),
    ].map(cell).join(",");
    return [head.join(","), ...rows.map(line), ""].join("\n");
  };

  return { GRADES, endOf, levelsOf, groupName, rowsOf, groupsOf, summaryOf, meanOf, wordOf, matches, usualLevel, sorted, csvOf };
})();
