"use strict";
/* What the page shows, read when it is needed: a script a part beside the page, or an inert element in it. */
const otlabel = (() => {
  const arrived = new Map(); // part -> its content
  const waiting = new Map(); // part -> what resolves its promise
  const promises = new Map();
  const kinds = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array };

  /** Called by the script of a part. */
  function put(part, content) {
    arrived.set(part, content);
    waiting.get(part)?.resolve(content);
  }

  /** The content of a part. */
  function load(part) {
    if (promises.has(part)) return promises.get(part);
    const inside = document.getElementById(`part-${part}`);
    const promise = new Promise((resolve, reject) => {
      if (arrived.has(part)) return resolve(arrived.get(part));
      if (inside) return resolve(JSON.parse(inside.textContent));
      waiting.set(part, { resolve, reject });
      const script = document.createElement("script");
      script.src = `data/${part}.js`;
      script.onerror = () => reject(new Error(`data/${part}.js is not there: copy the whole folder`));
      document.head.append(script);
    });
    promises.set(part, promise);
    return promise;
  }

  /** Numbers: [kind, base64]. */
  async function numbers(part) {
    const [kind, text] = await load(part);
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return new kinds[kind](bytes.buffer);
  }

  /** The name of an item; names come in chunks. */
  async function name(item, about) {
    const chunk = Math.floor(item / about.chunk);
    return (await load(`names-${chunk}`))[item - chunk * about.chunk];
  }

  /** Calls back with every name, in order. */
  async function eachName(about, call) {
    for (let chunk = 0; chunk * about.chunk < about.n; chunk++) {
      const names = await load(`names-${chunk}`);
      names.forEach((text, i) => call(text, chunk * about.chunk + i));
    }
  }

  const sheets = new Map();
  /** The address of a sheet of thumbnails: a file beside the page, or made of what is in it. */
  function sheet(number) {
    if (!sheets.has(number)) {
      const inside = document.getElementById(`part-sheet-${number}`);
      let url = `thumbs/${number}.webp`;
      if (inside) {
        const bytes = Uint8Array.from(atob(JSON.parse(inside.textContent)), (letter) => letter.charCodeAt(0));
        url = URL.createObjectURL(new Blob([bytes], { type: "image/webp" }));
      }
      sheets.set(number, url);
    }
    return sheets.get(number);
  }

  return { put, load, numbers, name, eachName, sheet, views: {} };
})();
