"use strict";
// Draws the charts that the page's data describes, and draws them anew when colours, width or data change.
const CONFIG = { displaylogo: false, responsive: true, scrollZoom: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]], toImageButtonOptions: { scale: 2 } };
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
  async draw(id) {
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
    const done = Plotly.react(place, this.traces(figure), { ...this.themed(figure.layout), uirevision: "kept" }, CONFIG);
    place.style.minHeight = `${figure.layout.height}px`;
    await done;
    this.bars(place);
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
  const resize = (size) => { for (const place of document.querySelectorAll(".js-plotly-plot")) Plotly.relayout(place, size); };
  let before = null;
  addEventListener("beforeprint", () => {
    before = theme.dark;
    if (before) theme.set(false);
    resize({ autosize: false, width: PAPER });
  });
  addEventListener("afterprint", () => { if (before) theme.set(true); resize({ autosize: true, width: null }); });
}
