// The gain explorer: one application for all studies whose tables are on the page, in place of their plain forms.
(() => {
  "use strict";
  const { levelsOf, usualLevel, endsOf, wordOf, rowsOf, meanOf, sorted, groupsOf, summaryOf, matches, csvOf } = window.gainData;
  const { application, element, button, fill, save, count, row, studiesOf, showProvenance } = window.gainBook;
  const { colours, loadPlotly, onNewTheme, onNewWidth, plain, hundredfold: points } = window.gainBook;
  const FEW = 60; // species that are shown one by one; rows of the table before the reader asks for more
  const MANY = 400; // species beyond which only groups show intervals
  const NAMED = 6; // so many found species are named in the chart
  const MARKS = { circle: "●", square: "■", diamond: "◆", x: "✕" };

  const holders = [...document.querySelectorAll(".gain-explorer")];
  const studies = studiesOf(holders);
  // Beside these, `chooseStudy` and those that it calls set study, target, arm, level, well, cut, sort, falling, cursor and all.
  const state = { zoom: [], typed: "", intervals: true };
  let view = null; // what is shown

  // ---- what is shown

  const targetOf = () => studies[state.study].targets[state.target];
  const zoomed = () => state.zoom.at(-1);
  const levelShown = () => zoomed()?.level || state.level;
  const inside = (zoom) => (one) => zoom.every(({ level, name }) => one[level] === name);
  const finer = (level) => levelsOf(targetOf())[levelsOf(targetOf()).indexOf(level) - 1];
  const pluralOf = (level) => `${level.replace(/y$/, "ie")}s`;

  const look = () => {
    const [tables, target] = [studies[state.study], targetOf()];
    const base = { ...state, tables, target, arm: target.arms[state.arm], typed: state.typed.trim() };
    const every = rowsOf(base);
    const rows = every.filter(inside(state.zoom));
    const bySpecies = Boolean(zoomed()) && (rows.length <= FEW || !finer(zoomed().level));
    const columns = bySpecies ? sorted(rows, "mean", true).map((one) => ({ ...one, name: one.species, rows: [one] }))
      : groupsOf(base, rows, state.level);
    const listed = base.typed ? rows.filter((one) => matches(base, one, base.typed)) : rows;
    const found = base.typed ? new Set(listed.map((one) => one.i)) : null;
    return { ...base, every, rows, bySpecies, columns, found, ordered: sorted(listed, state.sort, state.falling) };
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
    Object.assign(state, { target: Number(place), arm: 0, zoom: [], sort: "mean", falling: true });
    change({ level: usualLevel(targetOf()) });
  };
  const chooseStudy = (place) => {
    Object.assign(state, { study: Number(place), well: studies[place].well, cut: studies[place].cut });
    chooseTarget(0);
  };
  const zoomTo = (level, name) => {
    const levels = levelsOf(targetOf());
    const zoom = [...state.zoom.filter((one) => levels.indexOf(one.level) > levels.indexOf(level)), { level, name }];
    const many = view.every.filter(inside(zoom)).length > FEW;
    change({ zoom, level: (many && finer(level)) || level });
  };
  const back = () => zoomed() && change({ zoom: state.zoom.slice(0, -1), level: zoomed().level });
  const openColumn = (at) => {
    if (!view.bySpecies && at !== null && view.columns[at]) zoomTo(state.level, view.columns[at].name);
  };
  const openFound = ({ key }) => key === "Enter" && view.found?.size && zoomTo(state.level, view.ordered[0][state.level]);
  const sortBy = (key) => {
    const numbers = typeof view.rows[0]?.[key] === "number";
    change({ sort: key, falling: state.sort === key ? !state.falling : numbers });
  };
  const step = (by) => {
    const { columns, bySpecies } = view;
    const from = state.cursor ?? (by > 0 ? -1 : columns.length);
    state.cursor = Math.min(columns.length - 1, Math.max(0, from + by));
    const column = columns[state.cursor];
    const what = bySpecies ? "" : ` ${count(column.rows.length, "species", "species")}, mean`;
    ui.status.textContent = `${column.name}:${what} gain ${points(column.mean)} points, ${interval(column)}.`;
    plot();
  };
  const onKey = (event) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
    if (event.altKey || event.ctrlKey || event.metaKey) return; // the browser's own, such as Alt and left arrow
    if (event.key in steps) step(steps[event.key]);
    else if (event.key === "Enter") openColumn(state.cursor);
    else if (event.key === "Escape") back();
    else return;
    event.preventDefault();
  };
  const download = () => save(`gain-${view.tables.study}-${view.target.name}-${view.arm.arm}.csv`, "text/csv", csvOf(view, view.ordered));

  // ---- the page

  const acts = {
    study: chooseStudy, target: chooseTarget, arm: (arm) => change({ arm: Number(arm) }), species: (typed) => change({ typed, zoom: [] }),
    level: (level) => change({ level, zoom: [] }), intervals: (_, { checked }) => change({ intervals: checked }),
    group: (name) => (name ? zoomTo(levelShown(), name) : change({ zoom: [], level: state.zoom[0]?.level || state.level })),
    well: (well) => change({ well: Number(well) }), cut: (cut) => change({ cut }), back, download, more: () => change({ all: true }),
  };
  const ui = application("gain-explorer", acts);
  ui.chart.addEventListener("keydown", onKey);
  ui.species.addEventListener("keydown", openFound);
  holders[0].before(ui.app);

  const showControls = ({ tables, target, every }) => {
    const level = levelShown();
    fill(ui.study, studies.map((one, i) => [i, one.study]), state.study);
    fill(ui.target, tables.targets.map((one, i) => [i, `${one.title} (${one.domain})`]), state.target);
    const byDesign = Map.groupBy(target.arms.keys(), (place) => target.arms[place].design || "original design");
    ui.arm.replaceChildren(...[...byDesign].map(([label, places]) => {
      const group = element("optgroup", { label });
      fill(group, places.map((place) => [place, target.arms[place].label]), state.arm);
      return group;
    }));
    fill(ui.level, levelsOf(target).map((one) => [one, one]), level);
    const around = Map.groupBy(every.filter(inside(state.zoom.slice(0, -1))), (one) => one[level]);
    const groups = [...around].map(([name, { length }]) => [name, `${name} (${length})`]).sort(([a], [b]) => a.localeCompare(b));
    fill(ui.group, [["", `all ${pluralOf(level)}`], ...groups], zoomed()?.name ?? "");
    ui.graded.hidden = tables.graded !== "annotated";
    ui.species.placeholder = `e.g. ${target.species[0]}`;
    ui.well.value = state.well;
    ui.wellShown.textContent = count(state.well, "correct image");
    fill(ui.cut, tables.cuts.map((cut) => [cut, cut]), state.cut);
    if (ui.species.value !== state.typed) ui.species.value = state.typed;
    ui.back.hidden = !zoomed();
    ui.back.textContent = `← Back to ${state.zoom.at(-2)?.name || `all ${pluralOf(level)}`}`;
    ui.intervals.checked = state.intervals;
    showProvenance(holders, state.study);
  };

  const showTexts = ({ tables, target, arm, rows, ordered, columns, bySpecies, typed }) => {
    ui.facts.textContent = `Study ${tables.study} (${tables.title}); target ${target.title}, pretrained on ${arm.label}` +
      `${arm.design ? ` (${arm.design})` : ""}, ${arm.seeds.length === 1 ? "seed" : "seeds"} ${arm.seeds.join(", ")}. ` +
      `Gain: top-1 minus top-1 from scratch, same images. Intervals: 95 percent.`;
    if (typed) {
      const hint = ordered.length ? "; Enter zooms to the first" : "";
      ui.status.textContent = `${count(ordered.length, "species", "species")} found for “${typed}”${hint}.`;
      return;
    }
    const { level, name } = zoomed() ?? {};
    const ends = level ? endsOf(view, arm.groups[level], target.levels[level].names.indexOf(name)) : endsOf(view, arm.all, 0);
    const stated = state.zoom.length < 2 ? `, ${interval(ends)}` : ""; // not known of a group within a group
    const among = bySpecies ? "" : ` in ${count(columns.length, state.level, pluralOf(state.level))}`;
    const dense = state.intervals && rows.length > MANY ? " Intervals of species are drawn once fewer are shown." : "";
    ui.status.textContent = `${count(rows.length, "species", "species")}${name ? ` in ${name}` : ""}${among}: ` +
      `mean gain ${points(meanOf(rows, arm))} points${stated}.${dense}`;
  };

  const showSummary = ({ tables, rows }) => {
    const line = ({ grade, word, species, images, mean }) => {
      const [colour, symbol] = tables.styles[grade];
      const dot = element("span", { className: "explorer-dot", style: `color:${colour}`, "aria-hidden": "true" }, MARKS[symbol]);
      return row([dot, ` ${word}`], [species.toLocaleString("en"), images.toLocaleString("en"), species ? points(mean) : "–"]);
    };
    ui.summary.replaceChildren(...summaryOf(view, rows).map(line));
  };

  const showTable = ({ tables, target, ordered }) => {
    const columns = { species: "species", mean: "gain, points", low: "from", high: "to", images: "images", representation: "representation",
      ...(tables.graded === "annotated" ? { correct: "correct images" } : {}) };
    for (const level of Object.keys(target.levels)) columns[level] = level;
    const focused = document.activeElement?.dataset?.sort;
    const head = ([key, label]) => {
      const [arrow, order] = state.sort !== key ? ["", "none"] : state.falling ? [" ▼", "descending"] : [" ▲", "ascending"];
      const sorts = button(`${label}${arrow}`, () => sortBy(key));
      sorts.dataset.sort = key;
      return element("th", { scope: "col", "aria-sort": order }, sorts);
    };
    const cell = (key, one) => {
      if (key === "species") return element("th", { scope: "row", title: one.taxon }, one.species);
      if (key in target.levels) return element("td", {}, button(one[key], () => zoomTo(key, one[key]), { className: "explorer-link" }));
      const text = ["mean", "low", "high"].includes(key) ? points(one[key]) : one[key];
      return element("td", { className: typeof one[key] === "number" ? "number" : "" }, text);
    };
    const shown = state.all ? ordered : ordered.slice(0, FEW);
    ui.heads.replaceChildren(...Object.entries(columns).map(head));
    ui.rows.replaceChildren(...shown.map((one) => element("tr", {}, ...Object.keys(columns).map((key) => cell(key, one)))));
    ui.more.hidden = shown.length === ordered.length;
    ui.more.textContent = `Show all ${ordered.length.toLocaleString("en")} rows`;
    ui.download.hidden = !ordered.length;
    ui.download.textContent = `Download ${count(ordered.length, "row")} as CSV`;
    if (focused) ui.table.querySelector(`[data-sort="${focused}"]`)?.focus();
  };

  // ---- the chart: columns of species (groups, or one species each), drawn by plotly in the page's theme, in points

  const interval = ({ low, high }) => `interval ${points(low)} to ${points(high)}`;
  const short = (text, length) => plain(text.length <= length ? text : `${text.slice(0, length - 1).trimEnd()}…`);

  const bars = (rows, style) => ({
    type: "data", symmetric: false, width: 0, ...style,
    array: rows.map((one) => 100 * Math.max(0, one.high - one.mean)),
    arrayminus: rows.map((one) => 100 * Math.max(0, one.mean - one.low)),
  });

  const speciesTrace = (grade, all, view) => {
    const [color, symbol] = view.tables.styles[grade];
    const marks = all.filter((mark) => mark.row.grade === grade);
    const rows = marks.map((mark) => mark.row);
    const hover = ({ row, at }) => {
      const taxon = row.taxon && row.taxon !== row.species ? ` (${plain(row.taxon)})` : "";
      const group = view.bySpecies ? "" : `${plain(view.columns[at].name)}<br>`;
      const correct = row.correct === null || !view.target.named[row.i] ? "" : `, ${row.correct} correct images`;
      return `<b>${plain(row.species)}</b>${taxon}<br>${group}gain ${points(row.mean)} points, ${interval(row)}<br>` +
        `${row.images} images, ${view.arm.seeds.length} seeds; ${row.representation}${correct}`;
    };
    const size = all.length <= 80 ? 9 : all.length <= MANY ? 7 : 4;
    const opacity = view.found ? rows.map((row) => (view.found.has(row.i) ? 1 : 0.12)) : 0.9;
    return {
      type: "scatter", mode: "markers", name: wordOf(view, grade), x: marks.map((mark) => mark.x), y: rows.map((row) => 100 * row.mean),
      customdata: marks.map((mark) => mark.at), hovertext: marks.map(hover), hoverinfo: "text", marker: { color, symbol, size, opacity },
      error_y: bars(rows, { thickness: 1, color: color + (view.found ? "40" : "b3"), visible: view.intervals && all.length <= MANY }),
    };
  };

  const groupTrace = (view, ink) => {
    const groups = view.columns.map((column, at) => ({ ...column, at })).filter((one) => one.rows.length > 1);
    const at = groups.map((one) => one.at);
    return {
      type: "scatter", mode: "markers", name: "mean of a group", x: at, customdata: at, y: groups.map((one) => 100 * one.mean),
      hoverinfo: "text", hovertext: groups.map((one) => `<b>${plain(one.name)}</b>: ${one.rows.length} species<br>` +
        `mean gain ${points(one.mean)} points, ${interval(one)}<br>${view.arm.seeds.length} seeds`),
      marker: { symbol: "line-ew-open", size: 18, color: ink, line: { color: ink, width: 3 } },
      error_y: bars(groups, { thickness: 2, color: ink, visible: view.intervals }),
    };
  };

  const draw = async (canvas, view) => {
    const Plotly = await loadPlotly();
    const [{ ink, grid }, width, { columns }] = [colours(), canvas.clientWidth, view];
    // each species in its column, at its own place in the order of gain
    const marks = columns.flatMap(({ rows }, at) => rows.map((row, rank) =>
      ({ row, at, x: at + ((rank - (rows.length - 1) / 2) / Math.max(rows.length, 3)) * 0.8 })));
    const found = view.found ? marks.filter((mark) => view.found.has(mark.row.i)) : [];
    const grades = Object.keys(view.tables.words).filter((grade) => view.every.some((row) => row.grade === grade));
    const traces = grades.reverse().map((grade) => speciesTrace(grade, marks, view));
    if (!view.bySpecies) traces.push(groupTrace(view, ink));
    const step = Math.ceil(columns.length / Math.max(6, Math.floor(width / 18)));
    const named = [...columns.keys()].filter((at) => at % step === 0);
    const axis = { gridcolor: grid, linecolor: grid, zerolinecolor: ink, fixedrange: true, automargin: true };
    const layout = {
      height: 520, margin: { l: width < 520 ? 50 : 60, r: 8, t: 10, b: 60 }, hovermode: "closest", dragmode: false,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, size: width < 520 ? 12 : 14 },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, traceorder: "reversed" },
      xaxis: { ...axis, title: { text: plain(view.bySpecies ? view.zoom.at(-1).name : view.level) }, tickangle: -50, tickfont: { size: 11 },
        tickvals: named, ticktext: named.map((at) => short(columns[at].name, width < 520 ? 16 : 24)),
        range: [-0.6, columns.length - 0.4], zeroline: false, showgrid: false },
      yaxis: { ...axis, title: { text: "pretraining gain in top-1, points" }, tickformat: "+.1~f", zerolinewidth: 1 },
      shapes: view.cursor === null ? [] : [{ type: "rect", xref: "x", yref: "paper", x0: view.cursor - 0.5, x1: view.cursor + 0.5,
        y0: 0, y1: 1, layer: "below", fillcolor: `${ink}1f`, line: { color: ink, width: 1 } }],
      annotations: found.length > NAMED ? [] : found.map(({ row, x }, place) => ({
        x, y: 100 * row.mean, text: short(row.species, 24), showarrow: true, arrowcolor: ink, arrowwidth: 1, ax: 0,
        ay: -28 - 16 * (place % 3), font: { size: 12, color: ink } })),
    };
    await Plotly.react(canvas, traces, layout, { responsive: true, displaylogo: false, displayModeBar: false });
  };

  let drawing = Promise.resolve();
  let asked = 0;
  const plot = () => {
    const mine = (asked += 1);
    drawing = drawing.then(async () => {
      if (mine !== asked) return; // a newer one is waiting
      await draw(ui.canvas, { ...view, cursor: state.cursor });
      if (!ui.app.dataset.drawn) ui.canvas.on("plotly_click", (event) => openColumn(event.points[0].customdata));
      ui.app.dataset.drawn = mine;
    });
  };

  const show = () => {
    view = look();
    for (const part of [showControls, showTexts, showSummary, showTable]) part(view);
    plot();
  };

  const asks = new URLSearchParams(window.location.search);
  chooseStudy(Math.max(0, studies.findIndex((one) => one.study === asks.get("study"))));
  const wanted = view.tables.targets.findIndex((one) => one.name === asks.get("target"));
  if (wanted > 0) chooseTarget(wanted);
  if (asks.get("species")) change({ typed: asks.get("species"), zoom: [] });
  onNewTheme(plot);
  onNewWidth(ui.canvas, plot);
})();
