// The list of clips, and the threshold.
// --- clips
const sorts = {
  score: ["strongest first", (a, b) => b.score - a.score || (a.id < b.id ? -1 : 1)],
  weakest: ["weakest first", (a, b) => a.score - b.score || (a.id < b.id ? -1 : 1)],
  action: ["by action", (a, b) => a.action.localeCompare(b.action) || b.score - a.score],
  video: ["by video and time", (a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.start_seconds - b.start_seconds)],
  title: ["by title", (a, b) => (a.title || "\uffff").localeCompare(b.title || "\uffff") || b.score - a.score],
};
const shows = [["all", "all"], ["kept", "those that stay"], ["fallen", "those that fall out"], ["flagged", "those with flags"], ["left_out", "those left out"]];
function select(label, options, value, change) {
  return h("label", {}, label, h("select", { "aria-label": label, onchange: (event) => change(event.target.value) },
    options.map(([key, text]) => h("option", { value: key, selected: key === value }, text))));
}
function clips() {
  const results = h("div"), panel = h("div");
  const ofAction = () => (state.action ? spans.filter((span) => span.action === state.action) : spans);
  const redraw = later(() => {
    const words = state.text.toLowerCase().split(/\s+/).filter(Boolean);
    const tests = { kept: isKept, fallen: (span) => !isKept(span), flagged: (span) => (span.clip_flags || []).length, left_out: (span) => span.left_out_by };
    const found = ofAction().filter((span) => words.every((word) => span.words.includes(word)) && (!tests[state.show] || tests[state.show](span)));
    found.sort(sorts[state.sort][1]);
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    state.page = Math.min(state.page, pages - 1);
    const shown = found.slice(state.page * PAGE, (state.page + 1) * PAGE);
    results.replaceChildren(
      h("p", { class: "soft", "data-found": found.length }, `${counted(found.length, ITEM)}${pages > 1 ? `, page ${state.page + 1} of ${pages}` : ""}`),
      h("ul", { class: "grid", onkeydown: moveAmongCards }, shown.map(card)), ...pager(pages, redraw));
    if (state.focus) { const button = [...results.querySelectorAll("button")].find((one) => one.textContent === state.focus && !one.disabled); (button || results.querySelector(".screen"))?.focus({ preventScroll: true }); state.focus = ""; }
  });
  // the slider moves often: cards that stay where they are go on playing
  const mark = later(() => {
    if (state.show === "kept" || state.show === "fallen") { redraw(); return; }
    for (const one of results.querySelectorAll(".card")) one.classList.toggle("out", !isKept(spanOf.get(one.dataset.id)));
  });
  const change = (name) => (value) => { state[name] = value; state.page = 0; if (name === "action") { state.own.clear(); threshold(panel, ofAction(), mark); } redraw(); };
  const search = h("input", { type: "search", id: "search", "aria-label": "search", value: state.text, oninput: (event) => change("text")(event.target.value) });
  threshold(panel, ofAction(), mark);
  redraw();
  return [
    h("h2", {}, hasClips ? "Clips" : "Spans"),
    h("div", { class: "tools" },
      select("action", [["", "all actions"], ...actions.map((name) => [name, name])], state.action, change("action")),
      h("label", {}, "search", search),
      select("sort", Object.entries(sorts).map(([key, [text]]) => [key, text]), state.sort, change("sort")),
      select("show", shows, state.show, change("show"))),
    panel, results,
  ];
}
function pager(pages, redraw) {
  if (pages < 2) return [];
  const to = (page) => (event) => { state.page = page; state.focus = event.target.textContent; redraw(); main.scrollIntoView(); say(`page ${page + 1} of ${pages}`); };
  return [h("div", { class: "pager", role: "group", "aria-label": "Pages" },
    h("button", { disabled: !state.page, onclick: to(0) }, "first"), h("button", { disabled: !state.page, onclick: to(state.page - 1) }, "previous"),
    h("span", {}, `page ${state.page + 1} of ${pages}`),
    h("button", { disabled: state.page + 1 === pages, onclick: to(state.page + 1) }, "next"), h("button", { disabled: state.page + 1 === pages, onclick: to(pages - 1) }, "last"))];
}
function threshold(panel, chosen, redraw) {
  if (!chosen.length) { panel.replaceChildren(h("p", {}, "There is no span to choose a threshold for.")); return; }
  const best = Math.max(...chosen.map((span) => span.score)) || 1, STEPS = 1000, BINS = 50;
  const total = state.action ? data.summary.actions[state.action].spans : Object.values(data.summary.actions).reduce((sum, of) => sum + of.spans, 0);
  const ownRows = chosen.some((span) => span.own_min_score != null), optionWorks = !state.action || chosen.some((span) => span.option_holds || span.own_min_score == null);
  const now = () => (state.action ? thresholdOf(chosen[0]) : state.option);
  const ran = state.action ? chosen[0].held_to : RUN_MIN;
  const at = (step) => Number(score(best * (step / STEPS) ** 2));
  const step = (value) => Math.round(Math.sqrt(Math.min(1, value / best)) * STEPS);
  const bins = Array(BINS).fill(0);
  for (const span of chosen) bins[Math.min(BINS - 1, Math.floor(Math.sqrt(Math.max(0, span.score) / best) * BINS))] += 1;
  const most = Math.log1p(Math.max(...bins));
  const bars = bins.map((number, place) => svg("rect", { x: place + 0.05, width: 0.9, y: 1 - Math.log1p(number) / most, height: Math.log1p(number) / most }));
  const line = svg("line", { y1: 0, y2: 1 });
  const histogram = svg("svg", { class: "histogram", viewBox: `0 0 ${BINS} 1`, preserveAspectRatio: "none", role: "img", "aria-label": `histogram of ${counted(chosen.length, "score")}, 0 to ${score(best)}` });
  histogram.append(...bars, line);
  const range = h("input", { type: "range", min: 0, max: STEPS, value: step(now()), "aria-label": "threshold", oninput: () => set(at(Number(range.value))) });
  const exact = h("input", { type: "number", step: "any", min: 0, "aria-label": "threshold as a number", onchange: () => set(Math.max(0, Number(exact.value) || 0)) });
  const option = h("input", { readonly: true, "aria-label": "as an option", size: 22 });
  const cell = h("input", { readonly: true, "aria-label": "as the cell min_score of a row", size: 8 });
  const remain = h("output", { "aria-live": "polite" });
  const weaker = h("p", { class: "soft" });
  function set(value) {
    if (state.action) state.own.set(state.action, value); else { state.option = value; state.own.clear(); }
    range.value = step(value); update(); redraw();
  }
  function update() {
    const kept = chosen.filter(isKept), text = String(now()), of = counted(chosen.length, ITEM);
    weaker.textContent = now() < ran ? `Weaker spans than ${ran} are not in this output, which was made with that threshold: a run with a lower one gives more.` : "";
    remain.textContent = `${kept.length.toLocaleString("en")} of ${of} and ${new Set(kept.map((span) => span.key)).size.toLocaleString("en")} of ${counted(new Set(chosen.map((span) => span.key)).size, "video")} remain`;
    range.setAttribute("aria-valuetext", text);
    exact.value = text; option.value = `--min_score=${text}`; cell.value = text;
    const position = Math.sqrt(Math.min(1, now() / best)) * BINS;
    bars.forEach((bar, place) => bar.setAttribute("class", place + 0.5 >= position ? "kept" : ""));
    line.setAttribute("x1", position); line.setAttribute("x2", position);
  }
  update();
  panel.replaceChildren(h("section", { class: "threshold", "aria-label": "Threshold" }, actionFunnel(), histogram, range,
    h("div", { class: "tools", style: "margin:.6em 0 0" }, h("label", {}, "threshold", exact), remain,
      optionWorks ? h("span", {}, option, " ", h("button", { onclick: () => copy(option) }, "Copy")) : null,
      state.action ? h("span", {}, optionWorks ? "or the cell " : "the cell ", h("code", {}, "min_score"), " of its rows: ", cell, " ", h("button", { onclick: () => copy(cell) }, "Copy")) : null),
    weaker,
    ownRows ? h("p", { class: "soft" }, state.action ? "Rows of this action have a threshold of their own in their column min_score, which wins over the option: this is what the cell in all of them would give." : "Some rows have a threshold of their own in their column min_score, which wins over the option.") : null,
    total > chosen.length ? h("p", { class: "soft" }, `The strongest ${chosen.length.toLocaleString("en")} of ${counted(total, "span")} are on this page; counts are of these.`) : null,
    h("p", { class: "soft", style: "margin:.4em 0 0" }, "The same command with it and --replace leaves out what falls out; nothing is scored again.")));
}
function actionFunnel() {
  if (!state.action) return null;
  const of = data.summary.actions[state.action], quantiles = of.best_per_video?.quantiles || {};
  const best = Object.keys(quantiles).length ? `; best response per video: ${["0.1", "0.5", "0.9"].map((part) => `${score(quantiles[part])} at ${part * 100}%`).join(", ")}` : "";
  return h("p", { style: "margin:0 0 .6em" }, `${counted(of.rows, "row")}, ${counted(of.best_per_video?.videos ?? 0, "video")} scored, ${counted(of.spans, "span")}, ${counted(of.clips, "clip")}${best}`);
}
function card(span) {
  const name = `${span.action}, score ${score(span.score)}, ${seconds(span.start_seconds)}`;
  const screen = span.clip
    ? h("button", { class: "screen", "aria-label": `play ${name}`, onclick: () => play(screen, span, false), onpointerenter: (event) => event.pointerType === "mouse" && play(screen, span, true), onpointerleave: () => stopPreview(screen) })
    : h("a", { class: "screen", href: videoLink(span.key, span.peak_seconds), "aria-label": `look at ${name}` });
  screen.append(poster(span));
  const flags = [...(span.clip_flags || []), ...(span.shot_boundaries ? [counted(span.shot_boundaries, "shot boundary").replace("boundarys", "boundaries")] : [])];
  return h("li", { class: isKept(span) ? "card" : "card out", "data-id": span.id }, screen, h("div", { class: "body" },
    h("span", {}, h("span", { class: "score" }, score(span.score)), " ", h("span", { class: "fallen" }, "falls out")),
    h("span", { class: "wrap" }, span.action),
    h("span", { class: "soft" }, `rank ${span.rank}; ${seconds(span.start_seconds)} to ${seconds(span.end_seconds)}`),
    h("span", { class: "soft wrap" }, `best label: ${span.top_label} ${digits(span.top_score)}`),
    span.left_out_by ? h("span", { class: "left" }, leftOut(span)) : null,
    span.title ? h("span", { class: "wrap" }, span.title) : null,
    sourceName(span.source, true),
    span.licence ? h("span", { class: "soft wrap" }, span.licence) : null,
    flags.length ? h("span", { class: "soft wrap" }, flags.join(", ")) : null,
    link(videoLink(span.key, span.peak_seconds), "responses over time")));
}
function poster(span) {
  if (!span.poster) return still(span);
  const image = h("img", { src: below(span.poster), alt: "", loading: "lazy", decoding: "async" });
  image.addEventListener("error", () => image.replaceWith(h("span", { class: "missing" }, "its picture is missing")));
  return image;
}
// where no picture was made the video itself shows its frame, once the card is seen
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) { seen.unobserve(entry.target); entry.target.dispatchEvent(new Event("seen")); }
});
function still(span) {
  const whole = wholeOf(videoOf.get(span.key)), nothing = h("span", { class: "missing" }, span.clip ? "play" : "no clip was cut");
  if (!whole || span.clip) return nothing;
  nothing.addEventListener("seen", () => {
    const frame = h("video", { src: `${whole}#t=${span.peak_seconds}`, preload: "metadata", muted: true, tabindex: "-1", "aria-hidden": "true" });
    frame.addEventListener("error", () => frame.remove());
    nothing.after(frame);
  });
  seen.observe(nothing);
  return nothing;
}
let heard = null;
function play(screen, span, isPreview) {
  const there = screen.querySelector("video");
  if (there && isPreview) return;
  if (there && !there.dataset.preview) { if (there.paused) { if (heard) heard.pause(); heard = there; there.play(); } else there.pause(); return; }
  if (there) there.remove();
  const player = h("video", { src: below(span.clip), loop: true, playsinline: true, tabindex: "-1", "aria-label": `clip of ${span.action}` });
  player.muted = isPreview;
  if (isPreview) player.dataset.preview = "1";
  player.addEventListener("error", () => { player.remove(); screen.append(h("span", { class: "missing" }, "the clip's file is missing")); });
  screen.append(player);
  if (!isPreview) { if (heard && heard !== player) heard.pause(); heard = player; }
  player.play().catch(() => {});
}
function stopPreview(screen) { const there = screen.querySelector("video[data-preview]"); if (there) there.remove(); }
function moveAmongCards(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const down = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step && !down || !event.target.classList.contains("screen")) return;
  const all = [...event.currentTarget.querySelectorAll(".screen")], here = all.indexOf(event.target);
  const across = all.filter((one) => one.getBoundingClientRect().top === all[0].getBoundingClientRect().top).length || 1;
  const next = all[here + (step || down * across)];
  if (next) { event.preventDefault(); next.focus(); }
}
