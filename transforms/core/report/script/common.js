// What all of the page uses: its data, its state, small helpers. The files of this folder are one script, in the order
// that page.py names. What the web said of a video only ever becomes text or an address, never markup.
const data = JSON.parse(document.getElementById("data").textContent);
const main = document.getElementById("main");
const unpacked = (table) => table.rows.map((row) => Object.fromEntries(table.fields.map((name, i) => [name, row[i]])));
const spans = unpacked(data.spans);
const videos = unpacked(data.videos);
const videoOf = new Map(videos.map((video) => [video.key, video]));
const spanOf = new Map(spans.map((span) => [span.id, span]));
const actions = Object.keys(data.summary.actions).sort();
const PAGE = 60, ROWS = 100;
const RUN_MIN = data.summary.settings.min_score || 0;
// `option` stands for --min_score, `own` has thresholds chosen for one action, as the cells of its rows
const state = { action: "", text: "", sort: "score", show: "all", page: 0, option: RUN_MIN, own: new Map() };
for (const span of spans) span.words = [span.action, span.title, span.channel, span.source, span.key, span.top_label, span.licence].join(" ").toLowerCase();

// --- small helpers
function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}
function svg(name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
const digits = (number) => (number == null ? "" : String(Number(number.toPrecision(3))));
// a score as the largest number of three digits that it reaches: with that as the threshold it stays
function score(number) {
  if (number == null) return "";
  const rounded = Number(number.toPrecision(3));
  return digits(Math.fround(rounded) <= Math.fround(number) ? rounded : rounded - 10 ** (Math.floor(Math.log10(Math.abs(number))) - 2));
}
const seconds = (number) => (number == null ? "" : `${number.toFixed(2)} s`);
const hasClips = spans.some((span) => span.clip);
const ITEM = hasClips ? "clip" : "span";
const counted = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
const below = (path) => "../" + path.split("/").map(encodeURIComponent).join("/");
const isWeb = (source) => /^https?:\/\//i.test(source);
// where rows have a threshold of their own, that holds and not the option, or the lower of both
const heldBy = (span, option) => (span.own_min_score == null ? option : span.option_holds ? Math.min(option, span.own_min_score) : span.own_min_score);
const thresholdOf = (span) => (state.own.has(span.action) ? state.own.get(span.action) : heldBy(span, state.option));
// scores are single precision, and so is the threshold that they are compared with in a job
const isKept = (span) => span.score >= Math.fround(thresholdOf(span));
const link = (to, ...text) => h("a", { href: to }, ...text);
const videoLink = (key, at) => `#/video/${encodeURIComponent(key)}${at === undefined ? "" : `?at=${at}`}`;
const fileAt = (path) => `file://${path.split("/").map(encodeURIComponent).join("/")}`;
function sourceName(source, isShort) {
  const text = isShort && !isWeb(source) ? source.split("/").pop() : source, style = isShort ? "wrap clamp" : "wrap";
  if (isWeb(source)) return h("a", { class: style, href: source, rel: "noopener noreferrer", target: "_blank" }, text);
  if (location.protocol === "file:" && source.startsWith("/")) return h("a", { class: style, href: fileAt(source), title: source }, text);
  return h("span", { class: style, title: source }, text);
}
function say(text) { document.getElementById("said").textContent = text; }
function later(draw) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  };
}
async function copy(field) {
  field.select();
  try { await navigator.clipboard.writeText(field.value); } catch { document.execCommand("copy"); }
  say(`copied ${field.value}`);
}
