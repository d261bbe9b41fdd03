// Draws the book's figures. A page holds each as inert JSON in <div class="gain-figure">. plotly.min.js is loaded only where
// there are figures; each is drawn when it comes into view, in place of its static picture, and follows the page's theme. A layout with
// `meta.axes` gets a switch of its horizontal axis. Other applications of a page get their own scripts.
(() => {
  "use strict";
  const script = document.currentScript.src;
  const INK = { light: "#333333", dark: "#d6d6d6" };
  const GRID = { light: "#e2e2e2", dark: "#444b55" };

  const theme = () => (document.documentElement.dataset.theme === "dark" ? "dark" : "light");

  const themed = (layout) => {
    const mode = theme();
    const lines = axesOf(layout).flatMap((name) => ["grid", "line", "zeroline"].map((line) => [`${name}.${line}color`, GRID[mode]]));
    const menus = (layout.updatemenus || []).flatMap((_, i) =>
      [[`updatemenus[${i}].bgcolor`, mode === "dark" ? "#22272e" : "#ffffff"], [`updatemenus[${i}].font.color`, INK[mode]]]);
    return { "font.color": INK[mode], ...Object.fromEntries([...lines, ...menus]) };
  };

  const loaded = {};
  const load = (name) => {
    loaded[name] ??= new Promise((onload, failed) => {
      const onerror = () => failed(new Error(`${name} is missing beside figures.js`));
      document.head.append(element("script", { src: new URL(name, script).href, onload, onerror }));
    });
    return loaded[name];
  };
  const loadPlotly = () => load("plotly.min.js").then(() => window.Plotly);

  const element = (name, properties = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(properties)) {
      key in made ? (made[key] = value) : made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  };

  // A choice of a list, and a control below its label, for the applications of a page.
  const option = (value, label = value, selected = false) => element("option", { value, selected }, String(label));
  const field = (application) => (label, input, ...more) => {
    input.id = `${application}-${input.name}`;
    return element("div", { className: "explorer-field" }, element("label", { htmlFor: input.id }, label), element("div", {}, input, ...more));
  };

  // A name for a plotly figure, as `plotly_text` of Python: plotly's tags, its formulas and marks of direction stay text.
  const TURNS = /[\u200e\u200f\u202a-\u202e\u2066-\u2069\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/;
  const plain = (name) => (TURNS.test(name) ? `\u2068${name}\u2069` : name).replace(/[&<>$%]/g, (sign) => `&#${sign.charCodeAt(0)};`);

  const count = (n, word, plural = `${word}s`) => `${n.toLocaleString("en")} ${n === 1 ? word : plural}`;
  const table = (heads, rows, properties = {}, caption = "") => element("table", properties,
    ...(caption ? [element("caption", {}, caption)] : []),
    element("thead", {}, element("tr", {}, ...heads.map((head) => (head instanceof Node ? head : element("th", { scope: "col" }, head))))),
    element("tbody", {}, ...rows));
  const region = (label, ...children) => element("div", { className: "explorer-scroll", tabIndex: 0, role: "region", "aria-label": label }, ...children);

  // The plain forms of an application, one per study: the data of each, and a way to leave the provenance of only one.
  const studiesOf = (holders) => holders.map((holder) => JSON.parse(holder.querySelector("script").textContent));
  const showProvenance = (holders, shown) => holders.forEach((holder, i) => {
    holder.hidden = true;
    if (holder.nextElementSibling?.matches(".provenance")) holder.nextElementSibling.hidden = i !== shown;
  });

  // A fraction as a number of points or percent.
  const hundredfold = (value, plus = true) => {
    if (value === null || Number.isNaN(value)) return "not known";
    if (!Number.isFinite(value)) return "none";
    const rounded = Number((100 * value).toFixed(1)) || 0; // no −0.0
    return `${plus && rounded >= 0 ? "+" : ""}${rounded.toFixed(1)}`.replace("-", "−");
  };

  // Offer a text as a file to download.
  const save = (download, type, text) => {
    const href = URL.createObjectURL(new Blob([text], { type }));
    element("a", { href, download }).click();
    setTimeout(() => URL.revokeObjectURL(href), 1000);
  };

  // What follows the page's theme: the layout's colours, and the intervals of bars, which lie half on their bar, half beside it.
  const follow = (canvas) => {
    const bars = canvas.data.flatMap((trace, i) => (trace.type === "bar" && trace.error_y ? [i] : []));
    return bars.length
      ? window.Plotly.update(canvas, { "error_y.color": INK[theme()] }, themed(canvas.layout), bars)
      : window.Plotly.relayout(canvas, themed(canvas.layout));
  };

  const axesOf = (layout) => Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key));
  const inLines = (text) => text.replace(/(.{9,}?) /g, "$1<br>");

  // Two panels side by side, each with its own scale: room for the labels between them.
  const spread = (layout) => {
    const panels = ["xaxis", "xaxis2"];
    if (!panels.every((key) => layout[key]?.domain) || layout.xaxis3 || layout.yaxis2?.showticklabels === false) return;
    [[0, 0.4], [0.6, 1]].forEach(([from, to], i) => {
      const [left, right] = layout[panels[i]].domain;
      const titles = (layout.annotations || []).filter((note) => note.xref === "paper" && Math.abs(2 * note.x - left - right) < 0.02);
      titles.forEach((note) => Object.assign(note, { x: (from + to) / 2, text: inLines(note.text) }));
      layout[panels[i]].domain = [from, to];
    });
  };

  // For a phone: smaller words, titles of panels in lines, a menu above the legend instead of over it.
  const narrowed = (layout) => {
    layout.margin = { ...layout.margin, l: 55, r: 5 };
    layout.font = { ...layout.font, size: 12 };
    for (const key of axesOf(layout)) {
      const title = layout[key].title ?? {};
      layout[key].title = { ...title, font: { size: 11 }, text: layout.xaxis2 && key[0] === "x" ? inLines(title.text ?? "") : title.text };
    }
    for (const note of layout.annotations || []) note.font = { ...note.font, size: 11 };
    delete layout.xaxis?.dtick; // too narrow to name every family
    spread(layout);
    for (const menu of layout.updatemenus || []) Object.assign(menu, { x: 1, xanchor: "right", y: 1, yanchor: "bottom" });
  };

  // Long names of rows would leave a figure no room; they stand in it, each above its row.
  const namesInside = ({ data, layout }, narrow) => {
    const names = [...new Set(data.flatMap((trace) => (typeof trace.y?.[0] === "string" ? trace.y : [])))];
    if (!names.some((name) => name.length > (narrow ? 30 : 60))) return;
    const note = (name) => ({
      y: name, text: narrow ? name.replace(/(.{46,}?) /g, "$1<br>") : name, yanchor: "bottom", yshift: 6, xref: "paper", x: 0, xanchor: "left",
      align: "left", showarrow: false, font: { size: 10 },
    });
    layout.annotations = [...(layout.annotations || []), ...names.map(note)];
    layout.yaxis.showticklabels = false;
    layout.margin.l = 10;
    layout.height *= 1.5;
  };

  // Once a legend is there, its place is known, and a menu can stand above it.
  const raiseMenus = async (canvas) => {
    const [legend, plot] = [".legend", ".nsewdrag"].map((part) => canvas.querySelector(part)?.getBoundingClientRect());
    const raised = legend ? Math.max(plot.top - legend.top, 0) : 0; // 0 where it is below the plot
    const menus = (canvas.layout.updatemenus || []).map((_, i) => [`updatemenus[${i}].pad.b`, raised + 10]);
    if (menus.length) await window.Plotly.relayout(canvas, { ...Object.fromEntries(menus), height: canvas.layout.height + raised });
  };

  // A choice of the horizontal axis: each of `axes` has a name, a title, and the x of every trace.
  let switches = 0;
  const axisSwitch = (canvas, axes, narrow) => {
    const name = `axis-${(switches += 1)}`;
    const titles = Object.keys(canvas.layout).filter((key) => /^xaxis\d*$/.test(key));
    const choose = (axis) => {
      const look = Object.fromEntries(titles.map((key) => [`${key}.title.text`, narrow && titles.length > 1 ? inLines(axis.title) : axis.title]));
      window.Plotly.update(canvas, { x: axis.x }, look);
    };
    const choices = axes.map((axis, i) =>
      element("label", {}, element("input", { type: "radio", name, checked: i === 0, onchange: () => choose(axis) }), axis.name));
    return element("fieldset", { className: "axis-switch" }, element("legend", {}, "Horizontal axis"), ...choices);
  };

  // The theme's sidebars change the width of the text and not that of the window, which is all that plotly watches.
  const onNewWidth = (canvas, act) => {
    let width = canvas.clientWidth;
    new ResizeObserver(() => {
      if (!canvas.clientWidth || Math.abs(canvas.clientWidth - width) < 2) return; // hidden in a tab, or as it was
      width = canvas.clientWidth;
      act();
    }).observe(canvas);
  };

  const draw = async (holder) => {
    const Plotly = await loadPlotly();
    const figure = JSON.parse(holder.querySelector('script[type="application/json"]').textContent);
    const canvas = document.createElement("div");
    holder.append(canvas);
    const config = { displaylogo: false, displayModeBar: false };
    const narrow = holder.clientWidth < 520;
    if (narrow) narrowed(figure.layout);
    namesInside(figure, narrow);
    await Plotly.newPlot(canvas, figure.data, figure.layout, config);
    if (narrow) await raiseMenus(canvas);
    await follow(canvas);
    const axes = figure.layout.meta?.axes;
    if (axes) canvas.before(axisSwitch(canvas, axes, narrow));
    onNewWidth(canvas, () => Plotly.Plots.resize(canvas));
    holder.dataset.drawn = "true"; // book.css then hides the static picture
    document.dispatchEvent(new Event("gain-drawn"));
  };

  // Each figure is drawn once, whoever asks for it.
  const begun = new WeakMap();
  const drawOnce = (holder) => begun.get(holder) ?? begun.set(holder, draw(holder)).get(holder);

  const loadInTurn = async (names) => {
    for (const name of names) await load(`${name}.js`); // each builds on the last
  };
  const SCRIPTS = {
    ".gain-explorer": ["explorer-data", "explorer-plot", "explorer"],
    ".gain-what-if": ["jstat.min", "what-if-statistics", "what-if-claims", "what-if-page", "what-if"],
    ".rerun-table": ["rerun"],
    ".lead-steps": ["lead"],
  };

  window.gainBook = {
    INK, GRID, theme, load, loadPlotly, element, option, field, count, table, region, studiesOf, showProvenance, plain,
    hundredfold, save, onNewWidth, draw: drawOnce,
  };
  const start = () => {
    for (const [part, names] of Object.entries(SCRIPTS)) if (document.querySelector(part)) loadInTurn(names);
    const holders = [...document.querySelectorAll(".gain-figure")];
    if (!holders.length) return;
    const paper = window.matchMedia("print");
    const seen = new IntersectionObserver((entries) => {
      for (const { target } of paper.matches ? [] : entries.filter((one) => one.isIntersecting)) { // paper keeps the static pictures
        seen.unobserve(target);
        drawOnce(target);
      }
    }, { rootMargin: "400px" });
    holders.forEach((holder) => seen.observe(holder));
    new MutationObserver(() => {
      document.querySelectorAll(".gain-figure[data-drawn] .js-plotly-plot").forEach(follow);
    }).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  };

  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", start) : start();
})();
