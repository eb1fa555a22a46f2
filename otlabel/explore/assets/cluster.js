"use strict";
/* One cluster: what is in it, surest or least sure first; what is near; where its items came from. */
otlabel.views.cluster = (state, main, j, wanted) => {
  const { about, clusters, edits, head } = state;
  const { make } = otlabel;
  const hasThumbs = Boolean(about.thumbs);
  let members = clusters.members(j, !state.leastFirst);
  const panel = make("div", { class: "panel" });
  const title = make("h2");
  const entitle = () => {
    const name = edits.nameOf(head, j);
    title.textContent = `Cluster ${j}${name ? `: ${name}` : ""}`;
  };
  entitle();
  const naming = make("input", { value: edits.nameOf(head, j), maxlength: 200 });
  naming.addEventListener("input", () => { edits.name(head, j, naming.value.trim()); entitle(); });
  naming.disabled = state.isPast;
  const sure = otlabel.sure(clusters.meanConfidence(j));
  const facts = [otlabel.counted(clusters.sizes[j], about.items), sure && `mean ${sure}`];
  const about_ = section("", make("p", { text: facts.filter(Boolean).join(", ") }), make("label", { text: "Name " }, naming));
  if (clusters.confidence) {
    const order = make("select", { id: "order" }, make("option", { text: "surest first", value: "" }), make("option", { text: "least sure first", value: "1" }));
    order.value = state.leastFirst ? "1" : "";
    order.addEventListener("change", () => {
      state.leastFirst = Boolean(order.value);
      otlabel.show();
    });
    about_.append(make("p", {}, make("label", { text: "Order " }, order)));
  }
  const hint = state.isPast ? "Go to the last relabelling to name and mark." : `Press ${hasThumbs ? "an image" : "an item"} to mark it as wrong here.`;
  about_.append(make("p", { class: "none", text: hint }));
  panel.append(title, about_);
  const composition = clusters.composition(j);
  if (composition.length) panel.append(section("Classes", shares(composition, (of) => otlabel.className(clusters, of), otlabel.colour)));
  if (state.nearest) panel.append(section("Nearest clusters", links(state.nearest[j])));
  if (state.before) panel.append(section("Came from", shares(clusters.shared(j, state.before), called, null, true)));
  if (state.after) panel.append(section("Went to", shares(clusters.shared(j, state.after), called, null, true)));

  const grid = new otlabel.Grid(main, {
    count: members.length,
    width: hasThumbs ? 92 : 240,
    height: (width) => (hasThumbs ? width + 40 : 44),
    label: `Items of cluster ${j}`,
    cell: (place) => cell(place),
  });
  const nothing = members.length ? [] : [make("p", { class: "none", text: "Nothing has this label." })];
  main.replaceChildren(make("p", {}, make("a", { href: otlabel.address(""), text: "All clusters" })), panel, grid.element, ...nothing);
  grid.draw();
  if (wanted !== undefined && members.includes(wanted)) grid.go(members.indexOf(wanted));
  return grid;

  function section(heading, ...children) {
    return make("section", {}, ...(heading ? [make("h3", { text: heading })] : []), ...children);
  }

  function called(other) {
    const name = edits.nameOf(head, other);
    return `#${other}${name ? ` ${name}` : ""}`;
  }

  function links(others) {
    return make("ul", {}, ...others.map((other) => make("li", {}, make("a", { href: otlabel.address(`cluster/${other}`), text: called(other) }))));
  }

  function shares(counts, name, colour, linked = false) {
    const list = make("ul");
    for (const [of, count] of counts.slice(0, 6)) {
      const bar = make("span", { class: "bar", "aria-hidden": "true" });
      bar.style.width = `${Math.round((90 * count) / clusters.sizes[j])}px`;
      if (colour) bar.style.setProperty("--edge", colour(of));
      const text = `${name(of)}: ${otlabel.percent(count / clusters.sizes[j])}`;
      list.append(make("li", {}, bar, linked ? make("a", { href: otlabel.address(`cluster/${of}`), text }) : text));
    }
    if (counts.length > 6) list.append(make("li", { class: "none", text: `and ${otlabel.count(counts.length - 6)} more` }));
    return list;
  }

  function cell(place) {
    const item = members[place];
    const isWrong = edits.isWrong(head, item);
    const name = make("span", { class: "name" });
    const sure = clusters.confidence ? otlabel.sure(clusters.confidence[item]).replace("confidence ", "") : "";
    const of = clusters.classes ? otlabel.className(clusters, clusters.classes[item]) : "";
    const facts = [isWrong ? "wrong" : "", of, sure].filter(Boolean).join(" · ");
    const button = make("button", { type: "button", class: "item", "aria-pressed": String(isWrong), "aria-disabled": String(state.isPast) });
    if (hasThumbs) button.append(otlabel.thumb(item, state));
    button.append(name, make("span", { class: isWrong ? "wrong" : "", text: facts }));
    otlabel.name(item, about).then((text) => {
      name.textContent = hasThumbs ? text.split("/").pop() : text;
      button.title = text;
    });
    button.addEventListener("click", () => {
      if (state.isPast) return otlabel.say("Go to the last relabelling to mark");
      edits.toggle(head, item);
      grid.redraw(place);
      otlabel.say(edits.isWrong(head, item) ? "Marked as wrong" : "No longer marked");
    });
    return button;
  }
};
