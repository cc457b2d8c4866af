// Clips that show the same: how near each is to its nearest, and the groups side by side.
// --- duplicates
const WHY = { duplicates: "shows the same as another clip", seen: "shows what is to stay unseen", one_per_video: "its video gives another clip" };
const near = (number) => (number == null ? "" : number.toFixed(3));
function leftOut(span) {
  const why = WHY[span.left_out_by] || span.left_out_by;
  return span.left_out_by === "seen" ? `${why}: ${span.seen_as} (${near(span.seen_similarity)})` : why;
}
const MOST_GROUPS = 20;
function duplicates() {
  const { compared } = data.summary, counts = data.summary.funnel.clips || {};
  const out = [h("h2", {}, "Duplicates")];
  if (!compared.clips) return [...out, h("p", {}, compared.why_not ? `No clips were compared: ${compared.why_not}.` : "No clips were compared.")];
  const left = ["one_per_video", "seen", "duplicates"].filter((name) => counts[name]).map((name) => `${counts[name].toLocaleString("en")} ${name.replaceAll("_", " ")}`);
  out.push(h("p", {}, `${counted(compared.clips, "clip")} compared by ${compared.features}; those with a cosine of ${compared.similarity} or more show the same. ` +
    `${counted(counts.kept ?? 0, "clip")} kept${left.length ? `, ${left.join(", ")} ${compared.mode === "drop" ? "dropped" : "marked"}` : ""}.`));
  out.push(nearestHistogram(compared));
  const groups = new Map();
  for (const span of spans) if (span.duplicate_group) groups.set(span.duplicate_group, [...(groups.get(span.duplicate_group) || []), span]);
  const seen = spans.filter((span) => span.left_out_by === "seen" && !span.duplicate_group);
  const sorted = [...groups.values()].filter((group) => group.length > 1).sort((a, b) => b.length - a.length || (a[0].id < b[0].id ? -1 : 1));
  const list = h("div"), all = [...sorted, ...seen.map((span) => [span])], pages = Math.max(1, Math.ceil(all.length / MOST_GROUPS));
  let page = 0;
  const draw = () => {
    const turn = (to) => () => { page = to; draw(); list.scrollIntoView(); say(`page ${page + 1} of ${pages}`); };
    list.replaceChildren(...all.slice(page * MOST_GROUPS, (page + 1) * MOST_GROUPS).map(group), ...(pages < 2 ? [] : [h("div", { class: "pager", role: "group", "aria-label": "Pages" },
      h("button", { disabled: !page, onclick: turn(page - 1) }, "previous"), h("span", {}, `page ${page + 1} of ${pages}`), h("button", { disabled: page + 1 === pages, onclick: turn(page + 1) }, "next"))]));
  };
  draw();
  out.push(h("h3", {}, `${counted(sorted.length, "group")} on this page`), all.length ? list : h("p", {}, "No two clips are so near, and none is near to a reference."));
  return out;
}
function group(members) {
  const first = members[0].duplicate_group, ordered = [...members].sort((a, b) => (b.id === first) - (a.id === first) || b.score - a.score);
  const title = members.length > 1 ? `${counted(members.length, "clip")} of ${[...new Set(members.map((one) => one.action))].join(", ")}` : `seen before: ${members[0].action}`;
  return h("section", { class: "group", "aria-label": title }, h("h3", { class: "wrap" }, title), h("ul", { class: "grid", onkeydown: moveAmongCards }, ordered.map((span) => {
    const shown = card(span), tie = spanOf.get(span.nearest);
    shown.classList.remove("out");
    shown.classList.toggle("dropped", Boolean(span.left_out_by));
    if (span.left_out_by === "duplicates") shown.querySelector(".left").remove();
    shown.querySelector(".body").prepend(h("span", { class: span.left_out_by ? "left" : "stays" }, span.left_out_by ? "left out" : "kept"),
      span.nearest && members.length > 1 ? h("span", { class: "soft wrap" }, `tied by ${near(span.nearest_similarity)} to ${tie ? `${tie.title || tie.source.split("/").pop()}, ${seconds(tie.start_seconds)}` : span.nearest}`) : "");
    return shown;
  })));
}
function nearestHistogram(compared) {
  const found = Object.entries(compared.nearest_similarity).map(([value, number]) => [Number(value), number]);
  if (!found.length) return h("p", { class: "soft" }, "There is no other clip to compare with.");
  const low = Math.max(-1, Math.min(0.5, ...found.map(([value]) => value))), BINS = 50, width = (1.001 - low) / BINS, total = found.reduce((sum, [, number]) => sum + number, 0);
  const bins = Array(BINS).fill(0);
  for (const [value, number] of found) bins[Math.min(BINS - 1, Math.floor((value - low) / width))] += number;
  const most = Math.log1p(Math.max(...bins));
  const bars = bins.map((number, place) => svg("rect", { x: place + 0.05, width: 0.9, y: 1 - Math.log1p(number) / most, height: Math.log1p(number) / most }));
  const line = svg("line", { y1: 0, y2: 1 });
  const histogram = svg("svg", { class: "histogram near", viewBox: `0 0 ${BINS} 1`, preserveAspectRatio: "none", role: "img", "aria-label": `histogram of how near ${counted(total, "clip")} are to the nearest other one, ${near(low)} to 1` });
  histogram.append(...bars, line);
  const range = h("input", { type: "range", min: Math.round(low * 1000), max: 1000, value: Math.round(compared.similarity * 1000), "aria-label": "similarity", oninput: () => update(Number(range.value) / 1000) });
  const told = h("output", { "aria-live": "polite" }), option = h("input", { readonly: true, "aria-label": "as an option", size: 30 });
  function update(value) {
    const reach = found.reduce((sum, [one, number]) => sum + (one >= value - 1e-9 ? number : 0), 0);
    told.textContent = `${reach.toLocaleString("en")} of ${counted(total, "clip")} have a neighbour at ${near(value)} or nearer`;
    option.value = `--duplicate_similarity=${value}`;
    range.setAttribute("aria-valuetext", near(value));
    const position = (value - low) / width;
    bars.forEach((bar, place) => bar.setAttribute("class", place + 0.5 >= position ? "" : "kept"));
    line.setAttribute("x1", position); line.setAttribute("x2", position);
  }
  update(compared.similarity);
  return h("section", { class: "threshold", "aria-label": "Similarity" }, histogram, range,
    h("div", { class: "tools", style: "margin:.6em 0 0" }, told, h("span", {}, option, " ", h("button", { onclick: () => copy(option) }, "Copy"))),
    h("p", { class: "soft", style: "margin:.4em 0 0" }, "Each clip counts once, by the clip of this run that is nearest to it. The same command with the option compares again; nothing is decoded or cut again."));
}
