// The gain explorer's chart: columns of species (groups, or one species each), drawn by plotly in the page's theme.
window.gainPlot = (() => {
  "use strict";
  const { GRADES, wordOf } = window.gainData;
  const MANY = 400; // species beyond which only groups show intervals
  const NAMED = 6; // so many found species are named in the chart
  const percent = (value) => Number.isNaN(value) ? "not known" : `${value < 0 ? "−" : "+"}${Math.abs(100 * value).toFixed(1)}%`;
  const short = (text, length) => (text.length <= length ? text : `${text.slice(0, length - 1).trimEnd()}…`);
  const rgba = (hex, alpha) => `rgba(${[1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)).join(",")},${alpha})`;

  // Where each row stands: its column, and within it a place of its own in the order of gain.
  const pointsOf = (columns) =>
    columns.flatMap((column, at) =>
      column.rows.map((row, rank) => {
        const n = column.rows.length;
        return { row, column, x: at + ((rank - (n - 1) / 2) / Math.max(n, 3)) * 0.8 };
      }));

  const bars = (rows, style) => ({
    type: "data", symmetric: false, width: 0, ...style,
    array: rows.map((one) => Math.max(0, one.high - one.mean)),
    arrayminus: rows.map((one) => Math.max(0, one.mean - one.low)),
  });

  const speciesTrace = (grade, points, view, size) => {
    const [colour, symbol] = view.tables.styles[grade];
    const word = wordOf(view.tables, grade, view.well);
    const mine = points.filter((point) => point.row.grade === grade);
    const rows = mine.map((point) => point.row);
    const hover = mine.map(({ row, column }) =>
      `<b>${row.species}</b>${row.taxon && row.taxon !== row.species ? ` (${row.taxon})` : ""}<br>` +
      `${column.name === row.species ? "" : `${column.name}<br>`}gain ${percent(row.mean)}, interval ${percent(row.low)} to ` +
      `${percent(row.high)}<br>${row.images} images, ${view.arm.seeds.length} seeds; ${word}` +
      (row.correct === null || !view.target.named[row.i] ? "" : `, ${row.correct} correct images`));
    return {
      type: "scatter", mode: "markers", name: word, x: mine.map((point) => point.x), y: rows.map((row) => row.mean),
      customdata: mine.map((point) => columnsIndex(view, point.column)), hovertext: hover, hoverinfo: "text",
      marker: {
        color: colour, symbol, size,
        opacity: view.found ? rows.map((row) => (view.found.has(row.i) ? 1 : 0.12)) : 0.9,
      },
      error_y: { ...bars(rows, { thickness: 1, color: rgba(colour, view.found ? 0.25 : 0.7) }), visible: view.bars },
    };
  };

  const columnsIndex = (view, column) => view.columns.indexOf(column);

  const groupTrace = (view, ink) => {
    const groups = view.columns.map((column, at) => ({ ...column, at })).filter((one) => one.rows.length > 1);
    return {
      type: "scatter", mode: "markers", name: "mean of a group", x: groups.map((one) => one.at),
      y: groups.map((one) => one.mean), customdata: groups.map((one) => one.at), hoverinfo: "text",
      hovertext: groups.map((one) =>
        `<b>${one.name}</b>: ${one.rows.length} species<br>mean gain ${percent(one.mean)}, interval ${percent(one.low)} to ` +
        `${percent(one.high)}<br>${view.arm.seeds.length} seeds`),
      marker: { symbol: "line-ew-open", size: 18, color: ink, line: { color: ink, width: 3 } },
      error_y: { ...bars(groups, { thickness: 2, color: ink }), visible: view.intervals },
    };
  };

  const ticks = (columns, width) => {
    const step = Math.ceil(columns.length / Math.max(6, Math.floor(width / 18)));
    const shown = columns.map((column, at) => [at, column.name]).filter(([at]) => at % step === 0);
    const length = width < 520 ? 16 : 24;
    return { tickvals: shown.map(([at]) => at), ticktext: shown.map(([, name]) => short(name, length)) };
  };

  const notes = (points, view, ink) => {
    const found = view.found ? points.filter((point) => view.found.has(point.row.i)) : [];
    return found.length > NAMED ? [] : found.map(({ row, x }, place) => ({
      x, y: row.mean, text: short(row.species, 24), showarrow: true, arrowcolor: ink, arrowwidth: 1, ax: 0,
      ay: -28 - 16 * (place % 3), font: { size: 12, color: ink },
    }));
  };

  const draw = async (canvas, view) => {
    const Plotly = await window.gainBook.loadPlotly();
    const { INK, GRID, theme } = window.gainBook;
    const [ink, grid, width] = [INK[theme()], GRID[theme()], canvas.clientWidth];
    const points = pointsOf(view.columns);
    view = { ...view, bars: view.intervals && points.length <= MANY };
    const size = points.length <= 80 ? 9 : points.length <= MANY ? 7 : 4;
    const grades = GRADES.filter((grade) => view.grades.has(grade)).reverse();
    const traces = grades.map((grade) => speciesTrace(grade, points, view, size));
    if (!view.bySpecies) traces.push(groupTrace(view, ink));
    const at = view.cursor;
    const axis = { gridcolor: grid, linecolor: grid, zerolinecolor: ink, fixedrange: true, automargin: true };
    const layout = {
      height: 520, margin: { l: width < 520 ? 50 : 60, r: 8, t: 10, b: 60 }, hovermode: "closest", dragmode: false,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, size: width < 520 ? 12 : 14 },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, traceorder: "reversed" },
      xaxis: {
        ...axis, ...ticks(view.columns, width), title: { text: view.title }, tickangle: -50, tickfont: { size: 11 },
        range: [-0.6, view.columns.length - 0.4], zeroline: false, showgrid: false,
      },
      yaxis: { ...axis, title: { text: "pretraining gain (top-1)" }, tickformat: "+.0%", zerolinewidth: 1 },
      shapes: at === null ? [] : [{
        type: "rect", xref: "x", yref: "paper", x0: at - 0.5, x1: at + 0.5, y0: 0, y1: 1, layer: "below",
        fillcolor: rgba(ink, 0.12), line: { color: ink, width: 1 },
      }],
      annotations: notes(points, view, ink),
    };
    await Plotly.react(canvas, traces, layout, { responsive: true, displaylogo: false, displayModeBar: false });
    return view.bars || !view.intervals;
  };

  return { draw, percent, MANY };
})();
