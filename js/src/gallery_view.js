import { widget } from "./lib/widget.js";
import "./gallery_view.css";
import { slice } from "./lib/arrays.js";
import { cached } from "./lib/cached.js";
import { element } from "./lib/dom.js";
import { readable } from "./lib/format.js";
import { bytes, floats, pack } from "./lib/image.js";
import { bindKeys } from "./lib/keys.js";
import { fitWidth } from "./lib/stage.js";
import { observe, onFrame, updater } from "./lib/state.js";

/**
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {import("./lib/image.js").Message} Message
 * @typedef {import("./lib/image.js").Bytes} Bytes
 */

let galleries = 0;

class View {
	#id = `xw-gallery-${++galleries}-${Math.random().toString(36).slice(2, 8)}`;
	#title = element("span", { class: "xw-title" });
	#list = element("div", { class: "xw-gallery", role: "listbox", tabindex: 0 });
	#notice = element("div", { class: "xw-note-text xw-muted" });
	root = element("div", { class: "xw xw-figure xw-gallery-view", role: "group" }, [
		element("div", { class: "xw-head" }, [this.#title]),
		this.#list,
		this.#notice,
	]);
	/** @type {ReturnType<typeof createItem>[]} */
	#items = [];
	/** Each picture on its own; the very same as long as the message is. */
	#decode = cached((/** @type {Message} */ message) => {
		const all = bytes("pictures", message, [null, null, null, 3]);
		return all ? Array.from({ length: all.shape[0] }, (_, index) => slice(all, index)) : [];
	});
	/** Which pictures are lit at each stop. @type {Bytes | null} */
	#lit = null;
	#model;
	#set;

	/** @param {Model} model @param {AbortSignal} signal */
	constructor(model, signal) {
		this.#model = model;
		this.#set = updater(model, signal);
		this.draw = onFrame(() => this.#draw(), signal);
		this.light = onFrame(() => this.#light(), signal);
		this.#list.addEventListener("click", (event) => this.#pick(event), { signal });
		bindKeys(this.root, this.#list, {
			act: (event) => this.#key(event),
			set: (values) => this.#set(values),
			signal,
		});
	}

	#draw() {
		const model = this.#model;
		const title = model.get("title");
		this.#title.textContent = title;
		this.#title.hidden = !title;
		this.root.setAttribute("aria-label", title || "pictures");
		this.#list.setAttribute("aria-label", title || "pictures");
		fitWidth(this.root, model.get("width"));
		let problem = "";
		const before = this.#items.length;
		try {
			this.#fill(this.#decode(model.get("pictures")));
			if (this.#items.length === 0) problem = "No pictures yet.";
		} catch (error) {
			problem = `This view cannot be drawn: ${/** @type {Error} */ (error).message}.`;
		}
		this.#notice.textContent = problem;
		this.#notice.hidden = !problem;
		this.#list.hidden = Boolean(problem);
		this.choose();
		if (this.#items.length !== before) this.reveal();
	}

	/** @param {Bytes[]} pictures */
	#fill(pictures) {
		const model = this.#model;
		const count = pictures.length;
		const values = floats("values", model.get("values"), [count || null]);
		this.#lit = bytes("lit", model.get("lit"), [null, count || null]);
		const columns = model.get("columns");
		const heads = columns ? model.get("heads") : [];
		while (this.#items.length > count) this.#items.pop();
		while (this.#items.length < count) this.#items.push(createItem(`${this.#id}-${this.#items.length}`));
		this.#items.forEach((item, index) => {
			item.paint(pictures[index], {
				pixelated: model.get("interpolation") === "pixelated",
				size: model.get("size"),
			});
			item.describe({
				caption: model.get("captions")[index] ?? "",
				number: 1 + (columns ? index % columns : index),
				head: columns ? (heads[Math.floor(index / columns)] ?? "") : "",
				value: values ? values.data[index] : null,
				limits: model.get("value_limits"),
				marked: index === model.get("marked"),
			});
		});
		this.#arrange(columns, heads);
		this.#light();
	}

	/** Dims what is not lit at the stop. */
	#light() {
		const [stops, count] = this.#lit?.shape ?? [0, 0];
		const stop = this.#model.get("stop");
		const row = stop >= 0 && stop < stops ? this.#lit?.data.subarray(stop * count, (stop + 1) * count) : null;
		for (const [index, item] of this.#items.entries()) item.light(!row || row[index] > 0);
		const lit = row?.reduce((sum, value) => sum + (value > 0 ? 1 : 0), 0);
		if (row) this.#list.setAttribute("aria-description", `${lit} of ${count} lit`);
		else this.#list.removeAttribute("aria-description");
	}

	/** @param {number} columns @param {string[]} heads */
	#arrange(columns, heads) {
		const list = this.#list;
		list.classList.toggle("xw-strip", !columns);
		list.classList.toggle("xw-grid", columns > 0);
		list.classList.toggle("xw-headed", heads.length > 0);
		list.setAttribute("aria-orientation", columns ? "vertical" : "horizontal");
		list.style.setProperty("--xw-columns", String(columns));
		list.style.setProperty("--xw-size", `${this.#model.get("size")}px`);
		const nodes = this.#items.flatMap(({ node }, index) => {
			if (!heads.length || index % columns) return [node];
			// What a head says, the name of each picture of its row says too.
			const head = element("div", { class: "xw-gallery-head", "aria-hidden": "true" }, [
				heads[index / columns] ?? "",
			]);
			return [head, node];
		});
		// Only what has changed: a row that is scrolled stays where it is.
		const same =
			!heads.length &&
			nodes.length === list.children.length &&
			nodes.every((node, i) => node === list.children[i]);
		if (!same) list.replaceChildren(...nodes);
	}

	/** Marks the chosen picture: this runs at every step of a drag elsewhere. */
	choose() {
		const frame = this.#model.get("frame");
		const active = this.#items[Math.max(frame, 0)];
		for (const [index, item] of this.#items.entries()) item.select(index === frame, item === active);
		if (active) this.#list.setAttribute("aria-activedescendant", active.node.id);
		else this.#list.removeAttribute("aria-activedescendant");
	}

	/** Scrolls the row, and nothing else of the page, until the chosen picture is seen. */
	reveal() {
		const node = this.#items[this.#model.get("frame")]?.node;
		const list = this.#list;
		if (!node || this.#model.get("columns")) return;
		const { offsetLeft: left, offsetWidth: width } = node;
		const margin = width / 3;
		if (left - margin < list.scrollLeft) list.scrollLeft = left - margin;
		else if (left + width + margin > list.scrollLeft + list.clientWidth) {
			list.scrollLeft = left + width + margin - list.clientWidth;
		}
	}

	/** @param {MouseEvent} event */
	#pick(event) {
		const node = /** @type {Element} */ (event.target).closest("[role=option]");
		const frame = this.#items.findIndex((item) => item.node === node);
		if (frame >= 0) this.#set({ frame });
	}

	/** @param {KeyboardEvent} event @returns {{frame: number} | null} */
	#key({ key }) {
		const last = this.#items.length - 1;
		const row = this.#model.get("columns") || 1;
		if (last < 0) return null;
		if (key === "Escape") return { frame: -1 };
		if (key === "Home") return { frame: 0 };
		if (key === "End") return { frame: last };
		const by = /** @type {Record<string, number>} */ ({
			ArrowRight: 1,
			ArrowLeft: -1,
			ArrowDown: row,
			ArrowUp: -row,
		})[key];
		if (!by) return null;
		const frame = this.#model.get("frame");
		// The first key chooses where there is no choice yet.
		if (frame < 0) return { frame: 0 };
		const next = frame + by;
		return { frame: next < 0 || next > last ? Math.min(frame, last) : next };
	}
}

/**
 * One picture with what stands under it.
 *
 * @param {string} id
 */
function createItem(id) {
	const canvas = element("canvas", { "aria-hidden": "true" });
	const veil = element("div", { class: "xw-veil", "aria-hidden": "true" });
	const star = element("div", { class: "xw-star", "aria-hidden": "true", hidden: true }, ["★"]);
	const fill = element("div");
	const bar = element("div", { class: "xw-value", hidden: true }, [fill]);
	const text = element("div", { class: "xw-caption" });
	const node = element("div", { id, class: "xw-item", role: "option" }, [canvas, veil, star, bar, text]);
	let words = "";
	let lit = true;
	const name = () => node.setAttribute("aria-label", [words, lit ? "" : "dimmed"].filter(Boolean).join(", "));
	const draw = cached(
		(/** @type {Uint8Array} */ data, /** @type {number} */ width, /** @type {number} */ height) => {
			canvas.width = width;
			canvas.height = height;
			const pixels = new ImageData(width, height);
			new Uint32Array(pixels.data.buffer).set(pack(data));
			canvas.getContext("2d")?.putImageData(pixels, 0, 0);
		},
	);
	return {
		node,
		/** @param {Bytes} picture @param {{pixelated: boolean, size: number}} look */
		paint({ shape: [height, width], data }, { pixelated, size }) {
			draw(data, width, height);
			// Made smaller, a picture without smoothing loses lines.
			const enlarged = width <= size * window.devicePixelRatio;
			canvas.style.imageRendering = pixelated && enlarged ? "pixelated" : "auto";
		},
		/**
		 * @param {{
		 *   caption: string, number: number, head: string, value: number | null, limits: number[], marked: boolean
		 * }} told
		 */
		describe({ caption, number: place, head, value, limits, marked }) {
			text.textContent = caption;
			text.hidden = !caption;
			star.hidden = !marked;
			bar.hidden = value === null;
			const number = value === null || Number.isNaN(value) ? "" : readable(value, limits[1] - limits[0]);
			bar.title = number;
			fill.style.transform = barOf(value ?? Number.NaN, limits);
			const called = caption || `picture ${place}`;
			words = [head, called, number, marked ? "marked" : ""].filter(Boolean).join(", ");
			name();
		},
		/** @param {boolean} on */
		light(on) {
			if (on === lit) return;
			lit = on;
			node.classList.toggle("xw-dim", !lit);
			name();
		},
		/** @param {boolean} selected @param {boolean} active */
		select(selected, active) {
			node.setAttribute("aria-selected", String(selected));
			node.classList.toggle("xw-active", active);
		},
	};
}

/** Where the bar of a value lies. @param {number} value @param {number[]} limits @returns {string} a CSS transform */
function barOf(value, [low, high]) {
	if (Number.isNaN(value)) return "scaleX(0)";
	/** @param {number} number */
	const place = (number) => Math.min(Math.max((number - low) / (high - low), 0), 1);
	const [start, end] = [place(0), place(value)].sort((a, b) => a - b);
	return `translateX(${100 * start}%) scaleX(${end - start})`;
}

/** @param {{model: Model, el: HTMLElement}} context @returns {() => void} */
function render({ model, el }) {
	const controller = new AbortController();
	const { signal } = controller;
	const view = new View(model, signal);
	el.append(view.root);
	const looks = ["title", "width", "size", "interpolation"];
	const traits = [
		"pictures",
		"captions",
		"columns",
		"heads",
		"marked",
		"values",
		"value_limits",
		"lit",
		...looks,
	];
	observe(model, traits, view.draw, signal);
	observe(model, ["stop"], view.light, signal);
	observe(
		model,
		["frame"],
		() => {
			view.choose();
			view.reveal();
		},
		signal,
	);
	view.draw();
	return () => {
		controller.abort();
		view.root.remove();
	};
}

export default widget(render);
