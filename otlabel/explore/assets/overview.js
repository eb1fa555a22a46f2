"use strict";
/* All clusters, as cards. */
otlabel.views.overview = (state, main) => {
  const { about, clusters, edits, head } = state;
  const order = clusters.order(state.sort, state.similar);
  const hasThumbs = Boolean(about.thumbs);
  const grid = new otlabel.Grid(main, {
    count: order.length,
    width: hasThumbs ? 190 : 210,
    height: (width) => (hasThumbs ? (width - 18) / 2 + 88 : 142),
    label: "Clusters",
    cell: (place) => card(order[place]),
  });
  main.replaceChildren(grid.element);
  grid.draw();
  const last = state.opened === null ? -1 : order.indexOf(state.opened); // Back ends where one came from
  if (last >= 0) grid.go(last);
  return grid;

  function card(j) {
    const name = edits.nameOf(head, j);
    const facts = [otlabel.counted(clusters.sizes[j], about.items), otlabel.sure(clusters.meanConfidence(j))];
    const card = otlabel.make("a", { class: "card", href: otlabel.address(`cluster/${j}`) });
    const members = clusters.members(j).slice(0, hasThumbs ? 8 : 4);
    if (hasThumbs) {
      const mosaic = otlabel.make("span", { class: "mosaic" });
      for (const item of members) mosaic.append(otlabel.thumb(item, state));
      for (let empty = members.length; empty < 8; empty++) mosaic.append(otlabel.make("span"));
      card.append(mosaic);
    } else {
      const lines = otlabel.make("span", { class: "lines", role: "presentation" });
      for (const item of members) {
        const line = otlabel.make("span");
        otlabel.name(item, about).then((text) => { line.textContent = text; });
        lines.append(line);
      }
      card.append(lines);
    }
    card.append(otlabel.make("b", { text: `#${j}${name ? ` ${name}` : ""}` }), otlabel.make("span", { text: facts.filter(Boolean).join(" · ") }));
    if (clusters.classes && clusters.sizes[j]) {
      const [most] = clusters.composition(j)[0];
      card.append(otlabel.make("span", { text: `${otlabel.percent(clusters.purity(j))} of class ${otlabel.className(clusters, most)}` }));
    } else if (state.before) {
      card.append(otlabel.make("span", { text: `${otlabel.percent(cameFrom(j))} stayed together` }));
    }
    return card;
  }

  /** The share of a cluster's items that one cluster of the labelling before had. */
  function cameFrom(j) {
    return clusters.sizes[j] ? clusters.shared(j, state.before)[0][1] / clusters.sizes[j] : NaN;
  }
};
