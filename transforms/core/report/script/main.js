// The first page, the failures, and which of the pages is shown.
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
  const weak = spans.filter((span) => span.held_to === 0 && steps(span) && span.score < Math.fround(data.summary.weak)).length;
  if (!weak) return null;
  return h("p", {}, `No threshold was set: ${counted(weak, "span")} of ${spans.length.toLocaleString("en")} on this page score below ${digits(data.summary.weak)}. `,
    link("#/clips", "Look at the clips and choose one."));
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
  const rooms = { "": overview, clips, duplicates, videos: videoList, failures, video: () => video(decoded(rest.join("/")), asked.has("at") ? Number(asked.get("at")) : undefined) };
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
