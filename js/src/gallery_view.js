import "./gallery_view.css";
import { slice } from "./lib/arrays.js";
import { cached } from "./lib/cached.js";
import { element } from "./lib/dom.js";
import { view } from "./lib/figure.js";
import { readable } from "./lib/format.js";
import { bytes, floats, pack } from "./lib/image.js";
import { draggedOrAsked, keptUnlessAnswered } from "./lib/kernel.js";
import { ascending, clamp } from "./lib/numbers.js";
import { lookOf } from "./lib/palette.js";
import { observe, onFrame } from "./lib/state.js";
import { swatch } from "./lib/swatch.js";
import { listenToViewport } from "./lib/viewport.js";

/**
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {import("./lib/image.js").Message} Message
 * @typedef {import("./lib/image.js").Bytes} Bytes
 */

let galleries = 0;
const NO_KERNEL = "needs a running kernel";
/** An exported page has no kernel. @type {{xaiWidgetsPage?: boolean}} */
const page = /** @type {any} */ (globalThis);

export default view("xw-figure xw-gallery-view", (figure) => {
	const { model, root, signal } = figure;
	const chooseFrame = draggedOrAsked(figure, "frame");
	const setOff = keptUnlessAnswered(figure, "off");
	const id = `xw-gallery-${++galleries}-${Math.random().toString(36).slice(2, 8)}`;
	const list = element("div", { class: "xw-gallery", role: "listbox", tabindex: 0 });
	/** @type {ReturnType<typeof createItem>[]} */
	const items = [];
	/** Each image on its own; the very same as long as the message is. */
	const decode = cached((/** @type {Message} */ message) => {
		const all = bytes("images", message, [null, null, null, 3]);
		return all ? Array.from({ length: all.shape[0] }, (_, index) => slice(all, index)) : [];
	});
	/** The switches of the rows, if there are any. @type {HTMLElement[]} */
	let switches = [];
	/** The active images of each step. @type {Bytes | null} */
	let active = null;

	/** @param {Bytes[]} all */
	function fill(all) {
		const pages = Math.max(1, model.get("pages") ?? 1);
		const count = Math.floor(all.length / pages);
		const first = pages > 1 ? count * clamp(model.get("step"), 0, pages - 1) : 0;
		const images = all.slice(first, first + count);
		const values = floats("values", model.get("values"), [count || null]);
		active = bytes("active", model.get("active"), [null, count || null]);
		const present = bytes("present", model.get("present"), [count || null])?.data;
		const columns = model.get("columns");
		const heads = columns ? model.get("row_labels") : [];
		while (items.length > count) items.pop();
		while (items.length < count) items.push(createItem(`${id}-${items.length}`));
		items.forEach((item, index) => {
			item.paint(images[index], {
				pixelated: model.get("interpolation") === "pixelated",
				size: model.get("size"),
			});
			item.describe({
				caption: model.get("labels")[first + index] ?? "",
				number: 1 + (columns ? index % columns : index),
				head: columns ? (heads[Math.floor(index / columns)] ?? "") : "",
				value: values ? values.data[index] : null,
				limits: model.get("value_limits"),
				marked: index === model.get("marked"),
				exists: !present || present[index] > 0,
				look: model.get("looks")?.[index] ?? -1,
			});
		});
		arrange(columns, heads);
		light();
	}

	/** Dims what is not lit at the stop. */
	function light() {
		const [stops, count] = active?.shape ?? [0, 0];
		const stop = model.get("step");
		const row = stop >= 0 && stop < stops ? active?.data.subarray(stop * count, (stop + 1) * count) : null;
		for (const [index, item] of items.entries()) item.light(!row || row[index] > 0);
		const shining = row?.reduce((sum, value) => sum + (value > 0 ? 1 : 0), 0);
		if (row) list.setAttribute("aria-description", `${shining} of ${count} active`);
		else list.removeAttribute("aria-description");
	}

	/** @param {number} columns @param {string[]} heads */
	function arrange(columns, heads) {
		root.classList.toggle("xw-compact", model.get("compact") && !columns);
		list.classList.toggle("xw-strip", !columns);
		list.classList.toggle("xw-grid", columns > 0);
		list.classList.toggle("xw-headed", heads.length > 0);
		list.setAttribute("aria-orientation", columns ? "vertical" : "horizontal");
		list.style.setProperty("--xw-columns", String(columns));
		list.style.setProperty("--xw-size", `${model.get("size")}px`);
		const nodes = items.flatMap(({ node }, index) => {
			if (!heads.length || index % columns) return [node];
			// The name of each image of the row contains this label.
			const text = heads[index / columns] ?? "";
			if (model.get("switches")) return [createSwitch(index / columns, text), node];
			return [element("div", { class: "xw-gallery-head", "aria-hidden": "true" }, [text]), node];
		});
		// Only what has changed: a row that is scrolled stays where it is.
		const same =
			!heads.length &&
			nodes.length === list.children.length &&
			nodes.every((node, i) => node === list.children[i]);
		if (same) return;
		const reached = switches.indexOf(/** @type {HTMLElement} */ (document.activeElement));
		list.replaceChildren(...nodes);
		switches = /** @type {HTMLElement[]} */ (nodes.filter((node) => node.matches(".xw-switch")));
		switches[reached]?.focus();
		switchRows();
	}

	/** The name of a row as a button that switches it off and on. @param {number} row @param {string} text */
	function createSwitch(row, text) {
		const node = element("button", { type: "button", class: "xw-gallery-head xw-switch", role: "option" }, [
			element("span", {}, [text]),
		]);
		node.addEventListener("click", (event) => {
			event.stopPropagation();
			if (node.getAttribute("aria-disabled") === "true") return;
			const off = model.get("off");
			setOff(
				off.includes(row)
					? off.filter((/** @type {number} */ one) => one !== row)
					: [...off, row].sort(ascending),
			);
		});
		// The keys of the gallery choose images.
		node.addEventListener("keydown", (event) => {
			if (event.key === " " || event.key === "Enter") event.stopPropagation();
		});
		return node;
	}

	/** Shows which rows are switched off. */
	function switchRows() {
		const off = new Set(model.get("switches") ? model.get("off") : []);
		const columns = model.get("columns") || 1;
		const disabled = Boolean(page.xaiWidgetsPage && model.get("_needs_kernel"));
		for (const [row, node] of switches.entries()) {
			const action = off.has(row) ? "Switch on" : "Switch off";
			node.setAttribute("aria-checked", String(!off.has(row)));
			node.setAttribute("aria-selected", "false");
			node.setAttribute("aria-disabled", String(disabled));
			node.title = `${action}: ${node.textContent}${disabled ? ` (${NO_KERNEL})` : ""}`;
		}
		for (const [index, item] of items.entries()) {
			item.node.classList.toggle("xw-off", off.has(Math.floor(index / columns)));
		}
	}

	/** Marks the chosen image: this runs at every step of a drag elsewhere. */
	function choose() {
		const frame = model.get("frame");
		const active = items[Math.max(frame, 0)];
		for (const [index, item] of items.entries()) item.select(index === frame, item === active);
		if (active) list.setAttribute("aria-activedescendant", active.node.id);
		else list.removeAttribute("aria-activedescendant");
	}

	/** Scrolls the row, and nothing else of the page, until the chosen image is seen. */
	function reveal() {
		const node = items[model.get("frame")]?.node;
		if (!node || model.get("columns")) return;
		const { offsetLeft: left, offsetWidth: width } = node;
		const margin = width / 3;
		if (left - margin < list.scrollLeft) list.scrollLeft = left - margin;
		else if (left + width + margin > list.scrollLeft + list.clientWidth) {
			list.scrollLeft = left + width + margin - list.clientWidth;
		}
	}

	/** @param {MouseEvent} event */
	function pick(event) {
		const node = /** @type {Element} */ (event.target).closest("[role=option]");
		const frame = items.findIndex((item) => item.node === node);
		if (items[frame]?.exists()) chooseFrame(frame);
	}

	/** @param {KeyboardEvent} event @returns {{frame?: number} | null} */
	function onKey(event) {
		const values = frameByKey(event);
		if (!values || !model.get("_needs_kernel")) return values;
		chooseFrame(values.frame);
		return {};
	}

	/** @param {KeyboardEvent} event @returns {{frame: number} | null} */
	function frameByKey({ key }) {
		const last = items.length - 1;
		const row = model.get("columns") || 1;
		if (last < 0) return null;
		if (key === "Escape") return { frame: -1 };
		const exists = items.map((item) => item.exists());
		if (key === "Home") return { frame: exists.indexOf(true) };
		if (key === "End") return { frame: exists.lastIndexOf(true) };
		const by = /** @type {Record<string, number>} */ ({
			ArrowRight: 1,
			ArrowLeft: -1,
			ArrowDown: row,
			ArrowUp: -row,
		})[key];
		if (!by) return null;
		const frame = model.get("frame");
		// The first key chooses where there is no choice yet.
		if (frame < 0) return { frame: exists.indexOf(true) };
		let next = frame + by;
		while (exists[next] === false) next += by;
		return { frame: next < 0 || next > last ? Math.min(frame, last) : next };
	}

	const zoom = listenToViewport(list, figure, {
		frameAt: ({ target }) => /** @type {Element} */ (target).closest(".xw-gallery-frame"),
	});
	const area = element("div", { class: "xw-zoomable" }, [list, zoom]);
	list.addEventListener("click", pick, { signal });
	const step = () => {
		if ((model.get("pages") ?? 1) > 1) fill(decode(model.get("images")));
		else light();
	};
	observe(model, ["step"], onFrame(step, signal), signal);
	observe(model, ["off"], switchRows, signal);
	observe(
		model,
		["frame"],
		() => {
			choose();
			reveal();
		},
		signal,
	);
	return {
		content: [area],
		drawing: [area],
		label: "images",
		stage: list,
		traits: [
			...["images", "labels", "columns", "row_labels", "marked", "values", "value_limits", "active"],
			...["looks", "present", "compact", "size", "interpolation", "switches", "pages", "empty"],
		],
		refresh() {
			const before = items.length;
			fill(decode(model.get("images")));
			choose();
			if (items.length !== before) reveal();
			return items.length ? "" : model.get("empty") || "No images yet.";
		},
		onKey,
	};
});

/**
 * An image with its label and its bar.
 *
 * @param {string} id
 */
function createItem(id) {
	const canvas = element("canvas", { "aria-hidden": "true" });
	const veil = element("div", { class: "xw-veil", "aria-hidden": "true" });
	const star = element("div", { class: "xw-star", "aria-hidden": "true", hidden: true }, ["★"]);
	const fill = element("div");
	const bar = element("div", { class: "xw-value", hidden: true }, [fill]);
	const sample = swatch();
	const label = element("span");
	const text = element("div", { class: "xw-caption" }, [sample.element, label]);
	const frame = element("div", { class: "xw-gallery-frame" }, [canvas]);
	const node = element("div", { id, class: "xw-item", role: "option" }, [frame, veil, star, bar, text]);
	let words = "";
	let [lit, present] = [true, true];
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
		/** @param {Bytes} image @param {{pixelated: boolean, size: number}} look */
		paint({ shape: [height, width], data }, { pixelated, size }) {
			draw(data, width, height);
			// Made smaller, a image without smoothing loses lines.
			const enlarged = width <= size * window.devicePixelRatio;
			canvas.style.imageRendering = pixelated && enlarged ? "pixelated" : "auto";
		},
		/**
		 * @param {{
		 *   caption: string, number: number, head: string, value: number | null, limits: number[], marked: boolean,
		 *   exists: boolean, look: number
		 * }} description
		 */
		describe({ caption, number: index, head, value, limits, marked, exists, look }) {
			present = exists;
			node.classList.toggle("xw-missing", !exists);
			node.setAttribute("aria-hidden", String(!exists));
			label.textContent = caption;
			sample.element.toggleAttribute("hidden", look < 0);
			if (look >= 0) sample.draw({ ...lookOf(look), active: true, dashed: false, computed: 1 });
			text.hidden = !caption;
			star.hidden = !marked;
			bar.hidden = value === null;
			const number = value === null || Number.isNaN(value) ? "" : readable(value, limits[1] - limits[0]);
			bar.title = number;
			fill.style.transform = barOf(value ?? Number.NaN, limits);
			const called = caption || `image ${index}`;
			words = [head, called, number, marked ? "marked" : ""].filter(Boolean).join(", ");
			node.title = called;
			name();
		},
		exists: () => present,
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
	const share = (number) => clamp((number - low) / (high - low));
	const [start, end] = [share(0), share(value)].sort(ascending);
	return `translateX(${100 * start}%) scaleX(${end - start})`;
}
