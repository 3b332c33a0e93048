// What is shown of an answer: boxes over the picture, rows in the table, labels to choose from.
// Labels come from the model's file: they are only ever set as text.

const SVG = "http://www.w3.org/2000/svg";
const overlay = document.getElementById("overlay");
const rows = document.getElementById("rows");
const labels = document.getElementById("labels");
const hidden = new Set(); // labels that were switched off

let answer = null;
let threshold = 0.25;
let surface = null; // the <img> or <video> below the boxes

// Neighbouring classes get distant hues: steps of the golden ratio around the colour wheel.
export const colour = (classId) => `hsl(${((0.33 + classId * 0.618034) % 1) * 360} 95% 65%)`;

export const shown = () =>
  (answer?.detections ?? []).filter((d) => d.score >= threshold && !hidden.has(d.label));

export function show(newAnswer, newSurface) {
  answer = newAnswer;
  surface = newSurface;
  draw();
}

export function setThreshold(value) {
  threshold = value;
  draw();
}

export function draw() {
  const detections = shown();
  drawBoxes(detections);
  drawLabels();
  rows.replaceChildren(...detections.map(row));
  document.getElementById("count").textContent = answer === null ? "No picture yet"
    : `${detections.length} ${detections.length === 1 ? "object" : "objects"}`;
}

function drawBoxes(detections) {
  overlay.replaceChildren();
  if (!answer || !surface) return;
  const { width, height } = answer.image;
  overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
  place();
  const unit = width / (surface.clientWidth || width); // picture pixels to one of the screen
  for (const [i, d] of [...detections.entries()].reverse()) { // the best last, on top
    const box = d.box;
    const group = element("g", { "data-index": i });
    group.append(element("rect", {
      x: box.x_min, y: box.y_min, width: box.x_max - box.x_min, height: box.y_max - box.y_min,
      stroke: colour(d.class_id),
    }));
    const size = Math.min(14 * unit, Math.max(9 * unit, (box.x_max - box.x_min) / 6));
    const text = element("text", {
      x: box.x_min + 3 * unit, y: Math.max(box.y_min - 4 * unit, size), "font-size": size,
      "stroke-width": 3 * unit, fill: colour(d.class_id),
    });
    text.textContent = `${d.label} ${d.score.toFixed(2)}`;
    group.append(text);
    group.addEventListener("pointerenter", () => light(i));
    group.addEventListener("pointerleave", () => light(null));
    overlay.append(group);
  }
}

export function place() { // over the picture, wherever the layout has put it
  if (!surface) return;
  overlay.style.left = `${surface.offsetLeft}px`;
  overlay.style.top = `${surface.offsetTop}px`;
  overlay.style.width = `${surface.clientWidth}px`;
  overlay.style.height = `${surface.clientHeight}px`;
}

function row(d, i) {
  const tr = document.createElement("tr");
  tr.tabIndex = 0;
  tr.dataset.index = i;
  const { x_min, y_min, x_max, y_max } = d.box;
  const corner = (x, y) => `${Math.round(x)},\u00a0${Math.round(y)}`; // never breaks, where lines do
  const place = `${corner(x_min, y_min)}\u00a0– ${corner(x_max, y_max)}`;
  tr.append(cell(d.label, d.class_id), cell(d.score.toFixed(2)), cell(place));
  for (const event of ["pointerenter", "focus"]) tr.addEventListener(event, () => light(i));
  for (const event of ["pointerleave", "blur"]) tr.addEventListener(event, () => light(null));
  return tr;
}

function cell(text, classId) {
  const td = document.createElement("td");
  if (classId !== undefined) td.append(swatch(classId));
  td.append(text);
  return td;
}

// A name may hold characters that would reverse the text after it.
export const isolated = (name) => Object.assign(document.createElement("bdi"), { textContent: name });

function swatch(classId) {
  const span = document.createElement("span");
  span.className = "swatch";
  span.style.background = colour(classId);
  return span;
}

function light(index) { // joins a row and its box
  for (const item of document.querySelectorAll("[data-index]")) {
    item.classList.toggle("lit", index !== null && Number(item.dataset.index) === index);
    item.classList.toggle("dim", index !== null && Number(item.dataset.index) !== index);
  }
}

function drawLabels() {
  const counts = new Map();
  for (const d of answer?.detections ?? []) {
    if (d.score < threshold) continue;
    const entry = counts.get(d.label) ?? { classId: d.class_id, count: 0 };
    counts.set(d.label, { ...entry, count: entry.count + 1 });
  }
  const focused = labels.contains(document.activeElement) ? document.activeElement.value : null;
  labels.replaceChildren(...[...counts].map(([label, { classId, count }]) => {
    const button = document.createElement("button");
    button.value = label;
    button.setAttribute("aria-pressed", String(!hidden.has(label)));
    button.append(swatch(classId), isolated(label), ` ${count}`);
    button.addEventListener("click", () => {
      if (!hidden.delete(label)) hidden.add(label);
      draw();
    });
    return button;
  }));
  if (focused !== null) [...labels.children].find((b) => b.value === focused)?.focus();
}

function element(name, attributes) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}
