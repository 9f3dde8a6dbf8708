import "./similarity_view.css";
import { slice } from "./lib/arrays.js";
import { cached, remembered } from "./lib/cached.js";
import { createScale } from "./lib/color_tools.js";
import { colorTable, SEQUENTIAL_NAMES } from "./lib/colormaps.js";
import { element, setText } from "./lib/dom.js";
import { view } from "./lib/figure.js";
import { pack, packGray } from "./lib/image.js";
import { whenAtRest } from "./lib/later.js";
import { setStyle } from "./lib/set_style.js";
import { createCells, PINS, placeField, placeMark } from "./lib/similarity_cells.js";
import { largest, paintColors, paintComponents, paintOverlay, rgbOf } from "./lib/similarity_colors.js";
import { onKey, pinned } from "./lib/similarity_keys.js";
import { fitCells } from "./lib/similarity_layout.js";
import { extremes, rescaled } from "./lib/similarity_math.js";
import { createSimilarity } from "./lib/similarity_state.js";
import {
	componentColors,
	createChips,
	createHint,
	createLegend,
	createReadout,
	createTools,
	KEYS,
	shown,
} from "./lib/similarity_tools.js";
import { hoverer, observe, onFrame } from "./lib/state.js";
import { imagePosition, listenToViewport, viewportOf } from "./lib/viewport.js";

/**
 * @typedef {import("./lib/similarity_cells.js").Box} Box
 * @typedef {import("./lib/similarity_state.js").Location} Location
 * @typedef {import("./lib/similarity_math.js").Space} Space
 */

/** The traits that `refresh` depends on; a hover draws less. */
const TRAITS = [
	...["images", "labels", "layer_labels", "activations", "scales", "norms", "sigmas", "transforms", "gray"],
	...["tokens", "token_scales", "token_norms", "token_names"],
	...["components", "component_layer", "component_colors", "component_opacity", "hidden"],
	...["component_names", "component_mode"],
	...["columns", "size", "height"],
];
/** The height of the images in CSS px that is theirs in a narrow view; in a wide one it is half of the width. */
const HEIGHT = 420;
const HOVER_TRAITS = [
	...["frame", "layer", "position", "source", "pins", "marked", "fields", "scope", "kind", "errors"],
	...["colormap", "color_range", "opacity", "threshold", "fade", "interpolation"],
];

/** @param {import("./lib/figure.js").Figure} figure @returns {import("./lib/figure.js").Parts} */
function build(figure) {
	const { model, set, signal } = figure;
	const scale = createScale();
	const table = cached(colorTable);
	const rescale = remembered(rescaled);
	const anySigned = cached((/** @type {Space[]} */ spaces) =>
		spaces.some(({ codes }) => codes.some((/** @type {number} */ code) => code < 0)),
	);
	/** Whether no error is shown. */
	const fine = () => !figure.failed() && figure.message.hidden;
	const similarity = createSimilarity(model);
	const readout = createReadout(figure);
	const chips = createChips(figure);
	const cells = createCells({
		attributes: { role: "application", "aria-roledescription": "similarity of positions" },
		at: (event, stage) => imagePosition(event, stage, viewportOf(model)),
		// The hovered position stays when the pointer leaves: it goes on to a control or a chart.
		hover: ({ frame, layer }, position) => set({ frame: frame, marked: frame, layer, position }),
		pin() {
			const values = pinned(model, similarity);
			if (values) set(values);
		},
		entered: () => fine() && draw(),
		signal,
	});
	const atRest = whenAtRest(signal);
	const zoom = listenToViewport(cells.node, figure, { frameAt: cells.stageAt, resets: false });
	const hint = createHint(cells.node, signal);
	const legend = createLegend();
	const area = element("div", { class: "xw-patch-area xw-zoomable" }, [cells.node, zoom, hint.node]);
	const footer = element("div", { class: "xw-foot" }, [legend.node, scale.node]);
	const draw = onFrame(() => cells.boxes().length && figure.guard(show), signal);
	observe(model, HOVER_TRAITS, draw, signal);
	let width = 0;
	const sizes = new ResizeObserver(() => {
		const now = figure.root.clientWidth;
		if (now === width || !now) return;
		width = now;
		if (cells.boxes().length && fine()) figure.guard(arrange);
	});
	sizes.observe(figure.root);
	signal.addEventListener("abort", () => sizes.disconnect());

	/** The names of the columns, also of those without activations yet. */
	function heads() {
		const labels = /** @type {string[]} */ (model.get("layer_labels"));
		const count = Math.max(similarity.spaces().length, similarity.images() ? labels.length : 0);
		return Array.from({ length: count }, (_, index) => labels[index] || `layer ${index + 1}`);
	}

	function arrange() {
		const layers = heads();
		const frames = similarity.frameCount();
		const shape = similarity.images()?.shape.slice(1);
		const room = (figure.root.clientWidth || 600) - 8;
		const height = model.get("height") || Math.max(HEIGHT, Math.round(room / 2));
		const space = similarity.spaces()[0];
		const [rows, columns] = shape ?? [space?.rows ?? 1, space?.columns ?? 1];
		const fitted = fitCells({
			frames,
			layers: layers.length,
			ratio: rows / columns,
			width: room,
			height,
			size: model.get("size"),
			columns: model.get("columns"),
		});
		cells.node.style.maxHeight = `${height}px`;
		cells.arrange(frames, layers.length, layers, fitted);
	}

	function layOut() {
		const { images, spaces, frameCount, components } = similarity;
		const layers = heads();
		if (layers.length && frameCount()) arrange();
		const all = images();
		const words = model.get("gray") ? packGray : pack;
		const made = components();
		const count = made?.shape[3] ?? 0;
		const hidden = model.get("hidden");
		const colors = componentColors(model, count).map((color, part) =>
			hidden.includes(part) ? null : rgbOf(color),
		);
		for (const box of cells.boxes()) {
			const space = spaces()[box.layer];
			const [height, wide] = all ? all.shape.slice(1) : [space.rows, space.columns];
			box.stage.style.aspectRatio = `${wide} / ${height}`;
			box.stage.style.setProperty("--xw-ratio", String(height / wide));
			const from = [all, words, wide, height];
			if (differ(from, box.based)) {
				box.based = from;
				box.base.resize(wide, height);
				box.base.canvas.hidden = !all;
				if (all) {
					box.base.words.set(words(slice(all, box.frame).data));
					box.base.flush();
				}
			}
			box.name.textContent = frameCount() > 1 || layers.length === 1 ? nameOf(box.frame) : layers[box.layer];
			const drawn = made && box.layer === model.get("component_layer");
			box.components.canvas.hidden = !drawn;
			box.components.canvas.style.opacity = model.get("component_opacity");
			if (!drawn) continue;
			// Colors that cover an image lie above the similarities.
			const covers = model.get("component_mode") === "rgb";
			box.components.canvas.style.zIndex = covers ? "1" : "";
			if (covers) paintColors(box.components, slice(made, box.frame));
			else paintComponents(box.components, slice(made, box.frame), colors);
		}
		chips.show(count);
	}

	/** @param {number} frame @returns {string} */
	function nameOf(frame) {
		return model.get("labels")[frame] || `image ${frame + 1}`;
	}

	/** Overlays, marks, values: what a hover changes. */
	function show() {
		const spaces = similarity.spaces();
		const locations = similarity.locations();
		const overlays = similarity.overlays(locations);
		const look = lookOf(overlays, locations.length > 1);
		const hovered = similarity.hovered();
		const pins = similarity.pins();
		const profile = new Float32Array(spaces.length * similarity.frameCount()).fill(Number.NaN);
		const at = hovered ?? locations.find(({ token }) => !token);
		const fields = /** @type {number[][][]} */ (model.get("fields"));
		/** @param {Box} box */
		const showBox = (box) => {
			const space = spaces[box.layer];
			if (!space) {
				clearBox(box);
				return;
			}
			const drawn = look.overlays[box.layer];
			paintBox(box, space, drawn, partOf(drawn, box, space), { ...look, limit: look.limits[box.layer] });
			const cell = at ? similarity.follow(at, box.frame, space) : null;
			const seen = box.frame === hovered?.frame ? fields[box.layer] : [];
			for (const [index, node] of box.fields.entries()) placeField(node, seen?.[index], cell, space);
			markBox(box, space, hovered && cell, hovered, (index) => {
				const pin = pins[index];
				const own = pin?.frame === box.frame && pin.layer === box.layer;
				return own ? similarity.cellOf(pin) : null;
			});
			box.node.classList.toggle("xw-marked", box.frame === model.get("marked"));
			const value = profile[box.layer * similarity.frameCount() + box.frame];
			setText(box.value, at ? shown(value) : "");
		};
		for (const box of cells.boxes()) {
			const space = spaces[box.layer];
			const cell = at && space ? similarity.follow(at, box.frame, space) : null;
			const values = cell && partOf(overlays[box.layer], box, space);
			if (cell && values) {
				const value = values[cell.row * space.columns + cell.column];
				profile[box.layer * similarity.frameCount() + box.frame] = value;
			}
			if (box.seen) showBox(box);
		}
		// A hover waits for the boxes in sight only.
		const hidden = cells.boxes().filter((box) => !box.seen);
		atRest(hidden, showBox);
		const { begin, end } = endsOf(look);
		scale.show(look.table, look.sign === "both", end, begin);
		/** @param {number} index */
		const seen = (index) => fields.some((pair) => pair?.[index]?.slice(2).some((extent) => extent < 1));
		legend.show({
			here: true,
			same: cells.boxes().length > 1,
			theoretical: seen(0),
			effective: seen(1),
		});
		hint.show(locations.length > 0);
		read(locations);
		tell(profile, spaces.length);
	}

	/** How values become colors. @param {(Float32Array | null)[]} overlays @param {boolean} compared */
	function lookOf(overlays, compared) {
		const kind = model.get("kind");
		const relative = model.get("color_range") === "relative" && !compared;
		const name = model.get("colormap");
		// A sequential map begins at 0; a difference has both signs.
		const centered = !relative && kind !== "euclidean" && !SEQUENTIAL_NAMES.includes(name);
		const signed = compared || (centered && anySigned(similarity.spaces()));
		/** @type {import("./lib/colormaps.js").Sign} */
		const sign = signed ? "both" : "positive";
		return {
			sign,
			table: table(name === "auto" ? "similarity" : name, sign, model.get("fade")),
			overlays: relative ? overlays.map((values) => values && rescale(values)) : overlays,
			ranges: relative ? overlays.map((values) => values && extremes(values)) : null,
			limits: overlays.map((values) => (kind === "dot" && values && !relative ? largest(values) : 1)),
			threshold: model.get("threshold"),
			opacity: model.get("opacity"),
			interpolation: model.get("interpolation"),
		};
	}

	/** The words at the ends of the color bar. @param {ReturnType<typeof lookOf>} look */
	function endsOf({ limits, ranges }) {
		if (!ranges) {
			const several = limits.some((limit) => limit !== limits[0]);
			return { begin: "0", end: several ? "largest" : shown(limits[0] ?? 1) };
		}
		if (ranges.length > 1) return { begin: "lowest", end: "highest" };
		return { begin: shown(ranges[0]?.[0] ?? 0), end: shown(ranges[0]?.[1] ?? 1) };
	}

	/** @param {Location[]} locations */
	function read(locations) {
		const { hovered, cellOf, between } = similarity;
		const location = hovered();
		const cell = location && cellOf(location);
		const [a, b] = locations;
		const token = similarity.tokenSource();
		const pins = token ? [] : similarity.pins();
		/** @param {Location} pin @param {Location} to */
		const number = (pin, to) => shown(between(pin, to));
		let value = token && location ? number(token, location) : "";
		if (location && pins.length === 1) value = number(a, location);
		if (location && pins.length === 2) {
			value = `${number(a, location)} − ${number(b, location)} = ${shown(between(a, location) - between(b, location))}`;
		}
		const error = model.get("kind") === "cosine" ? model.get("errors")[location?.layer ?? 0] : 0;
		const notes = pins.map((pin, index) => `${PINS[index]}: ${where(pin)}`);
		if (token) notes.push(`${token.token} of ${nameOf(token.frame)}`);
		if (pins.length === 2) notes.push(`A and B: ${number(a, b)}`);
		const rounding = error > 0 ? `rounding error ≤ ${shown(error)}` : "";
		readout.show(location && cell ? where(location) : "", value, notes.join(" · "), rounding);
	}

	/** @param {Location} location */
	function where(location) {
		const cell = similarity.cellOf(location);
		const layer = similarity.spaces().length > 1 ? (model.get("layer_labels")[location.layer] ?? "") : "";
		return [nameOf(location.frame), layer, `row ${cell?.row}, col ${cell?.column}`]
			.filter(Boolean)
			.join(", ");
	}

	/** Sets the trait `profile`, if it is another. @param {Float32Array} values @param {number} layers */
	function tell(values, layers) {
		const before = model.get("_profile");
		const bytes = new DataView(values.buffer);
		if (before?.data.byteLength === bytes.byteLength) {
			let same = true;
			for (let i = 0; i < bytes.byteLength && same; i++) same = bytes.getUint8(i) === before.data.getUint8(i);
			if (same) return;
		}
		set({ _profile: { dtype: "float32", shape: [layers, values.length / layers], data: bytes } });
	}

	return {
		content: [readout.node, area, footer, chips.node],
		tools: createTools(figure, similarity.tokenNames),
		drawing: [readout.node, area, footer],
		label: "Similarity of positions",
		stage: cells.node,
		traits: TRAITS,
		refresh() {
			similarity.check();
			layOut();
			show();
			return cells.boxes().length ? "" : "No images and no activations yet.";
		},
		keys: KEYS,
		onKey: (event) => onKey(event, model, similarity),
	};
}

/** Shows the image alone: its activations are not known yet. @param {Box} box */
function clearBox(box) {
	box.overlay.canvas.hidden = true;
	box.painted = [];
	for (const node of [box.mark, ...box.pins]) node.hidden = true;
	for (const node of box.fields) placeField(node, undefined, null, { rows: 1, columns: 1 });
	setText(box.value, "");
}

/** @param {unknown[]} a @param {unknown[]} b */
const differ = (a, b) => a.some((value, index) => value !== b[index]);

/** The values of an image. @param {Float32Array | null | undefined} whole  of the column @param {Box} box @param {Space} space */
function partOf(whole, { frame }, { rows, columns }) {
	const size = rows * columns;
	return whole?.subarray(frame * size, (frame + 1) * size) ?? null;
}

/**
 * @param {Box} box
 * @param {Space} space
 * @param {Float32Array | null} whole  the values of the column: the very same array as long as nothing changes
 * @param {Float32Array | null} values  those of the image
 * @param {{
 *   limit: number, sign: import("./lib/colormaps.js").Sign, table: Uint32Array,
 *   threshold: number, opacity: number,
 *   interpolation: import("./lib/resample.js").Interpolation,
 * }} look
 */
function paintBox(box, space, whole, values, { limit, sign, table, threshold, opacity, interpolation }) {
	const { canvas } = box.overlay;
	canvas.hidden = !values;
	setStyle(canvas, "opacity", String(opacity));
	setStyle(canvas, "imageRendering", interpolation === "pixelated" ? "pixelated" : "auto");
	const from = [whole, limit, table, threshold, interpolation];
	if (!values || !differ(from, box.painted)) return;
	box.painted = from;
	const map = { shape: [space.rows, space.columns], data: values };
	paintOverlay(box.overlay, map, { limit, sign, table, threshold, interpolation });
}

/**
 * @param {Box} box
 * @param {Space} space
 * @param {import("./lib/similarity_math.js").Cell | null} cell  what corresponds to the hovered position
 * @param {Location | null} hovered
 * @param {(index: number) => import("./lib/similarity_math.js").Cell | null} pinAt
 */
function markBox(box, space, cell, hovered, pinAt) {
	placeMark(box.mark, cell, space);
	const here = hovered?.frame === box.frame && hovered.layer === box.layer;
	box.mark.classList.toggle("xw-here", here);
	for (const [index, node] of box.pins.entries()) placeMark(node, pinAt(index), space);
}

export default view("xw-figure xw-similarity-view", build, hoverer);
