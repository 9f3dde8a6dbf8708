import "./mask_view.css";
import { areaByKey, createAreaSlider, nearestReady, percentOf } from "./lib/area_slider.js";
import { slice } from "./lib/arrays.js";
import { cached } from "./lib/cached.js";
import { toggleControl } from "./lib/controls.js";
import { element } from "./lib/dom.js";
import { view } from "./lib/figure.js";
import { bytes, floats, pack, Raster } from "./lib/image.js";
import { contour, dim, gray, look, resize, strokeContour } from "./lib/masks.js";
import { next } from "./lib/numbers.js";
import { lookOf } from "./lib/palette.js";
import { cellAt, createImageStage, createNote } from "./lib/stage.js";
import { observe } from "./lib/state.js";
import { swatch } from "./lib/swatch.js";
import { ZOOM_KEYS } from "./lib/viewport.js";

/**
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {import("./lib/image.js").Message} Message
 * @typedef {import("./lib/image.js").Bytes} Bytes
 * @typedef {import("./lib/area_slider.js").Stop} Stop
 */

/** @type {import("./lib/figure.js").Keys} */
const KEYS = [
	["← →, ↑ ↓", "next area"],
	["Home, End", "smallest, largest area"],
	["b", "best area"],
	["d", "preserved, deleted, outline or mask"],
	["Esc", "remove the mark"],
	...ZOOM_KEYS,
];
const DISPLAYS = [
	{ value: "preserved", text: "Preserved" },
	{ value: "deleted", text: "Deleted" },
	{ value: "outline", text: "Outline" },
	{ value: "mask", text: "Mask" },
];
/** The displays that show the image where the mask is preserved or deleted. */
const MODES = ["preserved", "deleted"];

/**
 * The image under the chosen mask; every step is remembered until what it depends on changes.
 *
 * @param {Model} model
 */
function createDrawing(model) {
	const decodeLevels = cached((/** @type {Message} */ message) => {
		const levels = bytes("levels", message, [null, null, null, 3]);
		if (levels && levels.shape[0] < 2) throw new RangeError("levels has 1 image, expected at least 2");
		return levels;
	});
	const decodeAreas = cached((/** @type {Message} */ message) => floats("areas", message, [null]));
	const decodeMasks = cached((/** @type {Message} */ message, /** @type {number} */ count) =>
		bytes("masks", message, [count, null, null]),
	);
	const pick = cached(
		(
			/** @type {Bytes} */ all,
			/** @type {number} */ index,
			/** @type {number} */ height,
			/** @type {number} */ width,
		) => resize(slice(all, index), height, width),
	);
	const outline = cached(contour);
	const raster = new Raster();
	const stopsOf = cached(
		(
			/** @type {Message} */ areas,
			/** @type {Message} */ masks,
			/** @type {boolean[]} */ ready,
			/** @type {boolean} */ drawn,
		) => {
			const given = decodeAreas(areas);
			if (!given) return [];
			// Without the image no mask is drawn: `ready` alone decides.
			const there = !drawn || decodeMasks(masks, given.shape[0]) !== null;
			return Array.from(given.data, (area, index) => ({
				// Six decimals, so that a float32 of 0.1 is 0.1.
				area: Math.round(area * 1e6) / 1e6,
				ready: there && ready[index] !== false,
			}));
		},
	);

	const levels = () => decodeLevels(model.get("levels"));
	/** @returns {Stop[]} */
	const stops = () =>
		stopsOf(model.get("areas"), model.get("masks"), model.get("ready"), model.get("show_image"));
	const chosen = () => nearestReady(stops(), model.get("area"));
	/** @returns {Bytes | null} in the size of the image */
	const mask = () => {
		const [pyramid, at] = [levels(), chosen()];
		const all = at < 0 ? null : decodeMasks(model.get("masks"), stops().length);
		return pyramid && all && pick(all, at, pyramid.shape[1], pyramid.shape[2]);
	};
	return {
		/** Rows and columns of the image. */
		shape: () => levels()?.shape.slice(1),
		stops,
		chosen,
		mask,
		canvas() {
			const pyramid = levels();
			if (!pyramid) return null;
			const [last, height, width] = [pyramid.shape[0] - 1, pyramid.shape[1], pyramid.shape[2]];
			raster.resize(width, height);
			const shown = mask();
			const display = model.get("display");
			if (!shown) raster.words.set(pack(slice(pyramid, last).data));
			else if (display === "mask") gray(shown.data, raster.words);
			else if (display === "outline") dim(slice(pyramid, last).data, shown.data, raster.words);
			else look(pyramid, shown.data, display === "deleted", raster.words);
			raster.flush();
			return raster.canvas;
		},
		/** The line to draw over the image, if it is asked for. */
		outline() {
			const shown = mask();
			return shown && model.get("display") === "outline" ? outline(shown) : null;
		},
	};
}

/** @param {import("./lib/figure.js").Figure} figure @param {ReturnType<typeof createDrawing>} drawing */
function createReadout({ model, announce }, drawing) {
	const amount = element("span", { class: "xw-amount" });
	const place = element("span", { class: "xw-position", hidden: true });
	return {
		node: element("div", { class: "xw-readout" }, [amount]),
		tip: place,
		/** @returns {string} the text for the amount */
		show() {
			const [mask, at] = [drawing.mask(), drawing.chosen()];
			amount.textContent = mask
				? `area ${percentOf(drawing.stops()[at].area)} ${model.get("mode")}`
				: "no mask yet";
			const shape = drawing.shape();
			const cell = shape ? cellAt(model.get("position"), shape) : null;
			const value = mask && cell ? (mask.data[cell.row * cell.columns + cell.column] / 255).toFixed(2) : "";
			place.textContent = cell ? `row ${cell.row}, col ${cell.column}${value && `: ${value}`}` : "";
			// The slider role of the stage announces the area itself.
			announce(place.textContent);
			return amount.textContent;
		},
	};
}

/**
 * The traits that a key sets, or null.
 *
 * @param {KeyboardEvent} event
 * @param {Model} model
 * @param {Stop[]} stops
 * @returns {Record<string, unknown> | null}
 */
function onKey(event, model, stops) {
	const area = areaByKey(event, stops, model.get("area"));
	if (area !== null) return { area };
	if (event.key === "Escape") return { position: null };
	if (event.key === "b" && model.get("best") !== null) return { area: model.get("best") };
	if (event.key === "d") {
		return {
			display: next(
				DISPLAYS.map(({ value }) => value),
				model.get("display"),
			),
		};
	}
	return null;
}

export default view("xw-figure xw-mask-view", (figure) => {
	const { model, set, signal } = figure;
	const drawing = createDrawing(model);
	const readout = createReadout(figure, drawing);
	const stage = createImageStage(figure, {
		attributes: { role: "slider", "aria-valuemin": 0, "aria-valuemax": 1 },
		layers() {
			const canvas = drawing.canvas();
			return canvas ? [{ canvas, alpha: 1 }] : [];
		},
		over(context, width, height) {
			const [line, shape] = [drawing.outline(), drawing.shape()];
			if (line && shape) strokeContour(context, line, width, height, shape);
		},
		shape: drawing.shape,
		tip: readout.tip,
		read() {
			stage.node.setAttribute("aria-valuenow", String(model.get("area")));
			stage.node.setAttribute("aria-valuetext", readout.show());
		},
	});
	const note = createNote();
	stage.node.append(note.node);
	const sample = swatch();
	const caption = element("div", { class: "xw-caption xw-muted" });
	const slider = createAreaSlider({ set: (area) => set({ area }), signal });
	const displays = toggleControl(figure.bind("display", "Display"), DISPLAYS);
	displays.classList.add("xw-segments");

	/** Shows the mask of the area: `frame` is its index. */
	const follow = () => {
		const frame = drawing.chosen();
		slider.show(drawing.stops(), frame, model.get("best"));
		if (frame !== model.get("frame")) set({ frame });
	};
	observe(
		model,
		["area"],
		() => {
			if (figure.failed()) return;
			follow();
			stage.repaint();
		},
		signal,
	);
	observe(
		model,
		["frame"],
		() => {
			if (figure.failed()) return;
			const frame = model.get("frame");
			const stop = drawing.stops()[frame];
			// The area may lie beside that of its mask.
			if (stop?.ready && frame !== drawing.chosen()) set({ area: stop.area });
			else follow();
		},
		signal,
	);
	observe(
		model,
		["display"],
		() => {
			if (MODES.includes(model.get("display"))) set({ mode: model.get("display") });
			stage.repaint();
		},
		signal,
	);
	observe(
		model,
		["mode"],
		() => {
			if (MODES.includes(model.get("display"))) set({ display: model.get("mode") });
			stage.remark();
		},
		signal,
	);
	return {
		head: element("div", { class: "xw-head" }, [sample.element, figure.title]),
		content: [stage.node, readout.node],
		tools: element("div", { class: "xw-tools" }, [slider.node, caption, displays]),
		label: "Image under a mask",
		stage: stage.node,
		traits: [
			"levels",
			"masks",
			"areas",
			"ready",
			"best",
			"look",
			"show_image",
			"interpolation",
			"note",
			"caption",
		],
		refresh() {
			stage.node.hidden = readout.node.hidden = !model.get("show_image");
			figure.root.classList.toggle("xw-alone", !model.get("show_image"));
			caption.textContent = model.get("caption");
			caption.hidden = !model.get("caption");
			const look = model.get("look") ?? -1;
			sample.element.toggleAttribute("hidden", look < 0);
			if (look >= 0) sample.draw({ ...lookOf(look), active: true, dashed: false });
			follow();
			// Without an image, the message of the stage is enough.
			const drawn = drawing.shape() !== undefined;
			const veiled = drawn && !drawing.mask();
			note.show(drawn ? model.get("note") || (veiled ? "not computed yet" : "") : "", veiled);
			return stage.show(drawing.shape(), "No image yet.");
		},
		fail: stage.fail,
		keys: KEYS,
		onKey: (event) => onKey(event, model, drawing.stops()),
	};
});
