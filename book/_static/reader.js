// What links are about, shown when they are pointed at or focused: a reference, a term, a claim. The text is the link's title,
// which shows it by itself where this script does not run. Escape hides it, and it stays while it is pointed at.
(() => {
  "use strict";
  const LINKS = "article a.reference.internal[title]";
  const hint = document.createElement("div");
  Object.assign(hint, { id: "reader-hint", className: "reader-hint", hidden: true });
  hint.setAttribute("role", "tooltip");
  let shownFor = null;
  let leaving = 0;

  const hide = () => {
    shownFor?.removeAttribute("aria-describedby");
    shownFor = null;
    hint.hidden = true;
  };

  // Below the link, or above it where there is no room; never beyond the page's sides.
  const place = (link) => {
    const box = link.getClientRects()[0] || link.getBoundingClientRect();
    const wide = document.documentElement.clientWidth;
    const below = box.bottom + 6 + hint.offsetHeight <= window.innerHeight;
    hint.style.left = `${Math.max(8, Math.min(box.left, wide - hint.offsetWidth - 8)) + window.scrollX}px`;
    hint.style.top = `${(below ? box.bottom + 6 : box.top - hint.offsetHeight - 6) + window.scrollY}px`;
  };

  const show = (link) => {
    clearTimeout(leaving);
    if (shownFor === link) return;
    hide();
    shownFor = link;
    hint.textContent = link.dataset.hint;
    hint.hidden = false;
    link.setAttribute("aria-describedby", hint.id);
    place(link);
  };
  const leave = () => {
    clearTimeout(leaving);
    leaving = setTimeout(hide, 250);
  };

  const start = () => {
    document.body.append(hint);
    for (const link of document.querySelectorAll(LINKS)) {
      link.dataset.hint = link.title;
      link.removeAttribute("title"); // or the browser would show it besides
      link.addEventListener("mouseenter", () => show(link));
      link.addEventListener("mouseleave", leave);
      link.addEventListener("focus", () => show(link));
      link.addEventListener("blur", leave);
    }
    hint.addEventListener("mouseenter", () => clearTimeout(leaving));
    hint.addEventListener("mouseleave", leave);
    document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  };

  // A page from disk may not read its neighbours, so the search shows names without excerpts there.
  if (window.location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false; // a name that Sphinx declares
  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", start) : start();
})();
