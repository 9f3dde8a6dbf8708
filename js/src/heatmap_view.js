import "./heatmap_view.css";
import { createColorControls, createScale, nextSign, opacityByKey } from "./lib/color_tools.js";
import { DIVERGING_NAMES, resolveColormap, SEQUENTIAL_NAMES } from "./lib/colormaps.js";
import { digits } from "./lib/digits.js";
import { element, setText } from "./lib/dom.js";
import { createDrawing } from "./lib/drawing.js";
import { confirmDrawn } from "./lib/drawn.js";
import { view } from "./lib/figure.js";
import { createHead, frameOf } from "./lib/frames.js";
import { ARROWS } from "./lib/keys.js";
import { next } from "./lib/numbers.js";
import { cellAt, createImageStage, createNote, stepPosition } from "./lib/stage.js";
import { ZOOM_KEYS } from "./lib/viewport.js";

/**
 * @typedef {import("./lib/drawing.js").FloatMap} FloatMap
 * @typedef {import("./lib/drawing.js").Bytes} Bytes
 * @typedef {import("@anywidget/types").AnyModel} Model
 */

/** @type {import("./lib/figure.js").Keys} */
const KEYS = [
	["← ↑ ↓ →", "move by one cell, with Shift by ten"],
	["− + or [ ]", "opacity"],
	["c", "next color map"],
	["s", "next sign"],
	["m", "next map"],
	["Esc", "remove the mark"],
	...ZOOM_KEYS,
];

const TRAITS = [
	...["image", "images", "maps", "sizes", "labels", "frame", "groups", "group"],
	...[
		"colormap",
		"opacity",
		"sign",
		"signs",
		"percentile",
		"limit",
		"fade",
		"gray",
		"interpolation",
		"smoothing",
	],
	...["notes", "veil", "help", "color_bar", "_sent"],
];

/** @param {import("./lib/figure.js").Figure} figure */
function createReadout({ model, announce }) {
	const cell = element("span", { class: "xw-cell" });
	const value = element("span", { class: "xw-value" });
	const swatch = element("span", { class: "xw-swatch", hidden: true });
	const channels = element("span", { class: "xw-channels" });
	const rgb = element("span", { class: "xw-rgb xw-muted", title: "red, green, blue of the image" }, [
		swatch,
		channels,
	]);
	return {
		node: element("div", { class: "xw-readout", hidden: true }, [value, cell, rgb]),
		/** @param {FloatMap | null} map @param {Bytes | null} image */
		show(map, image) {
			const position = model.get("position");
			const shape = (map ?? image)?.shape;
			const at = shape ? cellAt(position, shape) : null;
			const number = map && at ? digits(map.data[at.row * at.columns + at.column]) : "";
			setText(cell, at ? `row ${at.row}, col ${at.column}` : "");
			setText(value, number);
			const pixel = image && cellAt(position, image.shape);
			const start = pixel ? (pixel.row * pixel.columns + pixel.column) * 3 : 0;
			const color = image && pixel ? [...image.data.subarray(start, start + 3)].join(" ") : "";
			swatch.hidden = !color;
			if (color) swatch.style.background = `rgb(${color})`;
			setText(channels, color);
			announce(at ? `row ${at.row}, column ${at.column}${number && `: ${number}`}` : "");
		},
	};
}

/**
 * The traits that a key sets, or null.
 *
 * @param {KeyboardEvent} event
 * @param {Model} model
 * @param {ReturnType<typeof createDrawing>} drawing
 */
function onKey({ key, shiftKey }, model, drawing) {
	if (key in ARROWS) {
		const shape = (drawing.map() ?? drawing.image())?.shape ?? [1, 1];
		const shift = ARROWS[key].map((cells) => cells * (shiftKey ? 10 : 1));
		return { position: stepPosition(model.get("position"), shape, shift) };
	}
	if (key === "Escape") return { position: null };
	if (key === "s") return nextSign(model);
	if (key === "c") {
		const sign = drawing.sign();
		const names = sign === "both" ? DIVERGING_NAMES : SEQUENTIAL_NAMES;
		return { colormap: next(names, resolveColormap(model.get("colormap"), sign)) };
	}
	const count = drawing.count();
	if (key === "m" && count > 1) return { frame: (frameOf(model, count) + 1) % count };
	return opacityByKey(key, model);
}

export default view("xw-figure xw-heatmap-view", (figure) => {
	const { model } = figure;
	const drawing = createDrawing(model);
	const readout = createReadout(figure);
	const scale = createScale();
	const stage = createImageStage(figure, {
		attributes: { role: "application", "aria-roledescription": "heat map" },
		layers: drawing.layers,
		shape: () => (drawing.map() ?? drawing.image())?.shape,
		read: () => readout.show(drawing.map(), drawing.image()),
		tip: readout.node,
	});
	const note = createNote();
	stage.node.append(note.node);
	const head = createHead(figure, drawing.count);
	const controls = createColorControls(figure);
	const confirm = confirmDrawn(model);
	return {
		head: head.node,
		content: [stage.node, scale.node],
		tools: element("div", { class: "xw-tools" }, [
			controls.share("opacity", "Opacity"),
			controls.sign(),
			controls.colormap(),
			controls.percentile(),
			controls.fade(),
			controls.smoothing(),
			controls.gray("Gray image"),
			controls.smooth(),
		]),
		label: "Heat map over an image",
		stage: stage.node,
		traits: TRAITS,
		refresh() {
			scale.node.hidden = true;
			const [map, limit, sign] = [drawing.map(), drawing.limit(), drawing.sign()];
			const end = digits(sign === "negative" ? -limit : limit);
			scale.show(drawing.table(), sign === "both", limit ? end : "");
			scale.node.title =
				model.get("limit") === null
					? `colors end at percentile ${model.get("percentile")} of the magnitudes`
					: "colors end at the limit that was set";
			scale.node.hidden = !map || model.get("color_bar") === false;
			head.show();
			figure.title.title = model.get("help");
			const veil = model.get("veil") || (map && !map.data.some(Number.isFinite) ? "not computed yet" : "");
			note.show(veil || drawing.note(), Boolean(veil));
			const empty = stage.show((drawing.image() ?? map)?.shape, "No image and no map yet.");
			confirm();
			return empty;
		},
		fail: stage.fail,
		keys: KEYS,
		onKey: (event) => onKey(event, model, drawing),
	};
});
