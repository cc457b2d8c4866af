// The list of videos; one video with its player and its curves.
// --- videos
function videoList() {
  const body = h("tbody"), more = h("div"), said = h("p", { class: "soft" });
  let text = "", page = 0;
  const best = (video) => Math.max(-1, ...Object.values(video.best_responses || {}));
  const sorted = [...videos].sort((a, b) => best(b) - best(a) || (a.key < b.key ? -1 : 1));
  for (const video of sorted) video.words = [video.key, video.source, video.outcome, video.code].join(" ").toLowerCase();
  const draw = () => {
    const found = sorted.filter((video) => video.words.includes(text));
    const pages = Math.max(1, Math.ceil(found.length / ROWS));
    page = Math.min(page, pages - 1);
    said.textContent = `${counted(found.length, "video")}${pages > 1 ? `, page ${page + 1} of ${pages}` : ""}`;
    body.replaceChildren(...found.slice(page * ROWS, (page + 1) * ROWS).map((video) => h("tr", {},
      h("td", {}, video.samples ? h("a", { class: "wrap", href: videoLink(video.key) }, video.key) : h("span", { class: "wrap" }, video.key)),
      h("td", {}, `${video.outcome}${video.code ? `: ${video.code}` : ""}`), h("td", { class: "number" }, String(video.spans)),
      h("td", {}, h("span", { class: "wrap" }, Object.entries(video.best_responses || {}).map(([name, best]) => `${name} ${score(best)}`).join(", "))),
      h("td", {}, sourceName(video.source)))));
    const to = (next) => (event) => { page = next; draw(); const name = event.target.textContent; ([...more.querySelectorAll("button")].find((one) => one.textContent === name && !one.disabled) || more.querySelector("button:not(:disabled)"))?.focus({ preventScroll: true }); };
    more.replaceChildren(...(pages > 1 ? [h("div", { class: "pager" }, h("button", { disabled: !page, onclick: to(page - 1) }, "previous"), h("button", { disabled: page + 1 === pages, onclick: to(page + 1) }, "next"))] : []));
  };
  const redraw = later(draw);
  draw();
  return [h("h2", {}, "Videos"), h("div", { class: "tools" }, h("label", {}, "search", h("input", { type: "search", id: "search", "aria-label": "search", oninput: (event) => { text = event.target.value.toLowerCase(); page = 0; redraw(); } }))), said,
    h("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": "Videos" }, h("table", {}, h("thead", {}, h("tr", {}, ["video", "outcome", "spans", "best response", "source"].map((name) => h("th", { scope: "col" }, name)))), body)), more];
}

// --- one video
const curves = new Map();
window.clipscout = { curve: (one) => curves.set(one.key, one) };
function curveOf(key) {
  return new Promise((resolve) => {
    if (curves.has(key)) { resolve(curves.get(key)); return; }
    const script = h("script", { src: `curves/${encodeURIComponent(key)}.js` });
    script.onload = script.onerror = () => { script.remove(); resolve(curves.get(key) || null); };
    document.head.append(script);
  });
}
function video(key, at) {
  const of = videoOf.get(key), own = spans.filter((span) => span.key === key).sort((a, b) => a.start_seconds - b.start_seconds);
  if (!of) return [h("h2", {}, "Video"), h("p", {}, "This page does not know the video ", h("code", { class: "wrap" }, key), ".")];
  const player = playerOf(of, own), plot = h("div", { class: "plot" }, h("p", { class: "soft" }, "Loading the responses ..."));
  curveOf(key).then((curve) => { if (plot.isConnected) draw(plot, curve, own, player); });
  const strongest = own.reduce((best, span) => (!best || span.score > best.score ? span : best), null);
  if (strongest || of.samples) player.seek(at ?? strongest?.peak_seconds ?? 0, false, at === undefined ? strongest : own.find((span) => span.peak_seconds === at));
  return [
    h("h2", {}, own[0]?.title || key),
    h("p", {}, sourceName(of.source), of.duration_seconds ? `, ${seconds(of.duration_seconds)}` : "", `, ${counted(of.samples, "sample")}`),
    h("div", { class: "video" }, h("div", {}, player.element, player.note, plot),
      h("section", { "aria-label": "Spans" }, h("h3", {}, "Spans"), own.length ? h("ol", { class: "spans" }, own.map((span) => h("li", {},
        h("button", { onclick: () => player.seek(span.start_seconds, true, span) }, `${score(span.score)}  ${span.action}, ${seconds(span.start_seconds)} to ${seconds(span.end_seconds)}${isKept(span) ? "" : " (falls out)"}`)))) : h("p", {}, "none"),
        (of.notes || []).map((note) => h("p", { class: "soft wrap" }, note)), (of.flags || []).length ? h("p", { class: "soft" }, `flags: ${of.flags.join(", ")}`) : null)),
  ];
}
// where this browser may reach a whole video: below the output, or on disk where the page is on disk too
function wholeOf(of) {
  if (!of?.uri || /^[a-z]+:\/\//i.test(of.uri)) return "";
  return of.uri.startsWith("/") ? (location.protocol === "file:" ? fileAt(of.uri) : "") : below(of.uri);
}
// plays the video itself where it can be reached, else the clip that is nearest
function playerOf(of, own) {
  const element = h("video", { class: "player", controls: true, playsinline: true, preload: "metadata", "aria-label": "the video, or the clip nearest to the chosen time" });
  const note = h("p", { class: "soft" }), cut = own.filter((span) => span.clip);
  let begins = 0, wanted = 0, meant = null, moved = () => {};
  const whole = wholeOf(of);
  let usesWhole = Boolean(whole);
  function load(src, start, text) {
    begins = start;
    note.textContent = text;
    if (element.getAttribute("src") !== src) element.setAttribute("src", src);
    element.currentTime = Math.max(0, wanted - begins);
  }
  function show() {
    if (usesWhole) { load(whole, 0, ""); return; }
    // a span ends before its end: where one ends the next may begin
    const distance = (span) => (wanted < span.start_seconds ? span.start_seconds - wanted : wanted < span.end_seconds ? 0 : wanted - span.end_seconds + 1e-3);
    const nearest = meant?.clip ? meant : cut.reduce((best, span) => (!best || distance(span) < distance(best) ? span : best), null);
    if (nearest) load(below(nearest.clip), nearest.clip_start_seconds ?? nearest.start_seconds, `The video itself cannot be played here; this is its clip from ${seconds(nearest.start_seconds)}.`);
    else { element.hidden = true; note.textContent = "The video cannot be played here, and no clip was cut of it."; }
  }
  element.addEventListener("error", () => { if (usesWhole) { usesWhole = false; show(); } else note.textContent = "The clip's file is missing, or this browser cannot play it."; });
  element.addEventListener("timeupdate", () => moved(element.currentTime + begins));
  return { element, note, seek(time, plays, span) { wanted = time; meant = span || null; show(); moved(time); if (plays) element.play().catch(() => {}); }, set onmove(heard) { moved = heard; heard(wanted); } };
}
const colour = (place) => getComputedStyle(document.documentElement).getPropertyValue(`--curve${place % 4}`).trim();
const named = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const MOST_DRAWN = 6;
function draw(place, curve, own, player) {
  if (!curve) { place.replaceChildren(h("p", { class: "soft" }, "No curve is stored for this video; ", h("code", {}, "clipscout report OUTPUT"), " makes it from its score track, where that is still there.")); return; }
  const names = Object.keys(curve.responses), best = (index) => `${curve.names[curve.labels[index]]} ${digits(curve.label_scores[index])}`;
  const highest = (name) => Math.max(...own.filter((span) => span.action === name && isKept(span)).map((span) => span.score), -1);
  const first = state.action && names.includes(state.action) ? [state.action] : [...names].sort((a, b) => highest(b) - highest(a)).slice(0, MOST_DRAWN);
  const drawn = new Set(first);
  const said = h("p", { class: "soft", "data-pointer": "" }, "Point at the curve for the best label there; a click, or the arrow keys, go to that time.");
  const head = h("div", { class: "head" }), box = h("div", { tabindex: "0", role: "application", "aria-label": "responses over time; the arrow keys move through the samples" });
  function bands(u) {
    const context = u.ctx, { left, top, width, height } = u.bbox, x = (time) => u.valToPos(time, "x", true);
    context.save();
    context.beginPath(); context.rect(left, top, width, height); context.clip();
    for (const span of own.filter((one) => drawn.has(one.action))) {
      const from = x(span.start_seconds), wide = x(span.end_seconds) - from;
      context.fillStyle = context.strokeStyle = colour(names.indexOf(span.action));
      context.globalAlpha = 0.2;
      if (isKept(span)) context.fillRect(from, top, wide, height);
      context.globalAlpha = 0.6;
      context.setLineDash(isKept(span) ? [] : [2, 4]);
      context.strokeRect(from, top + height - 3, wide, 2);
    }
    context.globalAlpha = 1;
    context.setLineDash([]);
    context.strokeStyle = named("--line");
    for (const shot of curve.shots) { context.beginPath(); context.moveTo(x(shot), top); context.lineTo(x(shot), top + height); context.stroke(); }
    context.setLineDash([6, 4]);
    for (const [value, name] of thresholds()) { const y = u.valToPos(value, "y", true); context.strokeStyle = name ? colour(names.indexOf(name)) : named("--out"); context.beginPath(); context.moveTo(left, y); context.lineTo(left + width, y); context.stroke(); }
    context.restore();
  }
  // one line where all that is drawn has the same threshold, else one for each, in its colour
  function thresholds() {
    const of = [...drawn].map((name) => [thresholdOf(own.find((span) => span.action === name) || { action: name, own_min_score: null }), name]);
    const different = new Set(of.map(([value]) => value));
    return (different.size === 1 ? [[[...different][0], ""]] : of).filter(([value]) => value > 0);
  }
  const axis = { stroke: named("--soft"), grid: { stroke: named("--line"), width: 0.5 }, ticks: { stroke: named("--line") } };
  const options = {
    width: place.clientWidth || 600, height: 260,
    scales: { x: { time: false }, y: { range: (u, low, high) => [Math.min(0, low ?? 0), Math.max(high ?? 0, ...thresholds().map(([value]) => value), 1e-9) * 1.05] } },
    axes: [{ ...axis, values: (u, values) => values.map((value) => `${value} s`) }, { ...axis, size: 60, values: (u, values) => values.map(digits) }],
    series: [{}, ...names.map((name, i) => ({ label: name, show: drawn.has(name), stroke: colour(i), width: 2, points: { show: curve.times.length < 80 } }))],
    cursor: { drag: { x: false, y: false } },
    hooks: { drawClear: [bands], setCursor: [(u) => { if (u.cursor.idx != null) point(u.cursor.idx); }] },
  };
  let here = 0;
  function point(index) {
    here = index;
    said.textContent = `${seconds(curve.times[index])}: ${[...drawn].map((name) => `${name} ${digits(curve.responses[name][index])}`).join(", ")}; best label ${best(index)}`;
  }
  const toggle = (name, i) => h("button", { "aria-pressed": String(drawn.has(name)), onclick: (event) => {
    if (drawn.has(name)) drawn.delete(name); else drawn.add(name);
    event.currentTarget.setAttribute("aria-pressed", String(drawn.has(name)));
    u.setSeries(i + 1, { show: drawn.has(name) });
  } }, h("i", { style: `background:${colour(i)}` }), name);
  place.replaceChildren(h("ul", { class: "legend" }, names.map((name, i) => h("li", {}, toggle(name, i)))),
    h("p", { class: "soft" }, "Bands: spans, in the colour of their action. Thin lines: shot boundaries. Dashed: the threshold."), box, said,
    curve.thinned ? h("p", { class: "soft" }, "Of very many samples every peak is drawn, and not every one between.") : "",
    curve.left_out ? h("p", { class: "soft" }, `${counted(curve.left_out, "more action")} with weaker responses here are left out.`) : "");
  const u = new uPlot(options, [curve.times, ...names.map((name) => curve.responses[name])], box);
  u.over.append(head);
  u.over.addEventListener("click", () => { if (u.cursor.idx != null) player.seek(curve.times[u.cursor.idx], false); });
  box.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (!step) return;
    event.preventDefault();
    point(Math.max(0, Math.min(curve.times.length - 1, here + step)));
    player.seek(curve.times[here], false);
    say(said.textContent);
  });
  player.onmove = (time) => { head.style.left = `${u.valToPos(time, "x")}px`; };
  new ResizeObserver(() => { if (place.clientWidth && place.clientWidth !== u.width) u.setSize({ width: place.clientWidth, height: 260 }); }).observe(place);
}
