// Questions that tests/gates.py asks a page; each answer is a list of complaints.
window.gates = (() => {
  "use strict";
  const every = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Find figures that show no marks once they have been scrolled to; open folded parts first.
  const undrawn = async (patience) => {
    every("details").forEach((one) => { one.open = true; });
    const missing = [];
    const wait = async (part, name, ready) => {
      part.scrollIntoView();
      for (const start = performance.now(); !ready() && performance.now() - start < patience;) {
        await new Promise((done) => setTimeout(done, 20));
      }
      if (!ready()) missing.push(`not drawn: ${name}`);
    };
    const marks = ".trace path, .trace .point, .bars path";
    for (const figure of every(".gain-figure")) {
      await wait(figure, figure.dataset.key, () => figure.dataset.drawn && every(marks, figure).length > 1);
    }
    const explorer = document.querySelector(".gain-explorer");
    if (explorer) await wait(explorer.parentElement, "explorer", () => document.querySelector(".explorer[data-drawn] .point"));
    return missing;
  };

  // Find what makes a page wider than its window, innermost last; skip what scrolls by itself.
  const tooWide = () => {
    const [page, width] = [document.documentElement.scrollWidth, document.documentElement.clientWidth];
    if (page <= width) return [];
    const scrolls = (one) => one && one !== document.body && (getComputedStyle(one).overflowX !== "visible" || scrolls(one.parentElement));
    const leaves = (one) => {
      const box = one.getBoundingClientRect();
      return Math.max(box.right, box.left + one.scrollWidth) > width + 1;
    };
    const wide = every("body *").filter((one) => leaves(one) && !scrolls(one));
    const named = wide.slice(-3).map((one) => `${one.tagName.toLowerCase()}.${one.getAttribute("class") || ""}`);
    return [`scrolls sideways: ${page} px in ${width} px: ${named.join(", ")}`];
  };

  const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
  const lightness = (colour) => numbers(colour).slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (one) => {
    if (!one) return "rgb(255, 255, 255)";
    const colour = getComputedStyle(one).backgroundColor;
    return (numbers(colour)[3] ?? 1) > 0 ? colour : ground(one.parentElement);
  };

  // Find parts of a figure that overlap: its legend, its menus, the titles of its axes.
  const overlaps = () => {
    const found = [];
    for (const plot of every(".js-plotly-plot")) {
      const parts = every(".legend, .updatemenu-header-group, .xtitle", plot).map((one) => [one, one.getBoundingClientRect()]);
      parts.forEach(([one, a], i) => parts.slice(i + 1).forEach(([other, b]) => {
        const [across, down] = [Math.min(a.right, b.right) - Math.max(a.left, b.left), Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)];
        if (across > 2 && down > 2) found.push(`overlap in a figure: ${one.textContent} and ${other.textContent}`.slice(0, 150));
      }));
    }
    return found.slice(0, 3);
  };

  // Find words of a drawing that are pale or cut off; axe-core does not judge them.
  const illegible = () => {
    const found = [];
    for (const plot of every(".js-plotly-plot")) {
      const [behind, frame] = [lightness(ground(plot)), plot.getBoundingClientRect()];
      for (const text of every(".main-svg text", plot)) {
        const [ink, box] = [lightness(getComputedStyle(text).fill), text.getBoundingClientRect()];
        if (!box.width) continue;
        const contrast = (Math.max(ink, behind) + 0.05) / (Math.min(ink, behind) + 0.05);
        if (contrast < 4.5) found.push(`pale words in a figure: ${text.textContent} (contrast ${contrast.toFixed(1)})`);
        const outside = Math.max(frame.left - box.left, box.right - frame.right, frame.top - box.top, box.bottom - frame.bottom);
        if (outside > 1.5) found.push(`cut off in a figure: ${text.textContent} (by ${outside.toFixed(0)} px)`);
      }
    }
    return found.slice(0, 5);
  };

  // Mark one element of each look of text: axe-core takes long to find what lies beneath an element.
  const markLooks = () => {
    const seen = new Set();
    const opacity = (one) => (one ? getComputedStyle(one).opacity * opacity(one.parentElement) : 1);
    const kind = (one) => `${one.tagName}.${one.getAttribute("class")}`;
    for (const one of every("body, body *")) {
      one.removeAttribute("data-look");
      const says = [...one.childNodes].some((part) => part.nodeType === Node.TEXT_NODE && part.data.trim());
      if (!(says || one.matches("input, select, textarea")) || !one.checkVisibility({ visibilityProperty: true })) continue;
      const { color, fontSize, fontWeight, textDecorationLine } = getComputedStyle(one);
      const around = kind(one.parentElement) + getComputedStyle(one.parentElement).color;
      const look = [kind(one), color, fontSize, fontWeight, textDecorationLine, opacity(one), ground(one), around].join();
      if (!seen.has(look)) one.setAttribute("data-look", "");
      seen.add(look);
    }
  };

  return { undrawn, tooWide, illegible, overlaps, markLooks };
})();
