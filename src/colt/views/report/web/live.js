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
      else { shape = ""; main.textContent = await answer.text(); }
    } finally {
      busy = false;
      listen();
      if (again) { again = false; refresh(); }
    }
  }

  // The server has escaped every text in this HTML, and the page's policy lets no script in it run.
  async function show(content) {
    const now = JSON.stringify(content.runs.map((run) => run.shape));
    if (now !== shape) {
      shape = now;
      const at = scrollY;
      rebuild(content.runs.map((run) => run.html).join(""));
      for (const run of content.runs) Object.assign(drawn, run.parts);
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
    await painted();
    let first = null; // the first chart has all of its points once the others stand
    for (const [id, figure] of Object.entries(content.charts)) {
      const text = JSON.stringify(figure);
      if (drawn[id] === text) continue;
      drawn[id] = text;
      const soon = typeof Plotly === "undefined";
      if (soon) first = id;
      await charts.draw(id, soon);
      await new Promise((next) => setTimeout(next));
      listen();
    }
    if (first) await charts.draw(first);
    for (const id of near) await showTree(id);
    document.body.dataset.version = content.version;
    document.body.dataset.ready = content.reading ? "nearly" : "yes";
  }

  // Other panels: charts and trees that stay keep their elements, and with them where the reader has zoomed and what is open.
  function rebuild(html) {
    const stay = new Map([...main.querySelectorAll(".tree, .chart:not(.canvas)")].map((one) => [one.dataset.tree || one.id, one]));
    main.innerHTML = html;
    for (const one of main.querySelectorAll(".tree, .chart:not(.canvas)")) {
      const id = one.dataset.tree || one.id;
      if (stay.has(id)) one.replaceWith(stay.get(id));
      else delete trees[id];
      if (!stay.delete(id)) delete drawn[id];
    }
    for (const id of stay.keys()) { delete drawn[id]; delete trees[id]; }
  }

  // The next frame, which no page has that is not looked at.
  function painted() { return document.hidden ? null : new Promise((done) => requestAnimationFrame(() => setTimeout(done))); }

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

  // Whoever listens has the rest of a long journal read: that begins when there is something to see.
  let stream = null;
  function listen() {
    if (stream) return;
    stream = new EventSource(`/events?${asked}`);
    stream.onmessage = (event) => { if (event.data !== String(version)) refresh(); };
    stream.onopen = () => { live.hidden = false; };
    stream.onerror = () => { live.hidden = true; };
  }

  main.textContent = "reading the run ...";
  refresh();
}
