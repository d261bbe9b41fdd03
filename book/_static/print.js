// What printing needs: every figure drawn, on white, no wider than paper, and what is folded open. Afterwards all is as before.
// The style sheet print.css does the rest. A browser does not wait for what a page loads once it prints, so pages with
// figures have plotly at hand before, where there is room for a printer.
(() => {
  "use strict";
  const PAPER_PX = 672; // between the margins of print.css, on A4
  const PAGE_PX = 920; // and of a page, less the space around a figure
  const root = document.documentElement;
  const all = (selector) => [...document.querySelectorAll(selector)];

  // Drawings that are wider than the paper are zoomed by the style sheet; in the whole book, also one that with its caption
  // is taller than a page.
  const fit = () => {
    for (const canvas of all(".js-plotly-plot")) {
      const width = Number(canvas.querySelector(".main-svg")?.getAttribute("width")) || PAPER_PX;
      const zoom = Math.min(1, PAPER_PX / width);
      canvas.style.setProperty("--to-paper", zoom);
      const excess = (canvas.closest(".together")?.offsetHeight || 0) - PAGE_PX;
      if (excess > 0) canvas.style.setProperty("--to-paper", zoom * (1 - excess / canvas.getBoundingClientRect().height));
    }
  };

  const fitTables = () => {
    for (const table of all("table")) {
      const room = table.parentElement.clientWidth;
      if (room && table.offsetWidth > room + 1) table.style.zoom = room / table.offsetWidth;
    }
  };

  let putBack = null;
  const begin = () => {
    if (putBack) return;
    const { theme } = root.dataset;
    const folded = all("details:not([open])");
    const undrawn = all(".gain-figure:not([data-drawn])");
    putBack = () => {
      undrawn.forEach(window.gainBook.undraw); // they are wider than the page, and may be in a closed tab
      root.classList.remove("printing");
      root.dataset.theme = theme;
      all("table").forEach((table) => (table.style.zoom = ""));
      folded.forEach((one) => (one.open = false));
    };
    root.classList.add("printing");
    root.dataset.theme = "light";
    folded.forEach((one) => (one.open = true));
    fit();
    fitTables();
    Promise.all(undrawn.map(window.gainBook.draw)).then(fit);
  };
  const end = () => {
    putBack?.();
    putBack = null;
  };

  // For `make pdf`, on a page as wide as paper whose class is `printing` from the start: tables that do not fit are zoomed, too.
  window.gainBook.toPaper = async () => {
    const [explorer, tweak] = [".gain-explorer", ".gain-tweak"].map((kind) => document.querySelector(kind));
    const later = () => new Promise((done) => setTimeout(done, 50));
    await Promise.all(all(".gain-figure").map(window.gainBook.draw));
    while (explorer && !document.querySelector(".explorer[data-drawn]")) await later();
    while (tweak && !document.querySelector(".tweak[data-done]")) await later();
    fit();
    all("thead button").forEach((button) => button.replaceWith(button.textContent)); // heads are repeated without their buttons
    fitTables();
    await document.fonts.ready;
  };

  window.addEventListener("beforeprint", begin);
  window.addEventListener("afterprint", end);
  window.matchMedia("print").addEventListener("change", ({ matches }) => (matches ? begin() : end()));
  window.addEventListener("load", () => {
    if (window.innerWidth < 900 || !document.querySelector(".gain-figure")) return;
    (window.requestIdleCallback || setTimeout)(() => window.gainBook.loadPlotly());
  });
})();
