// The gain explorer's arithmetic: what `tell/explorer.py` publishes, as rows, grades, group means and CSV. No page here.
// A gain is net / (seeds × images), without rounding; a group's mean counts a species by its images, as Python does.
// Intervals are only read, never computed.
window.gainData = (() => {
  "use strict";
  const GRADES = ["best", "some", "none"];
  const PLAIN_WORDS = { all: "all species" };

  // The levels of a target that tell groups apart, fine to coarse; a table without any has one group of all.
  const levelsOf = (target) => {
    const stated = Object.keys(target.levels).reverse();
    return stated.length ? stated : ["all"];
  };

  // The finest level whose groups mostly have several species, and are not too many to name.
  const usualLevel = (target) => {
    const levels = levelsOf(target);
    const fits = (level) => {
      const groups = level === "all" ? 1 : target.levels[level].names.length;
      return groups <= 40 && 2 * groups <= target.species.length;
    };
    return levels.find(fits) || levels.at(-1);
  };

  const groupName = (target, level, i) =>
    level === "all" ? PLAIN_WORDS.all : target.levels[level].names[target.levels[level].of[i]];

  // Correct images of the best source class that names each species, at a vote cut; 0 where none does.
  const correctOf = (tables, target, cut) => {
    if (!target.correct) return null;
    const counts = target.correct[tables.cuts.indexOf(cut)];
    let place = 0;
    return target.named.map((named) => (named ? counts[place++] : 0));
  };

  // An end of an interval as a fraction; NaN where there is no interval, as with a single seed.
  const endOf = (tables, value) => (value === null ? NaN : value * tables.unit);

  // Every species of a target after one pretraining: gain and interval as fractions, and how it is represented.
  const rowsOf = (tables, target, arm, { well, cut }) => {
    const seeds = arm.seeds.length;
    const correct = correctOf(tables, target, cut);
    return target.species.map((species, i) => {
      let grade = target.named[i] ? "best" : "none";
      if (correct && target.named[i] && correct[i] < well) grade = "some";
      return {
        i, species, grade, taxon: target.taxon[i] || "", correct: correct ? correct[i] : null,
        images: target.images[i], net: arm.net[i], mean: arm.net[i] / (seeds * target.images[i]),
        low: endOf(tables, arm.low[i]), high: endOf(tables, arm.high[i]),
      };
    });
  };

  const wordOf = (tables, grade, well) =>
    grade === "best" && tables.graded === "annotated" ? `well represented (${well}+)` : tables.words[grade];

  const meanOf = (rows, seeds) => {
    const images = rows.reduce((sum, row) => sum + row.images, 0);
    return images ? rows.reduce((sum, row) => sum + row.net, 0) / (seeds * images) : NaN;
  };

  // Groups of a level, the one that gains most first, each with its rows (most gain first), its mean and interval.
  const groupsOf = (tables, target, arm, rows, level) => {
    const found = new Map();
    for (const row of rows) {
      const name = groupName(target, level, row.i);
      if (!found.has(name)) found.set(name, []);
      found.get(name).push(row);
    }
    const ends = arm.groups[level];
    const all = level === "all" ? arm.all : null;
    const groups = [...found].map(([name, of]) => {
      const code = ends ? target.levels[level].names.indexOf(name) : 0;
      const from = ends || all;
      return {
        name, rows: of.sort((a, b) => b.mean - a.mean), mean: meanOf(of, arm.seeds.length),
        low: endOf(tables, from.low[code]), high: endOf(tables, from.high[code]),
      };
    });
    return groups.sort((a, b) => b.mean - a.mean || a.name.localeCompare(b.name));
  };

  // Species, images and mean gain of each kind of representation among the rows.
  const summaryOf = (tables, rows, arm, well) =>
    GRADES.map((grade) => {
      const of = rows.filter((row) => row.grade === grade);
      const images = of.reduce((sum, row) => sum + row.images, 0);
      return { grade, word: wordOf(tables, grade, well), species: of.length, images, mean: meanOf(of, arm.seeds.length) };
    }).filter((one) => one.species || (tables.graded === "annotated" && one.grade !== "none"));

  const plainText = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

  // Whether each word that was typed is part of the species' name, or begins a word of its taxon or of a group it is in; what
  // stands in quotes must be the name.
  const matches = (target, row, typed) => {
    const [, exactly] = typed.trim().match(/^"(.*)"$/) || [];
    if (exactly) return plainText(row.species) === plainText(exactly);
    const words = plainText(typed).split(/\s+/).filter(Boolean);
    const groups = Object.keys(target.levels).map((level) => groupName(target, level, row.i));
    const [name, taxa] = [plainText(row.species), ` ${plainText([row.taxon, ...groups].join(" "))}`];
    return words.every((word) => name.includes(word) || taxa.includes(` ${word}`));
  };

  const sorted = (target, rows, key, falling) => {
    const valueOf = (row) => (key in target.levels ? groupName(target, key, row.i) : row[key]);
    const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
    return [...rows].sort((a, b) => (falling ? -1 : 1) * compare(valueOf(a), valueOf(b)));
  };

  const cell = (value) => {
    const text = value === null || Number.isNaN(value) ? "" : String(value);
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };

  const csvOf = (tables, target, arm, rows, { well, cut }) => {
    const levels = Object.keys(target.levels);
    const graded = tables.graded === "annotated" ? ["correct_images", "threshold", "vote_cut"] : [];
    const head = ["study", "target", "pretraining", "seeds", "draws", "class_id", "species", ...levels, "representation",
      ...graded, "n_images", "gain", "low", "high"];
    const line = (row) => [
      tables.study, target.name, arm.arm, arm.seeds.join(" "), tables.draws, target.class_id[row.i], row.species,
      ...levels.map((level) => groupName(target, level, row.i)), wordOf(tables, row.grade, well),
      ...(graded.length ? [row.correct, well, cut] : []),
      row.images, row.mean, +row.low.toFixed(6), +row.high.toFixed(6),
    ].map(cell).join(",");
    return [head.join(","), ...rows.map(line), ""].join("\n");
  };

  return { GRADES, endOf, levelsOf, groupName, rowsOf, groupsOf, summaryOf, meanOf, wordOf, matches, usualLevel, sorted, csvOf };
})();
