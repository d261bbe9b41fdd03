// The page "Change the analysis": its settings, how they stand in a link and a command, and how results read. No computing.
(() => {
  "use strict";
  const LEVELS = { supercategory: "supercategory", order: "order", family: "family", name: "species" };
  const claimOf = (tables, settings) => tables.claims.find((one) => one.id === settings.claim);
  const targetOf = (tables, settings) => tables.targets[claimOf(tables, settings).target];
  const usesMargin = (claim) => claim.parts.some((part) => part.test === "equal" || part.kind === "arms");
  const partWith = (claim, test) => claim.parts.find((part) => part.test === test);

  // ---- settings in the address: only what differs

  const textOf = (settings) => {
    const asks = new URLSearchParams({ study: settings.study, claim: settings.claim });
    for (const name of ["margin", "threshold"]) if (settings[name] !== null) asks.set(name, settings[name]);
    if (settings.without.length) asks.set("level", settings.level);
    for (const group of settings.without) asks.append("without", group);
    for (const seed of settings.seeds ?? []) asks.append("seed", seed);
    return asks.toString();
  };

  // The settings that an address (a text, or an object of its fields) asks for, and one line on each thing in it that is not accepted.
  const read = (text, studies) => {
    const asks = new URLSearchParams(text);
    const wrong = [];
    const oneOf = (name, accepted) => {
      if (!asks.has(name) || accepted.includes(asks.get(name))) return asks.get(name) ?? accepted[0];
      wrong.push(`${name} “${asks.get(name)}” is unknown; accepted: ${accepted.join(", ")}`);
      return accepted[0];
    };
    const number = (name, low, high) => {
      const value = Number(asks.get(name));
      if (asks.get(name)?.trim() && value >= low && value <= high) return value;
      if (asks.has(name)) wrong.push(`${name} “${asks.get(name)}” is not accepted; accepted: numbers from ${low} to ${high}`);
      return null;
    };
    const listed = (name, accepted) => asks.getAll(name).filter((one) => {
      if (!accepted.includes(one)) wrong.push(`${name} “${one}” is unknown here and ignored`);
      return accepted.includes(one);
    });
    const study = oneOf("study", studies.map((one) => one.study));
    const tables = studies.find((one) => one.study === study);
    const settings = { study, claim: oneOf("claim", tables.claims.map((one) => one.id)) };
    const { levels } = targetOf(tables, settings);
    Object.assign(settings, { margin: number("margin", 0.0001, 0.9999), threshold: number("threshold", -0.9999, 0.9999) });
    settings.level = oneOf("level", Object.keys(levels));
    settings.without = listed("without", levels[settings.level].names);
    const all = claimOf(tables, settings).seeds;
    const seeds = listed("seed", all.map(String)).map(Number);
    settings.seeds = seeds.length && seeds.length < all.length ? all.filter((one) => seeds.includes(one)) : null;
    return { settings, wrong };
  };

  const quoted = (text) => (/^[\w.-]+$/.test(text) ? text : `'${text.replace(/'/g, `'"'"'`)}'`);
  const commandOf = (settings, { given }) => {
    const words = [`--study ${quoted(given)}`, `--claim ${settings.claim}`];
    for (const name of ["margin", "threshold"]) if (settings[name] !== null) words.push(`--${name}=${settings[name]}`);
    if (settings.without.length) words.push(`--level ${settings.level}`, `--without ${settings.without.map(quoted).join(" ")}`);
    if (settings.seeds) words.push(`--seeds ${settings.seeds.join(" ")}`);
    return `python -m pretraining_gain.tell.claims.what_if ${words.join(" ")}`;
  };

  // ---- how results read: values are fractions, shown times 100 in the unit of their kind

  const { hundredfold } = window.gainBook;
  const unitOf = (part) => (part.unit === "%" ? "% of species" : part.unit);
  const effectOf = (part) => {
    const [effect, low, high] = [part.effect, part.low, part.high].map((value) => hundredfold(value, part.signed));
    return `${effect} ${unitOf(part)} (${low} to ${high})`;
  };
  const testOf = (part) => (part.test === "greater" ? `above ${hundredfold(part.bound, false)}` : `within ±${hundredfold(part.bound, false)}`);

  // What differs from the book's settings, in words.
  const differences = (tables, settings) => {
    const greater = partWith(claimOf(tables, settings), "greater");
    const found = [];
    if (settings.margin !== null && usesMargin(claimOf(tables, settings))) {
      found.push(`margin ${hundredfold(settings.margin, false)} points instead of ${hundredfold(targetOf(tables, settings).margin, false)}`);
    }
    if (settings.threshold !== null && greater) {
      found.push(`threshold ${hundredfold(settings.threshold, false)} instead of ${hundredfold(greater.bound, false)} ${unitOf(greater)}`);
    }
    if (settings.without.length) found.push(`without ${settings.without.join(", ")}`);
    if (settings.seeds) found.push(`${settings.seeds.length === 1 ? "seed" : "seeds"} ${settings.seeds.join(", ")} only`);
    return found;
  };

  Object.assign(window.gainWhatIf, {
    LEVELS, claimOf, targetOf, partWith, usesMargin, textOf, read, commandOf, unitOf, effectOf, testOf, differences,
  });
})();
