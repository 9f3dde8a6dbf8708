/**
 * An AnyModel in memory, with the manners of the real one: `set` notifies at once and only when the value
 * differs (lists by content), `save_changes` sends what was set since the last time.
 *
 * @typedef {Record<string, unknown>} State
 * @typedef {(...args: any[]) => void} Handler
 */

/** @implements {Omit<import("@anywidget/types").AnyModel, "widget_manager">} */
export class Model {
	/** @type {State[]} the state that each `save_changes` sent to the kernel */
	saved = [];
	/** @type {{content: unknown, buffers: unknown}[]} the messages of `send` to the kernel */
	sent = [];
	/** @type {State} */
	#state;
	/** @type {State} */
	#dirty = {};
	/** @type {Map<string, Set<Handler>>} */
	#handlers = new Map();

	/** @param {State} state */
	constructor(state) {
		this.#state = { ...state };
	}

	/** @param {string} name */
	get(name) {
		return /** @type {any} */ (this.#state[name]);
	}

	/** @param {string} name @param {unknown} value */
	set(name, value) {
		if (same(this.#state[name], value)) return;
		this.#state[name] = value;
		this.#dirty[name] = value;
		this.#emit(`change:${name}`);
		this.#emit("change");
	}

	save_changes() {
		this.saved.push(this.#dirty);
		this.#dirty = {};
	}

	/** @param {unknown} content @param {unknown} [_callbacks] @param {unknown} [buffers] */
	send(content, _callbacks, buffers) {
		this.sent.push({ content, buffers });
	}

	/** @param {string} event @param {Handler} handler */
	on(event, handler) {
		const handlers = this.#handlers.get(event) ?? new Set();
		this.#handlers.set(event, handlers.add(handler));
	}

	/** @param {string | null} [event] @param {Handler | null} [handler] */
	off(event, handler) {
		for (const [name, handlers] of this.#handlers) {
			if (event && name !== event) continue;
			if (handler) handlers.delete(handler);
			else handlers.clear();
		}
	}

	/** A custom message from the kernel. @param {unknown} content @param {DataView[]} [buffers] */
	receive(content, buffers = []) {
		this.#emit("msg:custom", content, buffers);
	}

	/** How many handlers are registered: none may be left after a view's cleanup. */
	get listeners() {
		return [...this.#handlers.values()].reduce((sum, handlers) => sum + handlers.size, 0);
	}

	/** @param {string} event @param {...unknown} args */
	#emit(event, ...args) {
		for (const handler of [...(this.#handlers.get(event) ?? [])]) handler(...args);
	}
}

/** @param {unknown} a @param {unknown} b @returns {boolean} */
function same(a, b) {
	if (Array.isArray(a) && Array.isArray(b)) {
		return a.length === b.length && a.every((value, index) => same(value, b[index]));
	}
	return Object.is(a, b);
}

const TYPES = {
	uint8: Uint8Array,
	int8: Int8Array,
	int32: Int32Array,
	float32: Float32Array,
	float16: Uint16Array,
};

/**
 * The message of an array, as Python's serializer makes it (float16 takes the bits of the halves).
 *
 * @param {keyof typeof TYPES} dtype
 * @param {number[]} shape
 * @param {Iterable<number>} values
 */
export function array(dtype, shape, values) {
	const { buffer, byteOffset, byteLength } = TYPES[dtype].from(values);
	return { dtype, shape, data: new DataView(buffer, byteOffset, byteLength) };
}

/**
 * Renders a view into the page.
 *
 * @param {Function | {initialize?: Function, render: Function}} widget  the default export of a view
 * @param {State} state
 * @param {{width?: number}} [options]  width of the column it sits in, CSS px
 * @returns {Promise<{model: Model, el: HTMLElement, unmount: () => Promise<void>}>}
 *     `unmount` calls every cleanup and takes the element out of the page.
 */
export async function mount(widget, state, { width = 600 } = {}) {
	const model = new Model(state);
	const el = document.createElement("div");
	el.style.width = `${width}px`;
	document.body.append(el);
	const controller = new AbortController();
	const { signal } = controller;
	const made = typeof widget === "function" ? await widget() : widget;
	const forget = await made.initialize?.({ model, signal, experimental: {} });
	const cleanup = await made.render({ model, el, signal, host: {}, experimental: {} });
	return {
		model,
		el,
		async unmount() {
			await cleanup?.();
			await forget?.();
			controller.abort();
			el.remove();
		},
	};
}

/** Two animation frames: whatever was drawn on the next one is on the canvas. @returns {Promise<void>} */
export function painted() {
	return new Promise((resolve) => {
		requestAnimationFrame(() => requestAnimationFrame(() => resolve()));
	});
}

/** The list that a field opens. @param {Element} scope @param {string} label  accessible name of the field */
const fieldOf = (scope, label) =>
	/** @type {HTMLButtonElement} */ (scope.querySelector(`[role=combobox][aria-label="${label}"]`));

/** The texts of the options of a list. @param {Element} scope @param {string} label */
export function optionsOf(scope, label) {
	const field = fieldOf(scope, label);
	field.click();
	const list = field.ownerDocument.getElementById(field.getAttribute("aria-controls"));
	const texts = [...list.children].map((row) => row.textContent);
	field.click();
	return texts;
}

/** Chooses an option of a list by its text. @param {Element} scope @param {string} label @param {string} text */
export function choose(scope, label, text) {
	const field = fieldOf(scope, label);
	field.click();
	const list = field.ownerDocument.getElementById(field.getAttribute("aria-controls"));
	const row = [...list.children].find((one) => one.textContent === text);
	/** @type {HTMLElement} */ (row).click();
}
