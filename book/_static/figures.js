// Draws the book's figures. A page holds each as inert JSON in <div class="gain-figure">. plotly.min.js is loaded only where
// there are figures; each is drawn when it comes into view, in place of its static picture, and follows the page's theme. Menus of a
// layout become choices above the drawing, for the keyboard and screen readers. Other applications of a page get their own scripts.
(() => {
  "use strict";
  const script = document.currentScript.src;
  const root = document.documentElement;
  const COLOURS = { light: { ink: "#333333", grid: "#e2e2e2" }, dark: { ink: "#d6d6d6", grid: "#444b55" } };

  const colours = () => COLOURS[root.dataset.theme === "dark" ? "dark" : "light"];
  const onNewTheme = (act) => new MutationObserver(act).observe(root, { attributeFilter: ["data-theme"] });

  // Scripts beside this one, each loaded once; they run in the order in which they are asked for.
  const loaded = {};
  const load = (name) => (loaded[name] ??= new Promise((onload, failed) => {
    const onerror = () => failed(new Error(`${name} is missing beside figures.js`));
    document.head.append(element("script", { async: false, src: new URL(name, script).href, onload, onerror }));
  }));
  const loadPlotly = () => load("plotly.min.js").then(() => window.Plotly);

  // ---- parts of pages

  const element = (name, properties = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(properties)) {
      key in made ? (made[key] = value) : made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  };

  const button = (label, onclick, more = {}) => element("button", { type: "button", onclick, ...more }, label);
  // A menu's choices, each a value with its label.
  const fill = (menu, choices, chosen) =>
    menu.replaceChildren(...choices.map(([value, label]) => element("option", { value, selected: value === chosen }, String(label))));

  // Make an application of its template, and return its parts by name. `acts` say what the reader's input or press of a part does.
  const application = (name, acts, event = "input") => {
    const app = document.querySelector(`template[data-of="${name}"]`).content.querySelector("section").cloneNode(true);
    const parts = { app };
    for (const part of app.querySelectorAll("[name], [data-part]")) parts[part.name || part.dataset.part] = part;
    app.addEventListener(event, ({ target }) => acts[target.name]?.(target.value, target));
    app.addEventListener("click", ({ target }) => target.matches("button") && acts[target.name]?.());
    return parts;
  };

  const count = (n, word, plural = `${word}s`) => `${n.toLocaleString("en")} ${n === 1 ? word : plural}`;
  const row = (head, cells) =>
    element("tr", {}, element("th", { scope: "row" }, ...[head].flat()), ...cells.map((cell) => element("td", {}, String(cell))));

  // The plain forms of an application, one per study: the data of each, and a way to leave the provenance of only one.
  const studiesOf = (holders) => holders.map((holder) => JSON.parse(holder.querySelector("script").textContent));
  const showProvenance = (holders, shown) => holders.forEach(({ nextElementSibling: line }, i) => {
    if (line?.matches(".provenance")) line.hidden = i !== shown;
  });

  // A name for a plotly figure, as `plotly_text` of Python: plotly's tags, its formulas and marks of direction stay text.
  const TURNS = /[\u200e\u200f\u202a-\u202e\u2066-\u2069\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/;
  const plain = (name) => (TURNS.test(name) ? `\u2068${name}\u2069` : name).replace(/[&<>$%]/g, (sign) => `&#${sign.charCodeAt(0)};`);

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

  // The theme's sidebars change the width of the text and not that of the window, which is all that plotly watches.
  const onNewWidth = (canvas, act) => {
    let width = canvas.clientWidth;
    new ResizeObserver(() => {
      if (!canvas.clientWidth || Math.abs(canvas.clientWidth - width) < 2) return; // hidden in a tab, or as it was
      width = canvas.clientWidth;
      act();
    }).observe(canvas);
  };

  // ---- figures

  const axesOf = (layout) => Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key));
  const inLines = (text) => text.replace(/(.{9,}?) /g, "$1<br>");

  // What follows the page's theme: words, lines of axes, and the intervals of bars, which lie half on their bar, half beside it.
  const follow = (canvas) => {
    const { ink, grid } = colours();
    const lines = axesOf(canvas.layout).flatMap((name) => ["grid", "line", "zeroline"].map((line) => [`${name}.${line}color`, grid]));
    const bars = canvas.data.flatMap((trace, i) => (trace.type === "bar" && trace.error_y ? [i] : []));
    return window.Plotly.update(canvas, bars.length ? { "error_y.color": ink } : {}, { "font.color": ink, ...Object.fromEntries(lines) }, bars);
  };

  // For a phone: smaller words, titles of panels in lines, and room for labels between two panels with a scale each.
  const narrowed = (layout) => {
    const apart = layout.xaxis2?.domain && !layout.xaxis3 && layout.yaxis2?.showticklabels !== false;
    if (apart) [layout.xaxis.domain, layout.xaxis2.domain] = [[0, 0.4], [0.6, 1]];
    layout.margin = { ...layout.margin, l: 55, r: 5 };
    layout.font = { ...layout.font, size: 12 };
    for (const key of axesOf(layout)) {
      const title = layout[key].title ?? {};
      layout[key].title = { ...title, font: { size: 11 }, text: layout.xaxis2 && key[0] === "x" ? inLines(title.text ?? "") : title.text };
    }
    for (const note of layout.annotations || []) {
      note.font = { ...note.font, size: 11 };
      if (apart && note.xref === "paper") Object.assign(note, { x: note.x < 0.5 ? 0.2 : 0.8, text: inLines(note.text) });
    }
    delete layout.xaxis?.dtick; // too narrow to name every family
  };

  // Long names of rows would leave a figure no room; they stand in it, each above its row.
  const namesInside = (data, layout, narrow) => {
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

  let menus = 0;
  // The choices of one of plotly's menus, of the method `update`. On a phone the titles of panels that it changes stand in lines, as at first.
  const choicesOf = (canvas, { name: legend, active = 0, buttons }, narrow) => {
    const name = `choice-${(menus += 1)}`;
    const choose = ({ args: [traces, look = {}] }) => {
      const broken = (key) => narrow && canvas.layout.xaxis2 && key.endsWith("title.text");
      const fitted = Object.entries(look).map(([key, value]) => [key, broken(key) ? inLines(value) : value]);
      window.Plotly.update(canvas, traces, Object.fromEntries(fitted));
    };
    const choices = buttons.map((one, i) => element("label", {},
      element("input", { type: "radio", name, checked: i === active, onchange: () => choose(one) }), one.label));
    return element("fieldset", { className: "axis-switch" }, element("legend", {}, legend), ...choices);
  };

  const draw = async (holder) => {
    const Plotly = await loadPlotly();
    const { data, layout: { updatemenus = [], ...layout } } = JSON.parse(holder.querySelector("script").textContent);
    const canvas = element("div");
    holder.append(canvas);
    const narrow = holder.clientWidth < 520;
    if (narrow) narrowed(layout);
    namesInside(data, layout, narrow);
    await Plotly.newPlot(canvas, data, layout, { displaylogo: false, displayModeBar: false });
    await follow(canvas);
    canvas.before(...updatemenus.map((menu) => choicesOf(canvas, menu, narrow)));
    onNewWidth(canvas, () => Plotly.Plots.resize(canvas));
    holder.dataset.drawn = "true"; // book.css then hides the static picture
    document.dispatchEvent(new Event("gain-drawn"));
  };
  const drawOnce = (holder) => (holder.drawing ??= draw(holder)); // whoever asks for it

  const SCRIPTS = {
    ".gain-explorer": ["explorer-data", "explorer"],
    ".gain-what-if": ["jstat.min", "what-if-statistics", "what-if-claims", "what-if"],
    ".rerun-table": ["rerun"],
    ".lead-steps": ["lead"],
  };

  window.gainBook = {
    colours, onNewTheme, load, loadPlotly, element, button, fill, application, count, row,
    studiesOf, showProvenance, plain, hundredfold, save, onNewWidth, draw: drawOnce,
  };
  for (const [part, names] of Object.entries(SCRIPTS)) if (document.querySelector(part)) names.forEach((name) => load(`${name}.js`));
  const paper = window.matchMedia("print");
  const seen = new IntersectionObserver((entries) => {
    for (const { target } of paper.matches ? [] : entries.filter((one) => one.isIntersecting)) { // paper keeps the static pictures
      seen.unobserve(target);
      drawOnce(target);
    }
  }, { rootMargin: "400px" });
  document.querySelectorAll(".gain-figure").forEach((holder) => seen.observe(holder));
  onNewTheme(() => document.querySelectorAll(".gain-figure[data-drawn] .js-plotly-plot").forEach(follow));
})();
