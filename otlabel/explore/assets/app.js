"use strict";
/* The page as a whole. What is shown, and how, is in its address: #/cluster/12?head=1&sort=purity&time=3&q=word */
(async () => {
  const get = (id) => document.getElementById(id);
  const main = get("main");
  const state = { opened: null, leastFirst: false };
  let grid = null;
  let chosen = ""; // head and time of the labels that are at hand

  otlabel.say = (text) => { get("said").textContent = text; clearTimeout(otlabel.quiet); otlabel.quiet = setTimeout(() => { get("said").textContent = ""; }, 4000); };

  /** The address of a view, with the head, order and time of now; changes: other parameters, "" for none. */
  otlabel.address = (path, changes = {}) => {
    const usual = { head: 0, sort: "size", time: state.about.history.length - 1, q: "" };
    const now = { head: state.head, sort: state.sort, time: state.time, q: "", ...changes };
    const kept = Object.entries(now).filter(([name, value]) => String(value) !== String(usual[name]) && value !== "");
    const parameters = new URLSearchParams(kept).toString();
    return `#/${path}${parameters ? `?${parameters}` : ""}`;
  };

  /** View, cluster, item and parameters, whatever the address says. */
  function read() {
    const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
    const [view, cluster, item] = path.split("/");
    const asked = new URLSearchParams(query ?? "");
    const whole = (text, below, other) => (/^\d+$/.test(text ?? "") && Number(text) < below ? Number(text) : other);
    state.head = whole(asked.get("head"), state.about.heads.length, 0);
    const times = state.head === 0 ? state.about.history.length : 0;
    state.time = whole(asked.get("time"), times, state.about.history.length - 1);
    state.sort = asked.get("sort") ?? "size";
    state.search = (asked.get("q") ?? "").trim();
    const j = view === "cluster" ? whole(cluster, state.about.heads[state.head].k, null) : null;
    return { j, item: whole(item, state.about.n, undefined) };
  }

  /** Reads the labels that the address asks for. */
  async function choose() {
    const { about } = state;
    const times = state.head === 0 ? about.history.length : 0; // the last is what the head has now
    state.isPast = times > 1 && state.time < times - 1;
    if (chosen === `${state.head} ${state.time}`) return;
    const past = (time) => (time < 0 || time >= times ? null : otlabel.numbers(`history-${time}`));
    const of = about.heads[state.head];
    const [labels, sure, before, after] = await Promise.all([
      state.isPast ? past(state.time) : otlabel.numbers(`labels-${state.head}`),
      of.confidence && !state.isPast ? otlabel.numbers(`confidence-${state.head}`) : null,
      past(state.time - 1),
      state.isPast ? past(state.time + 1) : null,
    ]);
    const confidence = sure && Float64Array.from(sure, (value) => (value === 65535 ? NaN : of.low + ((1 - of.low) * value) / 65534));
    const near = of.near && !state.isPast ? await otlabel.load(`near-${state.head}`) : null;
    Object.assign(state, {
      before: times > 1 ? before : null, after, nearest: near?.nearest ?? null, similar: near?.order ?? null,
      clusters: new otlabel.Clusters(labels, of.k, confidence, state.classes, about.classes, of.none),
    });
    chosen = `${state.head} ${state.time}`;
  }

  /** The tools say what the address says; of orders only those that there are. */
  function tools() {
    const { about, clusters } = state;
    const able = { size: true, confidence: clusters.confidence, purity: state.classes, similarity: state.similar, number: true };
    const names = Object.keys(able).filter((name) => able[name]);
    get("sort").replaceChildren(...names.map((name) => otlabel.make("option", { text: name, value: name })));
    get("sort").value = names.includes(state.sort) ? state.sort : "size";
    get("head").value = state.head;
    get("history-label").hidden = state.head !== 0 || about.history.length < 2;
    get("history").value = state.time;
    get("when").textContent = about.history[state.time] ?? "";
    if (document.activeElement !== get("search")) get("search").value = state.search;
    return get("sort").value;
  }

  /** What the address says, now. */
  otlabel.show = async () => {
    const { j, item } = read();
    const address = location.hash;
    await choose();
    if (address !== location.hash) return; // something newer is on its way
    const focused = document.activeElement?.id;
    grid?.end();
    const by = tools();
    main.scrollTop = 0;
    const hadFocus = main.contains(document.activeElement) || document.activeElement === document.body;
    if (state.search) grid = otlabel.views.search(state, main, state.search);
    else if (j !== null) { grid = otlabel.views.cluster(state, main, j, item); state.opened = j; }
    else { grid = otlabel.views.overview({ ...state, sort: by }, main); state.opened = null; }
    if (focused && get(focused) && document.activeElement !== get(focused)) get(focused).focus({ preventScroll: true });
    else if (hadFocus && document.activeElement === document.body && state.hasMoved) main.focus({ preventScroll: true });
    state.hasMoved = true;
  };

  /** Another way to show what is shown: kept: as a place to come back to. */
  function change(changes, kept = false) {
    const [path] = location.hash.replace(/^#\/?/, "").split("?");
    const to = otlabel.address(path, { q: state.search, ...changes });
    if (kept) location.hash = to;
    else { window.history.replaceState(null, "", to); otlabel.show(); }
  }

  function theme(name) {
    document.documentElement.dataset.theme = name;
    get("theme").setAttribute("aria-pressed", String(name === "dark"));
  }

  function themeOfBefore() {
    try { return localStorage.getItem("otlabel theme"); } catch { return null; }
  }

  theme(themeOfBefore() ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
  try {
    const about = (state.about = await otlabel.load("about"));
    document.title = get("title").textContent = about.title;
    const classes = about.classes.length ? `, ${otlabel.counted(about.classes.length, "classes").replace(/^1 classe$/, "1 class")}` : "";
    const of = about.heads[0];
    get("facts").textContent = `${otlabel.counted(about.n, about.items)}, ${otlabel.counted(of.k - (of.none !== null), "clusters")}${classes}`;
    state.edits = new otlabel.Edits(about);
    state.classes = about.classes.length ? await otlabel.numbers("classes") : null;
    get("head-label").hidden = about.heads.length < 2;
    get("head").replaceChildren(...about.heads.map((_, head) => otlabel.make("option", { text: head, value: head })));
    get("history").max = Math.max(0, about.history.length - 1);
    await otlabel.show();
  } catch (error) {
    main.textContent = `This page cannot be shown: ${error.message}.`;
    throw error;
  }

  window.addEventListener("hashchange", () => otlabel.show());
  window.addEventListener("storage", () => { state.edits.read(); otlabel.show(); });
  document.addEventListener("click", (event) => { // a link to where one is: away from what was searched
    const to = event.target.closest("a")?.getAttribute("href");
    if (to !== null && to !== undefined && to === location.hash) otlabel.show();
  });
  get("title").addEventListener("click", (event) => { event.preventDefault(); location.hash = otlabel.address(""); });
  get("head").addEventListener("change", () => { // clusters of another head are others
    location.hash = otlabel.address("", { head: Number(get("head").value), time: "", q: state.search });
  });
  get("sort").addEventListener("change", () => change({ sort: get("sort").value }));
  get("history").addEventListener("input", () => change({ time: Number(get("history").value) }));
  get("tools").addEventListener("submit", (event) => event.preventDefault());
  get("search").addEventListener("input", () => {
    clearTimeout(state.typing);
    const text = get("search").value.trim();
    state.typing = setTimeout(() => change({ q: text }, Boolean(text) && !state.search), 150);
  });
  get("save").addEventListener("click", async () => {
    otlabel.Edits.download("names.csv", state.edits.namesTable());
    otlabel.Edits.download("corrected.csv", await state.edits.correctedTable());
    otlabel.say("Saved names.csv and corrected.csv");
  });
  get("theme").addEventListener("click", () => {
    const name = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    theme(name);
    try { localStorage.setItem("otlabel theme", name); } catch { /* private windows keep nothing */ }
  });
})();
