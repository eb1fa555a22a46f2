"use strict";
/* What has a text in its name: clusters, classes, items. */
otlabel.views.search = (state, main, text) => {
  const { about, clusters, edits, head } = state;
  const { make } = otlabel;
  const wanted = text.toLowerCase();
  const most = 500;
  const has = (name) => name.toLowerCase().includes(wanted);
  const title = make("h2", { text: `What is called “${text}”` });
  const found = make("div", {}, make("p", { text: "Looking ..." }));
  main.replaceChildren(make("p", {}, make("a", { href: otlabel.address(""), text: "All clusters" })), title, found);
  look();
  return null;

  async function look() {
    const numbered = Array.from({ length: clusters.k }, (_, j) => j);
    const named = numbered.filter((j) => String(j) === wanted.replace(/^#/, "") || (edits.nameOf(head, j) && has(edits.nameOf(head, j))));
    const parts = [];
    if (named.length) parts.push(list("Clusters", named.map((j) => link(`cluster/${j}`, called(j)))));
    if (clusters.classes) {
      const classes = clusters.classNames.map((name, of) => [name, of]).filter(([name]) => has(name));
      for (const [name, of] of classes.slice(0, 20)) parts.push(list(`Class ${name}, in clusters`, clustersOf(of)));
    }
    const items = [];
    await otlabel.eachName(about, (name, item) => { if (has(name)) items.push([name, item]); });
    if (state.search !== text) return;
    const shown = items.slice(0, most).map(([name, item]) => link(`cluster/${clusters.labels[item]}/${item}`, `${name} in #${clusters.labels[item]}`));
    if (items.length) parts.push(list(`${otlabel.counted(items.length, about.items)}${items.length > most ? `, the first ${most}` : ""}`, shown));
    found.replaceChildren(...(parts.length ? parts : [make("p", { class: "none", text: "Nothing is called that." })]));
    otlabel.say(`${otlabel.counted(items.length, about.items)}, ${otlabel.counted(named.length, "clusters")} found`);
  }

  /** Clusters that have most of a class. */
  function clustersOf(of) {
    const counts = new Map();
    clusters.classes.forEach((other, item) => {
      if (other === of) counts.set(clusters.labels[item], (counts.get(clusters.labels[item]) ?? 0) + 1);
    });
    const most = [...counts].sort((one, other) => other[1] - one[1] || one[0] - other[0]).slice(0, 20);
    return most.map(([j, count]) => link(`cluster/${j}`, `${called(j)}: ${otlabel.count(count)} of ${otlabel.count(clusters.sizes[j])}`));
  }

  function called(j) {
    const name = edits.nameOf(head, j);
    return `#${j}${name ? ` ${name}` : ""}`;
  }

  function link(path, text) {
    return make("li", {}, make("a", { href: otlabel.address(path), text }));
  }

  function list(heading, items) {
    return make("section", {}, make("h3", { text: heading }), make("ul", {}, ...items));
  }
};
