// Helps readers along: shows what a link is about (a reference, a term, a claim) while it is pointed at or focused, and puts tables
// that are too wide or too long into a scrolling frame. The text of a hint is the link's title, which browsers show by themselves
// without this script. The hint stays while it is pointed at; Escape hides it.
(() => {
  "use strict";
  const { element } = window.gainBook;

  // ---- hints

  const hint = element("div", { id: "reader-hint", className: "reader-hint", hidden: true, role: "tooltip" });
  let shownFor = null;
  let leaving = 0;

  const hide = () => {
    shownFor?.removeAttribute("aria-describedby");
    shownFor = null;
    hint.hidden = true;
  };

  // Below the link, or above it where there is no room; within the sides of the page.
  const show = (link) => {
    hide();
    shownFor = link;
    hint.textContent = link.dataset.hint;
    hint.hidden = false;
    link.setAttribute("aria-describedby", hint.id);
    const place = link.getClientRects()[0] || link.getBoundingClientRect();
    const below = place.bottom + 6 + hint.offsetHeight <= window.innerHeight;
    const left = Math.max(8, Math.min(place.left, document.documentElement.clientWidth - hint.offsetWidth - 8));
    hint.style.left = `${left + window.scrollX}px`;
    hint.style.top = `${(below ? place.bottom + 6 : place.top - hint.offsetHeight - 6) + window.scrollY}px`;
  };

  document.body.append(hint);
  for (const link of document.querySelectorAll("article a.reference.internal[title]")) {
    link.dataset.hint = link.title;
    link.removeAttribute("title"); // or the browser would show it as well
  }
  for (const event of ["mouseover", "focusin"]) {
    document.addEventListener(event, ({ target }) => {
      const over = target.closest("a[data-hint], .reader-hint");
      clearTimeout(leaving);
      if (!over) leaving = setTimeout(hide, 250);
      else if (over !== hint && over !== shownFor) show(over);
    });
  }
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());

  // ---- frames of tables, which the keyboard reaches and a screen reader names where they scroll

  const label = (frame) => {
    const scrolls = frame.scrollWidth > frame.clientWidth || frame.scrollHeight > frame.clientHeight;
    const heading = frame.closest("section")?.querySelector("h1, h2, h3, h4")?.firstChild.textContent.trim() ?? document.title;
    frame.tabIndex = scrolls ? 0 : -1;
    frame.role = scrolls ? "region" : null;
    frame.ariaLabel = scrolls ? `Table in “${heading}”, scrolls` : null;
  };
  const resized = new ResizeObserver((entries) => entries.forEach((entry) => label(entry.target)));
  for (const table of document.querySelectorAll("article table:is(.dataframe, .samples)")) {
    const frame = element("div", { className: "wide-table" });
    table.before(frame);
    frame.append(table);
    resized.observe(frame);
  }

  // A page opened from disk must not read its neighbours, so the search there shows titles without excerpts.
  if (window.location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false; // a name that Sphinx declares
})();
