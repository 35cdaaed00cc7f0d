// The state of the page; `update` changes it and draws again what depends on it.
const lastStack = data.stacks.at(-1);
const stackOf = Object.fromEntries(data.stacks.map((stack) => [stack.name, stack]));
const maps = data.stacks.flatMap((stack) => ["self_attention", "cross_attention"].flatMap((kind) => {
  const layers = stack.layers.map((layer) => layer.find((part) => part.kind === kind)).filter(Boolean);
  return layers.length ? [{ stack, kind, layers, title: `${stack.name}, ${kind.replace("_", "-")}` }] : [];
}));
for (const part of data.stacks.flatMap((stack) => stack.layers.flat())) {
  const weights = part.steps.find((step) => step.kind === "weights");
  for (const step of part.steps) step.queryHeads = weights ? weights.shape[0] : 1;
}
const state = {
  place: data.masked ? data.places[0] : data.places.at(-1), map: maps.length - 1, layer: maps.at(-1).layers.length - 1, head: -1, // -1: the mean
  sortRow: null, sortColumn: null, lines: false, onlyLayer: "all", onlyHead: "all",
};
// What depends on which part of the state.
const PLACE = [drawTexts, drawOpenSteps, drawLarge, drawNext];
const HEAD = [drawPreviews, drawOpenSteps, drawLarge, drawOverview];
const MAP = [drawLarge, drawOverview];
const TABLE = [drawLarge];

function update(change, parts) {
  Object.assign(state, change);
  hideTip();
  for (const draw of parts) draw();
}

const shown = (token) => token.replaceAll(" ", "·").replaceAll("\n", "⏎").replaceAll("\t", "⇥") || "∅";
const number = (value) => {
  const size = Math.abs(value);
  return size !== 0 && (size < 0.001 || size >= 10000) ? value.toExponential(2) : value.toFixed(size < 10 ? 4 : 2);
};
/** Mathematics with `_` and `^` before a letter or a {group} as sub- and superscripts. */
const mathematics = (text) => text.split(/([_^](?:\{[^}]*\}|.))/u).map((part) => {
  const tag = { _: "sub", "^": "sup" }[part[0]];
  return tag ? el(tag, {}, part.slice(1).replace(/[{}]/g, "")) : part;
});
const unseen = (stack, row) => !data.masked && stack === lastStack && row > state.place;
// The token being written labels a row of cross-attention, as a decoder's position attends in order to write it.
const rowTokens = (stack, crosses) => (crosses && data.chosen.length === stack.tokens.length ? data.chosen : stack.tokens);

// --- numbers as a table of coloured cells ------------------------------------------------------------------------

/**
 * Table of numbers. `value(row, column)` is a number, or null where something is hidden; `largest` has the full colour.
 * Hover, or arrow keys while the table has the focus, show `say(row, column)`.
 */
function numbersTable({ rows, columns, order, value, largest, say, here, faded, sortRow, sortColumn, features }) {
  const table = el("table", { class: features ? "numbers features" : "numbers", tabindex: 0, style: `--columns: ${columns.length}; --label: ${Math.max(...columns.map((name) => name.length))}` });
  const header = order.columns.map((c) => el("th", sortColumn ? { "data-sort": c, onclick: () => sortColumn(c), title: "sort the rows by this column" } : {}, columns[c]));
  table.append(el("thead", {}, el("tr", {}, el("th"), ...header)));
  const body = el("tbody");
  for (const r of order.rows) {
    const sort = sortRow ? { "data-sort": r, onclick: () => sortRow(r), title: "sort the columns by this row" } : {};
    const cells = order.columns.map((c) => {
      const number = value(r, c);
      const share = Math.round(Math.min(1, Math.abs(number) / largest) * 100);
      const ink = number < 0 ? "--warm" : "--ink";
      return el("td", {
        "data-row": r, "data-column": c, class: number === null ? "masked" : null,
        style: number === null ? null : `background: color-mix(in srgb, var(${ink}) ${share}%, var(--card))`,
      });
    });
    const name = [r === here ? "here" : "", faded(r) ? "unseen" : ""].filter(Boolean).join(" ");
    body.append(el("tr", { class: name || null }, el("th", sort, rows[r]), ...cells));
  }
  table.append(body);
  const point = (cell) => {
    table.querySelector(".cursor")?.classList.remove("cursor");
    cell.classList.add("cursor");
    showTip(say(+cell.dataset.row, +cell.dataset.column), cell);
  };
  for (const kind of ["mouseover", "click"]) table.addEventListener(kind, (event) => event.target.closest("td") && point(event.target.closest("td")));
  table.addEventListener("mouseleave", () => { table.querySelector(".cursor")?.classList.remove("cursor"); hideTip(); });
  table.addEventListener("blur", hideTip);
  table.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const at = table.querySelector(".cursor");
    const [row, column] = at ? [at.parentNode.rowIndex - 1 + step[0], at.cellIndex + step[1]] : [0, 1];
    const cell = body.rows[row]?.cells[column];
    if (cell?.tagName === "TD") { cell.scrollIntoView({ block: "nearest", inline: "nearest" }); point(cell); }
  });
  return el("div", { class: "scroll" }, table);
}

/** Reader of a step's numbers: of a head of queries, or of the mean over all heads. */
function reader(step, head) {
  const array = data.arrays[step.array], values = unpacked(array), shape = array.shape;
  const [rows, columns] = shape.slice(-2), heads = shape.length === 3 ? shape[0] : 1, plane = rows * columns;
  const own = Math.floor((Math.min(head, step.queryHeads - 1) * heads) / step.queryHeads); // a head of keys may serve several of queries
  const at = (h, r, c) => values[h * plane + r * columns + c];
  const chosen = (r, c) => (head >= 0 ? at(own, r, c) : range(heads).reduce((sum, h) => sum + at(h, r, c), 0) / heads);
  return { rows, columns, heads, own, value: heads === 1 ? (r, c) => at(0, r, c) : chosen };
}

const ranked = (count, value) => (value ? range(count).sort((a, b) => value(b) - value(a)) : range(count));

// --- the way of the text -----------------------------------------------------------------------------------------

const AXES = { keys: ["heads", "queries", "keys"], heads: ["heads", "tokens", "features"], logits: ["tokens", "vocabulary"], plain: ["tokens", "features"] };

function shapeText(step) {
  const names = step.keys ? AXES.keys.slice(-step.shape.length) : AXES[step.shape.length === 3 ? "heads" : step.kind] ?? AXES.plain;
  return `${names.join(" × ")} = ${step.shape.join(" × ")}`;
}

const openSteps = new Set();
const previews = [];
const WIDEST = 64; // columns of a preview
const MOST_CELLS = 30000; // of a table of features

/** Picture of a step's numbers, a pixel each. */
function previewElement(step) {
  const { rows, columns, value } = reader(step, state.head), width = Math.min(columns, WIDEST);
  const numbers = range(rows).map((r) => range(width).map((c) => value(r, c)));
  const largest = Math.max(1e-9, ...numbers.flat().map(Math.abs));
  return pixels(numbers, (number) => [number < 0 ? "--warm" : "--ink", Math.abs(number) / largest]);
}

/** Canvas of rows of numbers, each in the ink and opacity that `paint` gives it. */
function pixels(numbers, paint) {
  const canvas = el("canvas", { width: numbers[0].length, height: numbers.length });
  const context = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
  const inks = Object.fromEntries(["--ink", "--warm", "--line"].map((name) => [name, style.getPropertyValue(name)]));
  numbers.forEach((row, r) => row.forEach((number, c) => {
    const [ink, opacity] = paint(number);
    context.fillStyle = inks[ink];
    context.globalAlpha = opacity;
    context.fillRect(c, r, 1, 1);
  }));
  return canvas;
}

function stepElement(step, stack, crosses) {
  const kind = data.kinds[step.kind];
  const content = el("div");
  const preview = el("span", { class: "preview" });
  const draw = () => content.replaceChildren(...stepContent(step, stack, crosses), codeElement(kind));
  previews.push(() => preview.replaceChildren(...(step.array === null ? [] : [previewElement(step)])));
  const summary = el("summary", {}, kind.title, el("span", { class: "formula" }, ...mathematics(kind.formula)),
    el("span", { class: "shape" }, shapeText(step)), preview);
  const details = el("details", { class: "step", "data-kind": step.kind }, summary, content);
  details.addEventListener("toggle", () => {
    if (details.open) { openSteps.add(draw); draw(); content.querySelector("mark")?.parentNode.scrollTo(0, content.querySelector("mark").offsetTop - 60); }
    else { openSteps.delete(draw); content.replaceChildren(); }
  });
  return details;
}

function stepContent(step, stack, crosses) {
  if (step.array === null) return [el("p", { class: "faint" }, "These numbers are left out.")];
  const { rows, columns: known, heads, own, value } = reader(step, state.head);
  const columns = step.keys ? known : Math.min(known, Math.ceil(MOST_CELLS / rows));
  const boolean = step.kind === "mask";
  const names = rowTokens(stack, crosses).map(shown);
  const keys = step.keys && stackOf[step.keys].tokens.map(shown);
  let largest = step.kind === "weights" || boolean ? 1 : 1e-9;
  if (largest < 1) for (const r of range(rows)) for (const c of range(columns)) largest = Math.max(largest, Math.abs(value(r, c)));
  const table = numbersTable({
    rows: names, columns: keys ?? range(columns).map(String), order: { rows: range(rows), columns: range(columns) },
    value: (r, c) => (boolean && !value(r, c) ? null : value(r, c)), largest, features: !keys,
    say: (r, c) => (boolean ? `${names[r]} ${value(r, c) ? "may attend to" : "does not see"} ${keys[c]}`
      : keys ? `${names[r]} → ${keys[c]}\n${number(value(r, c))}` : `${names[r]}, feature ${c}\n${number(value(r, c))}`),
    here: stack === lastStack ? state.place : null, faded: (r) => unseen(stack, r),
  });
  const note = heads === 1 ? "" : state.head < 0 ? `mean over ${heads} heads` : `head ${own} of ${heads}`;
  const cut = columns < step.shape.at(-1) ? `the first ${columns} of ${step.shape.at(-1)} features` : "";
  const scale = boolean ? "hatched: hidden" : `full colour: ${number(largest)}; blue is positive, red negative`;
  return [table, el("p", { class: "faint" }, [note, cut, scale].filter(Boolean).join(" · "))];
}

function codeElement(kind) {
  const code = kind.text.trimEnd().split("\n").flatMap((text, index) => {
    const line = kind.start + index;
    const label = el("span", { class: "number" }, `${line}  `);
    return [kind.lines.includes(line) ? el("mark", {}, label, text) : el("span", {}, label, text), "\n"];
  });
  return el("div", {}, el("p", { class: "faint" }, `${kind.file}, line ${kind.lines[0]}`), el("pre", {}, ...code));
}

function drawSteps() {
  const group = (title, open, ...children) => el("details", { class: "group", open }, el("summary", {}, title), ...children);
  const list = (steps, stack, crosses) => steps.map((step) => stepElement(step, stack, crosses));
  const parts = data.stacks.map((stack) => group(stack.name, data.stacks.length === 1 || stack === lastStack,
    group("tokens, embeddings and positions", false, tokenElement(stack), ...list(stack.embedding, stack)),
    ...stack.layers.map((layer, index) => group(`layer ${index}`, index === 0, ...layer.map((part) =>
      group(data.kinds[part.kind].title.toLowerCase(), part.kind !== "sublayer", codeGroup(part.kind), ...list(part.steps, stack, part.kind === "cross_attention"))))),
    ...list(stack.last, stack)));
  const asked = el("details", { class: "step" }, el("summary", {}, "Probabilities", el("span", { class: "formula" }, ...mathematics(data.kinds.probabilities.formula))),
    el("p", {}, el("a", { href: "#next" }, "of each token that may follow")), codeElement(data.kinds.probabilities));
  byId("steps").replaceChildren(...parts, group("output", true, ...list(data.output, lastStack), asked));
}

function codeGroup(kind) {
  return el("details", { class: "step" }, el("summary", {}, el("span", { class: "faint" }, "the call")), codeElement(data.kinds[kind]));
}

function tokenElement(stack) {
  const kind = data.kinds.tokens;
  const rows = stack.tokens.map((token, index) => el("span", { class: "token" }, `${shown(token)} ${stack.ids[index]}`));
  return el("details", { class: "step", "data-kind": "tokens" }, el("summary", {}, kind.title, el("span", { class: "formula" }, ...mathematics(kind.formula)),
    el("span", { class: "shape" }, `tokens = ${stack.ids.length}`)), el("div", { class: "text" }, ...rows), codeElement(kind));
}

function drawPreviews() { for (const draw of previews) draw(); }

function drawOpenSteps() { for (const draw of openSteps) draw(); }

// --- attention ---------------------------------------------------------------------------------------------------

const partStep = (part, kind) => part.steps.find((step) => step.kind === kind);

function attentionOf(map, layer, head) {
  const part = map.layers[layer], step = partStep(part, "weights"), mask = partStep(part, "mask");
  const crosses = map.kind === "cross_attention";
  const hidden = mask ? reader(mask, -1).value : () => 1;
  return {
    ...reader(step, head), crosses, hidden, names: rowTokens(map.stack, crosses).map(shown), keys: stackOf[step.keys].tokens.map(shown),
  };
}

const headsOf = (map) => partStep(map.layers[0], "weights").queryHeads;
const headName = (head) => (head < 0 ? "mean of the heads" : `head ${head}`);

function drawLarge() {
  const map = maps[state.map];
  const { rows, columns, value, hidden, names, keys, crosses } = attentionOf(map, state.layer, state.head);
  const order = {
    columns: ranked(columns, state.sortRow === null ? null : (c) => value(state.sortRow, c)),
    rows: ranked(rows, state.sortColumn === null ? null : (r) => value(r, state.sortColumn)),
  };
  const largest = Math.max(1e-9, ...range(rows).map((r) => Math.max(...range(columns).map((c) => value(r, c)))));
  const say = (r, c) => `${names[r]} → ${keys[c]}\n${hidden(r, c) ? `weight ${value(r, c).toFixed(4)}` : "hidden by the mask"}\nlayer ${state.layer}, ${headName(state.head)}`;
  const here = map.stack === lastStack ? state.place : null;
  const drawing = state.lines ? linesElement({ rows, columns, order, names, keys, value, say, here }) : numbersTable({
    rows: names, columns: keys, order, say, largest, here, faded: (r) => unseen(map.stack, r),
    value: (r, c) => (hidden(r, c) ? value(r, c) : null),
    sortRow: (r) => update({ sortRow: r }, TABLE), sortColumn: (c) => update({ sortColumn: c }, TABLE),
  });
  byId("large").replaceChildren(drawing);
  byId("order").disabled = state.sortRow === null && state.sortColumn === null;
  byId("view").setAttribute("aria-pressed", state.lines);
  byId("legend").textContent = `${map.title}, layer ${state.layer}, ${headName(state.head)} · `
    + (crosses ? "rows: the token being written, columns: the source" : "rows: queries, columns: keys")
    + ` · full colour ${number(largest)}, hatched: hidden by the mask · a token sorts by its weights`;
}

/** Weights as lines between the queries on the left and the keys on the right. */
function linesElement({ rows, columns, order, names, keys, value, say, here }) {
  const svg = (tag, attributes, ...children) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, setting] of Object.entries(attributes)) element.setAttribute(name, setting);
    element.append(...children);
    return element;
  };
  const height = 18, y = (index) => (index + 0.7) * height, [left, right, width] = [130, 310, 440];
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${Math.max(rows, columns) * height + 6}`, role: "img", "aria-label": "attention as lines" });
  const lines = svg("g", {});
  order.rows.forEach((r, i) => order.columns.forEach((c, j) => {
    const weight = value(r, c);
    if (weight > 0.004) lines.append(svg("line", { x1: left, x2: right, y1: y(i) - 4, y2: y(j) - 4, "stroke-width": 0.5 + 4 * weight, "stroke-opacity": weight, "data-row": r, "data-column": c }));
  }));
  const focus = (kind, index) => { for (const line of lines.children) line.style.display = index === null || line.dataset[kind] === String(index) ? "" : "none"; };
  const label = (text, kind, index, attributes, bold) => {
    const element = svg("text", { ...attributes, "font-weight": bold ? 700 : 400 }, text);
    element.addEventListener("mouseenter", () => focus(kind, index));
    element.addEventListener("mouseleave", () => focus(kind, null));
    return element;
  };
  lines.addEventListener("mouseover", (event) => showTip(say(+event.target.dataset.row, +event.target.dataset.column), event.target));
  lines.addEventListener("mouseout", hideTip);
  drawing.append(lines,
    ...order.rows.map((r, i) => label(names[r], "row", r, { x: left - 6, y: y(i), "text-anchor": "end" }, r === here)),
    ...order.columns.map((c, j) => label(keys[c], "column", c, { x: right + 6, y: y(j) }, false)));
  return drawing;
}

function thumbnail(map, layer, head) {
  const { rows, columns, value, hidden } = attentionOf(map, layer, head);
  const weights = range(rows).map((r) => range(columns).map((c) => (hidden(r, c) ? value(r, c) : null)));
  // The root shows small weights, of which a long row has many.
  const canvas = pixels(weights, (weight) => (weight === null ? ["--line", 0.6] : ["--ink", Math.sqrt(weight)]));
  return el("button", {
    title: `layer ${layer}, ${headName(head)}`, "aria-pressed": layer === state.layer && head === state.head,
    onclick: () => update({ layer, head }, HEAD),
  }, canvas);
}

function drawOverview() {
  const map = maps[state.map], count = headsOf(map);
  const layers = range(map.layers.length), heads = count > 1 ? [...range(count), -1] : [0];
  const name = (head) => (head < 0 ? "mean" : head);
  const fill = (id, options, chosen) => byId(id).replaceChildren(
    ...options.map(([value, text]) => el("option", { value, selected: String(value) === String(chosen) }, text)),
  );
  const everything = [["all", "all"]], layerOptions = layers.map((layer) => [layer, layer]), headOptions = heads.map((head) => [head, name(head)]);
  fill("which", maps.map((each, index) => [index, each.title]), state.map);
  fill("layer", layerOptions, state.layer);
  fill("head", headOptions, state.head);
  fill("only-layer", [...everything, ...layerOptions], state.onlyLayer);
  fill("only-head", [...everything, ...headOptions], state.onlyHead);
  const wanted = (choice) => (value) => choice === "all" || String(value) === choice;
  byId("overview").replaceChildren(...layers.filter(wanted(state.onlyLayer)).map((layer) => el("div", { class: "row" }, el("span", {}, `layer ${layer}`),
    ...heads.filter(wanted(state.onlyHead)).flatMap((head) => [...(head < 0 ? [el("span", {}, "mean")] : []), thumbnail(map, layer, head)]))));
}

// --- prediction --------------------------------------------------------------------------------------------------

/** Probabilities of the tokens of a position, likeliest first, by temperature, then top-k, then top-p. */
function distribution(place, temperature, topK, topP) {
  const array = data.arrays[data.next.logits], values = unpacked(array), width = array.shape[1];
  const logits = values.subarray(place * width, (place + 1) * width), { counts } = data.next;
  let masses = counts.map((count, index) => count * Math.exp((logits[index] - logits[0]) / temperature));
  const normalized = (list) => { const total = list.reduce((a, b) => a + b, 0); return list.map((mass) => mass / total); };
  if (topK) masses = masses.map((mass, index) => (index < topK ? mass : 0));
  masses = normalized(masses);
  let before = 0;
  masses = masses.map((mass) => { const keep = before < topP - 1e-9; before += mass; return keep ? mass : 0; });
  return normalized(masses);
}

function drawNext() {
  const settings = ["temperature", "top-k", "top-p"].map((id) => +byId(id).value);
  for (const id of ["temperature", "top-k", "top-p"]) byId(id).nextElementSibling.textContent = id === "top-k" && byId(id).value === "0" ? "all" : byId(id).value;
  const probabilities = distribution(state.place, ...settings), plain = distribution(state.place, 1, 0, 1);
  const tokens = data.next.tokens[state.place], chosen = data.chosen[state.place] ?? null;
  byId("asked").textContent = data.masked ? `The token that belongs at ${shown(lastStack.tokens[state.place])}` : `The token after ${shown(lastStack.tokens[state.place])}`;
  const rows = range(Math.min(12, tokens.length)).map((index) => {
    const name = [tokens[index] === chosen ? "chosen" : "", probabilities[index] ? "" : "removed"].filter(Boolean).join(" ");
    return el("tr", { class: name || null, title: `logit ${number(unpacked(data.arrays[data.next.logits])[state.place * data.arrays[data.next.logits].shape[1] + index])}, id ${data.next.ids[state.place][index]}` },
      el("td", {}, shown(tokens[index])), el("td", {}, `${(100 * probabilities[index]).toFixed(2)} %`),
      el("td", {}, el("div", { class: "fill", style: `width: ${100 * probabilities[index]}%` })));
  });
  byId("bars").replaceChildren(el("tbody", {}, ...rows));
  const kept = data.next.counts.reduce((sum, count, index) => sum + (probabilities[index] ? count : 0), 0);
  const entropy = -plain.reduce((sum, p, index) => sum + (p ? p * Math.log2(p / data.next.counts[index]) : 0), 0);
  byId("kept").textContent = `${kept.toLocaleString("en")} of ${data.next.counts.reduce((a, b) => a + b).toLocaleString("en")} tokens may be drawn · `
    + `entropy at temperature 1: ${entropy.toFixed(2)} bits${chosen === null ? "" : ` · chosen: ${shown(chosen)}`}`;
}

// --- the position ------------------------------------------------------------------------------------------------

function drawTexts() {
  byId("texts").replaceChildren(...data.stacks.map((stack) => el("div", { class: "text" },
    data.stacks.length > 1 ? el("span", { class: "faint" }, stack.name) : "",
    ...stack.tokens.map((token, index) => el(stack === lastStack ? "button" : "span", {
      class: ["token", unseen(stack, index) ? "unseen" : "", stack === lastStack && index === state.place ? "here" : ""].filter(Boolean).join(" "),
      onclick: stack === lastStack ? () => update({ place: index }, PLACE) : () => {},
    }, shown(token))))));
  const here = byId("texts").querySelector(".here"), line = here.parentNode;
  line.scrollLeft = here.offsetLeft - line.offsetLeft - line.clientWidth / 2;
  const places = lastStack.tokens.length;
  byId("place").max = places - 1;
  byId("place").value = state.place;
  byId("back").disabled = state.place === 0;
  byId("forth").disabled = state.place === places - 1;
  byId("count").textContent = `position ${state.place + 1} of ${places}`;
}

function move(step) {
  const place = state.place + step;
  if (place >= 0 && place < lastStack.tokens.length) update({ place }, PLACE);
  else stop();
}

let clock = null;
function stop() { clearInterval(clock); clock = null; byId("play").setAttribute("aria-pressed", false); }
function play() {
  if (clock) return stop();
  if (state.place === lastStack.tokens.length - 1) update({ place: data.places[0] }, PLACE);
  clock = setInterval(() => move(1), 900);
  byId("play").setAttribute("aria-pressed", true);
}

// --- controls ----------------------------------------------------------------------------------------------------

const chooseLayer = (layer) => layer in maps[state.map].layers && update({ layer, sortRow: null, sortColumn: null }, MAP);
const chooseHead = (head) => head >= -1 && head < headsOf(maps[state.map]) && update({ head }, HEAD);
byId("back").addEventListener("click", () => move(-1));
byId("forth").addEventListener("click", () => move(1));
byId("play").addEventListener("click", play);
byId("place").addEventListener("input", (event) => update({ place: +event.target.value }, PLACE));
byId("which").addEventListener("change", (event) => update({ map: +event.target.value, layer: Math.min(state.layer, maps[+event.target.value].layers.length - 1), sortRow: null, sortColumn: null, onlyLayer: "all" }, MAP));
byId("layer").addEventListener("change", (event) => chooseLayer(+event.target.value));
byId("head").addEventListener("change", (event) => chooseHead(+event.target.value));
byId("only-layer").addEventListener("change", (event) => update({ onlyLayer: event.target.value }, [drawOverview]));
byId("only-head").addEventListener("change", (event) => update({ onlyHead: event.target.value }, [drawOverview]));
byId("view").addEventListener("click", () => update({ lines: !state.lines }, TABLE));
byId("order").addEventListener("click", () => update({ sortRow: null, sortColumn: null }, TABLE));
for (const id of ["temperature", "top-k", "top-p"]) byId(id).addEventListener("input", drawNext);
const KEYS = {
  ArrowLeft: () => move(-1), ArrowRight: () => move(1), ",": () => chooseLayer(state.layer - 1), ".": () => chooseLayer(state.layer + 1),
  "[": () => chooseHead(state.head - 1), "]": () => chooseHead(state.head + 1), t: switchTheme,
};
addEventListener("keydown", (event) => {
  if (typing(event) || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});
addEventListener("theme", () => update({}, HEAD));

byId("title").textContent = data.title;
byId("model").textContent = data.model;
byId("notes").replaceChildren(...(data.notes.length ? data.notes : ["nothing: every number of this run is here"]).map((note) => el("li", {}, note)));
drawSteps();
update({}, [...PLACE, drawPreviews, drawOverview]);
