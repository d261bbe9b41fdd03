// Shows what a link is about (a reference, a term, a claim) while it is pointed at or focused. The text is the link's title, which
// browsers show by themselves without this script. The hint stays while it is pointed at; Escape hides it.
(() => {
  "use strict";
  const hint = Object.assign(document.createElement("div"), { id: "reader-hint", className: "reader-hint", hidden: true });
  hint.setAttribute("role", "tooltip");
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
    const box = link.getClientRects()[0] || link.getBoundingClientRect();
    const below = box.bottom + 6 + hint.offsetHeight <= window.innerHeight;
    const left = Math.max(8, Math.min(box.left, document.documentElement.clientWidth - hint.offsetWidth - 8));
    hint.style.left = `${left + window.scrollX}px`;
    hint.style.top = `${(below ? box.bottom + 6 : box.top - hint.offsetHeight - 6) + window.scrollY}px`;
  };

  const start = () => {
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
  };

  // A page opened from disk must not read its neighbours, so the search there shows titles without excerpts.
  if (window.location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false; // a name that Sphinx declares
  document.readyState === "loading" ? document.addEventListener("DOMContentLoaded", start) : start();
})();
