"use strict";
/* Items by their labels: members, sizes, confidence, purity; how one labelling became the next. */
otlabel.Clusters = class {
  /**
   * labels: of every item. confidence: of every item, NaN where nobody knows, or null. classes: of every item, or null.
   * none: the number of those without a label, or null.
   * Members of a cluster are in the order of the items, which is that of confidence in the first labelling.
   */
  constructor(labels, k, confidence, classes, classNames, none) {
    Object.assign(this, { labels, k, confidence, classes, classNames, none });
    this.sizes = new Uint32Array(k);
    for (const label of labels) this.sizes[label]++;
    this.starts = new Uint32Array(k + 1);
    for (let j = 0; j < k; j++) this.starts[j + 1] = this.starts[j] + this.sizes[j];
    this.places = new Uint32Array(labels.length);
    const next = this.starts.slice(0, k);
    labels.forEach((label, item) => { this.places[next[label]++] = item; });
    this.compositions = new Map();
  }

  /** Items of a cluster; surest first, or last. */
  members(j, surestFirst = true) {
    const items = this.places.slice(this.starts[j], this.starts[j + 1]);
    const sure = (item) => (Number.isNaN(this.confidence[item]) ? -Infinity : this.confidence[item]);
    if (this.confidence) items.sort((one, other) => sure(other) - sure(one) || one - other);
    return surestFirst ? items : items.reverse();
  }

  /** Of those items of which it is known; NaN where it is of none. */
  meanConfidence(j) {
    if (!this.confidence) return NaN;
    let sum = 0, count = 0;
    for (let place = this.starts[j]; place < this.starts[j + 1]; place++) {
      const sure = this.confidence[this.places[place]];
      if (!Number.isNaN(sure)) { sum += sure; count++; }
    }
    return count ? sum / count : NaN;
  }

  /** [class, items] by number, most first. */
  composition(j) {
    if (!this.classes) return [];
    if (!this.compositions.has(j)) {
      const counts = new Map();
      for (let place = this.starts[j]; place < this.starts[j + 1]; place++) {
        const of = this.classes[this.places[place]];
        counts.set(of, (counts.get(of) ?? 0) + 1);
      }
      this.compositions.set(j, [...counts].sort((one, other) => other[1] - one[1] || one[0] - other[0]));
    }
    return this.compositions.get(j);
  }

  /** The share of the most frequent class; NaN where nobody knows. */
  purity(j) {
    return this.classes && this.sizes[j] ? this.composition(j)[0][1] / this.sizes[j] : NaN;
  }

  /** All clusters in an order, those without a label last; similar: their order by similarity, or null. */
  order(by, similar) {
    const order = this.ordered(by, similar);
    return this.none === null ? order : [...order.filter((j) => j !== this.none), this.none];
  }

  ordered(by, similar) {
    const all = Array.from({ length: this.k }, (_, j) => j);
    const key = {
      size: (j) => -this.sizes[j],
      confidence: (j) => -this.meanConfidence(j),
      purity: (j) => -this.purity(j),
      number: (j) => j,
    }[by];
    if (by === "similarity" && similar) return similar;
    const keys = all.map((j) => { const value = key(j); return Number.isNaN(value) ? Infinity : value; });
    return all.sort((one, other) => keys[one] - keys[other] || one - other);
  }

  /** [cluster of the other labelling, items] that a cluster's members have there, most first. */
  shared(j, labels) {
    const counts = new Map();
    for (let place = this.starts[j]; place < this.starts[j + 1]; place++) {
      const of = labels[this.places[place]];
      counts.set(of, (counts.get(of) ?? 0) + 1);
    }
    return [...counts].sort((one, other) => other[1] - one[1] || one[0] - other[0]);
  }
};
