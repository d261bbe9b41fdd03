// Puts tables that are too wide or too long into a scrolling frame, which the keyboard reaches and a screen reader names.
(() => {
  "use strict";
  const headingBefore = (element) => {
    const before = (heading) => heading.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING;
    const last = [...document.querySelectorAll("article :is(h1, h2, h3)")].filter(before).at(-1);
    return last?.firstChild?.textContent.trim() ?? document.title;
  };

  const label = (frame) => {
    const scrolls = frame.scrollWidth > frame.clientWidth || frame.scrollHeight > frame.clientHeight;
    frame.tabIndex = scrolls ? 0 : -1;
    for (const [name, value] of [["role", "region"], ["aria-label", `Table in “${headingBefore(frame)}”, scrolls`]]) {
      scrolls ? frame.setAttribute(name, value) : frame.removeAttribute(name);
    }
  };

  const start = () => {
    const resized = new ResizeObserver((entries) => entries.forEach((entry) => label(entry.target)));
    for (const table of document.querySelectorAll("article table:is(.dataframe, .samples)")) {
      const frame = document.createElement("div");
      frame.className = "wide-table";
      table.before(frame);
      frame.append(table);
      resized.observe(frame);
    }
  };

  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", start) : start();
})();
