// Draws the book's figures. A page holds each figure as inert JSON in <div class="gain-figure">; the one local
// plotly.min.js is loaded only where there are figures, each is drawn when it comes into view (also in a tab that is
// opened later), and all follow the page's light or dark theme. A figure whose layout has `meta.axes` gets a switch of its
// horizontal axis; pages with a gain explorer, the table of runs, or that recompute, load their scripts.
(() => {
  "use strict";
  const script = document.currentScript.src;
  const INK = { light: "#333333", dark: "#d6d6d6" };
  const GRID = { light: "#e2e2e2", dark: "#444b55" };

  const theme = () => (document.documentElement.dataset.theme === "dark" ? "dark" : "light");

  const themed = (layout) => {
    const mode = theme();
    const look = { "font.color": INK[mode] };
    for (const name of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
      look[`${name}.gridcolor`] = GRID[mode];
      look[`${name}.linecolor`] = GRID[mode];
      look[`${name}.zerolinecolor`] = GRID[mode];
    }
    (layout.updatemenus || []).forEach((_, i) => {
      look[`updatemenus[${i}].bgcolor`] = mode === "dark" ? "#22272e" : "#ffffff";
      look[`updatemenus[${i}].font.color`] = INK[mode];
    });
    return look;
  };

  const loaded = {};
  const load = (name) => {
    loaded[name] ??= new Promise((done, failed) => {
      const tag = document.createElement("script");
      tag.src = new URL(name, script).href;
      tag.onload = () => done();
      tag.onerror = () => failed(new Error(`${name} is missing beside figures.js`));
      document.head.append(tag);
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

  // A choice of the horizontal axis: each of `axes` has a name, a title, and the x of every trace.
  let switches = 0;
  const axisSwitch = (canvas, axes) => {
    const name = `axis-${(switches += 1)}`;
    const titles = Object.keys(canvas.layout).filter((key) => /^xaxis\d*$/.test(key));
    const choose = (axis) => {
      const look = Object.fromEntries(titles.map((key) => [`${key}.title.text`, axis.title]));
      window.Plotly.update(canvas, { x: axis.x }, look);
    };
    const choices = axes.map((axis, i) =>
      element("label", {}, element("input", { type: "radio", name, checked: i === 0, onchange: () => choose(axis) }), axis.name));
    return element("fieldset", { className: "axis-switch" }, element("legend", {}, "Horizontal axis"), ...choices);
  };

  const draw = async (holder) => {
    const Plotly = await loadPlotly();
    const figure = JSON.parse(holder.querySelector('script[type="application/json"]').textContent);
    const canvas = document.createElement("div");
    holder.append(canvas);
    const config = { responsive: true, displaylogo: false, displayModeBar: false };
    if (holder.clientWidth < 520) {
      figure.layout.margin = { ...figure.layout.margin, l: 55, r: 5 };
      figure.layout.font = { ...figure.layout.font, size: 12 };
      for (const axis of Object.keys(figure.layout).filter((key) => /^[xy]axis\d*$/.test(key))) {
        figure.layout[axis].title = { ...figure.layout[axis].title, font: { size: 11 } };
      }
      for (const note of figure.layout.annotations || []) note.font = { ...note.font, size: 11 };
      delete figure.layout.xaxis?.dtick; // too narrow to name every family
    }
    await Plotly.newPlot(canvas, figure.data, figure.layout, config);
    await Plotly.relayout(canvas, themed(canvas.layout));
    const axes = figure.layout.meta?.axes;
    if (axes) canvas.before(axisSwitch(canvas, axes));
    holder.dataset.drawn = "true";
  };

  // Each figure is drawn once, whoever asks for it, until what was drawn is taken away again.
  const begun = new WeakMap();
  const drawOnce = (holder) => {
    if (!begun.has(holder)) begun.set(holder, draw(holder));
    return begun.get(holder);
  };
  let watch = () => {};
  const undraw = async (holder) => {
    delete holder.dataset.drawn; // at once, so that nothing more is asked of what goes
    await begun.get(holder);
    begun.delete(holder);
    window.Plotly.purge(holder.querySelector(".js-plotly-plot"));
    holder.querySelectorAll(":scope > div, :scope > fieldset").forEach((made) => made.remove());
    delete holder.dataset.drawn;
    watch(holder);
  };

  const loadInTurn = async (...names) => {
    for (const name of names) await load(`${name}.js`); // each builds on the last
  };
  const explore = () => loadInTurn("explorer-data", "explorer-plot", "explorer");
  const tweak = () => loadInTurn("tweak-random", "tweak-special", "tweak-stats", "tweak-bootstrap", "tweak-claims", "tweak-page", "tweak");

  window.gainBook = { INK, GRID, theme, load, loadPlotly, element, draw: drawOnce, undraw };
  const start = () => {
    if (document.querySelector(".gain-explorer")) explore();
    if (document.querySelector(".gain-tweak")) tweak();
    if (document.querySelector(".rerun-table")) load("rerun.js");
    const holders = [...document.querySelectorAll(".gain-figure")];
    if (!holders.length) return;
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries.filter((one) => one.isIntersecting)) {
        seen.unobserve(entry.target);
        drawOnce(entry.target);
      }
    }, { rootMargin: "400px" });
    watch = (holder) => seen.observe(holder);
    holders.forEach(watch);
    new MutationObserver(() => {
      for (const canvas of document.querySelectorAll(".gain-figure[data-drawn] .js-plotly-plot")) {
        window.Plotly.relayout(canvas, themed(canvas.layout));
      }
    }).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  };

  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", start) : start();
})();
