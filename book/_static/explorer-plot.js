// The gain explorer's chart: columns of species (groups, or one species each), drawn by plotly in the page's theme, in points.
window.gainPlot = (() => {
  "use strict";
  const { GRADES, wordOf } = window.gainData;
  const { hundredfold: points, plain } = window.gainBook;
  const MANY = 400; // species beyond which only groups show intervals
  const NAMED = 6; // so many found species are named in the chart
  const interval = ({ low, high }) => `interval ${points(low)} to ${points(high)}`;
  const short = (text, length) => (text.length <= length ? text : `${text.slice(0, length - 1).trimEnd()}…`);
  const rgba = (hex, alpha) => `rgba(${[1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)).join(",")},${alpha})`;

  const bars = (rows, style) => ({
    type: "data", symmetric: false, width: 0, ...style,
    array: rows.map((one) => 100 * Math.max(0, one.high - one.mean)),
    arrayminus: rows.map((one) => 100 * Math.max(0, one.mean - one.low)),
  });

  const speciesTrace = (grade, marks, view, size) => {
    const [colour, symbol] = view.tables.styles[grade];
    const word = wordOf(view.tables, grade, view.well);
    const mine = marks.filter((mark) => mark.row.grade === grade);
    const rows = mine.map((mark) => mark.row);
    const hover = ({ row, at }) => {
      const taxon = row.taxon && row.taxon !== row.species ? ` (${plain(row.taxon)})` : "";
      const group = view.columns[at].name === row.species ? "" : `${plain(view.columns[at].name)}<br>`;
      const correct = row.correct === null || !view.target.named[row.i] ? "" : `, ${row.correct} correct images`;
      return `<b>${plain(row.species)}</b>${taxon}<br>${group}gain ${points(row.mean)} points, ${interval(row)}<br>` +
        `${row.images} images, ${view.arm.seeds.length} seeds; ${word}${correct}`;
    };
    const opacity = view.found ? rows.map((row) => (view.found.has(row.i) ? 1 : 0.12)) : 0.9;
    return {
      type: "scatter", mode: "markers", name: word, x: mine.map((mark) => mark.x), y: rows.map((row) => 100 * row.mean),
      customdata: mine.map((mark) => mark.at), hovertext: mine.map(hover), hoverinfo: "text", marker: { color: colour, symbol, size, opacity },
      error_y: { ...bars(rows, { thickness: 1, color: rgba(colour, view.found ? 0.25 : 0.7) }), visible: view.bars },
    };
  };

  const groupTrace = (view, ink) => {
    const groups = view.columns.map((column, at) => ({ ...column, at })).filter((one) => one.rows.length > 1);
    const at = groups.map((one) => one.at);
    return {
      type: "scatter", mode: "markers", name: "mean of a group", x: at, customdata: at, y: groups.map((one) => 100 * one.mean),
      hoverinfo: "text", hovertext: groups.map((one) => `<b>${plain(one.name)}</b>: ${one.rows.length} species<br>` +
        `mean gain ${points(one.mean)} points, ${interval(one)}<br>${view.arm.seeds.length} seeds`),
      marker: { symbol: "line-ew-open", size: 18, color: ink, line: { color: ink, width: 3 } },
      error_y: { ...bars(groups, { thickness: 2, color: ink }), visible: view.intervals },
    };
  };

  const ticks = (columns, width) => {
    const step = Math.ceil(columns.length / Math.max(6, Math.floor(width / 18)));
    const shown = columns.map((column, at) => [at, plain(short(column.name, width < 520 ? 16 : 24))]).filter(([at]) => at % step === 0);
    return { tickvals: shown.map(([at]) => at), ticktext: shown.map(([, name]) => name) };
  };

  const draw = async (canvas, view) => {
    const Plotly = await window.gainBook.loadPlotly();
    const { INK, GRID, theme } = window.gainBook;
    const [ink, grid, width] = [INK[theme()], GRID[theme()], canvas.clientWidth];
    // each species in its column, at its own place in the order of gain
    const marks = view.columns.flatMap(({ rows }, at) => rows.map((row, rank) =>
      ({ row, at, x: at + ((rank - (rows.length - 1) / 2) / Math.max(rows.length, 3)) * 0.8 })));
    const found = view.found ? marks.filter((mark) => view.found.has(mark.row.i)) : [];
    view = { ...view, bars: view.intervals && marks.length <= MANY };
    const size = marks.length <= 80 ? 9 : marks.length <= MANY ? 7 : 4;
    const traces = GRADES.filter((grade) => view.grades.has(grade)).reverse().map((grade) => speciesTrace(grade, marks, view, size));
    if (!view.bySpecies) traces.push(groupTrace(view, ink));
    const axis = { gridcolor: grid, linecolor: grid, zerolinecolor: ink, fixedrange: true, automargin: true };
    const layout = {
      height: 520, margin: { l: width < 520 ? 50 : 60, r: 8, t: 10, b: 60 }, hovermode: "closest", dragmode: false,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, size: width < 520 ? 12 : 14 },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, traceorder: "reversed" },
      xaxis: { ...axis, ...ticks(view.columns, width), title: { text: plain(view.title) }, tickangle: -50, tickfont: { size: 11 },
        range: [-0.6, view.columns.length - 0.4], zeroline: false, showgrid: false },
      yaxis: { ...axis, title: { text: "pretraining gain in top-1, points" }, tickformat: "+.1~f", zerolinewidth: 1 },
      shapes: view.cursor === null ? [] : [{ type: "rect", xref: "x", yref: "paper", x0: view.cursor - 0.5, x1: view.cursor + 0.5,
        y0: 0, y1: 1, layer: "below", fillcolor: rgba(ink, 0.12), line: { color: ink, width: 1 } }],
      annotations: found.length > NAMED ? [] : found.map(({ row, x }, place) => ({
        x, y: 100 * row.mean, text: plain(short(row.species, 24)), showarrow: true, arrowcolor: ink, arrowwidth: 1, ax: 0,
        ay: -28 - 16 * (place % 3), font: { size: 12, color: ink } })),
    };
    await Plotly.react(canvas, traces, layout, { responsive: true, displaylogo: false, displayModeBar: false });
  };

  return { draw, points, interval, MANY };
})();
