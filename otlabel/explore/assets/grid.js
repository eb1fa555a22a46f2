"use strict";
/* A grid of any number of cells, of which those are in the page that can be seen: arrows, Home, End, Page move in it. */
otlabel.Grid = class {
  /**
   * scroller: the element that scrolls. width: least width of a cell. height: of a cell of some width.
   * cell: (place) -> the element in a cell, which can be focused.
   */
  constructor(scroller, { count, width, height, label, cell }) {
    Object.assign(this, { scroller, count, width, heightOf: height, cell, active: 0, shown: new Map() });
    this.element = document.createElement("div");
    this.element.className = "grid";
    this.element.setAttribute("role", "list");
    this.element.setAttribute("aria-label", label);
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.element.addEventListener("focusin", (event) => {
      const place = event.target.closest(".cell")?.dataset.place;
      if (place !== undefined) this.activate(Number(place));
    });
    this.onscroll = () => this.draw();
    scroller.addEventListener("scroll", this.onscroll);
    this.watch = new ResizeObserver(() => this.draw());
    this.watch.observe(scroller);
  }

  /** Before the page shows something else. */
  end() {
    this.scroller.removeEventListener("scroll", this.onscroll);
    this.watch.disconnect();
  }

  /** What can be seen, and a screen more. */
  draw() {
    const gap = 10;
    const whole = this.element.clientWidth || this.scroller.clientWidth - 28;
    this.columns = Math.max(1, Math.floor((whole + gap) / (this.width + gap)));
    const width = Math.floor((whole + gap) / this.columns) - gap;
    const height = this.heightOf(width);
    this.step = height + gap;
    this.element.style.height = `${Math.ceil(this.count / this.columns) * this.step}px`;
    const top = this.scroller.scrollTop - this.element.offsetTop;
    const screen = this.scroller.clientHeight || 600;
    const first = Math.max(0, Math.floor((top - screen / 2) / this.step)) * this.columns;
    const last = Math.min(this.count, Math.ceil((top + 1.5 * screen) / this.step) * this.columns);
    for (const [place, cell] of this.shown) {
      if ((place < first || place >= last) && !cell.contains(document.activeElement)) {
        cell.remove();
        this.shown.delete(place);
      }
    }
    for (let place = first; place < last; place++) {
      if (!this.shown.has(place)) this.shown.set(place, this.make(place));
    }
    for (const [place, cell] of this.shown) {
      cell.style.left = `${(place % this.columns) * (width + gap)}px`;
      cell.style.top = `${Math.floor(place / this.columns) * this.step}px`;
      cell.style.width = `${width}px`;
      cell.style.height = `${height}px`;
    }
  }

  make(place) {
    const cell = document.createElement("div");
    cell.className = "cell";
    cell.dataset.place = place;
    cell.setAttribute("role", "listitem");
    cell.setAttribute("aria-setsize", this.count);
    cell.setAttribute("aria-posinset", place + 1);
    const inside = this.cell(place);
    inside.tabIndex = place === this.active ? 0 : -1;
    cell.append(inside);
    const after = [...this.element.children].find((other) => Number(other.dataset.place) > place);
    this.element.insertBefore(cell, after ?? null);
    return cell;
  }

  /** Makes a cell anew. */
  redraw(place) {
    const cell = this.shown.get(place);
    if (!cell) return;
    const hadFocus = cell.contains(document.activeElement);
    const inside = this.cell(place);
    inside.tabIndex = place === this.active ? 0 : -1;
    cell.replaceChildren(inside);
    if (hadFocus) inside.focus();
  }

  activate(place) {
    const before = this.shown.get(this.active)?.firstChild;
    if (before) before.tabIndex = -1;
    this.active = place;
    const now = this.shown.get(place)?.firstChild;
    if (now) now.tabIndex = 0;
  }

  /** Scrolls to a cell and focuses it. */
  go(place) {
    const top = this.element.offsetTop + Math.floor(place / this.columns) * this.step;
    const view = this.scroller;
    if (top < view.scrollTop) view.scrollTop = top - 8;
    if (top + this.step > view.scrollTop + view.clientHeight) view.scrollTop = top + this.step - view.clientHeight + 8;
    this.draw();
    this.activate(place);
    this.shown.get(place)?.firstChild.focus({ preventScroll: true });
  }

  key(event) {
    const page = this.columns * Math.max(1, Math.floor(this.scroller.clientHeight / this.step));
    const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns, PageDown: page, PageUp: -page };
    const to = event.key === "Home" ? 0 : event.key === "End" ? this.count - 1 : this.active + (by[event.key] ?? NaN);
    if (Number.isNaN(to) || event.altKey || event.metaKey || event.ctrlKey) return;
    event.preventDefault();
    this.go(Math.min(this.count - 1, Math.max(0, to)));
  }
};
