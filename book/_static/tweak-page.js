// The page "Change the analysis": what its settings are, how they stand in a link, and how results read. No computing here.
window.gainTweakPage = (() => {
  "use strict";
  const LEVELS = { supercategory: "supercategory", order: "order", family: "family", name: "species" };
  const MOST_DRAWS = 20000;
  const FEWEST_DRAWS = 100;

  const asInBook = (study, claim, draws) =>
    ({ study, claim, margin: null, threshold: null, level: "supercategory", without: [], seeds: null, draws });

  const claimOf = (tables, settings) => tables.claims.find((one) => one.id === settings.claim);
  const targetOf = (tables, settings) => tables.targets[claimOf(tables, settings).domain];
  const hasTest = (claim, test) => claim.parts.some((part) => part.test === test);
  const boundOf = (claim) => claim.parts.find((part) => part.test === "greater")?.bound ?? 0;

  // ---- settings in the address: only what differs

  const textOf = (settings, book) => {
    const asks = new URLSearchParams({ study: settings.study, claim: settings.claim });
    for (const name of ["margin", "threshold"]) if (settings[name] !== null) asks.set(name, settings[name]);
    if (settings.without.length) asks.set("level", settings.level);
    for (const group of settings.without) asks.append("without", group);
    for (const seed of settings.seeds ?? []) asks.append("seed", seed);
    if (settings.draws !== book.draws) asks.set("draws", settings.draws);
    return asks.toString();
  };

  // The settings that an address asks for, and one line on each thing in it that is not accepted.
  const read = (text, studies) => {
    const asks = new URLSearchParams(text);
    const wrong = [];
    const oneOf = (name, accepted) => {
      if (!asks.has(name) || accepted.includes(asks.get(name))) return asks.get(name) ?? accepted[0];
      wrong.push(`${name} “${asks.get(name)}” is unknown; accepted: ${accepted.join(", ")}`);
      return accepted[0];
    };
    const number = (name, low, high, whole) => {
      if (!asks.has(name)) return null;
      const value = Number(asks.get(name));
      if (asks.get(name).trim() && value >= low && value <= high && (!whole || Number.isInteger(value))) return value;
      wrong.push(`${name} “${asks.get(name)}” is not accepted; accepted: ${whole ? "whole numbers" : "numbers"} from ${low} to ${high}`);
      return null;
    };
    const study = oneOf("study", studies.map((one) => one.study));
    const tables = studies.find((one) => one.study === study);
    const settings = asInBook(study, oneOf("claim", tables.claims.map((one) => one.id)), tables.draws);
    const target = targetOf(tables, settings);
    settings.margin = number("margin", 0.0001, 0.9999);
    settings.threshold = number("threshold", -0.9999, 0.9999);
    settings.draws = number("draws", FEWEST_DRAWS, MOST_DRAWS, true) ?? tables.draws;
    settings.level = oneOf("level", Object.keys(target.levels));
    const listed = (name, accepted) => asks.getAll(name).filter((one) => {
      if (!accepted.includes(one)) wrong.push(`${name} “${one}” is unknown here, left aside`);
      return accepted.includes(one);
    });
    settings.without = listed("without", target.levels[settings.level].names);
    const seeds = listed("seed", tables.seeds.map(String)).map(Number);
    settings.seeds = seeds.length && seeds.length < tables.seeds.length ? tables.seeds.filter((one) => seeds.includes(one)) : null;
    return { settings, wrong };
  };

  // ---- the same in Python

  const quoted = (text) => (/^[\w.-]+$/.test(text) ? text : `"${text.replace(/["\\$`]/g, "\\$&")}"`);
  const commandOf = (settings, book) => {
    const words = [`--study ${settings.study}`, `--claim ${settings.claim}`];
    for (const name of ["margin", "threshold"]) if (settings[name] !== null) words.push(`--${name}=${settings[name]}`);
    if (settings.without.length) words.push(`--level ${settings.level}`, `--without ${settings.without.map(quoted).join(" ")}`);
    if (settings.seeds) words.push(`--seeds ${settings.seeds.join(" ")}`);
    if (settings.draws !== book.draws) words.push(`--draws ${settings.draws}`);
    return `python -m pretraining_gain.tell.claims.what_if ${words.join(" ")}`;
  };

  // ---- how things read

  const known = (value) => value !== null && !Number.isNaN(value);
  const signed = (text) => text.replace("-", "−");
  const points = (value, plus = true) => {
    if (!known(value)) return "not known";
    if (!Number.isFinite(value)) return "none";
    return signed(`${plus && value > 0 ? "+" : ""}${(100 * value).toFixed(1)}`);
  };
    const unitOf = (claim) => (claim.parts[0].unit === "%" ? "% of species" : "points");
  // Shares and spreads have no sign.
  const plusOf = (claim, part) => claim.parts.find((one) => one.what === part.what).signed;
  const effectOf = (claim, part) =>
    `${points(part.effect, plusOf(claim, part))} ${unitOf(claim)} (${points(part.low, plusOf(claim, part))} to ${points(part.high, plusOf(claim, part))})`;
  const testOf = (part) => (part.test === "greater" ? `above ${points(part.bound, false)}` : `within ±${points(part.bound, false)}`);
  const pOf = (p) => (p < 0.0001 ? "< 0.0001" : p.toFixed(4));
  const count = (n, word, plural = `${word}s`) => `${n.toLocaleString("en")} ${n === 1 ? word : plural}`;

  // What differs from the book's settings, in words.
  const differences = (tables, settings) => {
    const claim = claimOf(tables, settings);
    const found = [];
    if (settings.margin !== null && settings.margin !== tables.margin && hasTest(claim, "equal")) {
      found.push(`margin ${points(settings.margin, false)} points instead of ${points(tables.margin, false)}`);
    }
    if (settings.threshold !== null && settings.threshold !== boundOf(claim) && hasTest(claim, "greater")) {
      found.push(`threshold ${points(settings.threshold, false)} instead of ${points(boundOf(claim), false)} ${unitOf(claim)}`);
    }
    if (settings.without.length) found.push(`without ${settings.without.join(", ")}`);
    if (settings.seeds) found.push(`${settings.seeds.length === 1 ? "seed" : "seeds"} ${settings.seeds.join(", ")} only`);
    if (settings.draws !== tables.draws) found.push(`${settings.draws.toLocaleString("en")} draws instead of ${tables.draws.toLocaleString("en")}`);
    return found;
  };

  return {
    LEVELS, MOST_DRAWS, FEWEST_DRAWS, asInBook, claimOf, targetOf, hasTest, boundOf, textOf, read, commandOf, points, unitOf, effectOf,
    testOf, pOf, count, differences,
  };
})();
