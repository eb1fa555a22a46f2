"use strict";
/* What the user adds: names of clusters, and items that are in the wrong one. Kept by the browser until it is saved. */
otlabel.Edits = class {
  constructor(about) {
    this.about = about;
    this.place = `otlabel ${about.key}`;
    this.names = new Map(Object.entries(about.names ?? {})); // "head/cluster" -> name
    this.wrong = new Set(); // "head/item"
    try {
      const kept = JSON.parse(localStorage.getItem(this.place) ?? "{}");
      for (const [key, name] of Object.entries(kept.names ?? {})) this.names.set(key, name);
      for (const key of kept.wrong ?? []) this.wrong.add(key);
    } catch { /* private windows keep nothing */ }
  }

  keep() {
    try {
      localStorage.setItem(this.place, JSON.stringify({ names: Object.fromEntries(this.names), wrong: [...this.wrong] }));
    } catch { /* private windows keep nothing */ }
  }

  nameOf(head, cluster) {
    return this.names.get(`${head}/${cluster}`) ?? "";
  }

  name(head, cluster, text) {
    if (text) this.names.set(`${head}/${cluster}`, text);
    else this.names.delete(`${head}/${cluster}`);
    this.keep();
  }

  isWrong(head, item) {
    return this.wrong.has(`${head}/${item}`);
  }

  toggle(head, item) {
    const key = `${head}/${item}`;
    if (!this.wrong.delete(key)) this.wrong.add(key);
    this.keep();
  }

  /** A cell of a CSV table. */
  static cell(text) {
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : `${text}`;
  }

  /** head, cluster, name: of every cluster that has a name. */
  namesTable() {
    const lines = [...this.names].map(([key, name]) => [...key.split("/"), otlabel.Edits.cell(name)].join(","));
    return ["head,label,name", ...lines.sort()].join("\n") + "\n";
  }

  /** index, path, label: of every item in the order it came in; no label for those that are wrong. */
  async correctedTable(head, labels) {
    const index = await otlabel.numbers("index");
    const lines = new Array(labels.length);
    await otlabel.eachName(this.about, (name, item) => {
      const label = this.isWrong(head, item) ? "" : labels[item];
      lines[index[item]] = `${index[item]},${otlabel.Edits.cell(name)},${label}`;
    });
    return ["index,path,label", ...lines].join("\n") + "\n";
  }

  static download(name, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }
};
