// The page "Change the analysis": controls, a worker that recomputes, and the answer beside the book's.
(() => {
  "use strict";
  const { element } = window.gainBook;
  const {
    LEVELS, MOST_DRAWS, FEWEST_DRAWS, asInBook, claimOf, targetOf, hasTest, boundOf, textOf, read, commandOf, points, unitOf, effectOf,
    testOf, pOf, count, differences,
  } = window.gainTweakPage;

  const holders = [...document.querySelectorAll(".gain-tweak")];
  const studies = holders.map((holder) => JSON.parse(holder.querySelector("script").textContent));
  const ui = {};
  let settings = null;
  let answer = null; // { settings, outcome, bootstrap }

  const tables = () => studies.find((one) => one.study === settings.study);
  const claim = () => claimOf(tables(), settings);

  // ---- computing, beside the page: a worker made of the texts of the arithmetic, so that no file is fetched

  const work = (live, { number, tables: of, settings: asked }, reply) => {
    try {
      reply({ number, outcome: live.recompute(of, asked) });
      reply({ number, bootstrap: live.drawn(of, asked) });
    } catch (error) {
      reply({ number, error: error instanceof live.NothingToTest ? error.message : `this cannot be computed here (${error.message})` });
    }
  };
  const source = () => `"use strict"; const live = {}; for (const part of [${window.gainTweak.map(String).join(",")}]) part(live);
    const work = ${work}; onmessage = (event) => work(live, event.data, postMessage);`;

  let [worker, number, busy] = [null, 0, false];
  const withoutWorker = () => {
    const live = {};
    for (const part of window.gainTweak) part(live);
    return { postMessage: (asked) => setTimeout(() => work(live, asked, (data) => receive({ data }))), terminate: () => {} };
  };
  const newWorker = () => {
    try {
      const made = new Worker(URL.createObjectURL(new Blob([source()], { type: "text/javascript" })));
      made.onmessage = receive;
      return made;
    } catch {
      return withoutWorker(); // slower: the page waits meanwhile
    }
  };

  const ask = () => {
    if (busy) {
      worker.terminate();
      worker = null;
    }
    worker ??= newWorker();
    busy = true;
    number += 1;
    ui.app.setAttribute("aria-busy", "true");
    ui.status.textContent = "Recomputing …";
    worker.postMessage({ number, tables: tables(), settings });
  };

  const receive = ({ data }) => {
    if (data.number !== number) return;
    if (data.error) {
      answer = null;
      finish(`Nothing computed: ${data.error}.`);
      ui.results.replaceChildren();
    } else if (data.outcome) {
      answer = { settings: { ...settings }, outcome: data.outcome, bootstrap: null };
      showAnswer();
    } else {
      answer.bootstrap = data.bootstrap;
      showAnswer();
      const changed = answer.outcome.verdict !== claim().book.verdict;
      finish(`${claim().id}: ${answer.outcome.verdict}; ${changed ? `in the book: ${claim().book.verdict}` : "as in the book"}.`);
    }
  };

  const finish = (text) => {
    busy = false;
    ui.status.textContent = text;
    ui.app.removeAttribute("aria-busy");
    ui.app.dataset.done = number;
    window.gainTweakPage.answer = answer;
  };

  // ---- what the reader does

  const change = (changes) => {
    settings = { ...settings, ...changes };
    history.replaceState(null, "", `#${textOf(settings, tables())}`);
    ui.note.textContent = "";
    showControls();
    ask();
  };
  const chooseStudy = (study) => change(asInBook(study, settings.claim, studies.find((one) => one.study === study).draws));
  // Groups stay left out where the other claim is about the same target.
  const chooseClaim = (id) => {
    const same = claim().domain === tables().claims.find((one) => one.id === id).domain;
    change({ claim: id, margin: null, threshold: null, ...(same ? {} : { level: "supercategory", without: [] }) });
  };
  const leaveOut = (name, out) => {
    const names = targetOf(tables(), settings).levels[settings.level].names;
    change({ without: names.filter((one) => (one === name ? out : settings.without.includes(one))) });
  };
  const takeSeed = (seed, taken) => {
    const now = tables().seeds.filter((one) => (one === seed ? taken : !settings.seeds || settings.seeds.includes(one)));
    if (!now.length) {
      showControls();
      ui.note.textContent = "At least one seed stays in.";
    } else change({ seeds: now.length === tables().seeds.length ? null : now });
  };
  const fraction = (input, book) => {
    const value = Number((Number(input.value) / 100).toPrecision(12));
    if (!input.value.trim() || !input.validity.valid) {
      input.reportValidity();
      ui.note.textContent = `“${input.value}” is not accepted; accepted: numbers from ${input.min} to ${input.max}.`;
      return;
    }
    change({ [input.name]: value === book ? null : value });
  };
  const chooseDraws = () => {
    if (ui.draws.value && ui.draws.validity.valid) change({ draws: Number(ui.draws.value) });
    else ui.note.textContent = `Draws: whole numbers from ${FEWEST_DRAWS} to ${MOST_DRAWS.toLocaleString("en")}.`;
  };
  const reset = () => change(asInBook(settings.study, settings.claim, tables().draws));
  const copyLink = async () => {
    try {
      await navigator.clipboard.writeText(window.location.href);
      ui.note.textContent = "The link is copied.";
    } catch {
      ui.note.textContent = "The browser does not let this page copy; the link is in its address bar.";
    }
  };
  const download = () => {
    const content = JSON.stringify({ ...answer, command: commandOf(settings, tables()) }, null, 1);
    const href = URL.createObjectURL(new Blob([content], { type: "application/json" }));
    element("a", { href, download: `tweak-${settings.study}-${settings.claim}.json` }).click();
    setTimeout(() => URL.revokeObjectURL(href), 1000);
  };

  // ---- controls

  const field = (label, input) => {
    input.id = `tweak-${input.name}`;
    return element("div", { className: "explorer-field" }, element("label", { htmlFor: input.id }, label), element("div", {}, input));
  };
  const pick = (name, act) => (ui[name] = element("select", { name, onchange: (event) => act(event.target.value) }));
  const entry = (name, limits, act) => (ui[name] = element("input", { type: "number", name, ...limits, onchange: act }));
  const button = (label, onclick) => element("button", { type: "button", onclick }, label);
  const options = (select, values, chosen) => select.replaceChildren(
    ...values.map(([value, label]) => element("option", { value, selected: value === chosen }, label)));
  const check = (label, checked, act) => element("label", { className: "tweak-check" },
    element("input", { type: "checkbox", checked, onchange: (event) => act(event.target.checked) }), ` ${label}`);
  // New boxes in place of the old, the keyboard staying where it is.
  const refill = (holder, boxes) => {
    const focused = [...holder.querySelectorAll("input")].indexOf(document.activeElement);
    holder.replaceChildren(...boxes);
    holder.querySelectorAll("input")[focused]?.focus();
  };
  const choices = (legend, ...more) => element("fieldset", { className: "tweak-choices" }, element("legend", {}, legend), ...more);

  const build = () => {
    const limits = { min: -99, max: 99, step: "any" };
    ui.seeds = element("div", { className: "tweak-checks" });
    ui.groups = element("div", { className: "tweak-checks tweak-groups", tabIndex: 0, role: "group", "aria-label": "Groups that stay in" });
    const controls = element("form", { className: "explorer-controls", onsubmit: () => false },
      element("div", { className: "explorer-row" }, field("Study", pick("study", chooseStudy)), field("Claim", pick("claim", chooseClaim))),
      element("div", { className: "explorer-row" },
        field("Margin of “equal”, points", entry("margin", { ...limits, min: 0.1 }, () => fraction(ui.margin, tables().margin))),
        field("Threshold of “greater”", entry("threshold", limits, () => fraction(ui.threshold, boundOf(claim())))),
        field("Bootstrap draws", entry("draws", { min: FEWEST_DRAWS, max: MOST_DRAWS, step: 1 }, chooseDraws))),
      choices("Seeds", ui.seeds),
      choices("Species that stay in", field("by", pick("level", (level) => change({ level, without: [] }))), ui.groups));
    ui.note = element("p", { className: "tweak-note", role: "alert" });
    ui.status = element("p", { className: "explorer-status tweak-status", role: "status" });
    ui.results = element("div", { className: "tweak-results" });
    ui.command = element("code", {});
    ui.app = element("section", { className: "explorer tweak", "aria-label": "Change the analysis" }, controls,
      element("div", { className: "explorer-bar" }, button("Reset to the book’s settings", reset), button("Copy link", copyLink),
        button("Download as JSON", download)),
      ui.note, ui.status, ui.results,
      element("p", { className: "explorer-facts" }, "The same in Python:"), element("pre", { className: "tweak-command", tabIndex: 0 }, ui.command));
    holders[0].before(ui.app);
  };

  const showControls = () => {
    options(ui.study, studies.map((one) => [one.study, `${one.study}: ${one.title}`]), settings.study);
    options(ui.claim, tables().claims.map((one) => [one.id, `${one.id}. ${one.text}`]), settings.claim);
    ui.margin.value = Number((100 * (settings.margin ?? tables().margin)).toPrecision(12));
    ui.margin.disabled = !hasTest(claim(), "equal");
    ui.threshold.value = Number((100 * (settings.threshold ?? boundOf(claim()))).toPrecision(12));
    ui.threshold.disabled = !hasTest(claim(), "greater");
    ui.threshold.parentElement.previousElementSibling.textContent = `Threshold of “greater”, ${unitOf(claim())}`;
    ui.draws.value = settings.draws;
    refill(ui.seeds, tables().seeds.map((seed) =>
      check(`seed ${seed}`, !settings.seeds || settings.seeds.includes(seed), (taken) => takeSeed(seed, taken))));
    const { levels } = targetOf(tables(), settings);
    options(ui.level, Object.keys(levels).map((level) => [level, LEVELS[level]]), settings.level);
    const { names, of } = levels[settings.level];
    refill(ui.groups, names.map((name, code) => {
      const n = of.filter((one) => one === code).length;
      return check(n === 1 ? name : `${name} (${n})`, !settings.without.includes(name), (taken) => leaveOut(name, !taken));
    }));
    ui.command.textContent = commandOf(settings, tables());
    holders.forEach((holder, i) => {
      holder.hidden = true;
      if (holder.nextElementSibling?.matches(".provenance")) holder.nextElementSibling.hidden = studies[i].study !== settings.study;
    });
  };

  // ---- the answer

  const table = (caption, heads, rows) => element("div", { className: "explorer-scroll", tabIndex: 0, role: "region", "aria-label": caption },
    element("table", {}, element("caption", {}, caption),
      element("thead", {}, element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)))),
      element("tbody", {}, ...rows.map(([first, ...cells]) => element("tr", {}, element("th", { scope: "row" }, first),
        ...cells.map((text) => element("td", {}, text)))))));

  const verdictTable = ({ outcome }) => {
    const book = claim().book;
    const [theirs, mine] = [book, outcome].map((one) => (one.decisive === null ? null : one.tests[one.decisive]));
    const sizes = (test) => `${count(test.n_seeds, "seed")}, ${count(test.n_classes, "species", "species")}, ${count(test.n_images, "image")}`;
    const row = (label, text) => [label, text(theirs), mine ? text(mine) : "–"];
    return table("The claim in the book and with these settings. Intervals are 95 percent.", ["", "in the book", "with these settings"], [
      ["verdict", book.verdict, outcome.verdict], ["because", book.rule, outcome.rule],
      row("decided by", (test) => test.what), row("effect", (test) => effectOf(claim(), test)),
      row("smallest detectable", (test) => `${points(test.detectable, false)} ${unitOf(claim())}`), row("evidence", sizes),
    ]);
  };

  const ends = (one) => (one ? `${points(one.low)} to ${points(one.high)}` : "…");
  const partsTable = ({ outcome, bootstrap }) => {
    const grouped = Boolean(claim().parts[0].column);
    const heads = ["comparison", "must be", "effect (interval)", ...(grouped ? [] : ["interval by bootstrap"]), "p for", "p against", "detectable"];
    return table("Every comparison of the claim. “p against” is before Holm’s correction.", heads, outcome.tests.map((part, i) => [
      part.what, testOf(part), effectOf(claim(), part), ...(grouped ? [] : [ends(bootstrap?.[i])]), pOf(part.p_for), pOf(part.p_against),
      points(part.detectable, false)]));
  };
  const groupsTable = ({ bootstrap }) => table(
    `Gain by ${claim().parts[0].column}, points, with intervals by bootstrap (seeds and species resampled).`, ["group", "species", "gain", "interval"],
    (bootstrap ?? []).map((one) => [one.group, one.classes.toLocaleString("en"), points(one.mean), ends(one)]));

  const showAnswer = () => {
    const changed = differences(tables(), settings);
    const seeds = (settings.seeds ?? tables().seeds).join(", ");
    const facts = `Study ${tables().study} (${tables().title}), target ${targetOf(tables(), settings).title}, seeds ${seeds}, `
      + `${settings.draws.toLocaleString("en")} draws. ${claim().estimand[0].toUpperCase()}${claim().estimand.slice(1)}.`;
    ui.results.replaceChildren(
      element("p", { className: "tweak-claim" }, `${claim().id}. ${claim().text}`),
      element("p", { className: "tweak-changed" }, changed.length ? `Changed: ${changed.join("; ")}.` : "These are the book’s settings."),
      verdictTable(answer), element("p", { className: "explorer-facts" }, facts), partsTable(answer),
      ...(claim().parts[0].column ? [groupsTable(answer)] : []));
  };

  build();
  // A link to a section of the page changes nothing.
  const isOurs = () => /^#(study|claim)=/.test(window.location.hash);
  const start = () => {
    const { settings: asked, wrong } = read(isOurs() ? window.location.hash.slice(1) : "", studies);
    settings = asked;
    showControls();
    ui.note.textContent = wrong.join("; ");
    ask();
  };
  window.addEventListener("hashchange", () => isOurs() && start());
  start();
})();
