import { widget } from "./lib/widget.js";
import "./similarity_view.css";
import { slice } from "./lib/arrays.js";
import { cached } from "./lib/cached.js";
import { colorTable } from "./lib/colormaps.js";
import { element } from "./lib/dom.js";
import { hoverer } from "./lib/hoverer.js";
import { pack, packGray } from "./lib/image.js";
import { bindKeys } from "./lib/keys.js";
import { createCells, PINS, placeField, placeMark, setText } from "./lib/similarity_cells.js";
import { largest, paintComponents, paintOverlay, rgbOf } from "./lib/similarity_colors.js";
import { onKey, pinned } from "./lib/similarity_keys.js";
import { createSimilarity } from "./lib/similarity_state.js";
import {
	componentColors,
	createChips,
	createReadout,
	createScale,
	createTools,
	KEYS,
	shown,
} from "./lib/similarity_tools.js";
import { fitWidth } from "./lib/stage.js";
import { observe, onFrame } from "./lib/state.js";

/**
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {import("./lib/similarity_cells.js").Box} Box
 * @typedef {import("./lib/similarity_state.js").Place} Place
 * @typedef {import("./lib/similarity_math.js").Space} Space
 */

/** What the boxes, their pictures and the controls depend on; the rest is drawn at every hover. */
const STILL = [
	...["images", "names", "layers", "activations", "scales", "norms", "sigmas", "transforms", "gray"],
	...["components", "component_layer", "component_colors", "component_opacity", "hidden"],
	...["columns", "size", "controls", "width", "title"],
];
const MOVING = [
	...["frame", "layer", "position", "pins", "marked", "fields", "scope", "kind", "errors"],
	...["colormap", "opacity", "threshold", "fade", "interpolation"],
];

class View {
	#title = element("span", { class: "xw-title" });
	#notice = element("div", { class: "xw-notice", hidden: true });
	#scale = createScale();
	#table = cached(colorTable);
	#signed = cached((/** @type {Space[]} */ spaces) =>
		spaces.some(({ codes }) => codes.some((/** @type {number} */ code) => code < 0)),
	);
	#model;
	#set;
	#similarity;
	#cells;
	#readout;
	#tools;
	#chips;

	/** @param {Model} model @param {AbortSignal} signal */
	constructor(model, signal) {
		this.#model = model;
		this.#set = hoverer(model, signal);
		this.#similarity = createSimilarity(model);
		this.#readout = createReadout(signal);
		this.#tools = createTools(model, this.#set, signal);
		this.#chips = createChips(model, this.#set, signal);
		this.#cells = createCells({
			attributes: {
				role: "application",
				"aria-roledescription": "similarity of places",
				"aria-description": KEYS.map(([key, what]) => `${key}: ${what}`).join("; "),
			},
			hover: (box, position) => this.#hover(box, position),
			pin: () => this.#pin(),
			signal,
		});
		this.root = element("div", { class: "xw xw-figure xw-similarity-view", role: "group" }, [
			element("div", { class: "xw-head" }, [this.#title]),
			this.#notice,
			this.#cells.node,
			this.#readout.node,
			this.#scale.node,
			this.#chips.node,
			this.#tools,
		]);
		bindKeys(this.root, this.#cells.node, {
			act: (event) => (this.#notice.hidden ? onKey(event, model, this.#similarity) : null),
			set: (values) => this.#set(values),
			signal,
		});
		this.refresh = onFrame(() => this.#refresh(), signal);
		this.draw = onFrame(() => this.#draw(), signal);
	}

	/** What was hovered stays when the pointer leaves: the hand goes on to a control or a chart. */
	#hover(/** @type {Box} */ { picture, layer }, /** @type {number[]} */ position) {
		this.#set({ frame: picture, marked: picture, layer, position });
	}

	#pin() {
		const values = pinned(this.#model, this.#similarity);
		if (values) this.#set(values);
	}

	/** @param {() => void} act  words take the place of the pictures where it fails */
	#guarded(act) {
		let problem = "";
		try {
			act();
		} catch (error) {
			problem = `This view cannot be drawn: ${/** @type {Error} */ (error).message}.`;
		}
		const empty = !problem && this.#cells.boxes().length === 0;
		if (!problem && !empty && this.#notice.hidden) return;
		this.#notice.textContent = empty ? "No pictures and no activations yet." : problem;
		this.#notice.classList.toggle("xw-error", Boolean(problem));
		if (problem) this.#notice.setAttribute("role", "alert");
		else this.#notice.removeAttribute("role");
		this.#notice.hidden = !problem && !empty;
		for (const node of [this.#cells.node, this.#readout.node, this.#scale.node]) {
			node.hidden = !this.#notice.hidden;
		}
	}

	#refresh() {
		const model = this.#model;
		const title = model.get("title");
		this.#title.textContent = title;
		this.#title.hidden = !title;
		for (const node of [this.root, this.#cells.node]) {
			node.setAttribute("aria-label", title || "Similarity of places");
		}
		fitWidth(this.root, model.get("width"));
		this.#tools.hidden = !model.get("controls");
		this.#guarded(() => {
			this.#similarity.check();
			this.#layOut();
			this.#show();
		});
	}

	#layOut() {
		const model = this.#model;
		const { images, spaces, pictures, components } = this.#similarity;
		const layers = spaces().map((_, index) => model.get("layers")[index] || `layer ${index + 1}`);
		this.#cells.arrange(pictures(), layers.length, {
			columns: model.get("columns"),
			size: model.get("size"),
			heads: layers,
		});
		const all = images();
		const words = model.get("gray") ? packGray : pack;
		const made = components();
		const count = made?.shape[3] ?? 0;
		const hidden = model.get("hidden");
		const colors = componentColors(model, count).map((color, part) =>
			hidden.includes(part) ? null : rgbOf(color),
		);
		for (const box of this.#cells.boxes()) {
			const { rows, columns } = spaces()[box.layer];
			const [height, width] = all ? all.shape.slice(1) : [rows, columns];
			box.stage.style.aspectRatio = `${width} / ${height}`;
			box.base.resize(width, height);
			if (all) box.base.words.set(words(slice(all, box.picture).data));
			box.base.flush();
			box.name.textContent =
				pictures() > 1 || layers.length === 1 ? this.#nameOf(box.picture) : layers[box.layer];
			const drawn = made && box.layer === model.get("component_layer");
			box.components.canvas.hidden = !drawn;
			box.components.canvas.style.opacity = model.get("component_opacity");
			if (drawn) paintComponents(box.components, slice(made, box.picture), colors);
		}
		this.#chips.show(count);
	}

	/** @param {number} picture @returns {string} */
	#nameOf(picture) {
		return this.#model.get("names")[picture] || `picture ${picture + 1}`;
	}

	#draw() {
		if (this.#cells.boxes().length) this.#guarded(() => this.#show());
	}

	/** Overlays, marks, values: what a hover changes. */
	#show() {
		const similarity = this.#similarity;
		const spaces = similarity.spaces();
		const places = similarity.places();
		const overlays = similarity.overlays(places);
		const look = this.#look(overlays, places.length > 1);
		const hovered = similarity.hovered();
		const pins = similarity.pins();
		const profile = new Float32Array(spaces.length * similarity.pictures()).fill(Number.NaN);
		for (const box of this.#cells.boxes()) {
			const space = spaces[box.layer];
			const size = space.rows * space.columns;
			const values = overlays[box.layer]?.subarray(box.picture * size, (box.picture + 1) * size) ?? null;
			paintBox(box, space, overlays[box.layer], values, { ...look, limit: look.limits[box.layer] });
			const at = hovered ?? places[0];
			const cell = at ? similarity.follow(at, box.picture, space) : null;
			const fields = box.picture === hovered?.frame ? this.#model.get("fields")[box.layer] : [];
			for (const [index, node] of box.fields.entries()) placeField(node, fields?.[index], cell, space);
			markBox(box, space, hovered && cell, hovered, (index) => {
				const pin = pins[index];
				const own = pin?.frame === box.picture && pin.layer === box.layer;
				return own ? similarity.cellOf(pin) : null;
			});
			box.node.classList.toggle("xw-marked", box.picture === this.#model.get("marked"));
			const value = cell && values ? values[cell.row * space.columns + cell.column] : Number.NaN;
			profile[box.layer * similarity.pictures() + box.picture] = value;
			setText(box.value, at ? shown(value) : "");
		}
		const several = look.limits.some((limit) => limit !== look.limits[0]);
		this.#scale.show(look.table, look.sign === "both", several ? "largest" : shown(look.limits[0] ?? 1));
		this.#read(places);
		this.#tell(profile, spaces.length);
	}

	/** How values become colours. @param {(Float32Array | null)[]} overlays @param {boolean} compared */
	#look(overlays, compared) {
		const model = this.#model;
		const kind = model.get("kind");
		const signed = compared || (kind !== "euclidean" && this.#signed(this.#similarity.spaces()));
		/** @type {import("./lib/colormaps.js").Sign} */
		const sign = signed ? "both" : "positive";
		const name = model.get("colormap");
		return {
			sign,
			table: this.#table(name === "auto" ? "blue_orange" : name, sign, model.get("fade")),
			limits: overlays.map((values) => (kind === "dot" && values ? largest(values) : 1)),
			threshold: model.get("threshold"),
			opacity: model.get("opacity"),
			smooth: model.get("interpolation") === "smooth",
		};
	}

	/** @param {Place[]} places */
	#read(places) {
		const model = this.#model;
		const { hovered, cellOf, between } = this.#similarity;
		const place = hovered();
		const cell = place && cellOf(place);
		const [a, b] = places;
		const pins = this.#similarity.pins();
		/** @param {Place} pin @param {Place} to */
		const number = (pin, to) => shown(between(pin, to));
		let value = "";
		if (place && pins.length === 1) value = number(a, place);
		if (place && pins.length === 2) {
			value = `${number(a, place)} − ${number(b, place)} = ${shown(between(a, place) - between(b, place))}`;
		}
		const error = model.get("kind") === "cosine" ? model.get("errors")[place?.layer ?? 0] : 0;
		const notes = pins.map((pin, index) => `${PINS[index]}: ${this.#where(pin)}`);
		if (pins.length === 2) notes.push(`A and B: ${number(a, b)}`);
		if (error > 0) notes.push(`±\u00a0${shown(error)} at most`);
		this.#readout.show(place && cell ? this.#where(place) : "", value, notes.join(" · "));
	}

	/** @param {Place} place */
	#where(place) {
		const model = this.#model;
		const cell = this.#similarity.cellOf(place);
		const layer = this.#similarity.spaces().length > 1 ? (model.get("layers")[place.layer] ?? "") : "";
		return [this.#nameOf(place.frame), layer, `row ${cell?.row}, col ${cell?.column}`]
			.filter(Boolean)
			.join(", ");
	}

	/** Sets the trait `profile`, if it is another. @param {Float32Array} values @param {number} layers */
	#tell(values, layers) {
		const before = this.#model.get("profile");
		const bytes = new DataView(values.buffer);
		if (before?.data.byteLength === bytes.byteLength) {
			let same = true;
			for (let i = 0; i < bytes.byteLength && same; i++) same = bytes.getUint8(i) === before.data.getUint8(i);
			if (same) return;
		}
		this.#set({ profile: { dtype: "float32", shape: [layers, values.length / layers], data: bytes } });
	}
}

/**
 * @param {Box} box
 * @param {Space} space
 * @param {Float32Array | null} whole  the values of the column: the very same array as long as nothing changes
 * @param {Float32Array | null} values  those of the picture
 * @param {{
 *   limit: number, sign: import("./lib/colormaps.js").Sign, table: Uint32Array,
 *   threshold: number, opacity: number, smooth: boolean,
 * }} look
 */
function paintBox(box, space, whole, values, { limit, sign, table, threshold, opacity, smooth }) {
	const { canvas } = box.overlay;
	canvas.hidden = !values;
	canvas.style.opacity = String(opacity);
	canvas.style.imageRendering = smooth ? "auto" : "pixelated";
	const from = [whole, limit, table, threshold, smooth];
	if (!values || from.every((value, index) => value === box.painted[index])) return;
	box.painted = from;
	const map = { shape: [space.rows, space.columns], data: values };
	paintOverlay(box.overlay, map, { limit, sign, table, threshold, smooth });
}

/**
 * @param {Box} box
 * @param {Space} space
 * @param {import("./lib/similarity_math.js").Cell | null} cell  what corresponds to the hovered place
 * @param {Place | null} hovered
 * @param {(index: number) => import("./lib/similarity_math.js").Cell | null} pinAt
 */
function markBox(box, space, cell, hovered, pinAt) {
	placeMark(box.mark, cell, space);
	const here = hovered?.frame === box.picture && hovered.layer === box.layer;
	box.mark.classList.toggle("xw-here", here);
	for (const [index, node] of box.pins.entries()) placeMark(node, pinAt(index), space);
}

/** @param {{model: Model, el: HTMLElement}} context @returns {() => void} */
function render({ model, el }) {
	const controller = new AbortController();
	const { signal } = controller;
	const view = new View(model, signal);
	observe(model, STILL, view.refresh, signal);
	observe(model, MOVING, view.draw, signal);
	view.refresh();
	el.append(view.root);
	return () => {
		controller.abort();
		view.root.remove();
	};
}

export default widget(render);
