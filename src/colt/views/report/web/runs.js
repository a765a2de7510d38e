"use strict";
// The list of runs: filtered, ticked for a comparison, kept up to date. Everything from a run is set as text.
{
  const body = document.querySelector(".runs tbody"), filter = document.getElementById("filter");
  const compare = document.getElementById("compare"), count = document.getElementById("count");
  const chosen = new Set();
  const kept = new Map(); // what stands in the table: a row that has not changed stays, also under a pointer or the focus
  let rows = JSON.parse(document.getElementById("data").textContent);

  const cell = (content) => {
    const td = document.createElement("td");
    td.append(content);
    return td;
  };
  function line(row) {
    const tr = document.createElement("tr"), tick = document.createElement("input"), link = document.createElement("a");
    Object.assign(tick, { type: "checkbox", name: "run", value: row.id, checked: chosen.has(row.id), ariaLabel: `compare ${row.id}` });
    tick.addEventListener("change", () => { if (tick.checked) chosen.add(row.id); else chosen.delete(row.id); enable(); });
    Object.assign(link, { href: `/run?${new URLSearchParams({ run: row.id })}`, textContent: row.id });
    const when = new Date(row.changed * 1000).toLocaleString();
    tr.append(cell(tick), cell(link), ...[row.program, row.status, row.best, row.speedup, row.trials, row.seconds, when].map(cell));
    return tr;
  }
  function keptLine(row) {
    const text = JSON.stringify(row), old = kept.get(row.id);
    const tr = old?.text === text ? old.tr : line(row), wanted = filter.value.trim().toLowerCase();
    kept.set(row.id, { text, tr });
    tr.classList.toggle("hide", wanted !== "" && !`${row.id} ${row.program} ${row.status}`.toLowerCase().includes(wanted));
    return tr;
  }
  function enable() { compare.disabled = chosen.size < 1; compare.textContent = chosen.size ? `compare ${chosen.size}` : "compare"; }
  function show() {
    const wanted = rows.map(keptLine);
    if (wanted.length !== body.children.length || wanted.some((tr, at) => tr !== body.children[at])) body.replaceChildren(...wanted);
    const shown = body.querySelectorAll("tr:not(.hide)").length;
    count.textContent = `${shown} of ${rows.length} runs`;
    document.querySelector("form").hidden = !rows.length;
    document.getElementById("none").hidden = rows.length > 0;
    enable();
  }
  filter.addEventListener("input", show);
  show();
  const stream = new EventSource("/events");
  stream.onmessage = (event) => { rows = JSON.parse(event.data); show(); };
  stream.onopen = () => { document.querySelector(".live").hidden = false; };
  stream.onerror = () => { document.querySelector(".live").hidden = true; };
  document.body.dataset.ready = "yes";
  // A browser that has read Plotly once shows a run at once: that is done here, when there is nothing else to do.
  const idle = window.requestIdleCallback || setTimeout;
  if (rows.length) setTimeout(() => idle(() => document.head.append(Object.assign(document.createElement("script"), { src: "/static/plotly.js" }))), 1000);
}
