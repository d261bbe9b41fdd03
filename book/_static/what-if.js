// The page "Change the analysis": settings, also in the address and as a command, and the answer beside the book's.
(() => {
  "use strict";
  const { application, element, fill, hundredfold, save, count, row, studiesOf, showProvenance } = window.gainBook;
  const { NothingToTest, recompute } = window.gainWhatIf;

  const holders = [...document.querySelectorAll(".gain-what-if")];
  const studies = studiesOf(holders);
  let [settings, answer, asked] = [null, null, 0];
  const tablesOf = (chosen) => studies.find((one) => one.study === chosen.study);
  const claimOf = (chosen) => tablesOf(chosen).claims.find((one) => one.id === chosen.claim);
  const targetOf = (chosen) => tablesOf(chosen).targets[claimOf(chosen).target];
  const greater = () => claimOf(settings).parts.find((part) => part.test === "greater");
  const usesMargin = () => claimOf(settings).parts.some((part) => part.test === "equal" || part.kind === "arms");
  const bookOf = (name) => (name === "margin" ? targetOf(settings).margin : greater()?.bound ?? 0);

  // ---- settings in the address, only what differs from the book's: `null` for a number, and for seeds when all stay in

  const textOf = ({ study, claim, margin, threshold, level, without, seeds }) => {
    const asks = new URLSearchParams({ study, claim });
    if (margin !== null) asks.set("margin", margin);
    if (threshold !== null) asks.set("threshold", threshold);
    if (without.length) asks.set("level", level);
    for (const group of without) asks.append("without", group);
    for (const seed of seeds ?? []) asks.append("seed", seed);
    return asks.toString();
  };

  // The settings that an address (a text, or an object of its fields) asks for, and one line on each thing in it that is not accepted.
  const read = (text) => {
    const asks = new URLSearchParams(text);
    const wrong = [];
    const accept = (name, fits, why) => asks.getAll(name).filter((one) => {
      if (!fits(one)) wrong.push(`${name} “${one}” ${why}`);
      return fits(one);
    });
    const listed = (name, all) => accept(name, (one) => all.includes(one), "is unknown here and ignored");
    const oneOf = (name, all) => accept(name, (one) => all.includes(one), `is unknown; accepted: ${all.join(", ")}`)[0] ?? all[0];
    const number = (name, low, high) => {
      const fits = (one) => one.trim() && one >= low && one <= high;
      const [value] = accept(name, fits, `is not accepted; accepted: numbers from ${low} to ${high}`);
      return value === undefined ? null : Number(value);
    };
    const found = { study: oneOf("study", studies.map((one) => one.study)) };
    found.claim = oneOf("claim", tablesOf(found).claims.map((one) => one.id));
    Object.assign(found, { margin: number("margin", 0.0001, 0.9999), threshold: number("threshold", -0.9999, 0.9999) });
    const { levels } = targetOf(found);
    found.level = oneOf("level", Object.keys(levels));
    found.without = listed("without", levels[found.level].names);
    const all = claimOf(found).seeds;
    const seeds = listed("seed", all.map(String)).map(Number);
    found.seeds = seeds.length && seeds.length < all.length ? all.filter((one) => seeds.includes(one)) : null;
    return [found, wrong.join("; ")];
  };

  // The command that takes the same settings; `--name=` where a value would look like an option.
  const commandOf = (chosen, { given }) => {
    const quoted = (text) => (/^[\w.-]+$/.test(text) ? text : `'${text.replace(/'/g, `'"'"'`)}'`);
    const word = ([name, value]) => `--${name}${value.startsWith("-") ? "=" : " "}${quoted(value)}`;
    return ["python -m pretraining_gain.tell.claims.what_if", ...[...new URLSearchParams(textOf({ ...chosen, study: given }))].map(word)].join(" ");
  };

  // ---- computing, after the browser has shown that it is under way

  const ask = () => {
    const number = (asked += 1);
    ui.app.setAttribute("aria-busy", "true");
    ui.status.textContent = "Recomputing …";
    setTimeout(() => number === asked && compute(), 20);
  };
  const compute = () => {
    try {
      answer = { settings: { ...settings }, outcome: recompute(tablesOf(settings), settings) };
      showAnswer(claimOf(settings), answer.outcome);
    } catch (error) {
      answer = null;
      const why = error instanceof NothingToTest ? error.message : `this cannot be computed here (${error.message})`;
      ui.status.textContent = `Nothing computed: ${why}.`;
    }
    ui.results.hidden = !answer;
    ui.app.removeAttribute("aria-busy");
    ui.app.dataset.done = asked;
    window.gainWhatIf.answer = answer;
  };

  // ---- what the reader does

  const change = (changes, note = "") => {
    settings = { ...settings, ...changes };
    history.replaceState(null, "", `#${textOf(settings)}`);
    ui.note.textContent = note;
    showControls();
    ask();
  };
  // The book's settings of a claim, or of another where the study lacks it.
  const open = (study, claim) => change(...read({ study, claim }));
  // Groups stay left out where the other claim is about the same target, seeds where it has the same.
  const chooseClaim = (id) => {
    const [wanted] = read({ study: settings.study, claim: id });
    const [claim, other] = [claimOf(settings), claimOf(wanted)];
    const seeds = String(claim.seeds) === String(other.seeds) ? settings.seeds : null;
    const { level, without } = claim.target === other.target ? settings : wanted;
    change({ ...wanted, seeds, level, without });
  };
  const takeGroups = () => change({ without: [...ui.groups.querySelectorAll("input:not(:checked)")].map((one) => one.value) });
  const takeSeeds = () => {
    const taken = [...ui.seeds.querySelectorAll("input:checked")].map((one) => Number(one.value));
    if (taken.length) return change({ seeds: taken.length === claimOf(settings).seeds.length ? null : taken });
    showControls();
    ui.note.textContent = "At least one seed stays in.";
  };
  const chooseFraction = (value, input) => {
    if (!input.reportValidity()) return; // the browser says what is accepted
    const fraction = Number((Number(value) / 100).toPrecision(12));
    change({ [input.name]: fraction === bookOf(input.name) ? null : fraction });
  };
  const copyLink = async () => {
    const copied = await navigator.clipboard?.writeText(window.location.href).then(() => true, () => false);
    ui.note.textContent = copied ? "The link is copied." : "The browser does not let this page copy; the link is in its address bar.";
  };
  const download = () => {
    const content = JSON.stringify({ ...answer, command: commandOf(settings, tablesOf(settings)) }, null, 1);
    save(`what-if-${settings.study}-${settings.claim}.json`, "application/json", content);
  };

  // ---- controls

  const acts = {
    study: (study) => open(study, settings.claim), claim: chooseClaim, level: (level) => change({ level, without: [] }),
    margin: chooseFraction, threshold: chooseFraction, seed: takeSeeds, group: takeGroups,
    reset: () => open(settings.study, settings.claim), copy: copyLink, download,
  };
  const check = (name, value, label, checked) => element("label", { className: "what-if-check" },
    element("input", { type: "checkbox", name, value, checked }), ` ${label}`);
  // New boxes in place of the old; the keyboard focus stays.
  const refill = (holder, boxes) => {
    const focused = [...holder.querySelectorAll("input")].indexOf(document.activeElement);
    holder.replaceChildren(...boxes);
    holder.querySelectorAll("input")[focused]?.focus();
  };

  const showControls = () => {
    const [tables, claim, { levels }] = [tablesOf(settings), claimOf(settings), targetOf(settings)];
    fill(ui.study, studies.map((one) => [one.study, `${one.study}: ${one.title}`]), settings.study);
    fill(ui.claim, tables.claims.map((one) => [one.id, `${one.id}. ${one.text}`]), settings.claim);
    const shown = (name) => Number((100 * (settings[name] ?? bookOf(name))).toPrecision(settings[name] === null ? 3 : 12));
    [ui.margin.value, ui.threshold.value] = [shown("margin"), shown("threshold")];
    ui.margin.disabled = !usesMargin();
    ui.threshold.disabled = !greater();
    ui.threshold.labels[0].textContent = `Threshold of “greater”, ${unitOf(greater() ?? { unit: "points" })}`;
    refill(ui.seeds, claim.seeds.map((seed) => check("seed", seed, `seed ${seed}`, !settings.seeds || settings.seeds.includes(seed))));
    fill(ui.level, Object.keys(levels).map((level) => [level, level === "name" ? "species" : level]), settings.level);
    const { names, of } = levels[settings.level];
    refill(ui.groups, names.map((name, code) => {
      const n = of.filter((one) => one === code).length;
      return check("group", name, n === 1 ? name : `${name} (${n})`, !settings.without.includes(name));
    }));
    ui.command.textContent = commandOf(settings, tables);
    showProvenance(holders, studies.indexOf(tables));
  };

  // ---- the answer: values are fractions, shown times 100 in the unit of their kind

  const unitOf = (part) => (part.unit === "%" ? "% of species" : part.unit);
  const unsigned = (value) => hundredfold(value, false);
  const effectOf = ({ effect, low, high, signed, ...part }) =>
    `${hundredfold(effect, signed)} ${unitOf(part)} (${hundredfold(low, signed)} to ${hundredfold(high, signed)})`;
  const pOf = (p) => (p < 0.0001 ? "< 0.0001" : p.toFixed(4));

  // What differs from the book's settings, in words.
  const differences = () => {
    const { margin, threshold, without, seeds } = settings;
    const found = [];
    if (margin !== null && usesMargin()) found.push(`margin ${unsigned(margin)} points instead of ${unsigned(bookOf("margin"))}`);
    if (threshold !== null && greater()) {
      found.push(`threshold ${unsigned(threshold)} instead of ${unsigned(bookOf("threshold"))} ${unitOf(greater())}`);
    }
    if (without.length) found.push(`without ${without.join(", ")}`);
    if (seeds) found.push(`${seeds.length === 1 ? "seed" : "seeds"} ${seeds.join(", ")} only`);
    return found.length ? `Changed: ${found.join("; ")}.` : "These are the book’s settings.";
  };

  const showVerdict = ({ book, parts }, outcome) => {
    const theirs = book.tests[book.decisive];
    const mine = outcome.tests[outcome.decisive];
    const { signed } = parts.find((one) => one.what === theirs.what);
    const line = (label, text) => row(label, [text({ ...theirs, signed }), mine ? text(mine) : "–"]);
    ui.verdict.replaceChildren(
      row("verdict", [book.verdict, outcome.verdict]), row("because", [book.rule, outcome.rule]),
      line("decided by", (test) => test.what), line("effect", effectOf),
      line("smallest detectable", (test) => (test.detectable === null ? "unknown" : `${unsigned(test.detectable)} ${unitOf(test)}`)),
      line("evidence", ({ n_seeds, n_classes, n_images }) =>
        `${count(n_seeds, "seed")}, ${count(n_classes, "species", "species")}, ${count(n_images, "image")}`));
  };
  const comparison = (part) => row(part.what, [
    `${part.test === "greater" ? "above " : "within ±"}${unsigned(part.bound)}`, effectOf(part), pOf(part.p_for), pOf(part.p_against),
    part.detectable === null ? "unknown" : unsigned(part.detectable)]);
  const gain = ({ group, classes, mean, low, high }) =>
    row(group, [classes.toLocaleString("en"), hundredfold(mean), `${hundredfold(low)} to ${hundredfold(high)}`]);

  const showAnswer = (claim, outcome) => {
    const { study, title } = tablesOf(settings);
    const { id, text, estimand, seeds, book, parts } = claim;
    ui.text.textContent = `${id}. ${text}`;
    ui.changed.textContent = differences();
    ui.facts.textContent = `Study ${study} (${title}), target ${targetOf(settings).title}, seeds ${(settings.seeds ?? seeds).join(", ")}. ` +
      `${estimand[0].toUpperCase()}${estimand.slice(1)}.`;
    showVerdict(claim, outcome);
    ui.comparisons.replaceChildren(...outcome.tests.map(comparison));
    ui.byGroup.hidden = !outcome.groups.length;
    ui.column.textContent = parts[0].column;
    ui.gains.replaceChildren(...outcome.groups.map(gain));
    ui.status.textContent = `${id}: ${outcome.verdict}; ${outcome.verdict === book.verdict ? "as in the book" : `in the book: ${book.verdict}`}.`;
  };

  const ui = application("gain-what-if", acts, "change");
  holders[0].before(ui.app);
  // A link to a section of the page changes nothing.
  const isOurs = () => /^#(study|claim)=/.test(window.location.hash);
  const start = () => {
    [settings, ui.note.textContent] = read(isOurs() ? window.location.hash.slice(1) : "");
    showControls();
    ask();
  };
  window.addEventListener("hashchange", () => isOurs() && start());
  start();
})();
