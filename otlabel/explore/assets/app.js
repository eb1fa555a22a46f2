"use strict";
/* The page as a whole: what is shown is in its address, how it is shown in its tools. */
(async () => {
  const get = (id) => document.getElementById(id);
  const main = get("main");
  const state = { head: 0, sort: "size", search: "", leastFirst: false, time: 0 };
  let grid = null;

  otlabel.say = (text) => { get("said").textContent = text; clearTimeout(otlabel.quiet); otlabel.quiet = setTimeout(() => { get("said").textContent = ""; }, 4000); };

  /** Reads the labels that the tools ask for. */
  async function choose() {
    const { about } = state;
    const times = state.head === 0 ? about.history.length : 0; // the last is what the head has now
    get("history-label").hidden = times < 2;
    const past = (time) => (time < 0 || time >= times ? null : otlabel.numbers(`history-${time}`));
    const isPast = times > 1 && state.time < times - 1;
    const [labels, confidence, before, after] = await Promise.all([
      isPast ? past(state.time) : otlabel.numbers(`labels-${state.head}`),
      about.heads[state.head].confidence && !isPast ? otlabel.numbers(`confidence-${state.head}`) : null,
      past(state.time - 1),
      isPast ? past(state.time + 1) : null,
    ]);
    if (times > 1) get("when").textContent = about.history[state.time];
    const near = about.heads[state.head].near && !isPast ? await otlabel.load(`near-${state.head}`) : null;
    Object.assign(state, {
      before: times > 1 ? before : null, after, nearest: near?.nearest ?? null, similar: near?.order ?? null,
      clusters: new otlabel.Clusters(labels, about.heads[state.head].k, confidence, state.classes, about.classes),
    });
    sorts();
  }

  /** Only what can be sorted by. */
  function sorts() {
    const able = { size: true, confidence: state.clusters.confidence, purity: state.classes, similarity: state.similar, number: true };
    const names = Object.keys(able).filter((name) => able[name]);
    if (!names.includes(state.sort)) state.sort = "size";
    get("sort").replaceChildren(...names.map((name) => otlabel.make("option", { text: name, value: name })));
    get("sort").value = state.sort;
  }

  /** What the address says. */
  otlabel.show = () => {
    grid?.end();
    const [, view, number, item] = decodeURIComponent(location.hash).split("/");
    const j = Number(number);
    main.scrollTop = 0;
    if (state.search) grid = otlabel.views.search(state, main, state.search);
    else if (view === "cluster" && number && j >= 0 && j < state.clusters.k) grid = otlabel.views.cluster(state, main, j, item && Number(item));
    else grid = otlabel.views.overview(state, main);
  };

  function theme(dark) {
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    get("theme").setAttribute("aria-pressed", String(dark));
  }

  try {
    const about = (state.about = await otlabel.load("about"));
    document.title = get("title").textContent = about.title;
    const classes = about.classes.length ? `, ${otlabel.count(about.classes.length)} classes` : "";
    get("facts").textContent = `${otlabel.count(about.n)} ${about.items}, ${otlabel.count(about.heads[0].k)} clusters${classes}`;
    state.edits = new otlabel.Edits(about);
    state.time = Math.max(0, about.history.length - 1);
    state.classes = about.classes.length ? await otlabel.numbers("classes") : null;
    get("head-label").hidden = about.heads.length < 2;
    get("head").replaceChildren(...about.heads.map((_, head) => otlabel.make("option", { text: head, value: head })));
    get("history").max = Math.max(0, about.history.length - 1);
    get("history").value = state.time;
    await choose();
    otlabel.show();
  } catch (error) {
    main.textContent = `This page cannot be shown: ${error.message}.`;
    throw error;
  }

  window.addEventListener("hashchange", () => {
    state.search = get("search").value = "";
    otlabel.show();
    if (!main.contains(document.activeElement)) main.focus();
  });
  get("title").addEventListener("click", () => { if (state.search) { state.search = get("search").value = ""; otlabel.show(); } });
  get("head").addEventListener("change", async () => { state.head = Number(get("head").value); location.hash = "#/"; await choose(); otlabel.show(); });
  get("sort").addEventListener("change", () => { state.sort = get("sort").value; otlabel.show(); });
  get("history").addEventListener("input", async () => { state.time = Number(get("history").value); await choose(); otlabel.show(); });
  get("tools").addEventListener("submit", (event) => event.preventDefault());
  get("search").addEventListener("input", () => {
    state.search = get("search").value.trim();
    clearTimeout(state.typing);
    state.typing = setTimeout(() => otlabel.show(), 150);
  });
  get("save").addEventListener("click", async () => {
    otlabel.Edits.download("names.csv", state.edits.namesTable());
    otlabel.Edits.download("corrected.csv", await state.edits.correctedTable(state.head, await otlabel.numbers(`labels-${state.head}`)));
    otlabel.say("Saved names.csv and corrected.csv");
  });
  get("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme !== "dark"));
  theme(matchMedia("(prefers-color-scheme: dark)").matches);
})();
