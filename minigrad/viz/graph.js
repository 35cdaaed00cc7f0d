// Items form a tree: modules and repetitions hold others. A closed one stands for all that it holds.
const NOTHING = { details: [], parameters: {}, saved: 0, gradient: null, backward: false };
const items = data.items.map((item, id) => ({ ...NOTHING, ...item, id, children: [], results: [], open: false }));
for (const edge of data.edges) if (edge.shape) items[edge.tail].results.push(edge);
const root = { id: -1, children: [], open: true, parent: null, kind: "root" };
for (const item of items) {
  item.parent = item.parent === null ? root : items[item.parent];
  item.parent.children.push(item);
}
const holds = (item) => item.children.length > 0;
const walk = (item) => [item, ...item.children.flatMap(walk)];
const ancestors = (item) => { const path = []; for (let at = item.parent; at; at = at.parent) path.push(at); return path; };
/** The outermost closed ancestor, or the item itself. */
const visible = (item) => ancestors(item).reverse().find((at) => !at.open) ?? item;

// --- layout: ranks from top to bottom, in each open box for itself -------------------------------------------------

const GAP = { x: 18, y: 34, box: 14, title: 24, port: 8 };
const MOST_BENDS = 20000; // of a box; in one that needs more, long parts run straight
const measure = document.createElement("canvas").getContext("2d");
const textWidth = (text, size) => { measure.font = `${size}px system-ui, sans-serif`; return measure.measureText(text).width; };
const titleOf = (item) => (holds(item) ? (item.open ? "▾ " : "▸ ") : "") + item.label;

/** Edges between visible items, one for each tail, head and ink; gradients are laid out against their direction. */
function visibleEdges() {
  const found = new Map();
  for (const edge of data.edges) {
    const tail = visible(items[edge.tail]), head = visible(items[edge.head]);
    if (tail === head || edge.saved) continue;
    const key = `${tail.id} ${head.id} ${edge.backward}`;
    if (!found.has(key)) found.set(key, { tail, head, backward: edge.backward, shapes: new Set() });
    if (edge.shape) found.get(key).shapes.add(edge.shape);
  }
  return [...found.values()];
}

/** The parts of an edge, one in each box that it crosses, from upper to lower; a port stands where it crosses a wall. */
function partsOf(edge, ports) {
  const [upper, lower] = edge.backward ? [edge.head, edge.tail] : [edge.tail, edge.head];
  const above = ancestors(upper), below = ancestors(lower);
  const common = above.find((box) => below.includes(box));
  const port = (box, side) => {
    const key = `${box.id} ${side} ${upper.id} ${edge.backward}`; // one for each tensor
    if (!ports.has(key)) ports.set(key, { kind: "port", side, box, width: 0, height: 0, children: [] });
    return ports.get(key);
  };
  const parts = [];
  let from = upper;
  for (const box of above.slice(0, above.indexOf(common))) {
    const exit = port(box, "bottom");
    parts.push({ box, from, to: exit });
    from = exit;
  }
  const downwards = below.slice(0, below.indexOf(common)).reverse();
  let box = common;
  for (const inner of [...downwards, null]) {
    const to = inner === null ? lower : port(inner, "top");
    parts.push({ box, from, to });
    [from, box] = [to, inner];
  }
  return parts;
}

/** The node of a box's layout that an end of a part belongs to: a port in its own wall is a node, one in an inner wall is not. */
const nodeIn = (box, end) => (end.kind === "port" && end.box !== box ? end.box : end);

function layOut(box, partsOfBox) {
  const parts = partsOfBox.get(box) ?? [];
  const shownChildren = box.children.map((child) => child);
  for (const child of shownChildren) {
    if (holds(child) && child.open) { layOut(child, partsOfBox); continue; }
    const lines = [[titleOf(child), 12], ...child.details.map((text) => [text, 10])];
    child.width = Math.max(...lines.map(([text, size]) => textWidth(text, size))) + 18;
    child.height = 12 + lines.reduce((sum, [, size]) => sum + size + 4, 0);
  }
  const ports = new Set(parts.flatMap(({ from, to }) => [from, to]).filter((end) => end.kind === "port" && end.box === box));
  const nodes = [...shownChildren, ...ports];
  const links = parts.map((part) => ({ part, from: nodeIn(box, part.from), to: nodeIn(box, part.to) }));
  const ranks = rankNodes(nodes, links);
  const rows = [];
  const put = (node, rank) => { (rows[rank] ??= []).push(node); node.rank = rank; node.up = []; node.down = []; };
  for (const node of nodes) put(node, ranks.get(node));
  const ends = new Map(); // a long part bends once in each row; those of the same tensor to the same node share their bends
  const bent = links.reduce((sum, { from, to }) => sum + Math.abs(from.rank - to.rank), 0) <= MOST_BENDS;
  for (const { part, from, to } of links) {
    const up = from.rank > to.rank; // against the ranks, where the graph has a cycle
    const [first, last] = up ? [to, from] : [from, to], chain = [first];
    if (!ends.has(part.from)) ends.set(part.from, new Map());
    const bends = ends.get(part.from);
    if (!bends.has(to)) {
      bends.set(to, range(bent ? Math.max(0, last.rank - first.rank - 1) : 0).map((index) => {
        const bend = { kind: "bend", width: 6, height: 0, children: [] };
        put(bend, first.rank + 1 + index);
        return bend;
      }));
    }
    chain.push(...bends.get(to), last);
    part.bends = up ? chain.slice(1, -1).reverse() : chain.slice(1, -1);
    for (let i = 1; i < chain.length; i += 1) if (!chain[i - 1].down.includes(chain[i])) { chain[i - 1].down.push(chain[i]); chain[i].up.push(chain[i - 1]); }
  }
  orderRows(rows);
  placeRows(rows);
  const left = Math.min(...rows.flat().map((node) => node.x)), right = Math.max(...rows.flat().map((node) => node.x + node.width));
  let y = box === root ? 0 : GAP.title;
  rows.forEach((row, index) => {
    const height = Math.max(...row.map((node) => node.height));
    for (const node of row) { node.x += GAP.box - left; node.y = y + (height - node.height) / 2; }
    const flat = row.every((node) => node.kind === "port");
    y += height + (index === rows.length - 1 ? 0 : flat || rows[index + 1].every((node) => node.kind === "port") ? GAP.port + 8 : GAP.y);
  });
  box.width = Math.max(right - left + 2 * GAP.box, box === root ? 0 : textWidth(titleOf(box), 12) + 24);
  box.height = y + (box === root ? 0 : GAP.box);
  for (const node of ports) node.y = node.side === "top" ? 0 : box.height;
}

/** Longest-path ranks: ports of the upper wall first, those of the lower wall last, sources just above their first use. */
function rankNodes(nodes, links) {
  const after = new Map(nodes.map((node) => [node, []])), waiting = new Map(nodes.map((node) => [node, 0]));
  for (const { from, to } of links) { after.get(from).push(to); waiting.set(to, waiting.get(to) + 1); }
  const top = nodes.some((node) => node.side === "top") ? 1 : 0;
  const rank = new Map(nodes.map((node) => [node, node.side === "top" ? 0 : top]));
  const order = [], left = new Set(nodes), ready = nodes.filter((node) => !waiting.get(node));
  const reached = new Set(), cost = (node) => waiting.get(node) + (reached.has(node) ? 0 : links.length);
  while (left.size) {
    // Where all that are left wait for one another, a cycle is cut below what is placed, at the one that waits for fewest.
    const node = ready.pop() ?? [...left].reduce((best, other) => (cost(other) < cost(best) ? other : best));
    left.delete(node);
    order.push(node);
    for (const next of after.get(node)) {
      if (!left.has(next)) continue;
      rank.set(next, Math.max(rank.get(next), rank.get(node) + 1));
      waiting.set(next, waiting.get(next) - 1);
      reached.add(next);
      if (!waiting.get(next)) ready.push(next);
    }
  }
  const entered = new Set(links.map(({ to }) => to));
  for (const node of order.reverse()) {
    if (!entered.has(node) && node.side !== "top" && after.get(node).length) rank.set(node, Math.min(...after.get(node).map((next) => rank.get(next))) - 1);
  }
  const last = Math.max(0, ...nodes.filter((node) => node.side !== "bottom").map((node) => rank.get(node)));
  for (const node of nodes) if (node.side === "bottom") rank.set(node, last + 1);
  const used = [...new Set(rank.values())].sort((a, b) => a - b);
  return new Map([...rank].map(([node, value]) => [node, used.indexOf(value)]));
}

/** Order within rows: mean places of the neighbours above, then below, a few times. */
function orderRows(rows) {
  const number = () => rows.forEach((row) => row.forEach((node, index) => { node.order = index - (row.length - 1) / 2; }));
  const mean = (nodes, own) => (nodes.length ? nodes.reduce((sum, node) => sum + node.order, 0) / nodes.length : own);
  number();
  for (let sweep = 0; sweep < 6; sweep += 1) {
    for (const row of sweep % 2 ? [...rows].reverse() : rows) {
      const wish = new Map(row.map((node) => [node, mean(sweep % 2 ? node.down : node.up, node.order)]));
      row.sort((a, b) => wish.get(a) - wish.get(b));
      row.forEach((node, index) => { node.order = index - (row.length - 1) / 2; });
    }
  }
}

/** Horizontal places: each node near the middle of its neighbours, none over another. */
function placeRows(rows) {
  const middle = (node) => node.x + node.width / 2;
  for (const row of rows) { let x = 0; for (const node of row) { node.x = x; x += node.width + GAP.x; } }
  for (let sweep = 0; sweep < 16; sweep += 1) {
    for (const row of sweep % 2 ? [...rows].reverse() : rows) {
      const wish = row.map((node) => {
        const near = sweep % 2 ? node.down : node.up;
        return near.length ? near.reduce((sum, other) => sum + middle(other), 0) / near.length - node.width / 2 : node.x;
      });
      // Runs of touching nodes move together to the mean of their wishes.
      const runs = [];
      row.forEach((node, index) => {
        let run = { nodes: [node], offset: [0], sum: wish[index], width: node.width };
        for (let before = runs.at(-1); before && before.sum / before.nodes.length + before.width + GAP.x > run.sum / run.nodes.length; before = runs.at(-1)) {
          const shift = before.width + GAP.x;
          run = {
            nodes: [...before.nodes, ...run.nodes], offset: [...before.offset, ...run.offset.map((offset) => offset + shift)],
            sum: before.sum + run.sum - shift * run.nodes.length, width: shift + run.width,
          };
          runs.pop();
        }
        runs.push(run);
      });
      for (const run of runs) run.nodes.forEach((node, index) => { node.x = run.sum / run.nodes.length + run.offset[index]; });
    }
  }
}

// --- drawing -----------------------------------------------------------------------------------------------------

const svg = (tag, attributes = {}, ...children) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null) element.setAttribute(name, value);
  element.append(...children);
  return element;
};
const world = byId("world");
let drawnEdges = [], elements = new Map();

function draw() {
  const edges = visibleEdges(), ports = new Map(), partsOfBox = new Map();
  for (const edge of edges) {
    edge.parts = partsOf(edge, ports);
    for (const part of edge.parts) {
      if (!partsOfBox.has(part.box)) partsOfBox.set(part.box, []);
      partsOfBox.get(part.box).push(part);
    }
  }
  layOut(root, partsOfBox);
  elements = new Map();
  const place = (box, x, y) => {
    for (const child of box.children) { child.left = x + child.x; child.top = y + child.y; if (holds(child) && child.open) place(child, child.left, child.top); }
  };
  place(root, 0, 0);
  const origin = (box) => (box === root ? [0, 0] : [box.left, box.top]);
  drawnEdges = edges.map((edge) => edgeElement(edge, origin));
  const shown = items.filter((item) => visible(item) === item);
  const opened = shown.filter((item) => item.open);
  const titles = opened.map((item) => svg("text", { class: "title", x: item.left + 10, y: item.top + 17 }, titleOf(item)));
  world.replaceChildren(
    ...opened.map(itemElement), ...drawnEdges.map((edge) => edge.element), ...shown.filter((item) => !item.open).map(itemElement), ...titles,
  );
}

function itemElement(item) {
  const open = holds(item) && item.open;
  const line = (text, y, name = null) => svg("text", { class: name, x: item.left + item.width / 2, y: item.top + y, "text-anchor": "middle" }, text);
  const lines = open ? [] : [line(titleOf(item), 17), ...item.details.map((text, index) => line(text, 31 + 14 * index, "detail"))];
  const kinds = ["item", item.kind, open ? "box" : "", item.backward ? "derivative" : "", holds(item) ? "opens" : ""].filter(Boolean).join(" ");
  const element = svg("g", {
    class: kinds, tabindex: 0, "data-id": item.id, role: holds(item) ? "button" : "img", "aria-expanded": holds(item) ? String(open) : null, "aria-label": tellItem(item),
  }, svg("rect", { x: item.left, y: item.top, width: item.width, height: item.height }), ...lines);
  for (const kind of ["mouseenter", "focus"]) element.addEventListener(kind, () => { showTip(tellItem(item), element); near(item, true); });
  for (const kind of ["mouseleave", "blur"]) element.addEventListener(kind, () => { hideTip(); near(item, false); });
  if (holds(item)) {
    element.addEventListener("click", (event) => { if (!moved) { event.stopPropagation(); toggle(item); } });
    element.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); toggle(item); } });
  }
  elements.set(item, element);
  return element;
}

function edgeElement(edge, origin) {
  const points = [];
  const middle = (node, x) => x + node.x + node.width / 2;
  edge.parts.forEach((part, index) => {
    const [x, y] = origin(part.box);
    const end = (node, lower) => {
      if (node.kind !== "port") return [middle(node, x), y + node.y + (lower ? 0 : node.height)];
      const [left, top] = origin(node.box);
      return [left + node.x + node.width / 2, top + node.y];
    };
    if (index === 0) points.push(end(part.from, false));
    for (const bend of part.bends) points.push([middle(bend, x), y + bend.y]);
    points.push(end(part.to, true));
  });
  if (edge.backward) points.reverse();
  const path = points.slice(1).map(([x, y], index) => {
    const [before, above] = points[index], half = (above + y) / 2;
    return `C ${before} ${half} ${x} ${half} ${x} ${y}`;
  }).join(" ");
  const leaf = ["parameter", "constant"].includes(edge.tail.kind);
  const name = ["edge", edge.backward ? "backward" : "", leaf && !edge.backward ? "leaf" : ""].filter(Boolean).join(" ");
  const [x, y] = points[0], [, next] = points[1];
  const shapes = [...edge.shapes].join(", ");
  const label = leaf || !shapes ? [] : [svg("text", { x: x + 4, y: edge.backward ? y - 6 : y + 12 }, shapes)];
  const line = svg("path", { d: `M ${points[0].join(" ")} ${path}`, "marker-end": `url(#${edge.backward ? "backward" : leaf ? "leaf" : "forward"})` });
  return { ...edge, element: svg("g", { class: name }, line, ...(Math.abs(next - y) > 20 ? label : [])) };
}

/** Emphasise the edges of an item, and show the values that were saved for or by its derivative. */
function near(item, on) {
  for (const edge of drawnEdges) edge.element.classList.toggle("near", on && (edge.tail === item || edge.head === item));
  for (const line of world.querySelectorAll(".edge.saved")) line.remove();
  if (!on || item.open) return;
  const middle = (other) => [other.left + other.width / 2, other.top + other.height / 2];
  for (const edge of data.edges.filter(({ saved }) => saved)) {
    const ends = [visible(items[edge.tail]), visible(items[edge.head])];
    if (ends.includes(item) && ends[0] !== ends[1]) world.append(svg("g", { class: "edge saved" }, svg("path", { d: `M ${middle(ends[0]).join(" ")} L ${middle(ends[1]).join(" ")}` })));
  }
}

// --- telling -----------------------------------------------------------------------------------------------------

const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

function bytes(count) {
  const unit = count >= 1e6 ? [1e6, "MB"] : count >= 1e3 ? [1e3, "kB"] : [1, "bytes"];
  return `${(count / unit[0]).toLocaleString("en", { maximumFractionDigits: 1 })} ${unit[1]}`;
}

/** Text of an item: its name, shapes, parameters, saved bytes, gradient norm; of all that it holds together. */
function tellItem(item) {
  const inside = walk(item), inner = new Set(inside.map((each) => each.id));
  const results = inside.flatMap((each) => each.results).filter((edge) => !inner.has(edge.head) && edge.backward === item.backward);
  const shapes = new Set(results.map((edge) => edge.shape));
  const parameters = new Map(inside.flatMap((each) => Object.entries(each.parameters)));
  const count = [...parameters.values()].reduce((sum, size) => sum + size, 0);
  const saved = inside.reduce((sum, each) => sum + each.saved, 0);
  const norms = new Map(inside.filter((each) => each.gradient !== null).map((each) => [each.leaf, each.gradient]));
  const norm = Math.hypot(...norms.values());
  return [
    item.label, ...item.details,
    shapes.size ? `result ${[...shapes].join(", ")}` : "",
    count ? counted(count, "parameter") : "",
    saved ? `${bytes(saved)} saved for the backward pass` : "",
    norms.size ? `gradient norm ${norm.toPrecision(4)}` : "",
  ].filter((text, index, all) => text && all.indexOf(text) === index).join("\n");
}

// --- opening, moving, searching ------------------------------------------------------------------------------------

const canvas = byId("canvas");
const view = { x: 0, y: 0, scale: 1 };
const applyView = () => world.setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.scale})`);

function fit() {
  const { clientWidth, clientHeight } = canvas;
  const tall = Math.max(0.3, (clientHeight - 24) / root.height); // a very tall one is shown from its top, to be read
  view.scale = Math.min(1.4, (clientWidth - 24) / root.width, tall);
  view.x = (clientWidth - root.width * view.scale) / 2;
  view.y = Math.max(12, (clientHeight - root.height * view.scale) / 2);
  applyView();
}

function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
  const scale = Math.min(6, Math.max(0.02, view.scale * factor));
  view.x = x - (x - view.x) * (scale / view.scale);
  view.y = y - (y - view.y) * (scale / view.scale);
  view.scale = scale;
  applyView();
}

/** Open or close an item; it stays where it is on the screen. */
function toggle(item) {
  const before = [item.left * view.scale + view.x, item.top * view.scale + view.y];
  item.open = !item.open;
  hideTip();
  draw();
  view.x = before[0] - item.left * view.scale;
  view.y = before[1] - item.top * view.scale;
  applyView();
  elements.get(item)?.focus({ preventScroll: true });
}

function openAll(open) {
  for (const item of items) item.open = open && holds(item);
  draw();
  fit();
}

let matches = [], match = -1;
function search(again) {
  const words = byId("search").value.trim().toLowerCase();
  if (!again) {
    const text = (item) => [item.label, ...item.details, ...item.results.map((edge) => edge.shape)].join(" ").toLowerCase();
    matches = words ? items.filter((item) => text(item).includes(words)) : [];
    match = -1;
  }
  for (const element of elements.values()) element.classList.remove("match");
  byId("found").textContent = words ? (matches.length ? `${matches.length} found` : "nothing found") : "";
  if (!matches.length) return;
  match = (match + 1) % matches.length;
  const item = matches[match];
  for (const box of ancestors(item)) box.open = true;
  draw();
  elements.get(item).classList.add("match");
  byId("found").textContent = `${match + 1} of ${matches.length}`;
  view.scale = Math.max(view.scale, 0.8);
  view.x = canvas.clientWidth / 2 - (item.left + item.width / 2) * view.scale;
  view.y = canvas.clientHeight / 2 - (item.top + item.height / 2) * view.scale;
  applyView();
}

const pointers = new Map();
let moved = false;
canvas.addEventListener("pointerdown", (event) => { pointers.set(event.pointerId, [event.clientX, event.clientY]); moved = false; });
addEventListener("pointerup", (event) => { pointers.delete(event.pointerId); canvas.classList.remove("dragging"); });
addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));
canvas.addEventListener("pointermove", (event) => {
  const before = pointers.get(event.pointerId);
  if (!before) return;
  const now = [event.clientX, event.clientY], other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
  if (!moved && Math.hypot(now[0] - before[0], now[1] - before[1]) < 4) return;
  moved = true;
  canvas.classList.add("dragging");
  if (other) { // two fingers
    const box = canvas.getBoundingClientRect(), distance = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
    zoom(distance(now) / distance(before), (now[0] + other[0]) / 2 - box.left, (now[1] + other[1]) / 2 - box.top);
  } else {
    view.x += now[0] - before[0];
    view.y += now[1] - before[1];
    applyView();
  }
  pointers.set(event.pointerId, now);
});
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  const box = canvas.getBoundingClientRect();
  zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
}, { passive: false });

const shift = (x, y) => { view.x += x; view.y += y; applyView(); };
const KEYS = {
  "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), 0: fit, "/": () => byId("search").focus(),
  ArrowUp: () => shift(0, 60), ArrowDown: () => shift(0, -60), ArrowLeft: () => shift(60, 0), ArrowRight: () => shift(-60, 0),
};
addEventListener("keydown", (event) => {
  if (typing(event) || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});
byId("search").addEventListener("input", () => search(false));
byId("search").addEventListener("keydown", (event) => { if (event.key === "Enter") search(true); if (event.key === "Escape") { event.target.value = ""; search(false); event.target.blur(); } });
byId("in").addEventListener("click", () => zoom(1.25));
byId("out").addEventListener("click", () => zoom(0.8));
byId("fit").addEventListener("click", fit);
byId("open").addEventListener("click", () => openAll(true));
byId("close").addEventListener("click", () => openAll(false));

// --- start -------------------------------------------------------------------------------------------------------

const marker = (id, ink) => svg("marker", { id, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse" }, svg("path", { d: "M 0 0 L 8 4 L 0 8 z", style: `fill: ${ink}` }));
canvas.prepend(svg("defs", {}, marker("forward", "var(--ink)"), marker("backward", "var(--warm)"), marker("leaf", "#a9781c")));
byId("title").textContent = data.title;
byId("subtitle").textContent = data.subtitle;
const inks = [["forward", "forward"], ...(items.some((item) => item.backward) ? [["backward", "backward"], ["saved", "saved for the backward pass, shown at what saved it"]] : [])];
byId("legend").replaceChildren(...inks.map(([name, text]) => el("span", {}, el("i", { class: name }), text)));
for (const id of data.open) items[id].open = true;
draw();
fit();
addEventListener("resize", fit);
