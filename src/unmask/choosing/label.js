"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const part = (id) => document.getElementById(id);
const KEYS = "123456789abcdefghijklmnopqrstuvwxyz";
const PLACE = "unmask-label:" + data.id;
const ZOOMS = [1, 2, 3, 4, 6];
let zoom = 0;
let state = { at: 0, answers: data.images.map(() => null), history: [] };

function restore() {
  try {
    const kept = JSON.parse(localStorage.getItem(PLACE));
    if (kept && kept.answers.length === data.images.length) state = kept;
  } catch (error) {
    warn();
  }
}

function keep() {
  try {
    localStorage.setItem(PLACE, JSON.stringify(state));
  } catch (error) {
    warn();
  }
}

function warn() {
  part("warning").hidden = false;
  part("warning").textContent = "This browser does not store labels of this page: download labels.csv before you close it.";
}

function answered(answer) {
  return answer !== null && answer.done;
}

function answer(value) {
  state.history.push([state.at, state.answers[state.at]]);
  state.answers[state.at] = value;
  if (value.done) goOn();
}

function goOn() {
  const count = data.images.length;
  for (let step = 1; step <= count; step++) {
    const next = (state.at + step) % count;
    if (!answered(state.answers[next])) { move(next); return; }
  }
}

function move(to) {
  state.at = Math.min(Math.max(to, 0), data.images.length - 1);
  zoom = 0;
}

function choose(number) {
  const own = state.answers[state.at];
  if (!data.several) { answer({ labels: [number], kind: "label", done: true }); return; }
  const before = own && own.kind === "label" ? own.labels : [];
  const labels = before.includes(number) ? before.filter((one) => one !== number) : [...before, number];
  answer({ labels: labels.sort((a, b) => a - b), kind: "label", done: false });
}

const DO = {
  confirm() {
    const own = state.answers[state.at];
    if (own && own.kind === "label" && own.labels.length) answer({ ...own, done: true });
  },
  none() { answer({ labels: [], kind: "none", done: true }); },
  skip() { answer({ labels: [], kind: "skip", done: true }); },
  undo() {
    const last = state.history.pop();
    if (!last) return;
    state.answers[last[0]] = last[1];
    move(last[0]);
  },
  back() { move(state.at - 1); },
  forward() { move(state.at + 1); },
  larger() { zoom = Math.min(zoom + 1, ZOOMS.length - 1); },
  smaller() { zoom = Math.max(zoom - 1, 0); },
  save() {
    const quoted = (text) => '"' + text.replaceAll('"', '""') + '"';
    const rows = data.images.flatMap((image, i) => {
      const own = state.answers[i];
      if (!answered(own) || own.kind === "skip") return [];
      const names = own.labels.map((one) => data.classes[one]);
      // A separator in every row says that images may have several labels; alone it says that none applies.
      return [quoted(image.path) + "," + quoted(names.join(";") + (data.several && names.length < 2 ? ";" : ""))];
    });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["path,label\r\n" + rows.map((row) => row + "\r\n").join("")], { type: "text/csv" }));
    link.download = "labels.csv";
    document.body.append(link);
    link.click();
    link.remove();
  },
};

function act(name) {
  DO[name]();
  keep();
  show();
}

function show() {
  const image = data.images[state.at], own = state.answers[state.at], picture = part("picture");
  const done = state.answers.filter(answered).length, count = data.images.length;
  if (picture.getAttribute("src") !== image.src) picture.src = image.src;
  picture.alt = "Image " + (state.at + 1);
  picture.className = (zoom ? "enlarged" : "") + (Math.max(image.width, image.height) < 200 ? " small" : "");
  const frame = part("frame");
  const fit = Math.min(frame.clientWidth / image.width, frame.clientHeight / image.height);
  picture.style.width = zoom ? Math.round(image.width * fit * ZOOMS[zoom]) + "px" : "";
  part("name").textContent = image.name;
  part("progress").max = count;
  part("progress").value = done;
  const what = own === null ? "" : own.kind === "skip" ? ": skipped" : own.kind === "none" ? ": not any of these" : ": " + (own.labels.map((one) => data.classes[one]).join(", ") || "no class yet");
  const end = done === count ? " All are answered: download labels.csv." : "";
  part("status").textContent = "Image " + (state.at + 1) + " of " + count + what + ". " + done + " answered." + end;
  document.querySelectorAll("#classes button").forEach((button, i) => {
    button.setAttribute("aria-pressed", String(own !== null && own.labels.includes(i)));
  });
}

function key(event) {
  if (event.key === "s" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); act("save"); return; }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const onButton = document.activeElement.tagName === "BUTTON" && (event.key === "Enter" || event.key === " ");
  const inFrame = document.activeElement === part("frame") && zoom && event.key.startsWith("Arrow");
  if (onButton || inFrame) return;
  const number = KEYS.indexOf(event.key.toLowerCase());
  const named = { Enter: "confirm", 0: "none", " ": "skip", Backspace: "undo", ArrowLeft: "back", ArrowRight: "forward", "+": "larger", "=": "larger", "-": "smaller" }[event.key];
  if (named) { event.preventDefault(); act(named); return; }
  if (event.key.length === 1 && number >= 0 && number < data.classes.length) { event.preventDefault(); choose(number); keep(); show(); }
}

data.classes.forEach((name, i) => {
  const button = document.createElement("button"), mark = document.createElement("kbd");
  button.type = "button";
  mark.textContent = KEYS[i] || "";
  button.append(...(KEYS[i] ? [mark] : []), name);
  button.addEventListener("click", () => { choose(i); keep(); show(); button.blur(); });
  part("classes").append(button);
});
document.querySelectorAll("[data-do]").forEach((button) => {
  button.addEventListener("click", () => { act(button.dataset.do); if (button.id !== "save") button.blur(); });
});
part("confirm").hidden = !data.several;
document.addEventListener("keydown", key);
window.addEventListener("resize", show);
restore();
show();
