// The gain explorer: one application for all studies whose tables stand on the page, in place of their plain forms.
(() => {
  "use strict";
  const { endOf, levelsOf, groupName, rowsOf, groupsOf, summaryOf, meanOf, wordOf, matches, usualLevel, sorted, csvOf } = window.gainData;
  const { draw, percent, MANY } = window.gainPlot;
  const { element } = window.gainBook;
  const FEW = 60; // species that are shown one by one; rows of the table before it is asked for more
  const count = (n, word, plural = `${word}s`) => `${n.toLocaleString("en")} ${n === 1 ? word : plural}`;
  const PLURAL = { family: "families", order: "orders", supercategory: "supercategories", all: "groups" };

  const holders = [...document.querySelectorAll(".gain-explorer")];
  const studies = holders.map((holder) => JSON.parse(holder.querySelector("script").textContent));
  const state = {
    study: 0, target: 0, arm: 0, level: "", zoom: [], typed: "", intervals: true, cursor: null, well: 40, cut: "",
    sort: "mean", falling: true, all: false,
  };
  const ui = {};

  // ---- what is shown

  const tables = () => studies[state.study];
  const target = () => tables().targets[state.target];
  const arm = () => target().arms[state.arm];

  const inZoom = (row) => state.zoom.every(({ level, name }) => groupName(target(), level, row.i) === name);
  const finer = (level) => levelsOf(target())[levelsOf(target()).indexOf(level) - 1];

  const look = () => {
    const every = rowsOf(tables(), target(), arm(), state);
    const rows = every.filter(inZoom);
    const zoomed = state.zoom.at(-1);
    const bySpecies = Boolean(zoomed) && (rows.length <= FEW || !finer(zoomed.level));
    const groups = groupsOf(tables(), target(), arm(), rows, state.level);
    const alone = (row) => ({ name: row.species, rows: [row], mean: row.mean, low: row.low, high: row.high });
    const columns = bySpecies ? [...rows].sort((a, b) => b.mean - a.mean).map(alone) : groups;
    const listed = state.typed.trim() ? rows.filter((row) => matches(target(), row, state.typed)) : rows;
    const found = listed === rows ? null : new Set(listed.map((row) => row.i));
    return { every, rows, bySpecies, columns, listed, found, grades: new Set(every.map((row) => row.grade)) };
  };

  const inOrder = (rows) => sorted(target(), rows, state.sort, state.falling);

  // ---- what the reader does

  const change = (changes) => {
    Object.assign(state, { cursor: null, all: false }, changes);
    show();
  };
  const chooseStudy = (study) => {
    Object.assign(state, { study, target: 0, well: studies[study].well, cut: studies[study].cut });
    chooseTarget(0);
  };
  const chooseTarget = (place) => {
    Object.assign(state, { target: place, arm: 0, zoom: [], sort: "mean", falling: true });
    change({ level: usualLevel(target()) });
  };
  const zoomTo = (level, name) => {
    const outer = state.zoom.filter((one) => levelsOf(target()).indexOf(one.level) > levelsOf(target()).indexOf(level));
    state.zoom = [...outer, { level, name }];
    const many = target().species.filter((_, i) => inZoom({ i })).length > FEW;
    change({ level: (many && finer(level)) || level });
  };
  const back = () => {
    const left = state.zoom.at(-1);
    if (left) change({ zoom: state.zoom.slice(0, -1), level: left.level });
  };
  const openColumn = (at) => {
    const { bySpecies, columns } = look();
    if (!bySpecies && at !== null && columns[at]) zoomTo(state.level, columns[at].name);
  };
  const search = (typed) => change({ typed, zoom: [] });
  const openFound = () => {
    const { listed } = look();
    if (state.typed.trim() && listed.length) zoomTo(state.level, groupName(target(), state.level, listed[0].i));
  };
  const sortBy = (key) => {
    const numbers = typeof look().rows[0]?.[key] === "number";
    change({ sort: key, falling: state.sort === key ? !state.falling : numbers });
  };

  const onKey = (event) => {
    const { columns, bySpecies } = look();
    const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
    if (event.key in steps) {
      const from = state.cursor ?? (steps[event.key] > 0 ? -1 : columns.length);
      const at = Math.min(columns.length - 1, Math.max(0, from + steps[event.key]));
      state.cursor = at;
      const { name, rows, mean, low, high } = columns[at];
      const what = bySpecies ? "" : ` ${count(rows.length, "species", "species")}, mean`;
      ui.status.textContent = `${name}:${what} gain ${percent(mean)}, interval ${percent(low)} to ${percent(high)}.`;
      plot();
    } else if (event.key === "Enter") openColumn(state.cursor);
    else if (event.key === "Escape") back();
    else return;
    event.preventDefault();
  };

  const download = () => {
    const content = csvOf(tables(), target(), arm(), inOrder(look().listed), state);
    const href = URL.createObjectURL(new Blob([content], { type: "text/csv" }));
    element("a", { href, download: `gain-${tables().study}-${target().name}-${arm().arm}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(href), 1000);
  };

  // ---- the page

  const option = (label, value, selected) => element("option", { value, selected }, label);
  const fill = (select, labels, chosen) => select.replaceChildren(...labels.map((label, i) => option(label, i, i === chosen)));
  const field = (label, input, ...more) => {
    input.id = `explorer-${input.name}`;
    return element("div", { className: "explorer-field" }, element("label", { htmlFor: input.id }, label), element("div", {}, input, ...more));
  };

  const build = () => {
    const pick = (name, act) => (ui[name] = element("select", { name, onchange: (event) => act(event.target.value) }));
    ui.search = element("input", { type: "search", name: "species", placeholder: "e.g. owl", autocomplete: "off",
      oninput: (event) => search(event.target.value),
      onkeydown: (event) => { if (event.key === "Enter") { event.preventDefault(); openFound(); } } });
    ui.intervals = element("input", { type: "checkbox", name: "intervals", checked: true,
      onchange: (event) => change({ intervals: event.target.checked }) });
    ui.well = element("input", { type: "range", name: "well", min: 0, max: 50, step: 1,
      oninput: (event) => change({ well: Number(event.target.value) }) });
    ui.wellShown = element("output", {});
    ui.graded = element("div", { className: "explorer-row" },
      field("Well represented from", ui.well, " ", ui.wellShown),
      field("An image is correct by", pick("cut", (cut) => change({ cut }))));
    ui.controls = element("form", { className: "explorer-controls", onsubmit: () => false },
      element("div", { className: "explorer-row" },
        field("Study", pick("study", (value) => chooseStudy(Number(value)))),
        field("Target", pick("target", (value) => chooseTarget(Number(value)))),
        field("Pretrained on", pick("arm", (value) => change({ arm: Number(value) })))),
      element("div", { className: "explorer-row" },
        field("Species", ui.search),
        field("Group by", pick("level", (level) => change({ level, zoom: [] }))),
        field("Show", pick("group", (name) => (name ? zoomTo(ui.group.dataset.level, name) : change(outside())))),
        element("label", { className: "explorer-check" }, ui.intervals, " Intervals")),
      ui.graded);
    ui.facts = element("p", { className: "explorer-facts", id: "explorer-facts" });
    ui.status = element("p", { className: "explorer-status", role: "status", id: "explorer-status" });
    ui.back = element("button", { type: "button", className: "explorer-back", onclick: back });
    ui.canvas = element("div", {});
    ui.plot = element("div", { className: "explorer-plot", tabIndex: 0, role: "application", onkeydown: onKey,
      "aria-describedby": "explorer-status explorer-facts",
      "aria-label": "Chart of gains. Left and right arrow keys move, Enter zooms into a group, Escape goes back. " +
        "The table below has the same species." }, ui.canvas);
    ui.summary = element("div", { className: "explorer-scroll", tabIndex: 0, role: "region", "aria-label": "Gain by representation" });
    ui.download = element("button", { type: "button", onclick: download });
    ui.table = element("div", { className: "explorer-scroll", tabIndex: 0, role: "region", "aria-label": "Species shown" });
    ui.more = element("button", { type: "button", onclick: () => change({ all: true }) });
    const app = element("section", { className: "explorer", "aria-label": "Gain explorer" },
      ui.controls, ui.facts, element("div", { className: "explorer-bar" }, ui.back, ui.status), ui.plot, ui.summary,
      element("div", { className: "explorer-bar" }, ui.download), ui.table, ui.more);
    holders[0].before(app);
    fill(ui.study, studies.map((one) => one.study), 0);
    return app;
  };

  // All of the level that the outermost zoom was into.
  const outside = () => ({ zoom: [], level: state.zoom[0]?.level || state.level });

  const showControls = () => {
    const zoomed = state.zoom.at(-1);
    ui.study.value = state.study;
    fill(ui.target, tables().targets.map((one) => `${one.title} (${one.domain})`), state.target);
    const designs = [...new Set(target().arms.map((one) => one.design))];
    ui.arm.replaceChildren(...designs.map((design) =>
      element("optgroup", { label: design || "as published" }, ...target().arms.map((one, i) => [one, i])
        .filter(([one]) => one.design === design).map(([one, i]) => option(one.label, i, i === state.arm)))));
    ui.level.replaceChildren(...levelsOf(target()).map((level) =>
      option(level === "all" ? "nothing: no taxa stated" : level, level, level === (zoomed?.level || state.level))));
    const level = zoomed?.level || state.level;
    const around = rowsOf(tables(), target(), arm(), state)
      .filter((row) => state.zoom.slice(0, -1).every((one) => groupName(target(), one.level, row.i) === one.name));
    const groups = groupsOf(tables(), target(), arm(), around, level).sort((a, b) => a.name.localeCompare(b.name));
    ui.group.dataset.level = level;
    ui.group.replaceChildren(option(`all ${PLURAL[level]}`, "", !zoomed),
      ...groups.map(({ name, rows }) => option(`${name} (${rows.length})`, name, name === zoomed?.name)));
    ui.graded.hidden = tables().graded !== "annotated";
    ui.well.value = state.well;
    ui.wellShown.textContent = count(state.well, "correct image");
    ui.cut.replaceChildren(...tables().cuts.map((cut) => option(cut, cut, cut === state.cut)));
    if (ui.search.value !== state.typed) ui.search.value = state.typed;
    ui.intervals.checked = state.intervals;
    ui.back.hidden = !zoomed;
    ui.back.textContent = `← Back to ${state.zoom.at(-2)?.name || `all ${zoomed ? PLURAL[zoomed.level] : ""}`}`;
    holders.forEach((holder, i) => {
      holder.hidden = true;
      if (holder.nextElementSibling?.matches(".provenance")) holder.nextElementSibling.hidden = i !== state.study;
    });
  };

  const seedsText = () => `${arm().seeds.length === 1 ? "seed" : "seeds"} ${arm().seeds.join(", ")}`;

  const showTexts = ({ rows, listed, columns, bySpecies }) => {
    const zoomed = state.zoom.at(-1);
    const design = arm().design ? ` (${arm().design})` : "";
    ui.facts.textContent = `Study ${tables().study} (${tables().title}); target ${target().title}, pretrained on ${arm().label}${design}, ${seedsText()}. Gain: ` +
      `top-1 minus top-1 from scratch, same images and seeds. Intervals: 95 percent, ${tables().draws.toLocaleString("en")} draws.`;
    const where = zoomed ? ` in ${zoomed.name}` : "";
    const groups = bySpecies || state.level === "all" ? "" : ` in ${count(columns.length, state.level, PLURAL[state.level])}`;
    let ends = zoomed ? null : arm().all;
    if (zoomed && zoomed.level in arm().groups) {
      const at = target().levels[zoomed.level].names.indexOf(zoomed.name);
      ends = { low: [arm().groups[zoomed.level].low[at]], high: [arm().groups[zoomed.level].high[at]] };
    }
    const interval = ends && state.zoom.length < 2
      ? `, interval ${percent(endOf(tables(), ends.low[0]))} to ${percent(endOf(tables(), ends.high[0]))}` : "";
    const mean = `mean gain ${percent(meanOf(rows, arm().seeds.length))}${interval}`;
    const dense = state.intervals && rows.length > MANY ? " Intervals of species are drawn once fewer are shown." : "";
    ui.status.textContent = state.typed.trim()
      ? `${count(listed.length, "species", "species")} found for “${state.typed.trim()}”${listed.length ? "; Enter zooms to the first." : "."}`
      : `${count(rows.length, "species", "species")}${where}${groups}: ${mean}.${dense}`;
  };

  const showSummary = ({ rows }) => {
    const body = summaryOf(tables(), rows, arm(), state.well).map((one) => element("tr", {},
      element("th", { scope: "row" }, element("span", { className: "explorer-dot", style: `color:${tables().styles[one.grade][0]}`,
        "aria-hidden": "true" }, { circle: "●", square: "■", diamond: "◆" }[tables().styles[one.grade][1]]), ` ${one.word}`),
      ...[one.species.toLocaleString("en"), one.images.toLocaleString("en"), one.species ? percent(one.mean) : "–"]
        .map((text) => element("td", {}, text))));
    const heads = ["representation", "species", "images", "mean gain"].map((text) => element("th", { scope: "col" }, text));
    ui.summary.replaceChildren(element("table", { className: "explorer-summary" },
      element("caption", {}, "Means over all images of the species shown, recomputed here; intervals of such groups are in the chapters."),
      element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...body)));
  };

  const number = (text) => element("td", { className: "number" }, text);
  const groupCell = (level, name) => element("td", {},
    element("button", { type: "button", className: "explorer-link", onclick: () => zoomTo(level, name) }, name));

  const showTable = ({ listed }) => {
    const levels = Object.keys(target().levels);
    const correct = tables().graded === "annotated" ? { correct: "correct images" } : {};
    const columns = { species: "species", mean: "gain", low: "from", high: "to", images: "images", grade: "representation",
      ...correct, ...Object.fromEntries(levels.map((level) => [level, level])) };
    const focused = document.activeElement?.dataset?.sort;
    const head = Object.entries(columns).map(([key, label]) => {
      const active = state.sort === key;
      const button = element("button", { type: "button", onclick: () => sortBy(key) }, `${label}${active ? (state.falling ? " ▼" : " ▲") : ""}`);
      button.dataset.sort = key;
      return element("th", { scope: "col", "aria-sort": active ? (state.falling ? "descending" : "ascending") : "none" }, button);
    });
    const cells = {
      species: (row) => element("th", { scope: "row", title: row.taxon }, row.species),
      grade: (row) => element("td", {}, wordOf(tables(), row.grade, state.well)),
      ...Object.fromEntries(["mean", "low", "high"].map((key) => [key, (row) => number(percent(row[key]))])),
      ...Object.fromEntries(["images", "correct"].map((key) => [key, (row) => number(row[key])])),
      ...Object.fromEntries(levels.map((level) => [level, (row) => groupCell(level, groupName(target(), level, row.i))])),
    };
    const line = (row) => element("tr", {}, ...Object.keys(columns).map((key) => cells[key](row)));
    const rows = inOrder(listed);
    const shown = state.all ? rows : rows.slice(0, FEW);
    ui.table.replaceChildren(element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...shown.map(line))));
    ui.more.hidden = shown.length === rows.length;
    ui.more.textContent = `Show all ${rows.length.toLocaleString("en")} rows`;
    ui.download.textContent = `Download ${count(rows.length, "row")} as CSV`;
    if (focused) ui.table.querySelector(`[data-sort="${focused}"]`)?.focus();
  };

  let drawing = Promise.resolve();
  let asked = 0;
  const plot = () => {
    const mine = (asked += 1);
    drawing = drawing.then(async () => {
      if (mine !== asked) return; // something newer is waiting
      const seen = look();
      const level = seen.bySpecies ? state.zoom.at(-1).name : state.level === "all" ? "" : state.level;
      await draw(ui.canvas, { ...seen, ...state, tables: tables(), target: target(), arm: arm(), title: level });
      if (!ui.canvas.dataset.wired) {
        ui.canvas.on("plotly_click", (event) => openColumn(event.points[0].customdata));
        ui.canvas.dataset.wired = "true";
      }
      ui.app.dataset.drawn = mine;
    });
  };

  const show = () => {
    const seen = look();
    showControls();
    showTexts(seen);
    showSummary(seen);
    showTable(seen);
    plot();
  };

  ui.app = build();
  const asks = new URLSearchParams(window.location.search);
  chooseStudy(Math.max(0, studies.findIndex((one) => one.study === asks.get("study"))));
  const wanted = tables().targets.findIndex((one) => one.name === asks.get("target"));
  if (wanted > 0) chooseTarget(wanted);
  if (asks.get("species")) search(asks.get("species"));
  new MutationObserver(plot).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  let wide = ui.canvas.clientWidth;
  new ResizeObserver(() => {
    if (Math.abs(ui.canvas.clientWidth - wide) < 2) return;
    wide = ui.canvas.clientWidth;
    plot();
  }).observe(ui.canvas);
})();
