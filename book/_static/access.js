// Puts tables that are too wide or too long into a scrolling frame, which the keyboard reaches and a screen reader names.
(() => {
  "use strict";
  const headingOf = (element) =>
    element.closest("section")?.querySelector("h1, h2, h3, h4")?.firstChild.textContent.trim() ?? document.title;

  const label = (frame) => {
    const scrolls = frame.scrollWidth > frame.clientWidth || frame.scrollHeight > frame.clientHeight;
    frame.tabIndex = scrolls ? 0 : -1;
    for (const [name, value] of [["role", "region"], ["aria-label", `Table in “${headingOf(frame)}”, scrolls`]]) {
      scrolls ? frame.setAttribute(name, value) : frame.removeAttribute(name);
    }
  };

  const start = () => {
    const resized = new ResizeObserver((entries) => entries.forEach((entry) => label(entry.target)));
    for (const table of document.querySelectorAll("article table:is(.dataframe, .samples)")) {
      const frame = window.gainBook.element("div", { className: "wide-table" });
      table.before(frame);
      frame.append(table);
      resized.observe(frame);
    }
  };

  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", start) : start();
})();
