// Draws the book's figures. A page holds each figure as inert JSON in <div class="gain-figure">; the one local
// plotly.min.js is loaded only where there are figures, each is drawn when it comes into view (also in a tab that is
// opened later), and all follow the page's light or dark theme.
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

  let plotly = null;
  const loadPlotly = () => {
    plotly ??= new Promise((done, failed) => {
      const tag = document.createElement("script");
      tag.src = new URL("plotly.min.js", script).href;
      tag.onload = () => done(window.Plotly);
      tag.onerror = () => failed(new Error("plotly.min.js is missing beside figures.js"));
      document.head.append(tag);
    });
    return plotly;
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
      delete figure.layout.xaxis?.dtick; // too narrow to name every family
    }
    await Plotly.newPlot(canvas, figure.data, figure.layout, config);
    await Plotly.relayout(canvas, themed(canvas.layout));
    holder.dataset.drawn = "true";
  };

  const start = () => {
    const holders = [...document.querySelectorAll(".gain-figure")];
    if (!holders.length) return;
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries.filter((one) => one.isIntersecting)) {
        seen.unobserve(entry.target);
        draw(entry.target);
      }
    }, { rootMargin: "400px" });
    holders.forEach((holder) => seen.observe(holder));
    window.addEventListener("beforeprint", () => holders.filter((h) => !h.dataset.drawn).forEach(draw));
    new MutationObserver(() => {
      for (const canvas of document.querySelectorAll(".gain-figure[data-drawn] .js-plotly-plot")) {
        window.Plotly.relayout(canvas, themed(canvas.layout));
      }
    }).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  };

  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", start) : start();
})();
