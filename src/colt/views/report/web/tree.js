"use strict";
// The shared tree. Only open nodes are drawn, at most MOST of them, so that a tree of 100,000 nodes pans as smoothly as a
// small one; a closed node is larger and tells how many are below it.
const MOST = 700, OPEN_AT_FIRST = 220;
const trees = {};

async function openTree(id, data) {
  const place = document.getElementById(id);
  if (!place) return;
  await charts.ready();
  if (trees[id]) { trees[id].take(data); await trees[id].draw(); return; }
  trees[id] = new Tree(place, data);
  await trees[id].draw(true);
}

class Tree {
  constructor(place, data) {
    this.place = place;
    this.box = place.closest(".tree");
    this.side = this.box.querySelector("aside");
    this.said = this.box.querySelector("output");
    this.open = new Set();
    this.found = new Set();
    this.at = 0;
    this.take(data);
    this.openFirst();
    this.listen();
  }

  take(data) {
    const count = data.parent.length;
    data.id ??= Array.from({ length: count }, (_, place) => place);
    data.measured = new Array(count).fill(null);
    data.trial = new Int32Array(count).fill(-1);
    for (const [place, latency, trial] of data.timed) { data.measured[place] = latency; data.trial[place] = trial; }
    this.data = data;
    this.children = Array.from({ length: count }, () => []);
    this.below = new Int32Array(count);
    for (let node = count - 1; node > 0; node--) {
      const parent = data.parent[node];
      if (parent < 0) continue;
      this.children[parent].push(node);
      this.below[parent] += this.below[node] + 1;
    }
    for (const one of this.children) one.reverse();
    this.best = new Set(data.best);
    this.depth = new Int32Array(count);
    for (let node = 1; node < count; node++) this.depth[node] = data.parent[node] < 0 ? 0 : this.depth[data.parent[node]] + 1;
  }

  text(number) { return this.data.texts[number] || ""; }
  steps(node) { return this.data.steps[node].map((step) => this.text(step)); }
  member(node) { return this.data.by[node] < 0 ? "" : this.data.members[this.data.by[node]]; }
  latency(node) { const us = this.data.measured[node]; return us === null ? this.data.predicted[node] : us; }

  // The root, the best path, and then whatever is nearest to the root, as long as there is room.
  openFirst() {
    this.open = new Set([0, ...this.data.best]);
    this.openMore(OPEN_AT_FIRST);
  }

  openMore(most) {
    const shown = this.visible(), queue = [...shown];
    let count = shown.length;
    for (let at = 0; at < queue.length && count < most; at++) {
      const node = queue[at], more = this.children[node];
      if (this.open.has(node) || !more.length) continue;
      if (count + more.length > most) continue;
      this.open.add(node);
      count += more.length;
      queue.push(...more);
    }
    return count > shown.length;
  }

  visible() {
    const found = [], queue = [0];
    for (let at = 0; at < queue.length; at++) {
      const node = queue[at];
      found.push(node);
      if (this.open.has(node)) queue.push(...this.shownChildren(node));
    }
    return found;
  }

  // Of a node with very many children: the best path's, those found, and the fastest.
  shownChildren(node) {
    const all = this.children[node];
    if (all.length <= MOST / 4) return all;
    const rank = (one) => (this.best.has(one) || this.found.has(one) ? -1 : this.latency(one) ?? Infinity);
    return [...all].sort((a, b) => rank(a) - rank(b)).slice(0, MOST / 4).sort((a, b) => a - b);
  }

  // Depth to the right; each leaf gets a row, each parent stands midway between its first and last child.
  layout() {
    const row = new Map(), order = [];
    let next = 0;
    const stack = [[0, false]];
    while (stack.length) {
      const [node, done] = stack.pop();
      const shown = this.open.has(node) ? this.shownChildren(node) : [];
      if (done) {
        row.set(node, (row.get(shown[0]) + row.get(shown[shown.length - 1])) / 2);
        continue;
      }
      order.push(node);
      if (!shown.length) { row.set(node, next++); continue; }
      stack.push([node, true]);
      for (let at = shown.length - 1; at >= 0; at--) stack.push([shown[at], false]);
    }
    this.row = row;
    this.order = order;
  }

  hover(node) {
    const us = this.data.measured[node], predicted = this.data.predicted[node];
    const steps = this.steps(node).slice(0, 4).map(escapeText).join("<br>");
    const first = node === 0 ? "the untuned program" : `node ${this.data.id[node]} by ${escapeText(this.member(node))}`;
    const below = this.below[node] && !this.open.has(node) ? `<br>${this.below[node].toLocaleString("en")} below, closed` : "";
    return `${first}<br>${us === null ? "" : `measured ${figure(us)} `}${predicted === null ? "" : `predicted ${figure(predicted)}`}${steps ? `<br>${steps}` : ""}${below}`;
  }

  traces() {
    const dim = theme.colour("dim"), line = theme.colour("line"), ink = theme.colour("ink"), lit = theme.dark ? "#F0E442" : "#D55E00";
    const edges = { x: [], y: [] }, path = { x: [], y: [] };
    for (const node of this.order) {
      const parent = this.data.parent[node];
      if (node === 0 || parent < 0) continue;
      const into = this.best.has(node) ? path : edges;
      const x = this.depth[parent], mid = x + 0.5;
      into.x.push(x, mid, mid, this.depth[node], null);
      into.y.push(this.row.get(parent), this.row.get(parent), this.row.get(node), this.row.get(node), null);
    }
    const lines = (one, colour, width) => ({ type: "scatter", mode: "lines", ...one, line: { color: colour, width }, hoverinfo: "skip", showlegend: false });
    const found = [lines(edges, line, 1), { ...lines(path, lit, 4), name: "best path", showlegend: path.x.length > 0 }];
    const groups = new Map();
    for (const node of this.order) {
      const by = this.data.by[node];
      if (!groups.has(by)) groups.set(by, []);
      groups.get(by).push(node);
    }
    for (const by of [...groups.keys()].sort((a, b) => a - b)) {
      const nodes = groups.get(by), place = by < 0 ? null : by;
      const name = place === null ? "untuned" : escapeText(this.data.members[place]);
      const colour = place === null ? dim : PALETTE[place % PALETTE.length];
      const symbol = place === null ? "circle" : SYMBOLS[(place + Math.floor(place / PALETTE.length)) % SYMBOLS.length];
      // The legend's own mark: that of the first node may be faded, or selected.
      found.push({ type: "scatter", mode: "markers", x: [null], y: [null], name, legendgroup: `${by}`, hoverinfo: "skip", marker: { color: colour, symbol, size: 9 } });
      const closed = nodes.map((node) => this.below[node] > 0 && !this.open.has(node));
      found.push({
        legendgroup: `${by}`, showlegend: false,
        type: "scatter", mode: this.order.length <= 90 ? "markers+text" : "markers",
        name,
        x: nodes.map((node) => this.depth[node]), y: nodes.map((node) => this.row.get(node)), customdata: nodes,
        hovertext: nodes.map((node) => this.hover(node)), hoverinfo: "text",
        text: nodes.map((node) => (this.data.measured[node] === null ? "" : figure(this.data.measured[node]))),
        textposition: nodes.map((node) => (this.open.has(node) && this.children[node].length ? "top right" : "middle right")), textfont: { size: 11, color: ink },
        marker: {
          color: colour, symbol,
          size: nodes.map((node, at) => (node === 0 || closed[at] ? 14 : 9)),
          opacity: nodes.map((node) => (this.data.flags[node] & 8 ? 0.35 : 1)),
          line: {
            color: nodes.map((node, at) => (node === this.at || this.found.has(node) ? lit : closed[at] ? ink : theme.colour("card"))),
            width: nodes.map((node, at) => (node === this.at ? 4 : this.found.has(node) ? 3 : closed[at] ? 2 : 1)),
          },
        },
      });
    }
    return found;
  }

  async draw(fit = false) {
    this.layout();
    const rows = Math.max(...this.row.values()), depth = Math.max(...this.order.map((node) => this.depth[node]));
    const layout = {
      height: 540, margin: { l: 8, r: 8, t: 8, b: 34 }, hovermode: "closest", dragmode: "pan", uirevision: "tree",
      legend: { orientation: "h", x: 0, y: 0, yanchor: "top", font: { size: 12 } }, showlegend: true,
      xaxis: { visible: false, range: [-0.4, depth + 0.9] }, yaxis: { visible: false, range: [rows + 1.5, -1.5] },
    };
    if (fit && this.drawn) layout.uirevision = `tree ${Math.random()}`;
    await Plotly.react(this.place, this.traces(), charts.themed(layout), { ...CONFIG, scrollZoom: true });
    charts.bars(this.place);
    if (!this.drawn) {
      this.drawn = true;
      this.place.on("plotly_click", (event) => {
        const node = event.points[0].customdata;
        if (node !== undefined) this.go(node, true);
      });
    }
    const closed = this.data.id.length - this.order.length;
    const out = this.data.left_out ? `, ${this.data.left_out.toLocaleString("en")} not on this page` : "";
    this.said.textContent = `${this.order.length.toLocaleString("en")} of ${this.data.id.length.toLocaleString("en")} nodes shown${closed ? "" : ", all"}${out}`;
    this.tell();
  }

  // Select a node; `toggle` opens or closes it as well.
  go(node, toggle = false) {
    this.at = node;
    if (toggle && this.children[node].length) {
      if (this.open.has(node)) this.open.delete(node);
      else if (this.visible().length + this.children[node].length <= MOST * 2 || this.children[node].length > MOST / 4) this.open.add(node);
    }
    return this.draw();
  }

  reveal(node) {
    for (let up = this.data.parent[node]; up >= 0; up = this.data.parent[up]) this.open.add(up);
  }

  search(text) {
    this.found = new Set();
    const wanted = text.trim().toLowerCase();
    if (wanted) {
      const texts = this.data.texts.map((one) => one.toLowerCase().includes(wanted)), members = this.data.members.map((one) => one.toLowerCase().includes(wanted));
      const number = /^\d+$/.test(wanted) ? Number(wanted) : null;
      for (let node = 0; node < this.data.id.length && this.found.size < 100; node++) {
        const by = this.data.by[node];
        if (this.data.id[node] === number || texts[this.data.sketch[node]] || (by >= 0 && members[by]) || this.data.steps[node].some((step) => texts[step])) this.found.add(node);
      }
      for (const node of [...this.found].slice(0, 30)) this.reveal(node);
    }
    this.queue = [...this.found];
    if (this.queue.length) this.at = this.queue[0];
    return this.draw().then(() => {
      if (wanted) this.said.textContent = this.found.size ? `${this.found.size === 100 ? "at least 100" : this.found.size} found; Enter goes to the next` : "nothing found";
    });
  }

  next() {
    if (!this.queue?.length) return;
    this.queue.push(this.queue.shift());
    this.reveal(this.queue[0]);
    this.go(this.queue[0]);
  }

  key(event) {
    const siblings = this.order.filter((node) => this.depth[node] === this.depth[this.at]).sort((a, b) => this.row.get(a) - this.row.get(b));
    const beside = (by) => siblings[siblings.indexOf(this.at) + by];
    const moves = {
      ArrowLeft: () => this.data.parent[this.at],
      ArrowRight: () => { if (this.children[this.at].length) this.open.add(this.at); return this.shownChildren(this.at)[0]; },
      ArrowUp: () => beside(-1), ArrowDown: () => beside(1), Home: () => 0,
      b: () => this.data.best[this.data.best.length - 1],
    };
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); this.go(this.at, true); return; }
    if (!moves[event.key]) return;
    event.preventDefault();
    const to = moves[event.key]();
    if (to !== undefined && to >= 0) { this.reveal(to); this.go(to); }
  }

  // What is known about the selected node, as text.
  tell() {
    const node = this.at, data = this.data;
    const list = document.createElement("dl");
    const row = (name, value) => {
      if (value === "" || value === null || value === undefined) return;
      list.append(Object.assign(document.createElement("dt"), { textContent: name }), Object.assign(document.createElement("dd"), { textContent: value }));
    };
    row("made by", this.member(node));
    row("predicted", data.predicted[node] === null ? "" : figure(data.predicted[node]));
    row("measured", data.measured[node] === null ? (node ? "not measured" : "") : figure(data.measured[node]));
    row("against its parent", this.text(data.outcome[node]));
    row("trial", data.trial[node] < 0 ? "" : String(data.trial[node]));
    row("asked next", this.text(data.next[node]));
    row("sketch", this.text(data.sketch[node]));
    row("children", this.children[node].length ? `${this.children[node].length.toLocaleString("en")}, ${this.below[node].toLocaleString("en")} below in all` : "none");
    const words = ["its schedule is known from elsewhere in the tree", "an opening", "made by a course alteration", "pruned", "not expanded any more"];
    row("remarks", words.filter((_, bit) => data.flags[node] & (1 << bit)).join("; "));
    for (const step of this.steps(node)) row("change", step);
    const title = Object.assign(document.createElement("h3"), { textContent: node === 0 ? "The untuned program" : `Node ${data.id[node]}${this.best.has(node) ? ", on the best path" : ""}` });
    this.side.replaceChildren(title, list);
  }

  listen() {
    this.place.addEventListener("keydown", (event) => this.key(event));
    const input = this.box.querySelector("input");
    let waiting;
    input.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => this.search(input.value), 150); });
    input.addEventListener("keydown", (event) => { if (event.key === "Enter") this.next(); });
    const actions = {
      best: () => { this.data.best.forEach((node) => this.open.add(node)); this.go(this.data.best[this.data.best.length - 1] ?? 0); },
      more: () => { this.openMore(Math.min(MOST, this.order.length * 2 + 20)); this.draw(true); },
      less: () => { this.open = new Set([0]); this.at = 0; this.draw(true); },
      fit: () => this.draw(true),
    };
    for (const button of this.box.querySelectorAll("button")) button.addEventListener("click", actions[button.dataset.do]);
    document.addEventListener("theme", () => { if (document.body.dataset.ready) this.draw(); });
  }
}

const PALETTE = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#8C6BB1", "#B8A900"];
const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon"];
// Plotly reads texts as a kind of HTML.
function escapeText(text) { return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;"); }
function figure(us) { return us >= 10000 ? `${+(us / 1000).toPrecision(4)} ms` : `${+us.toPrecision(4)} µs`; }
