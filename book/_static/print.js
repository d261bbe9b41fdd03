// Prepares a page for print: figures on white, no wider than the paper, folded parts open; undoes it afterwards. print.css does the
// rest. A figure that was never in view is printed as its static picture.
(() => {
  "use strict";
  const PAPER_PX = 672; // between the margins of print.css, on A4
  const root = document.documentElement;
  const all = (selector) => [...document.querySelectorAll(selector)];

  // print.css zooms drawings and tables that are wider than the paper.
  const fit = () => {
    for (const canvas of all(".js-plotly-plot")) {
      const width = Number(canvas.querySelector(".main-svg")?.getAttribute("width")) || PAPER_PX;
      canvas.style.setProperty("--to-paper", Math.min(1, PAPER_PX / width));
    }
    for (const table of all("table")) {
      const room = table.parentElement.clientWidth;
      if (room && table.offsetWidth > room + 1) table.style.zoom = room / table.offsetWidth;
    }
  };

  let before = null;
  const begin = () => {
    if (before || root.classList.contains("whole-book")) return;
    before = { theme: root.dataset.theme, folded: all("details:not([open])") };
    root.classList.add("printing");
    root.dataset.theme = "light";
    before.folded.forEach((one) => (one.open = true));
    fit();
  };
  const end = () => {
    if (!before) return;
    root.classList.remove("printing");
    root.dataset.theme = before.theme;
    before.folded.forEach((one) => (one.open = false));
    all("table").forEach((table) => (table.style.zoom = ""));
    before = null;
  };

  // For `make pdf`: turn Sphinx's one page of all chapters into paper, and resolve when everything is drawn.
  window.gainBook.toPaper = async (note) => {
    root.classList.add("printing", "whole-book");
    root.dataset.theme = "light";
    for (const place of all('.toctree-wrapper > span[id^="document-book/executed"]')) {
      place.nextElementSibling.remove(); // executed notebooks repeat the figures, and stay with the HTML book
      place.remove();
    }
    all('#jb-print-toc a[href*="executed"]').forEach((link) => link.closest("li").remove());
    all("#jb-print-toc .caption").forEach((caption) => caption.nextElementSibling?.querySelector("li") || caption.remove());
    document.querySelector("h1").after(Object.assign(document.createElement("p"), { className: "print-note", textContent: note }));
    for (const link of all("a[href]")) {
      const goal = link.getAttribute("href");
      if (goal[0] === "#" ? !document.getElementById(goal.slice(1)) : !/^https?:/.test(goal)) link.removeAttribute("href");
    }
    await Promise.all(all(".gain-figure").map(window.gainBook.draw));
    for (const [wanted, drawn] of [[".gain-explorer", ".explorer[data-drawn]"], [".gain-what-if", ".what-if[data-done]"]]) {
      while (document.querySelector(wanted) && !document.querySelector(drawn)) await new Promise((done) => setTimeout(done, 50));
    }
    all("thead button").forEach((button) => button.replaceWith(button.textContent)); // heads are repeated without their buttons
    await document.fonts.ready;
    fit();
  };

  window.addEventListener("beforeprint", begin);
  window.addEventListener("afterprint", end);
  window.matchMedia("print").addEventListener("change", ({ matches }) => (matches ? begin() : end()));
})();
