"use strict";
// A run's page that is kept up to date: the stream says that there is more, and the content is fetched.
{
  const name = JSON.parse(document.getElementById("data").textContent).live;
  const main = document.querySelector("main"), live = document.querySelector(".live"), asked = new URLSearchParams({ run: name });
  const drawn = {};
  let shape = "", busy = false, again = false;

  async function refresh() {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(`/content?${asked}`);
      if (answer.ok) await show(await answer.json());
      else main.textContent = await answer.text();
    } finally {
      busy = false;
      if (again) { again = false; refresh(); }
    }
  }

  // The server has escaped every text in this HTML, and the page's policy lets no script in it run.
  async function show(content) {
    const now = JSON.stringify(content.runs.map((run) => run.shape));
    if (now !== shape) {
      shape = now;
      for (const id of Object.keys(drawn)) delete drawn[id];
      for (const id of Object.keys(trees)) delete trees[id];
      main.innerHTML = content.runs.map((run) => run.html).join("");
    } else {
      for (const run of content.runs) {
        for (const [id, html] of Object.entries(run.parts)) {
          if (drawn[id] !== html) document.getElementById(id).innerHTML = html;
          drawn[id] = html;
        }
      }
    }
    charts.figures = content.charts;
    for (const [id, figure] of Object.entries(content.charts)) {
      const text = JSON.stringify(figure);
      if (drawn[id] === text) continue;
      drawn[id] = text;
      await charts.draw(id);
      await new Promise((next) => setTimeout(next));
    }
    for (const [id, tree] of Object.entries(content.trees)) {
      const text = `${tree.parent.length} ${tree.timed.length} ${tree.best}`;
      if (drawn[id] !== text) await openTree(id, tree);
      drawn[id] = text;
    }
    document.body.dataset.version = content.version;
    document.body.dataset.ready = "yes";
  }

  main.textContent = "reading the run ...";
  const stream = new EventSource(`/events?${asked}`);
  stream.onmessage = refresh;
  stream.onopen = () => { live.hidden = false; };
  stream.onerror = () => { live.hidden = true; };
}
