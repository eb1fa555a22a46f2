"use strict";
/* Pieces of the page. Text goes in as text: names of files and clusters may hold anything. */
otlabel.make = (tag, { text, ...attributes } = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null) element.setAttribute(name, value);
  }
  if (text !== undefined) element.textContent = text;
  element.append(...children);
  return element;
};

/** A colour for each class; neighbours in the list are far apart. */
otlabel.colour = (of) => `hsl(${(of * 137.508) % 360} 62% ${[52, 38, 66][of % 3]}%)`;

/** 1,234 */
otlabel.count = (number) => number.toLocaleString("en");

/** 1 image, 2 images */
otlabel.counted = (number, nouns) => `${otlabel.count(number)} ${number === 1 ? nouns.slice(0, -1) : nouns}`;

/** confidence 0.91, or nothing where it is not known */
otlabel.sure = (value) => (Number.isNaN(value) ? "" : `confidence ${value.toFixed(2)}`);

/** 83 %, or nothing where it is not known */
otlabel.percent = (share) => (Number.isNaN(share) ? "" : `${Math.round(100 * share)} %`);

/** The picture of an item, with the colour of its class as its edge; it stands beside text that says who it is. */
otlabel.thumb = (item, { about, clusters }) => {
  const { side } = about.thumbs;
  const place = item % (side * side);
  const element = otlabel.make("span", { class: "thumb", "aria-hidden": "true" });
  element.style.backgroundImage = `url("${otlabel.sheet(Math.floor(item / (side * side)))}")`;
  element.style.backgroundSize = `${side * 100}%`;
  const at = (number) => `${(number / Math.max(1, side - 1)) * 100}%`;
  element.style.backgroundPosition = `${at(place % side)} ${at(Math.floor(place / side))}`;
  if (clusters.classes) element.style.setProperty("--edge", otlabel.colour(clusters.classes[item]));
  return element;
};

/** The name of a class; nothing for items without one. */
otlabel.className = (clusters, of) => clusters.classNames[of] ?? "no class";
