"use strict";
// A run's page that is kept up to date: the stream says that there is more, and the content is fetched. Trees are large:
// they are fetched when the reader comes near them.
{
  const main = document.querySelector("main"), live = document.querySelector(".live");
  const drawn = {};
  const near = new Set(); // trees that the reader can see, or nearly
  let shape = "", busy = false, again = false, trees_now = {}, version = null;

  async function refresh() {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await (content || fetch(`/content?${asked}`));
      content = null;
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
      const at = scrollY;
      main.innerHTML = content.runs.map((run) => run.html).join("");
      scrollTo(0, at);
      watch(Object.keys(content.trees));
    } else {
      for (const run of content.runs) {
        for (const [id, html] of Object.entries(run.parts)) {
          if (drawn[id] !== html) document.getElementById(id).innerHTML = html;
          drawn[id] = html;
        }
      }
    }
    charts.figures = content.charts;
    trees_now = content.trees;
    version = content.version;
    for (const [id, figure] of Object.entries(content.charts)) {
      const text = JSON.stringify(figure);
      if (drawn[id] === text) continue;
      drawn[id] = text;
      await charts.draw(id);
      await new Promise((next) => setTimeout(next));
    }
    for (const id of near) await showTree(id);
    document.body.dataset.version = content.version;
    document.body.dataset.ready = content.reading ? "nearly" : "yes";
  }

  async function showTree(id) {
    if (!(id in trees_now) || drawn[id] === version) return;
    drawn[id] = version;
    const answer = await fetch(`/tree?${asked}&program=${trees_now[id]}`);
    if (answer.ok) await openTree(id, await answer.json());
    else delete drawn[id];
  }

  const watcher = new IntersectionObserver((seen) => {
    for (const one of seen) {
      if (one.isIntersecting) near.add(one.target.id);
      else near.delete(one.target.id);
      if (one.isIntersecting) showTree(one.target.id);
    }
  }, { rootMargin: "400px" });
  function watch(ids) {
    watcher.disconnect();
    near.clear();
    for (const id of ids) watcher.observe(document.getElementById(id));
  }

  main.textContent = "reading the run ...";
  refresh();
  const stream = new EventSource(`/events?${asked}`);
  stream.onmessage = (event) => { if (event.data !== String(version)) refresh(); };
  stream.onopen = () => { live.hidden = false; };
  stream.onerror = () => { live.hidden = true; };
}
