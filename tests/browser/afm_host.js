// A small host of anywidget front-end modules: a model, and the calls of `initialize` and `render`.
// It offers what the oldest supported anywidget offers and nothing more, so no view can lean on the rest.

// Decode values from Python: bytes as {__bytes__: base64}. Like a message of a real kernel, each buffer is a
// DataView somewhere inside a larger one, at an offset no typed array would accept.
function decode(value) {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(decode);
  if (typeof value.__bytes__ === "string") {
    const text = atob(value.__bytes__);
    const padded = new Uint8Array(text.length + 5);
    for (let i = 0; i < text.length; i++) padded[i + 3] = text.charCodeAt(i);
    return new DataView(padded.buffer, 3, text.length);
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, decode(item)]));
}

// Encode values for Python: binary of any kind as {__bytes__: base64}.
function encode(value) {
  if (value === undefined) return null;
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map(encode);
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
    const bytes = ArrayBuffer.isView(value)
      ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
      : new Uint8Array(value);
    let text = "";
    for (const byte of bytes) text += String.fromCharCode(byte);
    return { __bytes__: btoa(text) };
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, encode(item)]));
}

class Model {
  #state;
  #unsaved = {};
  #listeners = [];
  /** Every save_changes that had something to save, oldest first. */
  saved = [];
  /** Every custom message to the kernel, oldest first. */
  sent = [];

  constructor(state) {
    this.#state = { ...state };
  }

  get(name) {
    return this.#state[name];
  }

  // Like Backbone: events come at once, and none for a value that is the same.
  set(name, value) {
    const given = typeof name === "object" ? name : { [name]: value };
    const changed = Object.keys(given).filter((key) => this.#state[key] !== given[key]);
    for (const key of changed) {
      this.#state[key] = given[key];
      this.#unsaved[key] = given[key];
    }
    for (const key of changed) this.#emit(`change:${key}`, this, given[key]);
    if (changed.length) this.#emit("change", this);
  }

  save_changes() {
    if (Object.keys(this.#unsaved).length) this.saved.push(this.#unsaved);
    this.#unsaved = {};
  }

  send(content, _callbacks, buffers = []) {
    this.sent.push({ content, buffers });
  }

  on(names, callback) {
    for (const name of names.split(" ")) this.#listeners.push({ name, callback });
  }

  off(name, callback) {
    this.#listeners = this.#listeners.filter(
      (one) => (name && one.name !== name) || (callback && one.callback !== callback),
    );
  }

  /** New values from the kernel, which are not to be saved back. */
  update(state) {
    this.set(state);
    for (const key of Object.keys(state)) delete this.#unsaved[key];
  }

  /** A custom message from the kernel. */
  receive(content, buffers) {
    this.#emit("msg:custom", content, buffers);
  }

  /** How many listeners there are: none may be left behind by a view that is gone. */
  get listening() {
    return this.#listeners.length;
  }

  #emit(name, ...values) {
    for (const one of [...this.#listeners]) if (one.name === name) one.callback(...values);
  }
}

/** Mounts one widget into a new element of the page, and returns what undoes it. */
export class Mount {
  constructor(definition, model, el) {
    this.definition = definition;
    this.model = model;
    this.el = el;
    this.views = [];
  }

  static async create(url, state, css) {
    const module = await import(url);
    const definition = typeof module.default === "function" ? await module.default() : module.default;
    if (css) document.head.append(Object.assign(document.createElement("style"), { textContent: css }));
    const el = document.createElement("div");
    document.querySelector("main").append(el);
    const mount = new Mount(definition, new Model(decode(state)), el);
    mount.stop = await definition.initialize?.({ model: mount.model, experimental: mount.experimental });
    await mount.render();
    return mount;
  }

  get experimental() {
    return { invoke: () => Promise.reject(new Error("this host has no kernel to invoke")) };
  }

  /** Draws one more view of the same model, as displaying a widget twice does. */
  async render() {
    const el = document.createElement("div");
    el.className = "afm-view";
    this.el.append(el);
    const cleanup = await this.definition.render?.({ model: this.model, el, experimental: this.experimental });
    this.views.push({ el, cleanup });
  }

  // Functions for tests in Python; values cross as JSON.
  get(name) {
    return encode(this.model.get(name));
  }

  saved() {
    return encode(this.model.saved);
  }

  sent() {
    return encode(this.model.sent);
  }

  update(state) {
    this.model.update(decode(state));
  }

  receive([content, buffers]) {
    this.model.receive(content, decode(buffers));
  }

  /** Ends every view, and the model with them, as closing a widget does. */
  async close() {
    for (const { el, cleanup } of this.views.splice(0)) {
      await cleanup?.();
      el.remove();
    }
    await this.stop?.();
  }
}
