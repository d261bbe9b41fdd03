// The table of runs: filter by study, figure, stage, pool, classes, seed or words of the name; the box above shows the command
// of the picked run. Each study's runs are a script, loaded when the reader chooses the study.
(() => {
  "use strict";
  const { application, button, fill, load, save, count, row } = window.gainBook;
  const holder = document.querySelector(".rerun-runs");
  const command = holder.querySelector(".rerun-box");
  const studies = [...holder.querySelectorAll(".rerun-plain a")].map((link) => link.textContent);
  const CHOICES = ["stage", "pool", "k", "seed"];
  const state = { picked: null, runs: [], figures: {} };

  // ---- what is shown

  const fits = (run) =>
    CHOICES.every((name) => !ui[name].value || String(run[name]) === ui[name].value) &&
    (!ui.figure.value || state.figures[ui.figure.value].runs.includes(run.at)) &&
    ui.run.value.toLowerCase().split(/\s+/).every((word) => `${run.name} ${run.design}`.toLowerCase().includes(word));
  const shown = () => state.runs.filter(fits);

  // ---- what the reader does

  const chooseStudy = async (study, figure = "") => {
    ui.study.value = study;
    await load(`rerun/${study}.js`);
    if (ui.study.value !== study) return; // another was chosen while this one loaded
    const { rows, figures } = window.gainRuns[study];
    const runs = rows.map(([name, target, pool, k, seed, design, outcome, command], at) =>
      ({ at, name, stage: target || "pretraining", pool, k, seed, design, outcome, command }));
    Object.assign(state, { picked: null, runs, figures });
    fillChoices();
    ui.figure.value = figure;
    show();
  };
  const chooseFigure = (name) => {
    ui.run.value = "";
    const named = studies.filter((one) => name.startsWith(`${one}-`)); // also of a study `mini` where there is `mini-own`
    return chooseStudy(named.sort((a, b) => b.length - a.length)[0], name);
  };
  const download = () => {
    const commands = shown().map((run) => `# ${run.name}: ${run.outcome}\n${run.command}`);
    save(`rerun-${ui.study.value}.sh`, "text/plain", `${commands.join("\n\n")}\n`);
  };

  // ---- the page

  const fillChoices = () => {
    for (const name of CHOICES) {
      const values = [...new Set(state.runs.map((run) => run[name]))];
      if (typeof values[0] === "number") values.sort((a, b) => a - b);
      fill(ui[name], [["", "any"], ...values.map((value) => [value, value])]);
    }
    fill(ui.figure, [["", "any"], ...Object.entries(state.figures).map(([name, { title }]) => [name, title])]);
  };

  const lineOf = (run) => {
    const name = button(run.name, () => pick(run), { className: "explorer-link" });
    return row(name, [...CHOICES, "design"].map((key) => run[key]));
  };
  const pick = (run) => {
    state.picked = run;
    for (const line of ui.body.rows) line.ariaCurrent = line.cells[0].textContent === run.name ? "true" : null;
    command.querySelector("p code").textContent = run.name;
    command.querySelector("p").lastChild.textContent = `: ${run.outcome}`;
    command.querySelector("pre").textContent = `${run.command}\n`;
  };

  const show = () => {
    const runs = shown();
    ui.status.textContent = `${runs.length.toLocaleString("en")} of ${count(state.runs.length, "run")} of study ${ui.study.value}`;
    ui.download.textContent = `Download ${runs.length === 1 ? "this command" : `these ${count(runs.length, "command")}`}`;
    ui.download.hidden = command.hidden = !runs.length;
    ui.body.replaceChildren(...runs.map(lineOf));
    if (runs.length) pick(runs.includes(state.picked) ? state.picked : runs[0]);
  };

  const acts = { study: chooseStudy, figure: show, stage: show, pool: show, k: show, seed: show, run: show, download };
  const ui = application("rerun-table", acts);
  ui.scroll.before(command);
  holder.querySelector(".rerun-table").append(ui.app);
  fill(ui.study, studies.map((one) => [one, one]));
  chooseStudy(studies[0]).then(() => { holder.dataset.drawn = "true"; });
  for (const link of document.querySelectorAll(".rerun-entry li a[href='#rerun-runs']")) {
    link.addEventListener("click", () => chooseFigure(link.closest("li").id.replace("rerun-", "")));
  }
})();
