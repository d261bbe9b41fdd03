// The gain explorer: one application for all studies whose tables are on the page, in place of their plain forms.
(() => {
  "use strict";
  const { endOf, levelsOf, groupName, rowsOf, groupsOf, summaryOf, meanOf, wordOf, matches, usualLevel, sorted, csvOf } = window.gainData;
  const { draw, points, interval, MANY } = window.gainPlot;
  const { element, option, save, count, table, region, studiesOf, showProvenance } = window.gainBook;
  const field = window.gainBook.field("explorer");
  const FEW = 60; // species that are shown one by one; rows of the table before the reader asks for more
  const PLURAL = { family: "families", order: "orders", supercategory: "supercategories", all: "groups" };
  const MARKS = { circle: "●", square: "■", diamond: "◆", x: "✕" };

  const holders = [...document.querySelectorAll(".gain-explorer")];
  const studies = studiesOf(holders);
  const state = {
    study: 0, target: 0, arm: 0, level: "", zoom: [], typed: "", intervals: true, cursor: null, well: 40, cut: "",
    sort: "mean", falling: true, all: false,
  };
  const ui = {};

  // ---- what is shown

  const tables = () => studies[state.study];
  const target = () => tables().targets[state.target];
  const arm = () => target().arms[state.arm];
  const zoomed = () => state.zoom.at(-1);
  const inside = (zoom) => (row) => zoom.every(({ level, name }) => groupName(target(), level, row.i) === name);
  const finer = (level) => levelsOf(target())[levelsOf(target()).indexOf(level) - 1];

  const look = () => {
    const every = rowsOf(tables(), target(), arm(), state);
    const rows = every.filter(inside(state.zoom));
    const bySpecies = Boolean(zoomed()) && (rows.length <= FEW || !finer(zoomed().level));
    const columns = bySpecies ? sorted(target(), rows, "mean", true).map((row) => ({ ...row, name: row.species, rows: [row] }))
      : groupsOf(tables(), target(), arm(), rows, state.level);
    const listed = state.typed.trim() ? rows.filter((row) => matches(target(), row, state.typed)) : rows;
    const found = listed === rows ? null : new Set(listed.map((row) => row.i));
    const ordered = sorted(target(), listed, state.sort, state.falling);
    return { every, rows, bySpecies, columns, ordered, found, grades: new Set(every.map((row) => row.grade)) };
  };

  // ---- what the reader does

  // A button that was pressed may be gone afterwards; the keyboard then goes on at what it changed.
  const change = (changes) => {
    const pressed = document.activeElement;
    Object.assign(state, { cursor: null, all: false }, changes);
    show();
    if ((pressed?.isConnected && !pressed.hidden) || ui.table.contains(document.activeElement)) return;
    (pressed === ui.more ? ui.table : ui.chart).focus();
  };
  const chooseTarget = (place) => {
    Object.assign(state, { target: place, arm: 0, zoom: [], sort: "mean", falling: true });
    change({ level: usualLevel(target()) });
  };
  const chooseStudy = (study) => {
    Object.assign(state, { study, target: 0, well: studies[study].well, cut: studies[study].cut });
    chooseTarget(0);
  };
  const zoomTo = (level, name) => {
    const levels = levelsOf(target());
    const zoom = [...state.zoom.filter((one) => levels.indexOf(one.level) > levels.indexOf(level)), { level, name }];
    const many = target().species.filter((_, i) => inside(zoom)({ i })).length > FEW;
    change({ zoom, level: (many && finer(level)) || level });
  };
  const back = () => zoomed() && change({ zoom: state.zoom.slice(0, -1), level: zoomed().level });
  const openColumn = (at) => {
    const { bySpecies, columns } = look();
    if (!bySpecies && at !== null && columns[at]) zoomTo(state.level, columns[at].name);
  };
  const search = (typed) => change({ typed, zoom: [] });
  const openFound = () => {
    const { ordered } = look();
    if (state.typed.trim() && ordered.length) zoomTo(state.level, groupName(target(), state.level, ordered[0].i));
  };
  const sortBy = (key) => {
    const numbers = typeof look().rows[0]?.[key] === "number";
    change({ sort: key, falling: state.sort === key ? !state.falling : numbers });
  };
  const step = (by) => {
    const { columns, bySpecies } = look();
    const from = state.cursor ?? (by > 0 ? -1 : columns.length);
    state.cursor = Math.min(columns.length - 1, Math.max(0, from + by));
    const column = columns[state.cursor];
    const what = bySpecies ? "" : ` ${count(column.rows.length, "species", "species")}, mean`;
    ui.status.textContent = `${column.name}:${what} gain ${points(column.mean)} points, ${interval(column)}.`;
    plot();
  };
  const onKey = (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
    if (event.key in steps) step(steps[event.key]);
    else if (event.key === "Enter") openColumn(state.cursor);
    else if (event.key === "Escape") back();
    else return;
    event.preventDefault();
  };
  const download = () =>
    save(`gain-${tables().study}-${target().name}-${arm().arm}.csv`, "text/csv", csvOf(tables(), target(), arm(), look().ordered, state));

  // ---- the page

  const fill = (select, labels, chosen) => select.replaceChildren(...labels.map((label, i) => option(i, label, i === chosen)));
  const row = (...fields) => element("div", { className: "explorer-row" }, ...fields);
  const bar = (...parts) => element("div", { className: "explorer-bar" }, ...parts);

  const build = () => {
    const pick = (name, act) => (ui[name] = element("select", { name, onchange: (event) => act(event.target.value) }));
    const onEnter = (event) => { if (event.key === "Enter") { event.preventDefault(); openFound(); } };
    ui.search = element("input", { type: "search", name: "species", autocomplete: "off",
      oninput: (event) => search(event.target.value), onkeydown: onEnter });
    ui.intervals = element("input", { type: "checkbox", name: "intervals", onchange: (event) => change({ intervals: event.target.checked }) });
    ui.well = element("input", { type: "range", name: "well", min: 0, max: 50, step: 1, oninput: (event) => change({ well: Number(event.target.value) }) });
    ui.wellShown = element("output", {});
    ui.graded = row(field("Well represented from", ui.well, " ", ui.wellShown), field("An image is correct by", pick("cut", (cut) => change({ cut }))));
    const outermost = () => ({ zoom: [], level: state.zoom[0]?.level || state.level });
    const controls = element("form", { className: "explorer-controls", onsubmit: () => false },
      row(field("Study", pick("study", (value) => chooseStudy(Number(value)))),
        field("Target", pick("target", (value) => chooseTarget(Number(value)))),
        field("Pretrained on", pick("arm", (value) => change({ arm: Number(value) })))),
      row(field("Species", ui.search), field("Group by", pick("level", (level) => change({ level, zoom: [] }))),
        field("Show", pick("group", (name) => (name ? zoomTo(ui.group.dataset.level, name) : change(outermost())))),
        element("label", { className: "explorer-check" }, ui.intervals, " Intervals")),
      ui.graded);
    ui.facts = element("p", { className: "explorer-facts", id: "explorer-facts" });
    ui.status = element("p", { className: "explorer-status", role: "status", id: "explorer-status" });
    ui.back = element("button", { type: "button", className: "explorer-back", onclick: back });
    ui.canvas = element("div", {});
    ui.chart = element("div", { className: "explorer-plot", tabIndex: 0, role: "application", onkeydown: onKey,
      "aria-describedby": "explorer-status explorer-facts",
      "aria-label": "Chart of gains. Left and right arrow keys move, Enter zooms into a group, Escape goes back. " +
        "The table below has the same species." }, ui.canvas);
    [ui.summary, ui.table] = [region("Gain by representation"), region("Species shown")];
    ui.download = element("button", { type: "button", onclick: download });
    ui.more = element("button", { type: "button", onclick: () => change({ all: true }) });
    fill(ui.study, studies.map((one) => one.study), 0);
    ui.app = element("section", { className: "explorer", "aria-label": "Gain explorer" },
      controls, ui.facts, bar(ui.back, ui.status), ui.chart, ui.summary, bar(ui.download), ui.table, ui.more);
    holders[0].before(ui.app);
  };

  const showControls = () => {
    const level = zoomed()?.level || state.level;
    ui.study.value = state.study;
    fill(ui.target, tables().targets.map((one) => `${one.title} (${one.domain})`), state.target);
    const designs = [...new Set(target().arms.map((one) => one.design))];
    const armsOf = (design) => target().arms.flatMap((one, i) => (one.design === design ? [option(i, one.label, i === state.arm)] : []));
    ui.arm.replaceChildren(...designs.map((design) => element("optgroup", { label: design || "original design" }, ...armsOf(design))));
    ui.level.replaceChildren(...levelsOf(target()).map((one) => option(one, one === "all" ? "nothing: no taxa stated" : one, one === level)));
    const around = rowsOf(tables(), target(), arm(), state).filter(inside(state.zoom.slice(0, -1)));
    const groups = groupsOf(tables(), target(), arm(), around, level).sort((a, b) => a.name.localeCompare(b.name));
    ui.group.dataset.level = level;
    ui.group.replaceChildren(option("", `all ${PLURAL[level]}`, !zoomed()),
      ...groups.map(({ name, rows }) => option(name, `${name} (${rows.length})`, name === zoomed()?.name)));
    ui.graded.hidden = tables().graded !== "annotated";
    ui.search.placeholder = `e.g. ${target().species[0]}`;
    ui.well.value = state.well;
    ui.wellShown.textContent = count(state.well, "correct image");
    ui.cut.replaceChildren(...tables().cuts.map((cut) => option(cut, cut, cut === state.cut)));
    if (ui.search.value !== state.typed) ui.search.value = state.typed;
    ui.intervals.checked = state.intervals;
    ui.back.hidden = !zoomed();
    ui.back.textContent = `← Back to ${state.zoom.at(-2)?.name || `all ${PLURAL[level]}`}`;
    showProvenance(holders, state.study);
  };

  const showTexts = ({ rows, ordered, columns, bySpecies }) => {
    const { seeds, label, design, all, groups } = arm();
    ui.facts.textContent = `Study ${tables().study} (${tables().title}); target ${target().title}, pretrained on ${label}` +
      `${design ? ` (${design})` : ""}, ${seeds.length === 1 ? "seed" : "seeds"} ${seeds.join(", ")}. Gain: top-1 minus top-1 from scratch, ` +
      `same images. Intervals: 95 percent.`;
    const typed = state.typed.trim();
    if (typed) {
      ui.status.textContent = `${count(ordered.length, "species", "species")} found for “${typed}”${ordered.length ? "; Enter zooms to the first." : "."}`;
      return;
    }
    const known = zoomed() ? groups[zoomed().level] : all; // of one group, or of all; not of a group within a group
    const code = zoomed() && known ? target().levels[zoomed().level].names.indexOf(zoomed().name) : 0;
    const ends = known && state.zoom.length < 2 ? `, ${interval({ low: endOf(tables(), known.low[code]), high: endOf(tables(), known.high[code]) })}` : "";
    const where = zoomed() ? ` in ${zoomed().name}` : "";
    const among = bySpecies || state.level === "all" ? "" : ` in ${count(columns.length, state.level, PLURAL[state.level])}`;
    const dense = state.intervals && rows.length > MANY ? " Intervals of species are drawn once fewer are shown." : "";
    ui.status.textContent = `${count(rows.length, "species", "species")}${where}${among}: mean gain ${points(meanOf(rows, seeds.length))} points${ends}.${dense}`;
  };

  const showSummary = ({ rows }) => {
    const line = ({ grade, word, species, images, mean }) => {
      const [colour, symbol] = tables().styles[grade];
      const dot = element("span", { className: "explorer-dot", style: `color:${colour}`, "aria-hidden": "true" }, MARKS[symbol]);
      const cells = [species.toLocaleString("en"), images.toLocaleString("en"), species ? points(mean) : "–"];
      return element("tr", {}, element("th", { scope: "row" }, dot, ` ${word}`), ...cells.map((text) => element("td", {}, text)));
    };
    ui.summary.replaceChildren(table(["representation", "species", "images", "mean gain, points"],
      summaryOf(tables(), rows, arm(), state.well).map(line), { className: "explorer-summary" },
      "Means over all images of the species shown, recomputed here; intervals of such groups are in the chapters."));
  };

  const showTable = ({ ordered }) => {
    const levels = Object.keys(target().levels);
    const columns = { species: "species", mean: "gain, points", low: "from", high: "to", images: "images", grade: "representation",
      ...(tables().graded === "annotated" ? { correct: "correct images" } : {}), ...Object.fromEntries(levels.map((level) => [level, level])) };
    const focused = document.activeElement?.dataset?.sort;
    const heads = Object.entries(columns).map(([key, label]) => {
      const active = state.sort === key;
      const button = element("button", { type: "button", onclick: () => sortBy(key) }, `${label}${active ? (state.falling ? " ▼" : " ▲") : ""}`);
      button.dataset.sort = key;
      return element("th", { scope: "col", "aria-sort": active ? (state.falling ? "descending" : "ascending") : "none" }, button);
    });
    const cell = (key, one) => {
      if (key === "species") return element("th", { scope: "row", title: one.taxon }, one.species);
      if (key === "grade") return element("td", {}, wordOf(tables(), one.grade, state.well));
      if (key === "images" || key === "correct") return element("td", { className: "number" }, one[key]);
      if (!levels.includes(key)) return element("td", { className: "number" }, points(one[key]));
      const name = groupName(target(), key, one.i);
      return element("td", {}, element("button", { type: "button", className: "explorer-link", onclick: () => zoomTo(key, name) }, name));
    };
    const shown = state.all ? ordered : ordered.slice(0, FEW);
    const lines = shown.map((one) => element("tr", {}, ...Object.keys(columns).map((key) => cell(key, one))));
    ui.table.replaceChildren(table(heads, lines));
    ui.more.hidden = shown.length === ordered.length;
    ui.more.textContent = `Show all ${ordered.length.toLocaleString("en")} rows`;
    ui.download.textContent = `Download ${count(ordered.length, "row")} as CSV`;
    if (focused) ui.table.querySelector(`[data-sort="${focused}"]`)?.focus();
  };

  let drawing = Promise.resolve();
  let asked = 0;
  const plot = () => {
    const mine = (asked += 1);
    drawing = drawing.then(async () => {
      if (mine !== asked) return; // a newer one is waiting
      const seen = look();
      const title = seen.bySpecies ? zoomed().name : state.level === "all" ? "" : state.level;
      await draw(ui.canvas, { ...seen, ...state, tables: tables(), target: target(), arm: arm(), title });
      if (!ui.canvas.dataset.wired) ui.canvas.on("plotly_click", (event) => openColumn(event.points[0].customdata));
      ui.canvas.dataset.wired = "true";
      ui.app.dataset.drawn = mine;
    });
  };

  const show = () => {
    const seen = look();
    showControls();
    for (const part of [showTexts, showSummary, showTable]) part(seen);
    plot();
  };

  build();
  const asks = new URLSearchParams(window.location.search);
  chooseStudy(Math.max(0, studies.findIndex((one) => one.study === asks.get("study"))));
  const wanted = tables().targets.findIndex((one) => one.name === asks.get("target"));
  if (wanted > 0) chooseTarget(wanted);
  if (asks.get("species")) search(asks.get("species"));
  new MutationObserver(plot).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  window.gainBook.onNewWidth(ui.canvas, plot);
})();
