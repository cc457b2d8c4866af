// Draws the report. What the web said of a video only ever becomes text or an address, never markup.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const main = document.getElementById("main");
  const unpacked = (table) => table.rows.map((row) => Object.fromEntries(table.fields.map((name, i) => [name, row[i]])));
  const spans = unpacked(data.spans);
  const videos = unpacked(data.videos);
  const videoOf = new Map(videos.map((video) => [video.key, video]));
  const actions = Object.keys(data.summary.actions).sort();
  const PAGE = 60, ROWS = 100;
  const state = { action: "", text: "", sort: "score", show: "all", page: 0, min: data.summary.settings.min_score || 0 };
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
  const fixed = (number) => (number == null ? "" : String(Number(number.toPrecision(3))));
  const seconds = (number) => (number == null ? "" : `${number.toFixed(2)} s`);
  const counted = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
  const below = (path) => "../" + path.split("/").map(encodeURIComponent).join("/");
  const isWeb = (source) => /^https?:\/\//i.test(source);
  // the threshold as the option: where rows have one of their own, that holds, or the lower of both
  const thresholdOf = (span) => (span.own_min_score == null ? state.min : span.option_holds ? Math.min(state.min, span.own_min_score) : span.own_min_score);
  // scores are single precision, and so is the threshold that they are compared with in a job
  const isKept = (span) => span.score >= Math.fround(thresholdOf(span));
  const link = (to, ...text) => h("a", { href: to }, ...text);
  const videoLink = (key, at) => `#/video/${encodeURIComponent(key)}${at === undefined ? "" : `?at=${at}`}`;
  const sourceName = (source) => (isWeb(source) ? h("a", { class: "wrap", href: source, rel: "noopener noreferrer", target: "_blank" }, source) : h("span", { class: "wrap" }, source));
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

  // --- the first page
  function overview() {
    const { funnel, actions: numbers } = data.summary;
    const most = Math.max(1, ...Object.values(funnel).flatMap((verbs) => Object.values(verbs)));
    const rows = Object.entries(funnel).flatMap(([noun, verbs]) => Object.entries(verbs).map(([verb, number]) =>
      h("tr", {}, h("td", {}, `${noun} ${verb.replaceAll("_", " ")}`), h("td", { class: "number" }, number.toLocaleString("en")),
        h("td", {}, h("span", { class: "bar", style: `width:${(Math.log1p(number) / Math.log1p(most)) * 12}em` })))));
    const head = (...names) => h("tr", {}, names.map((name, i) => h("th", { scope: "col", class: i ? "number" : "" }, name)));
    const cell = (value) => h("td", { class: "number" }, value == null ? "-" : String(value));
    return [
      h("h2", {}, "Actions"),
      weakNote(),
      actions.length ? h("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": "Actions" }, h("table", {}, h("thead", {}, head("action", "rows", "videos scored", "spans", "clips", "best score", "median", `spans at ${fixed(data.summary.weak)}`)),
        h("tbody", {}, actions.map((name) => {
          const of = numbers[name];
          return h("tr", {}, h("td", {}, h("a", { class: "wrap", href: `#/clips?action=${encodeURIComponent(name)}` }, name)), cell(of.rows), cell(of.best_per_video?.videos), cell(of.spans),
            cell(of.clips), cell(of.best == null ? null : fixed(of.best)), cell(of.median == null ? null : fixed(of.median)), cell(of.kept_at?.[fixed(data.summary.weak)]));
        })))) : h("p", {}, "No row could be read: see the failures."),
      h("h2", {}, "Funnel"),
      h("p", { class: "soft" }, "Every row and every video ends as a result, a stated rejection or a failure. Bars are logarithmic."),
      h("table", { class: "narrow" }, h("tbody", {}, rows)),
      h("p", { class: "soft" }, "Keys: / searches, arrows move between clips, Enter or Space plays one, Tab reaches everything."),
    ];
  }
  function weakNote() {
    if (data.summary.settings.min_score || !spans.length) return null;
    const weak = spans.filter((span) => span.score < Math.fround(data.summary.weak)).length;
    if (!weak) return null;
    return h("p", {}, `No threshold was set: ${counted(weak, "span")} of ${spans.length.toLocaleString("en")} on this page score below ${fixed(data.summary.weak)}. `,
      link("#/clips", "Look at the clips and choose one."));
  }

  // --- clips
  const sorts = {
    score: ["strongest first", (a, b) => b.score - a.score || (a.id < b.id ? -1 : 1)],
    weakest: ["weakest first", (a, b) => a.score - b.score || (a.id < b.id ? -1 : 1)],
    action: ["by action", (a, b) => a.action.localeCompare(b.action) || b.score - a.score],
    video: ["by video and time", (a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.start_seconds - b.start_seconds)],
    title: ["by title", (a, b) => (a.title || "\uffff").localeCompare(b.title || "\uffff") || b.score - a.score],
  };
  const shows = { all: "all", kept: "those that stay", fallen: "those that fall out", flagged: "those with flags" };
  function select(label, options, value, change) {
    return h("label", {}, label, h("select", { "aria-label": label, onchange: (event) => change(event.target.value) },
      Object.entries(options).map(([key, text]) => h("option", { value: key, selected: key === value }, text))));
  }
  function clips() {
    const results = h("div"), panel = h("div");
    const ofAction = () => (state.action ? spans.filter((span) => span.action === state.action) : spans);
    const redraw = later(() => {
      const words = state.text.toLowerCase().split(/\s+/).filter(Boolean);
      const tests = { kept: isKept, fallen: (span) => !isKept(span), flagged: (span) => (span.clip_flags || []).length };
      const found = ofAction().filter((span) => words.every((word) => span.words.includes(word)) && (!tests[state.show] || tests[state.show](span)));
      found.sort(sorts[state.sort][1]);
      const pages = Math.max(1, Math.ceil(found.length / PAGE));
      state.page = Math.min(state.page, pages - 1);
      const shown = found.slice(state.page * PAGE, (state.page + 1) * PAGE);
      results.replaceChildren(
        h("p", { class: "soft", "data-found": found.length }, `${counted(found.length, "clip")}${pages > 1 ? `, page ${state.page + 1} of ${pages}` : ""}`),
        h("ul", { class: "grid", onkeydown: moveAmongCards }, shown.map(card)), pager(pages, redraw));
    });
    const change = (name) => (value) => { state[name] = value; state.page = 0; if (name === "action") threshold(panel, ofAction(), redraw); redraw(); };
    const search = h("input", { type: "search", id: "search", "aria-label": "search", value: state.text, oninput: (event) => change("text")(event.target.value) });
    threshold(panel, ofAction(), redraw);
    redraw();
    return [
      h("h2", {}, "Clips"),
      h("div", { class: "tools" },
        select("action", { "": "all actions", ...Object.fromEntries(actions.map((name) => [name, name])) }, state.action, change("action")),
        h("label", {}, "search", search),
        select("sort", Object.fromEntries(Object.entries(sorts).map(([key, [text]]) => [key, text])), state.sort, change("sort")),
        select("show", shows, state.show, change("show"))),
      panel, results,
    ];
  }
  function pager(pages, redraw) {
    if (pages < 2) return null;
    const to = (page) => () => { state.page = page; redraw(); main.scrollIntoView(); say(`page ${page + 1} of ${pages}`); };
    return h("div", { class: "pager", role: "group", "aria-label": "Pages" },
      h("button", { disabled: !state.page, onclick: to(0) }, "first"), h("button", { disabled: !state.page, onclick: to(state.page - 1) }, "previous"),
      h("span", {}, `page ${state.page + 1} of ${pages}`),
      h("button", { disabled: state.page + 1 === pages, onclick: to(state.page + 1) }, "next"), h("button", { disabled: state.page + 1 === pages, onclick: to(pages - 1) }, "last"));
  }
  function threshold(panel, chosen, redraw) {
    if (!chosen.length) { panel.replaceChildren(h("p", {}, "There is no span to choose a threshold for.")); return; }
    const best = Math.max(...chosen.map((span) => span.score)) || 1, STEPS = 1000, BINS = 50;
    const total = state.action ? data.summary.actions[state.action].spans : Object.values(data.summary.actions).reduce((sum, of) => sum + of.spans, 0);
    const at = (step) => Number((best * (step / STEPS) ** 2).toPrecision(3));
    const step = (score) => Math.round(Math.sqrt(Math.min(1, score / best)) * STEPS);
    const bins = Array(BINS).fill(0);
    for (const span of chosen) bins[Math.min(BINS - 1, Math.floor(Math.sqrt(Math.max(0, span.score) / best) * BINS))] += 1;
    const most = Math.log1p(Math.max(...bins));
    const bars = bins.map((number, place) => svg("rect", { x: place + 0.05, width: 0.9, y: 1 - Math.log1p(number) / most, height: Math.log1p(number) / most }));
    const line = svg("line", { y1: 0, y2: 1 });
    const histogram = svg("svg", { class: "histogram", viewBox: `0 0 ${BINS} 1`, preserveAspectRatio: "none", role: "img", "aria-label": `histogram of ${counted(chosen.length, "score")}, 0 to ${fixed(best)}` });
    histogram.append(...bars, line);
    const range = h("input", { type: "range", min: 0, max: STEPS, value: step(state.min), "aria-label": "threshold", oninput: () => set(at(Number(range.value))) });
    const exact = h("input", { type: "number", step: "any", min: 0, "aria-label": "threshold as a number", onchange: () => set(Math.max(0, Number(exact.value) || 0)) });
    const option = h("input", { readonly: true, "aria-label": "as an option", size: 22 });
    const cell = h("input", { readonly: true, "aria-label": "as the cell min_score of a row", size: 8 });
    const remain = h("output", { "aria-live": "polite" });
    function set(score) { state.min = score; range.value = step(score); update(); redraw(); }
    function update() {
      const kept = chosen.filter(isKept), text = String(state.min);
      const of = counted(chosen.length, "clip");
      remain.textContent = `${kept.length.toLocaleString("en")} of ${of} and ${new Set(kept.map((span) => span.key)).size.toLocaleString("en")} of ${counted(new Set(chosen.map((span) => span.key)).size, "video")} remain`;
      range.setAttribute("aria-valuetext", text);
      exact.value = text; option.value = `--min_score=${text}`; cell.value = text;
      const position = Math.sqrt(Math.min(1, state.min / best)) * BINS;
      bars.forEach((bar, place) => bar.setAttribute("class", place + 0.5 >= position ? "kept" : ""));
      line.setAttribute("x1", position); line.setAttribute("x2", position);
    }
    update();
    panel.replaceChildren(h("section", { class: "threshold", "aria-label": "Threshold" }, actionFunnel(), histogram, range,
      h("div", { class: "tools", style: "margin:.6em 0 0" }, h("label", {}, "threshold", exact), remain,
        h("span", {}, option, " ", h("button", { onclick: () => copy(option) }, "Copy")),
        state.action ? h("span", {}, "or the cell ", h("code", {}, "min_score"), " of its rows: ", cell, " ", h("button", { onclick: () => copy(cell) }, "Copy")) : null),
      chosen.some((span) => span.own_min_score != null) ? h("p", { class: "soft" }, "Some rows have a threshold of their own in their column min_score, which wins over the option.") : null,
      total > chosen.length ? h("p", { class: "soft" }, `The strongest ${chosen.length.toLocaleString("en")} of ${counted(total, "span")} are on this page; counts are of these.`) : null,
      h("p", { class: "soft", style: "margin:.4em 0 0" }, "The same command with this option and --replace leaves out what falls out; nothing is scored again.")));
  }
  function actionFunnel() {
    if (!state.action) return null;
    const of = data.summary.actions[state.action], quantiles = of.best_per_video?.quantiles || {};
    const best = Object.keys(quantiles).length ? `; best response per video: ${["0.1", "0.5", "0.9"].map((part) => `${fixed(quantiles[part])} at ${part * 100}%`).join(", ")}` : "";
    return h("p", { style: "margin:0 0 .6em" }, `${counted(of.rows, "row")}, ${counted(of.best_per_video?.videos ?? 0, "video")} scored, ${counted(of.spans, "span")}, ${counted(of.clips, "clip")}${best}`);
  }
  function card(span) {
    const name = `${span.action}, score ${fixed(span.score)}, ${seconds(span.start_seconds)}`;
    const screen = span.clip
      ? h("button", { class: "screen", "aria-label": `play ${name}`, onclick: () => play(screen, span, false), onpointerenter: (event) => event.pointerType === "mouse" && play(screen, span, true), onpointerleave: () => stopPreview(screen) })
      : h("a", { class: "screen", href: videoLink(span.key, span.peak_seconds), "aria-label": `look at ${name}` });
    screen.append(poster(span));
    const flags = [...(span.clip_flags || []), ...(span.shot_boundaries ? [counted(span.shot_boundaries, "shot boundary").replace("boundarys", "boundaries")] : [])];
    return h("li", { class: isKept(span) ? "card" : "card out", "data-id": span.id }, screen, h("div", { class: "body" },
      h("span", {}, h("span", { class: "score" }, fixed(span.score)), " ", h("span", { class: "fallen" }, "falls out")),
      h("span", { class: "wrap" }, span.action),
      h("span", { class: "soft" }, `rank ${span.rank}; ${seconds(span.start_seconds)} to ${seconds(span.end_seconds)}`),
      h("span", { class: "soft wrap" }, `best label: ${span.top_label} ${fixed(span.top_score)}`),
      span.title ? h("span", { class: "wrap" }, span.title) : null,
      isWeb(span.source) ? sourceName(span.source) : h("span", { class: "wrap", title: span.source }, span.source.split("/").pop()),
      span.licence ? h("span", { class: "soft wrap" }, span.licence) : null,
      flags.length ? h("span", { class: "soft wrap" }, flags.join(", ")) : null,
      link(videoLink(span.key, span.peak_seconds), "responses over time")));
  }
  function poster(span) {
    const nothing = () => h("span", { class: "missing" }, span.clip ? "play" : "no clip was cut");
    if (!span.poster) return nothing();
    const image = h("img", { src: below(span.poster), alt: "", loading: "lazy", decoding: "async" });
    image.addEventListener("error", () => image.replaceWith(h("span", { class: "missing" }, "its picture is missing")));
    return image;
  }
  function play(screen, span, isPreview) {
    const there = screen.querySelector("video");
    if (there && isPreview) return;
    if (there && !there.dataset.preview) { if (there.paused) there.play(); else there.pause(); return; }
    if (there) there.remove();
    const player = h("video", { src: below(span.clip), loop: true, playsinline: true, tabindex: "-1", "aria-label": `clip of ${span.action}` });
    player.muted = isPreview;
    if (isPreview) player.dataset.preview = "1";
    player.addEventListener("error", () => { player.remove(); screen.append(h("span", { class: "missing" }, "the clip's file is missing")); });
    screen.append(player);
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

  // --- videos
  function videoList() {
    const body = h("tbody"), more = h("div"), said = h("p", { class: "soft" });
    let text = "", page = 0;
    const best = (video) => Math.max(-1, ...Object.values(video.best_responses || {}));
    const sorted = [...videos].sort((a, b) => best(b) - best(a) || (a.key < b.key ? -1 : 1));
    for (const video of sorted) video.words = [video.key, video.source, video.outcome, video.code].join(" ").toLowerCase();
    const redraw = later(() => {
      const found = sorted.filter((video) => video.words.includes(text));
      const pages = Math.max(1, Math.ceil(found.length / ROWS));
      page = Math.min(page, pages - 1);
      said.textContent = `${counted(found.length, "video")}${pages > 1 ? `, page ${page + 1} of ${pages}` : ""}`;
      body.replaceChildren(...found.slice(page * ROWS, (page + 1) * ROWS).map((video) => h("tr", {},
        h("td", {}, video.samples ? h("a", { class: "wrap", href: videoLink(video.key) }, video.key) : h("span", { class: "wrap" }, video.key)),
        h("td", {}, `${video.outcome}${video.code ? `: ${video.code}` : ""}`), h("td", { class: "number" }, String(video.spans)),
        h("td", {}, h("span", { class: "wrap" }, Object.entries(video.best_responses || {}).map(([name, score]) => `${name} ${fixed(score)}`).join(", "))),
        h("td", {}, sourceName(video.source)))));
      const to = (next) => () => { page = next; redraw(); };
      more.replaceChildren(...(pages > 1 ? [h("div", { class: "pager" }, h("button", { disabled: !page, onclick: to(page - 1) }, "previous"), h("button", { disabled: page + 1 === pages, onclick: to(page + 1) }, "next"))] : []));
    });
    redraw();
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
    if (own.length || of.samples) player.seek(at ?? own[0]?.peak_seconds ?? 0, false);
    return [
      h("h2", {}, own[0]?.title || key),
      h("p", {}, sourceName(of.source), of.duration_seconds ? `, ${seconds(of.duration_seconds)}` : "", `, ${counted(of.samples, "sample")}`),
      h("div", { class: "video" }, h("div", {}, player.element, player.note, plot),
        h("section", { "aria-label": "Spans" }, h("h3", {}, "Spans"), own.length ? h("ol", { class: "spans" }, own.map((span) => h("li", {},
          h("button", { onclick: () => player.seek(span.start_seconds, true) }, `${fixed(span.score)}  ${span.action}, ${seconds(span.start_seconds)} to ${seconds(span.end_seconds)}${isKept(span) ? "" : " (falls out)"}`)))) : h("p", {}, "none"),
          (of.notes || []).map((note) => h("p", { class: "soft wrap" }, note)), (of.flags || []).length ? h("p", { class: "soft" }, `flags: ${of.flags.join(", ")}`) : null)),
    ];
  }
  // plays the video itself where it can be reached, else the clip that is nearest
  function playerOf(of, own) {
    const element = h("video", { class: "player", controls: true, playsinline: true, preload: "metadata", "aria-label": "the video, or the clip nearest to the chosen time" });
    const note = h("p", { class: "soft" }), cut = own.filter((span) => span.clip);
    let begins = 0, wanted = 0, moved = () => {};
    const whole = !of.uri ? "" : /^\//.test(of.uri) ? (location.protocol === "file:" ? `file://${of.uri.split("/").map(encodeURIComponent).join("/")}` : "") : /^[a-z]+:\/\//i.test(of.uri) ? "" : below(of.uri);
    let usesWhole = Boolean(whole);
    function load(src, start, text) {
      begins = start;
      note.textContent = text;
      if (element.getAttribute("src") !== src) element.setAttribute("src", src);
      element.currentTime = Math.max(0, wanted - begins);
    }
    function show() {
      if (usesWhole) { load(whole, 0, ""); return; }
      const distance = (span) => Math.max(span.start_seconds - wanted, wanted - span.end_seconds, 0);
      const nearest = cut.reduce((best, span) => (!best || distance(span) < distance(best) ? span : best), null);
      if (nearest) load(below(nearest.clip), nearest.clip_start_seconds ?? nearest.start_seconds, `The video itself cannot be played here; this is its clip from ${seconds(nearest.start_seconds)}.`);
      else { element.hidden = true; note.textContent = "The video cannot be played here, and no clip was cut of it."; }
    }
    element.addEventListener("error", () => { if (usesWhole) { usesWhole = false; show(); } else note.textContent = "The clip's file is missing, or this browser cannot play it."; });
    element.addEventListener("timeupdate", () => moved(element.currentTime + begins));
    return { element, note, seek(time, plays) { wanted = time; show(); moved(time); if (plays) element.play().catch(() => {}); }, set onmove(heard) { moved = heard; heard(wanted); } };
  }
  const colour = (place) => getComputedStyle(document.documentElement).getPropertyValue(`--curve${place % 4}`).trim();
  const named = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  function draw(place, curve, own, player) {
    if (!curve) { place.replaceChildren(h("p", { class: "soft" }, "No curve is stored for this video; ", h("code", {}, "clipscout report OUTPUT"), " makes it from its score track, where that is still there.")); return; }
    const names = Object.keys(curve.responses), best = (index) => `${curve.names[curve.labels[index]]} ${fixed(curve.label_scores[index])}`;
    const said = h("p", { class: "soft", "data-pointer": "" }, "Point at the curve for the best label there; a click, or the arrow keys, go to that time.");
    const head = h("div", { class: "head" }), box = h("div", { tabindex: "0", role: "application", "aria-label": "responses over time; the arrow keys move through the samples" });
    function bands(u) {
      const context = u.ctx, { left, top, width, height } = u.bbox, x = (time) => u.valToPos(time, "x", true);
      context.save();
      context.beginPath(); context.rect(left, top, width, height); context.clip();
      for (const span of own.filter((one) => names.includes(one.action))) {
        const from = x(span.start_seconds), wide = x(span.end_seconds) - from;
        context.fillStyle = context.strokeStyle = colour(names.indexOf(span.action));
        context.globalAlpha = 0.2;
        if (isKept(span)) context.fillRect(from, top, wide, height);
        context.globalAlpha = 0.6;
        context.setLineDash(isKept(span) ? [] : [2, 4]);
        context.strokeRect(from, top + height - 3, wide, 2);
        context.globalAlpha = 1;
      }
      context.setLineDash([]);
      context.strokeStyle = named("--line");
      for (const shot of curve.shots) { context.beginPath(); context.moveTo(x(shot), top); context.lineTo(x(shot), top + height); context.stroke(); }
      if (state.min > 0) { const y = u.valToPos(state.min, "y", true); context.strokeStyle = named("--out"); context.setLineDash([6, 4]); context.beginPath(); context.moveTo(left, y); context.lineTo(left + width, y); context.stroke(); }
      context.restore();
    }
    const axis = { stroke: named("--soft"), grid: { stroke: named("--line"), width: 0.5 }, ticks: { stroke: named("--line") } };
    const options = {
      width: place.clientWidth || 600, height: 260, scales: { x: { time: false }, y: { range: (u, low, high) => [Math.min(0, low), Math.max(high, state.min, 1e-9) * 1.05] } },
      axes: [{ ...axis, values: (u, values) => values.map((value) => `${value} s`) }, { ...axis, size: 60, values: (u, values) => values.map(fixed) }],
      series: [{}, ...names.map((name, i) => ({ label: name, stroke: colour(i), width: 2, points: { show: curve.times.length < 80 } }))],
      cursor: { drag: { x: false, y: false } },
      hooks: { drawClear: [bands], setCursor: [(u) => { if (u.cursor.idx != null) point(u.cursor.idx); }] },
    };
    let here = 0;
    function point(index) {
      here = index;
      said.textContent = `${seconds(curve.times[index])}: ${names.map((name) => `${name} ${fixed(curve.responses[name][index])}`).join(", ")}; best label ${best(index)}`;
    }
    place.replaceChildren(h("ul", { class: "legend" }, names.map((name, i) => h("li", {}, h("i", { style: `background:${colour(i)}` }), name)), h("li", { class: "soft" }, "bands: spans in the colour of their action; thin lines: shot boundaries", state.min > 0 ? `; dashed: threshold ${state.min}` : "")), box, said,
      curve.thinned ? h("p", { class: "soft" }, "Of very many samples every peak is drawn, and not every one between.") : "");
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

  // --- failures
  function failures() {
    if (!data.failures.length) return [h("h2", {}, "Failures"), h("p", {}, "Nothing failed and nothing was rejected.")];
    return [h("h2", {}, "Failures"), data.failures.map((one) => h("section", {}, h("h3", {}, `${one.number.toLocaleString("en")} ${one.code} in ${one.stage}`, one.category ? ` (${one.category})` : ""),
      one.remedy ? h("p", {}, one.remedy) : null, h("ul", { class: "examples" }, one.examples.map((text) => h("li", { class: "wrap" }, text)))))];
  }

  // --- where one is
  function go() {
    const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?"), asked = new URLSearchParams(query);
    const [room, ...rest] = path.split("/");
    if (asked.has("action")) { state.action = actions.includes(asked.get("action")) ? asked.get("action") : ""; state.page = 0; }
    const rooms = { "": overview, clips, videos: videoList, failures, video: () => video(decodeURIComponent(rest.join("/")), asked.has("at") ? Number(asked.get("at")) : undefined) };
    for (const one of document.querySelectorAll("header nav a")) { if (one.getAttribute("href") === `#/${room}`) one.setAttribute("aria-current", "page"); else one.removeAttribute("aria-current"); }
    main.replaceChildren(...(rooms[room] || overview)().flat().filter(Boolean));
    window.scrollTo(0, 0);
  }
  addEventListener("hashchange", () => { go(); main.focus(); });
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || /^(input|select|textarea)$/i.test(event.target.tagName)) return;
    const search = document.getElementById("search");
    if (search) { event.preventDefault(); search.focus(); }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", go);
  go();
})();
