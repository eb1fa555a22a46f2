"use strict";
/* What the user adds: names of clusters, and items that are in the wrong one. Kept by the browser until it is saved, each
   by itself: another window of the same page may keep some too. */
otlabel.Edits = class {
  constructor(about) {
    this.about = about;
    this.kept = { name: `otlabel ${about.key} ${about.namesKey} name `, wrong: `otlabel ${about.key} wrong ` };
    this.read();
  }

  /** What the page came with, and what the browser has kept. */
  read() {
    this.names = new Map(Object.entries(this.about.names ?? {})); // "head/cluster" -> name
    this.wrong = new Set(); // "head/item"
    try {
      for (const [key, value] of Object.entries(localStorage)) {
        if (key.startsWith(this.kept.wrong)) this.wrong.add(key.slice(this.kept.wrong.length));
        if (key.startsWith(this.kept.name)) this.set(key.slice(this.kept.name.length), value);
      }
    } catch { /* private windows keep nothing */ }
  }

  set(key, name) {
    if (name) this.names.set(key, name);
    else this.names.delete(key);
  }

  keep(key, value) {
    try {
      if (value === null) localStorage.removeItem(key);
      else localStorage.setItem(key, value);
    } catch { /* private windows keep nothing */ }
  }

  nameOf(head, cluster) {
    return this.names.get(`${head}/${cluster}`) ?? "";
  }

  /** An empty name is kept too: that of the page is gone then. */
  name(head, cluster, text) {
    this.set(`${head}/${cluster}`, text);
    this.keep(`${this.kept.name}${head}/${cluster}`, text);
  }

  isWrong(head, item) {
    return this.wrong.has(`${head}/${item}`);
  }

  toggle(head, item) {
    const key = `${head}/${item}`;
    const isWrong = !this.wrong.delete(key);
    if (isWrong) this.wrong.add(key);
    this.keep(`${this.kept.wrong}${key}`, isWrong ? "1" : null);
  }

  /** A cell of a CSV table. */
  static cell(text) {
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : `${text}`;
  }

  isOfNone(key) {
    const [head, cluster] = key.split("/");
    return Number(cluster) === this.about.heads[head]?.none;
  }

  /** head, label, name: of every cluster that has a name. */
  namesTable() {
    const lines = [...this.names].filter(([key]) => !this.isOfNone(key)).map(([key, name]) => {
      const [head, cluster] = key.split("/");
      const called = this.about.heads[head]?.values?.[cluster] ?? cluster; // as in the table of labels
      return [head, otlabel.Edits.cell(called), otlabel.Edits.cell(name)].join(",");
    });
    return ["head,label,name", ...lines.sort()].join("\n") + "\n";
  }

  /** index, path, and a label a head: of every item in the order it came in; none for those that are wrong, or have none. */
  async correctedTable() {
    const { heads } = this.about;
    const index = await otlabel.numbers("index");
    const labels = await Promise.all(heads.map((_, head) => otlabel.numbers(`labels-${head}`)));
    const lines = new Array(index.length);
    const said = (head, item) => {
      const label = labels[head][item];
      const { none, values } = heads[head];
      return this.isWrong(head, item) || label === none ? "" : otlabel.Edits.cell(values ? values[label] : `${label}`);
    };
    await otlabel.eachName(this.about, (name, item) => {
      const cells = heads.map((_, head) => said(head, item));
      lines[index[item]] = [index[item], otlabel.Edits.cell(name), ...cells].join(",");
    });
    const columns = heads.length > 1 ? heads.map((_, head) => `head_${head}`) : ["label"];
    return [`index,path,${columns.join(",")}`, ...lines].join("\n") + "\n";
  }

  static download(name, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }
};
