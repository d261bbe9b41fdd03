// The page "Change the analysis": controls, and the answer beside the book's.
(() => {
  "use strict";
  const { element, hundredfold, option, save, count, table, region, studiesOf, showProvenance } = window.gainBook;
  const field = window.gainBook.field("what-if");
  const {
    NothingToTest, recompute, LEVELS, claimOf, targetOf, partWith, usesMargin, textOf, read, commandOf,
    unitOf, effectOf, testOf, differences,
  } = window.gainWhatIf;

  const holders = [...document.querySelectorAll(".gain-what-if")];
  const studies = studiesOf(holders);
  const ui = {};
  let [settings, answer, asked] = [null, null, 0];
  const tables = () => studies.find((one) => one.study === settings.study);
  const claim = () => claimOf(tables(), settings);

  // ---- computing, after the browser has shown that it is under way

  const ask = () => {
    asked += 1;
    const number = asked;
    ui.app.setAttribute("aria-busy", "true");
    ui.status.textContent = "Recomputing …";
    setTimeout(() => number === asked && compute(), 20);
  };
  const compute = () => {
    try {
      answer = { settings: { ...settings }, outcome: recompute(tables(), settings) };
      showAnswer();
      const { verdict } = claim().book;
      const same = answer.outcome.verdict === verdict;
      ui.status.textContent = `${claim().id}: ${answer.outcome.verdict}; ${same ? "as in the book" : `in the book: ${verdict}`}.`;
    } catch (error) {
      answer = null;
      ui.results.replaceChildren();
      const why = error instanceof NothingToTest ? error.message : `this cannot be computed here (${error.message})`;
      ui.status.textContent = `Nothing computed: ${why}.`;
    }
    ui.app.removeAttribute("aria-busy");
    ui.app.dataset.done = asked;
    window.gainWhatIf.answer = answer;
  };

  // ---- what the reader does

  const change = (changes) => {
    settings = { ...settings, ...changes };
    history.replaceState(null, "", `#${textOf(settings)}`);
    ui.note.textContent = "";
    showControls();
    ask();
  };
  // The book's settings of a claim, or of another where the study lacks it.
  const open = (study, id) => {
    const { settings: wanted, wrong } = read({ study, claim: id }, studies);
    change(wanted);
    ui.note.textContent = wrong.join("; ");
  };
  // Groups stay left out where the other claim is about the same target, seeds where it has the same.
  const chooseClaim = (id) => {
    const { settings: wanted } = read({ study: settings.study, claim: id }, studies);
    const other = claimOf(tables(), wanted);
    const seeds = String(claim().seeds) === String(other.seeds) ? settings.seeds : null;
    const { level, without } = claim().target === other.target ? settings : wanted;
    change({ ...wanted, seeds, level, without });
  };
  const leaveOut = (name, out) => {
    const { names } = targetOf(tables(), settings).levels[settings.level];
    change({ without: names.filter((one) => (one === name ? out : settings.without.includes(one))) });
  };
  const takeSeed = (seed, taken) => {
    const now = claim().seeds.filter((one) => (one === seed ? taken : !settings.seeds || settings.seeds.includes(one)));
    if (now.length) return change({ seeds: now.length === claim().seeds.length ? null : now });
    showControls();
    ui.note.textContent = "At least one seed stays in.";
  };
  const chooseFraction = (input, book) => {
    const value = Number((Number(input.value) / 100).toPrecision(12));
    if (input.value.trim() && input.validity.valid) return change({ [input.name]: value === book ? null : value });
    input.reportValidity();
    ui.note.textContent = `“${input.value}” is not accepted; accepted: numbers from ${input.min} to ${input.max}.`;
  };
  const copyLink = async () => {
    const copied = await navigator.clipboard?.writeText(window.location.href).then(() => true, () => false);
    ui.note.textContent = copied ? "The link is copied." : "The browser does not let this page copy; the link is in its address bar.";
  };
  const download = () => {
    const content = JSON.stringify({ ...answer, command: commandOf(settings, tables()) }, null, 1);
    save(`what-if-${settings.study}-${settings.claim}.json`, "application/json", content);
  };

  // ---- controls

  const pick = (name, act) => (ui[name] = element("select", { name, onchange: (event) => act(event.target.value) }));
  const entry = (name, min, book) => (ui[name] = element("input", {
    type: "number", name, min, max: 99, step: "any", onchange: () => chooseFraction(ui[name], book()) }));
  const button = (label, onclick) => element("button", { type: "button", onclick }, label);
  const options = (select, values, chosen) => select.replaceChildren(...values.map(([value, label]) => option(value, label, value === chosen)));
  const check = (label, checked, act) => element("label", { className: "what-if-check" },
    element("input", { type: "checkbox", checked, onchange: (event) => act(event.target.checked) }), ` ${label}`);
  // New boxes in place of the old; the keyboard focus stays.
  const refill = (holder, boxes) => {
    const focused = [...holder.querySelectorAll("input")].indexOf(document.activeElement);
    holder.replaceChildren(...boxes);
    holder.querySelectorAll("input")[focused]?.focus();
  };
  const choices = (legend, ...more) => element("fieldset", { className: "what-if-choices" }, element("legend", {}, legend), ...more);
  const bookBound = () => partWith(claim(), "greater")?.bound ?? 0;

  const build = () => {
    ui.seeds = element("div", { className: "what-if-checks" });
    ui.groups = element("div", { className: "what-if-checks what-if-groups", tabIndex: 0, role: "group", "aria-label": "Groups that stay in" });
    ui.note = element("p", { className: "what-if-note", role: "alert" });
    ui.status = element("p", { className: "explorer-status what-if-status", role: "status" });
    ui.results = element("div", { className: "what-if-results" });
    ui.command = element("code", {});
    const controls = element("form", { className: "explorer-controls", onsubmit: () => false },
      element("div", { className: "explorer-row" }, field("Study", pick("study", (study) => open(study, settings.claim))),
        field("Claim", pick("claim", chooseClaim))),
      element("div", { className: "explorer-row" }, field("Margin, points", entry("margin", 0.1, () => targetOf(tables(), settings).margin)),
        field("Threshold of “greater”", entry("threshold", -99, bookBound))),
      choices("Seeds", ui.seeds),
      choices("Species that stay in", field("by", pick("level", (level) => change({ level, without: [] }))), ui.groups));
    ui.app = element("section", { className: "explorer what-if", "aria-label": "Change the analysis" }, controls,
      element("div", { className: "explorer-bar" }, button("Reset to the book’s settings", () => open(settings.study, settings.claim)),
        button("Copy link", copyLink), button("Download as JSON", download)),
      ui.note, ui.status, ui.results,
      element("p", { className: "explorer-facts" }, "The same in Python:"), element("pre", { className: "what-if-command", tabIndex: 0 }, ui.command));
    holders[0].before(ui.app);
  };

  const showControls = () => {
    options(ui.study, studies.map((one) => [one.study, `${one.study}: ${one.title}`]), settings.study);
    options(ui.claim, tables().claims.map((one) => [one.id, `${one.id}. ${one.text}`]), settings.claim);
    for (const [name, test, book] of [["margin", "equal", targetOf(tables(), settings).margin], ["threshold", "greater", bookBound()]]) {
      ui[name].value = Number((100 * (settings[name] ?? book)).toPrecision(12));
      ui[name].disabled = name === "margin" ? !usesMargin(claim()) : !partWith(claim(), test);
    }
    ui.threshold.parentElement.previousElementSibling.textContent = `Threshold of “greater”, ${unitOf(partWith(claim(), "greater") ?? { unit: "points" })}`;
    refill(ui.seeds, claim().seeds.map((seed) =>
      check(`seed ${seed}`, !settings.seeds || settings.seeds.includes(seed), (taken) => takeSeed(seed, taken))));
    const { levels } = targetOf(tables(), settings);
    options(ui.level, Object.keys(levels).map((level) => [level, LEVELS[level]]), settings.level);
    const { names, of } = levels[settings.level];
    refill(ui.groups, names.map((name, code) => {
      const n = of.filter((one) => one === code).length;
      return check(n === 1 ? name : `${name} (${n})`, !settings.without.includes(name), (taken) => leaveOut(name, !taken));
    }));
    ui.command.textContent = commandOf(settings, tables());
    showProvenance(holders, studies.indexOf(tables()));
  };

  // ---- the answer

  const shown = (caption, heads, rows) => region(caption, table(heads, rows.map(([first, ...cells]) =>
    element("tr", {}, element("th", { scope: "row" }, first), ...cells.map((text) => element("td", {}, text)))), {}, caption));

  const verdictTable = (outcome) => {
    const { book } = claim();
    const [theirs, mine] = [book, outcome].map((one) => (one.decisive === null ? null : one.tests[one.decisive]));
    const row = (label, text) => [label, text({ ...theirs, signed: claim().parts.find((one) => one.what === theirs.what).signed }), mine ? text(mine) : "–"];
    return shown("The claim in the book and with these settings. Intervals are 95 percent.", ["", "in the book", "with these settings"], [
      ["verdict", book.verdict, outcome.verdict], ["because", book.rule, outcome.rule], row("decided by", (test) => test.what),
      row("effect", effectOf), row("smallest detectable", (test) => (test.detectable === null ? "unknown" : `${hundredfold(test.detectable, false)} ${unitOf(test)}`)),
      row("evidence", (test) => `${count(test.n_seeds, "seed")}, ${count(test.n_classes, "species", "species")}, ${count(test.n_images, "image")}`)]);
  };
  const pOf = (p) => (p < 0.0001 ? "< 0.0001" : p.toFixed(4));
  const partsTable = (tests) => shown("Every comparison of the claim. “p against” is before Holm’s correction.",
    ["comparison", "must be", "effect (interval)", "p for", "p against", "detectable"], tests.map((part) => [part.what, testOf(part),
      effectOf(part), pOf(part.p_for), pOf(part.p_against), part.detectable === null ? "unknown" : hundredfold(part.detectable, false)]));
  const groupsTable = (groups) => shown(`Gain by ${claim().parts[0].column}, points, with 95 percent intervals.`,
    ["group", "species", "gain", "interval"], groups.map((one) => [one.group, one.classes.toLocaleString("en"), hundredfold(one.mean),
      `${hundredfold(one.low)} to ${hundredfold(one.high)}`]));

  const showAnswer = () => {
    const changed = differences(tables(), settings);
    const facts = `Study ${tables().study} (${tables().title}), target ${targetOf(tables(), settings).title}, seeds `
      + `${(settings.seeds ?? claim().seeds).join(", ")}. ${claim().estimand[0].toUpperCase()}${claim().estimand.slice(1)}.`;
    const { outcome } = answer;
    ui.results.replaceChildren(
      element("p", { className: "what-if-claim" }, `${claim().id}. ${claim().text}`),
      element("p", { className: "what-if-changed" }, changed.length ? `Changed: ${changed.join("; ")}.` : "These are the book’s settings."),
      verdictTable(outcome), element("p", { className: "explorer-facts" }, facts), partsTable(outcome.tests),
      ...(outcome.groups.length ? [groupsTable(outcome.groups)] : []));
  };

  build();
  // A link to a section of the page changes nothing.
  const isOurs = () => /^#(study|claim)=/.test(window.location.hash);
  const start = () => {
    const { settings: wanted, wrong } = read(isOurs() ? window.location.hash.slice(1) : "", studies);
    settings = wanted;
    showControls();
    ui.note.textContent = wrong.join("; ");
    ask();
  };
  window.addEventListener("hashchange", () => isOurs() && start());
  start();
})();
