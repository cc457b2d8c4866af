// Draws the report. What the web said of a video only ever becomes text or an address, never markup.
"use strict";
(() => {
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
    const text = isShort && !isWeb(source) ? source.split("/").pop() : source;
    if (isWeb(source)) return h("a", { class: "wrap clamp", href: source, rel: "noopener noreferrer", target: "_blank" }, text);
    if (location.protocol === "file:" && source.startsWith("/")) return h("a", { class: "wrap clamp", href: fileAt(source), title: source }, text);
    return h("span", { class: "wrap clamp", title: source }, text);
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
      actions.length ? h("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": "Actions" }, h("table", {}, h("thead", {}, head("action", "rows", "videos scored", "spans", "clips", "best score", "median", `spans at ${digits(data.summary.weak)}`)),
        h("tbody", {}, actions.map((name) => {
          const of = numbers[name];
          return h("tr", {}, h("td", {}, h("a", { class: "wrap", href: `#/clips?action=${encodeURIComponent(name)}` }, name)), cell(of.rows), cell(of.best_per_video?.videos), cell(of.spans),
            cell(of.clips), cell(of.best == null ? null : score(of.best)), cell(of.median == null ? null : score(of.median)), cell(of.kept_at?.[digits(data.summary.weak)]));
        })))) : h("p", {}, "No row could be read: see the failures."),
      h("h2", {}, "Funnel"),
      h("p", { class: "soft" }, "Every row and every video ends as a result, a stated rejection or a failure. Bars are logarithmic."),
      h("table", { class: "narrow" }, h("tbody", {}, rows)),
      h("p", { class: "soft" }, "Keys: / searches, arrows move between clips, Enter or Space plays one, Tab reaches everything."),
    ];
  }
  function weakNote() {
    // of scores that are no probabilities the summary has no such step
    const steps = (span) => data.summary.actions[span.action].kept_at?.[digits(data.summary.weak)] != null;
    const weak = spans.filter((span) => heldBy(span, RUN_MIN) === 0 && steps(span) && span.score < Math.fround(data.summary.weak)).length;
    if (!weak) return null;
    return h("p", {}, `No threshold was set: ${counted(weak, "span")} of ${spans.length.toLocaleString("en")} on this page score below ${digits(data.summary.weak)}. `,
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
  const shows = [["all", "all"], ["kept", "those that stay"], ["fallen", "those that fall out"], ["flagged", "those with flags"]];
  function select(label, options, value, change) {
    return h("label", {}, label, h("select", { "aria-label": label, onchange: (event) => change(event.target.value) },
      options.map(([key, text]) => h("option", { value: key, selected: key === value }, text))));
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
    const ran = state.action ? heldBy(chosen[0], RUN_MIN) : RUN_MIN;
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

  // --- failures
  function failures() {
    if (!data.failures.length) return [h("h2", {}, "Failures"), h("p", {}, "Nothing failed and nothing was rejected.")];
    return [h("h2", {}, "Failures"), data.failures.map((one) => h("section", {}, h("h3", {}, `${one.number.toLocaleString("en")} ${one.code} in ${one.stage}`),
      one.remedy ? h("p", {}, one.remedy) : null, h("ul", { class: "examples" }, one.examples.map((text) => h("li", { class: "wrap" }, text)))))];
  }

  // --- where one is
  function decoded(text) { try { return decodeURIComponent(text); } catch { return text; } }
  function go() {
    const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?"), asked = new URLSearchParams(query);
    const [room, ...rest] = path.split("/");
    if (asked.has("action")) { state.own.clear(); state.action = actions.includes(asked.get("action")) ? asked.get("action") : ""; state.page = 0; }
    const rooms = { "": overview, clips, videos: videoList, failures, video: () => video(decoded(rest.join("/")), asked.has("at") ? Number(asked.get("at")) : undefined) };
    for (const one of document.querySelectorAll("header nav a")) { if (one.getAttribute("href") === `#/${room}`) one.setAttribute("aria-current", "page"); else one.removeAttribute("aria-current"); }
    main.replaceChildren(...(Object.hasOwn(rooms, room) ? rooms[room] : overview)().flat().filter(Boolean));
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
