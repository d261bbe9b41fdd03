// The lead figure, step by step. A list in <div class="lead-steps"> holds the steps, each naming its curves in
// <span data-shows="animal random">; the list becomes one step at a time, with buttons, above the figure that follows it.
// Nothing moves by itself, and a reader who prefers less motion gets no Play button.
(() => {
  "use strict";
  const { element, button } = window.gainBook;
  const PAUSE = 6000; // a step's time when played
  const FAINT = 0.12;
  const holder = document.querySelector(".lead-steps");
  const list = holder.querySelector("ol");
  const steps = [...holder.querySelectorAll("li")];
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");
  let at = 0;
  let playing = 0;

  // Curves of a step stand out; in the first and last step, which name none, and on paper, all are as they are.
  const root = document.documentElement;
  const highlight = () => {
    const wanted = !root.classList.contains("printing") && steps[at].querySelector("[data-shows]")?.dataset.shows.split(" ");
    for (const plot of document.querySelectorAll('.gain-figure[data-key="figure_3"][data-drawn] .js-plotly-plot')) {
      const opacity = plot.data.map((trace) => (!wanted || wanted.includes(trace.legendgroup) ? 1 : FAINT));
      window.Plotly.restyle(plot, { opacity });
    }
  };

  const show = (next) => {
    at = Math.max(0, Math.min(steps.length - 1, next));
    steps.forEach((step, i) => (step.hidden = i !== at));
    back.ariaDisabled = at === 0; // not `disabled`, which would take the keyboard's place away
    forth.ariaDisabled = at === steps.length - 1;
    place.textContent = `Step ${at + 1} of ${steps.length}`;
    highlight();
  };

  const stop = () => {
    clearInterval(playing);
    playing = 0;
    play.textContent = "Play";
    play.hidden = still.matches;
    list.setAttribute("aria-live", "polite");
  };
  const toggle = () => {
    if (playing) return stop();
    if (at === steps.length - 1) show(0);
    list.setAttribute("aria-live", "off"); // who plays it watches; it would read over itself
    play.textContent = "Pause";
    playing = setInterval(() => {
      show(at + 1);
      if (at === steps.length - 1) stop();
    }, PAUSE);
  };
  const go = (by) => {
    stop();
    show(at + by);
  };

  const [back, forth, play] = [button("Back", () => go(-1)), button("Next", () => go(1)), button("Play", toggle)];
  const place = element("span", { className: "lead-place" });
  holder.prepend(element("div", { className: "lead-bar", role: "group", "aria-label": "Steps through the figure" }, back, forth, play, place));
  holder.classList.add("lead-on");
  document.addEventListener("gain-drawn", highlight);
  new MutationObserver(highlight).observe(root, { attributeFilter: ["class"] });
  still.addEventListener("change", stop);
  go(0);
})();
