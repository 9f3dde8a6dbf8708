import { widget } from "./lib/widget.js";
import "./mask_view.css";
import { areaByKey, createAreaSlider, nearestReady, percentOf } from "./lib/area_slider.js";
import { slice } from "./lib/arrays.js";
import { cached } from "./lib/cached.js";
import { createAnnouncer, keyHelp, toggleControl } from "./lib/controls.js";
import { element } from "./lib/dom.js";
import { bytes, floats, pack, Raster } from "./lib/image.js";
import { bindKeys } from "./lib/keys.js";
import { contour, dim, gray, look, resize, strokeContour } from "./lib/masks.js";
import { cellAt, createStage, fitWidth, followPointer, outlineCell } from "./lib/stage.js";
import { observe, updater } from "./lib/state.js";

/**
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {import("./lib/image.js").Message} Message
 * @typedef {import("./lib/image.js").Bytes} Bytes
 * @typedef {import("./lib/area_slider.js").Stop} Stop
 */

/** @type {[string, string][]} */
const KEYS = [
	["← →, ↑ ↓", "next area"],
	["Home, End", "smallest, largest area"],
	["b", "best area"],
	["d", "preserved, deleted, outline or mask"],
	["Esc", "take the mark away"],
];
const DISPLAYS = [
	{ value: "preserved", text: "Preserved" },
	{ value: "deleted", text: "Deleted" },
	{ value: "outline", text: "Outline" },
	{ value: "mask", text: "Mask" },
];
const WORDS = /** @type {Record<string, string>} */ ({
	preserved: "preserved",
	deleted: "deleted",
	outline: "outlined",
	mask: "",
});
const LOOKS = ["title", "picture", "controls", "width", "interpolation"];
const TRAITS = ["levels", "masks", "areas", "ready", "best", ...LOOKS];

/**
 * The image under the chosen mask; every step is remembered until what it depends on changes.
 *
 * @param {Model} model
 */
function createPicture(model) {
	const decodeLevels = cached((/** @type {Message} */ message) => {
		const levels = bytes("levels", message, [null, null, null, 3]);
		if (levels && levels.shape[0] < 2) throw new RangeError("levels has 1 image, wanted at least 2");
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
		(/** @type {Message} */ areas, /** @type {Message} */ masks, /** @type {boolean[]} */ ready) => {
			const given = decodeAreas(areas);
			if (!given) return [];
			const there = decodeMasks(masks, given.shape[0]) !== null;
			return Array.from(given.data, (area, index) => ({
				// Six decimals, so that a float32 of 0.1 is 0.1.
				area: Math.round(area * 1e6) / 1e6,
				ready: there && ready[index] !== false,
			}));
		},
	);

	const levels = () => decodeLevels(model.get("levels"));
	/** @returns {Stop[]} */
	const stops = () => stopsOf(model.get("areas"), model.get("masks"), model.get("ready"));
	const chosen = () => nearestReady(stops(), model.get("area"));
	/** @returns {Bytes | null} in the size of the image */
	const mask = () => {
		const [pyramid, at] = [levels(), chosen()];
		const all = at < 0 ? null : decodeMasks(model.get("masks"), stops().length);
		return pyramid && all && pick(all, at, pyramid.shape[1], pyramid.shape[2]);
	};
	return {
		levels,
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

/** @param {Model} model @param {ReturnType<typeof createPicture>} picture @param {AbortSignal} signal */
function createReadout(model, picture, signal) {
	const amount = element("span", { class: "xw-amount" });
	const place = element("span", { class: "xw-place xw-muted" });
	const spoken = createAnnouncer(signal);
	return {
		node: element("div", { class: "xw-readout" }, [amount, place, spoken.node]),
		/** @returns {string} what is shown, in words */
		show() {
			const [mask, at] = [picture.mask(), picture.chosen()];
			amount.textContent = mask
				? `area ${percentOf(picture.stops()[at].area)} ${WORDS[model.get("display")]}`.trim()
				: "no mask yet";
			const shape = picture.levels()?.shape.slice(1);
			const cell = shape ? cellAt(model.get("position"), shape) : null;
			const value = mask && cell ? (mask.data[cell.row * cell.columns + cell.column] / 255).toFixed(2) : "";
			place.textContent = cell ? `row ${cell.row}, col ${cell.column}${value && `: mask ${value}`}` : "";
			// The slider role of the picture speaks the area itself.
			spoken.say(place.textContent);
			return amount.textContent;
		},
	};
}

/**
 * What a key sets, or null where it does nothing.
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
		const now = DISPLAYS.findIndex(({ value }) => value === model.get("display"));
		return { display: DISPLAYS[(now + 1) % DISPLAYS.length].value };
	}
	return null;
}

/** @type {import("@anywidget/types").Render} */
function render({ model, el }) {
	const controller = new AbortController();
	const { signal } = controller;
	const set = updater(model, signal);
	const picture = createPicture(model);
	const readout = createReadout(model, picture, signal);

	const stage = createStage({
		attributes: {
			role: "slider",
			"aria-valuemin": 0,
			"aria-valuemax": 1,
			"aria-description": KEYS.map(([key, what]) => `${key}: ${what}`).join("; "),
		},
		paint(context, width, height) {
			const canvas = picture.canvas();
			if (!canvas) return;
			context.imageSmoothingEnabled = model.get("interpolation") === "smooth";
			context.imageSmoothingQuality = "high";
			context.drawImage(canvas, 0, 0, width, height);
			const line = picture.outline();
			if (line) strokeContour(context, line, width, height, [canvas.height, canvas.width]);
		},
		mark(context, width, height) {
			stage.node.setAttribute("aria-valuenow", String(model.get("area")));
			stage.node.setAttribute("aria-valuetext", readout.show());
			const shape = picture.levels()?.shape.slice(1);
			const at = shape && cellAt(model.get("position"), shape);
			if (at) outlineCell(context, width, height, at);
		},
		signal,
	});
	const title = element("span", { class: "xw-title" });
	const slider = createAreaSlider({ set: (area) => set({ area }), signal });
	const displays = toggleControl({ model, trait: "display", label: "Display", set, signal }, DISPLAYS);
	displays.classList.add("xw-segments");
	const tools = element("div", { class: "xw-tools" }, [slider.node, displays, keyHelp(KEYS)]);
	const root = element("div", { class: "xw xw-figure xw-mask-view", role: "group" }, [
		element("div", { class: "xw-head" }, [title]),
		stage.node,
		readout.node,
		tools,
	]);

	const move = () => {
		if (stage.failed) return;
		const frame = picture.chosen();
		slider.show(picture.stops(), frame, model.get("best"));
		stage.repaint();
		if (frame !== model.get("frame")) set({ frame });
	};
	let correcting = false;
	const jump = () => {
		const [frame, drawn] = [model.get("frame"), picture.chosen()];
		// The mask that is drawn needs no jump: the area may lie beside its own.
		if (stage.failed || correcting || frame === drawn) return;
		const stop = picture.stops()[frame];
		if (stop?.ready) {
			set({ area: stop.area });
			return;
		}
		// Whoever chose what is not there is told what is drawn instead; once, as two views may disagree.
		correcting = true;
		set({ frame: drawn });
		correcting = false;
	};
	const refresh = () => {
		try {
			const shape = picture.levels()?.shape;
			picture.stops();
			stage.setAspect(shape?.[2] ?? 1, shape?.[1] ?? 1);
			stage.say(shape ? "" : "No image yet.");
		} catch (error) {
			stage.say(`This view cannot be drawn: ${/** @type {Error} */ (error).message}.`, true);
			stage.setAspect(4, 3);
		}
		title.textContent = model.get("title");
		title.hidden = !title.textContent;
		tools.hidden = !model.get("controls");
		stage.node.hidden = readout.node.hidden = !model.get("picture");
		root.classList.toggle("xw-alone", !model.get("picture"));
		fitWidth(root, model.get("width"));
		const label = model.get("title") || "Image under a mask";
		root.setAttribute("aria-label", label);
		stage.node.setAttribute("aria-label", label);
		move();
		stage.repaint();
	};
	observe(model, TRAITS, refresh, signal);
	observe(model, ["area", "display"], move, signal);
	observe(model, ["frame"], jump, signal);
	observe(model, ["position"], stage.remark, signal);

	followPointer(stage.node, {
		get: () => model.get("position"),
		set: (position) => set({ position }),
		signal,
	});
	bindKeys(root, stage.node, {
		act: (event) => (stage.failed ? null : onKey(event, model, picture.stops())),
		set,
		signal,
	});

	refresh();
	el.append(root);
	return () => {
		controller.abort();
		root.remove();
	};
}

export default widget(render);
