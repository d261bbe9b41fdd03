// The table of runs: filter by study, figure, stage, pool, classes, seed or words of the name; the box above shows the command
// of the picked run. Each study's runs are a script, loaded when the reader chooses the study.
(() => {
  "use strict";
  const { element, load, option, save, table, region } = window.gainBook;
  const field = window.gainBook.field("rerun-by");
  const holder = document.querySelector(".rerun-runs");
  const box = holder.querySelector(".rerun-box");
  const studies = [...holder.querySelectorAll(".rerun-plain a")].map((link) => link.textContent);
  const CHOICES = { figure: "Figure", stage: "Stage or target", pool: "Pool", k: "Classes (k)", seed: "Seed" };
  const COLUMNS = { name: "Run", stage: "Stage or target", pool: "Pool", k: "k", seed: "Seed", design: "Design" };
  const ui = {};
  const state = { study: studies[0], typed: "", picked: null, runs: [], figures: {} };

  // ---- what is shown

  const fits = (run) =>
    ["stage", "pool", "k", "seed"].every((name) => !ui[name].value || String(run[name]) === ui[name].value) &&
    (!ui.figure.value || state.figures[ui.figure.value].includes(run.at)) &&
    state.typed.toLowerCase().split(/\s+/).every((word) => `${run.name} ${run.design}`.toLowerCase().includes(word));
  const shown = () => state.runs.filter(fits);

  // ---- what the reader does

  const chooseStudy = async (study, figure = "") => {
    state.wanted = study;
    await load(`rerun/${study}.js`);
    if (state.wanted !== study) return; // another was chosen while this one loaded
    const { rows, figures } = window.gainRuns[study];
    const runs = rows.map(([name, target, pool, k, seed, design, outcome, command], at) =>
      ({ at, name, stage: target || "pretraining", pool, k, seed, design, outcome, command }));
    Object.assign(state, { study, picked: null, runs, figures });
    ui.study.value = study;
    fillChoices();
    ui.figure.value = figure;
    show();
  };
  const chooseFigure = (name) => {
    ui.search.value = state.typed = "";
    return chooseStudy(studies.find((one) => name.startsWith(`${one}-`)), name);
  };
  const download = () => {
    const commands = shown().map((run) => `# ${run.name}: ${run.outcome}\n${run.command}`);
    save(`rerun-${state.study}.sh`, "text/plain", `${commands.join("\n\n")}\n`);
  };

  // ---- the page

  const titleOf = (figure) => document.getElementById(`rerun-${figure}`)?.querySelector("p").firstChild.textContent.replace(/ · $/, "") || figure;

  const fillChoices = () => {
    for (const name of ["stage", "pool", "k", "seed"]) {
      const values = [...new Set(state.runs.map((run) => run[name]))];
      if (typeof values[0] === "number") values.sort((a, b) => a - b);
      ui[name].replaceChildren(option("", "any"), ...values.map((value) => option(value)));
    }
    ui.figure.replaceChildren(option("", "any"), ...Object.keys(state.figures).map((name) => option(name, titleOf(name))));
  };

  const rowOf = (run) => {
    const name = element("button", { type: "button", className: "explorer-link", onclick: () => { state.picked = run; show(); } }, run.name);
    const facts = Object.keys(COLUMNS).slice(1).map((key) => element("td", {}, String(run[key])));
    return element("tr", run === state.picked ? { "aria-current": "true" } : {}, element("th", { scope: "row" }, name), ...facts);
  };

  const show = () => {
    const runs = shown();
    const focused = ui.body.contains(document.activeElement) ? document.activeElement.textContent : null;
    if (!runs.includes(state.picked)) state.picked = runs[0] || null;
    ui.status.textContent = `${runs.length.toLocaleString("en")} of ${state.runs.length.toLocaleString("en")} runs of study ${state.study}`;
    ui.download.textContent = `Download ${runs.length === 1 ? "this command" : `these ${runs.length.toLocaleString("en")} commands`}`;
    ui.download.hidden = box.hidden = !runs.length;
    if (state.picked) {
      box.querySelector("p code").textContent = state.picked.name;
      box.querySelector("p").lastChild.textContent = `: ${state.picked.outcome}`;
      box.querySelector("pre").textContent = `${state.picked.command}\n`;
    }
    ui.body.replaceChildren(...runs.map(rowOf));
    if (focused) [...ui.body.querySelectorAll("button")].find((one) => one.textContent === focused)?.focus({ preventScroll: true });
  };

  const build = () => {
    ui.study = element("select", { name: "study", onchange: (event) => chooseStudy(event.target.value) }, ...studies.map((one) => option(one)));
    ui.search = element("input", { type: "search", name: "run", placeholder: "e.g. animal-k4 s1", autocomplete: "off",
      oninput: (event) => { state.typed = event.target.value; show(); } });
    const choices = Object.entries(CHOICES).map(([name, label]) => field(label, (ui[name] = element("select", { name, onchange: show }))));
    ui.status = element("p", { className: "explorer-status", role: "status" });
    ui.download = element("button", { type: "button", onclick: download });
    const scroll = region("Runs", table(Object.values(COLUMNS), []));
    scroll.classList.add("rerun-scroll");
    ui.body = scroll.querySelector("tbody");
    const form = element("form", { className: "explorer-controls", onsubmit: () => false },
      element("div", { className: "explorer-row" }, field("Study", ui.study), ...choices, field("Words in the name", ui.search)));
    holder.querySelector(".rerun-table").append(element("section", { className: "explorer", "aria-label": "Runs and their commands" },
      form, element("div", { className: "explorer-bar" }, ui.status, ui.download), box, scroll));
  };

  build();
  chooseStudy(studies[0]).then(() => { holder.dataset.drawn = "true"; });
  for (const link of document.querySelectorAll(".rerun-entry li a[href='#rerun-runs']")) {
    link.addEventListener("click", () => chooseFigure(link.closest("li").id.replace("rerun-", "")));
  }
})();
