// The page: where pictures come from, and what happens with the answer.

import { Problem, detect, models, useKey } from "./api.js";
import { Camera } from "./camera.js";
import { asCurl, asJson, save } from "./exports.js";
import { draw, isolated, place, setThreshold, show, shown } from "./view.js";

const $ = (id) => document.getElementById(id);
const photo = $("photo");
const video = $("video");
const camera = new Camera(video, onFrame, onProblem);
const state = { picture: null, name: "picture.jpg", answer: null, model: "", keyUsed: false, frames: [] };
let request = new AbortController();

async function detectPicture(picture, name) {
  stopCamera();
  request.abort();
  request = new AbortController();
  Object.assign(state, { picture, name, answer: null });
  URL.revokeObjectURL(photo.src);
  photo.src = URL.createObjectURL(picture);
  photo.alt = name;
  surface(photo);
  show(null, null);
  $("actions").hidden = true;
  $("timings").replaceChildren();
  say("Detecting …");
  try {
    const answer = await detect(picture, state.model, request.signal);
    await photo.decode().catch(() => {}); // a format that the service reads and the browser does not
    onAnswer(answer, photo);
    say(isolated(name), `: ${answer.image.width} × ${answer.image.height} pixels, ${Math.round(answer.tookMs)} ms`);
  } catch (error) {
    if (error.name !== "AbortError") onProblem(error);
  }
}

function onAnswer(answer, on) {
  state.answer = answer;
  $("problem").hidden = $("key-form").hidden = true;
  $("actions").hidden = false;
  show(answer, on);
  showTimings(answer);
}

function onFrame(answer, picture) {
  state.picture = picture;
  state.frames = [...state.frames.slice(-20), performance.now()];
  const [first, last] = [state.frames[0], state.frames.at(-1)];
  const rate = state.frames.length > 1 ? ((state.frames.length - 1) * 1000) / (last - first) : 0;
  onAnswer(answer, video);
  say(`Live: ${rate.toFixed(1)} pictures/s, ${Math.round(answer.tookMs)} ms each`);
}

function onProblem(error) {
  say("");
  $("problem").textContent = error.message;
  $("problem").hidden = false;
  if (error instanceof Problem && error.status === 401) {
    $("key-form").hidden = false;
    stopCamera();
    $("key").focus();
  }
}

function surface(shownOne) {
  photo.hidden = shownOne !== photo;
  video.hidden = shownOne !== video;
  $("hint").hidden = shownOne !== null;
  $("frame").classList.toggle("empty", shownOne === null);
}

function showTimings({ timings, tookMs, model }) {
  const names = { upload: "receive", queue: "wait", upright: "turn", backend: "model", draw: "draw" };
  const parts = Object.entries(timings).filter(([part]) => part !== "total");
  const network = ["network", Math.max(0, tookMs - (timings.total ?? tookMs))];
  $("timings").replaceChildren(...[...parts, network].flatMap(([part, ms]) => {
    const meter = document.createElement("meter");
    Object.assign(meter, { max: tookMs, value: ms, title: part });
    const bar = Object.assign(document.createElement("dd"), {});
    bar.append(meter);
    return [text("dt", names[part] ?? part), bar, text("dd", `${ms.toFixed(1)} ms`)];
  }), text("dt", "by"), text("dd", `${model.name}, version ${model.version}`), text("dd", ""));
}

const text = (tag, content) => Object.assign(document.createElement(tag), { textContent: content });
const say = (...parts) => $("status").replaceChildren(...parts);

async function toggleCamera() {
  if (camera.running) return stopCamera();
  request.abort();
  $("problem").hidden = true;
  try {
    surface(video);
    await camera.start(state.model);
    Object.assign(state, { name: "camera.jpg", answer: null, frames: [] });
    $("camera").textContent = "Stop camera";
  } catch (error) {
    surface(state.answer ? photo : null); // what was shown before
    onProblem(error);
  }
}

function stopCamera() {
  if (!camera.running) return;
  const { picture, name, answer } = state;
  camera.stop();
  $("camera").textContent = "Start camera";
  if (!answer) return surface(null);
  photo.src = URL.createObjectURL(picture); // the last frame stays, with its boxes
  photo.alt = name;
  photo.onload = () => { surface(photo); show(answer, photo); };
}

async function copy(button, content) {
  const before = button.textContent;
  try {
    await navigator.clipboard.writeText(content);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed here";
  }
  setTimeout(() => { button.textContent = before; }, 1500);
}

function take(files) {
  const [picture] = [...(files ?? [])];
  if (picture) detectPicture(picture, picture.name || "pasted.png");
}

$("choose").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", (event) => { take(event.target.files); event.target.value = ""; });
$("camera").addEventListener("click", toggleCamera);
$("threshold").addEventListener("input", (event) => {
  $("threshold-value").textContent = Number(event.target.value).toFixed(2);
  setThreshold(Number(event.target.value));
});
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey($("key").value);
  state.keyUsed = true;
  $("key").value = "";
  if (state.picture) detectPicture(state.picture, state.name);
});
$("model").addEventListener("change", (event) => {
  state.model = event.target.value;
  if (state.picture) detectPicture(state.picture, state.name);
});
$("save").addEventListener("click", () => save(photo.hidden ? video : photo, state.answer, shown(), state.name));
$("copy-json").addEventListener("click", (event) => copy(event.target, asJson(state.answer, shown())));
$("copy-curl").addEventListener("click", (event) =>
  copy(event.target, asCurl(state.name, state.model, state.keyUsed)));

for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    $("frame").classList.toggle("dragged", name === "dragover");
    if (name === "drop") take(event.dataTransfer.files);
  });
}
document.addEventListener("paste", (event) => take(event.clipboardData.files));
document.addEventListener("keydown", (event) => { if (event.key === "Escape") stopCamera(); });
new ResizeObserver(() => draw()).observe($("frame"));
addEventListener("resize", place);

async function addSamples() {
  const response = await fetch("web/samples.json");
  for (const { file, title } of response.ok ? await response.json() : []) {
    const button = document.createElement("button");
    const image = Object.assign(new Image(), { src: `web/${file}`, alt: `Sample: ${title}` });
    button.append(image);
    button.addEventListener("click", async () =>
      detectPicture(await (await fetch(image.src)).blob(), file.split("/").at(-1)));
    $("samples").append(button);
  }
}

async function addModels() {
  const names = await models();
  if (names.length < 2) return;
  $("model").append(...names.map((name) => new Option(name, name)));
  $("model-row").hidden = false;
}

surface(null);
addSamples();
addModels();
