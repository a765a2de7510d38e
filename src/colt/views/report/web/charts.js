"use strict";
// Draws the charts that the page's data describes, and draws them anew when colours, width or data change.
const CONFIG = { displaylogo: false, responsive: true, scrollZoom: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]], toImageButtonOptions: { scale: 2 } };
const ROW = 30; // pixels of a legend of one row
const SOON = 500; // points of a chart that is to stand soon
const charts = {
  figures: {},
  // Plotly is in a report. A page of the dashboard gets it after its texts: it takes a browser a second to read Plotly.
  plotly: typeof Plotly === "undefined" ? null : Promise.resolve(),
  ready() {
    return this.plotly ??= new Promise((done, failed) => {
      const onerror = () => { this.plotly = null; failed(new Error("Plotly cannot be loaded")); };
      document.head.append(Object.assign(document.createElement("script"), { src: "/static/plotly.js", onload: done, onerror }));
    });
  },
  // The layout in the colours of the page.
  themed(layout) {
    const ink = theme.colour("ink"), line = theme.colour("line");
    const axis = { gridcolor: line, linecolor: line, zerolinecolor: line, tickcolor: line };
    const themed = { ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, size: 13, family: "system-ui, 'DejaVu Sans', sans-serif" }, hoverlabel: { bgcolor: theme.colour("card"), bordercolor: line, font: { color: ink } }, modebar: { bgcolor: "rgba(0,0,0,0)", color: theme.colour("dim"), activecolor: ink } };
    if (layout.shapes) themed.shapes = layout.shapes.map((shape) => ({ ...shape, line: { color: theme.colour("dim"), width: 1 } }));
    if (layout.annotations) themed.annotations = layout.annotations.map((note) => ({ ...note, bgcolor: theme.colour("card"), opacity: 0.85 }));
    for (const name of ["xaxis", "yaxis"]) if (layout[name]) themed[name] = { ...axis, ...layout[name] };
    return themed;
  },
  traces(figure) {
    return figure.data.map((trace) => {
      if (trace.type === "scatter" && trace.mode === "lines" && trace.line.color === "#888888") return { ...trace, line: { ...trace.line, color: theme.colour("ink") } };
      return trace;
    });
  },
  // Some of the points, so that something stands soon.
  some(traces) {
    const points = (trace) => (trace.mode === "markers" ? trace.x.length : 0);
    const step = Math.ceil(traces.reduce((sum, trace) => sum + points(trace), 0) / SOON);
    const kept = (values) => values?.filter((_, at) => at % step === 0);
    return traces.map((trace) => (step > 1 && points(trace) ? { ...trace, x: kept(trace.x), y: kept(trace.y), hovertext: kept(trace.hovertext) } : trace));
  },
  async draw(id, soon = false) {
    const place = document.getElementById(id), figure = this.figures[id];
    if (!place || !figure) return;
    if (figure.empty) {
      if (place.classList.contains("js-plotly-plot")) Plotly.purge(place);
      place.textContent = figure.empty;
      place.classList.add("none");
      return;
    }
    await this.ready();
    if (place.classList.contains("none")) { place.textContent = ""; place.classList.remove("none"); }
    place.style.minHeight = `${figure.layout.height}px`;
    place.style.minWidth = figure.width ? `${figure.width}px` : "";
    const traces = this.traces(figure);
    const done = Plotly.react(place, soon ? this.some(traces) : traces, { ...this.themed(figure.layout), uirevision: "kept" }, CONFIG);
    this.say(place, figure.note);
    await done;
    this.bars(place);
    this.roomForLegend(place, figure.layout.height);
  },
  // What is left out of a chart, below it.
  say(place, text) {
    let note = place.nextElementSibling;
    if (!note && text) place.after(note = Object.assign(document.createElement("p"), { className: "note" }));
    if (note) note.textContent = text;
  },
  // A legend of several rows makes the chart higher: it would be put over what is drawn, or be scrolled.
  roomForLegend(place, height) {
    if (!place.legendRoom) {
      place.legendRoom = true;
      place.on("plotly_afterplot", () => this.roomForLegend(place, this.figures[place.id]?.layout.height));
    }
    const entries = [...place.querySelectorAll(".legend .traces")].map((one) => one.getBoundingClientRect());
    if (!height || !entries.length) return;
    const rows = Math.max(...entries.map((one) => one.bottom)) - Math.min(...entries.map((one) => one.top));
    const wanted = Math.round(height + Math.max(0, rows - ROW));
    if (Math.abs(place.layout.height - wanted) > 2) Plotly.relayout(place, { height: wanted });
  },
  // The buttons over a chart are for the mouse; they stay out of the order of Tab.
  bars(place) { for (const one of place.querySelectorAll(".modebar-btn")) one.setAttribute("tabindex", "-1"); },
  async drawAll() {
    for (const id of Object.keys(this.figures)) {
      await this.draw(id);
      await new Promise((next) => setTimeout(next));
    }
  },
};
{
  const found = document.getElementById("data");
  const data = found && found.textContent ? JSON.parse(found.textContent) : { charts: {}, trees: {} };
  charts.figures = data.charts || {};
  if (!data.live) charts.drawAll().then(async () => {
    for (const [id, tree] of Object.entries(data.trees || {})) await openTree(id, tree);
    document.body.dataset.ready = "yes";
  });
  document.addEventListener("theme", () => { if (document.body.dataset.ready) charts.drawAll(); });
  const PAPER = 690; // pixels across a page of A4 or letter
  const fit = (place) => { // a chart that needs more is made smaller as a whole
    const width = Math.max(PAPER, charts.figures[place.id]?.width || 0);
    place.style.zoom = PAPER / width;
    Plotly.relayout(place, { autosize: false, width });
  };
  const unfit = (place) => { place.style.zoom = ""; Plotly.relayout(place, { autosize: true, width: null }); };
  let before = null;
  addEventListener("beforeprint", () => {
    before = theme.dark;
    if (before) theme.set(false);
    document.querySelectorAll(".js-plotly-plot").forEach(fit);
  });
  addEventListener("afterprint", () => { if (before) theme.set(true); document.querySelectorAll(".js-plotly-plot").forEach(unfit); });
}
