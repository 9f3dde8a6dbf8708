import "./ordered_mask_view.css";
import { slice } from "./lib/arrays.js";
import { cached } from "./lib/cached.js";
import { rangeControl, toggleControl } from "./lib/controls.js";
import { element } from "./lib/dom.js";
import { view } from "./lib/figure.js";
import { createHead, frameOf } from "./lib/frames.js";
import { bytes, expectArray, pack, Raster } from "./lib/image.js";
import { clamp } from "./lib/numbers.js";
import { cellAt, createImageStage, createNote } from "./lib/stage.js";
import { observe } from "./lib/state.js";
import { ZOOM_KEYS } from "./lib/viewport.js";

/**
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {import("./lib/image.js").Message} Message
 * @typedef {import("./lib/image.js").Bytes} Bytes
 * @typedef {import("./lib/arrays.js").NDArray<Int32Array>} Ranks
 */

/** @type {import("./lib/figure.js").Keys} */
const KEYS = [
	["← →, ↑ ↓", "fraction by 1 %, with Shift by 10 %"],
	["Home, End", "none, all"],
	["g", "deletion or insertion, MoRF or LeRF"],
	["m", "next ordering"],
	["Esc", "remove the mark"],
	...ZOOM_KEYS,
];
const MODES = [
	{ value: "deletion", text: "Deletion" },
	{ value: "insertion", text: "Insertion" },
];

/** Verbs for the change of a pixel. @type {Record<string, string>} */
const VERBS = { deletion: "deleted", insertion: "inserted", MoRF: "replaced", LeRF: "replaced" };
/** The other mode of each pair. @type {Record<string, string>} */
const OTHER = { deletion: "insertion", insertion: "deletion", MoRF: "LeRF", LeRF: "MoRF" };

/** The share of the pixels that are replaced. @param {Model} model */
const shareOf = (model) => model.get("fraction") * (model.get("span") ?? 1);

/** A fraction in percent, with one decimal. @param {number} fraction */
const percent = (fraction) => `${(100 * fraction).toFixed(1)} %`;

/**
 * The image with the first pixels of an ordering replaced.
 *
 * @param {Model} model
 */
function createDrawing(model) {
	const decodeImage = cached((/** @type {Message} */ message) => bytes("image", message, [null, null, 3]));
	const decodeRanks = cached((/** @type {Message} */ message, /** @type {number[]} */ [height, width]) =>
		expectArray(Int32Array, "ranks", message, [null, height, width]),
	);
	const decodeLeast = cached((/** @type {Message} */ message, /** @type {number[]} */ [height, width]) =>
		expectArray(Int32Array, "least", message, [null, height, width]),
	);
	const pickLeast = cached((/** @type {Ranks} */ all, /** @type {number} */ frame) => slice(all, frame));
	const decodeBaselines = cached((/** @type {Message} */ message, /** @type {number[]} */ [height, width]) =>
		bytes("baselines", message, [2, height, width, 3]),
	);
	const packImage = cached((/** @type {Bytes} */ image) => pack(image.data));
	const packBaselines = cached((/** @type {Bytes} */ both) => [
		pack(slice(both, 0).data),
		pack(slice(both, 1).data),
	]);
	const pick = cached((/** @type {Ranks} */ all, /** @type {number} */ frame) => slice(all, frame));
	const raster = new Raster();

	const image = () => decodeImage(model.get("image"));
	const allRanks = () => {
		const shown = image();
		return shown && decodeRanks(model.get("ranks"), shown.shape);
	};
	const least = () => {
		const shown = image();
		return shown && model.get("mode") === "LeRF" ? decodeLeast(model.get("least"), shown.shape) : null;
	};
	const ranks = () => {
		const all = allRanks();
		const reversed = least();
		if (all && reversed) return pickLeast(reversed, frameOf(model, all.shape[0]));
		return all && pick(all, frameOf(model, all.shape[0]));
	};
	const baselines = () => {
		const shown = image();
		return shown && decodeBaselines(model.get("baselines"), shown.shape);
	};
	return {
		image,
		ranks,
		baselines,
		count: () => allRanks()?.shape[0] ?? 0,
		/** How many pixels there are, and how many are replaced. */
		replaced() {
			const total = ranks()?.data.length ?? 0;
			return { total, replaced: Math.round(shareOf(model) * total) };
		},
		canvas() {
			const shown = image();
			if (!shown) return null;
			raster.resize(shown.shape[1], shown.shape[0]);
			const order = ranks();
			const both = baselines();
			const pixels = packImage(shown);
			if (order && both) {
				const [gone, start] = packBaselines(both);
				const { replaced } = this.replaced();
				if (model.get("mode") !== "insertion") choose(order.data, replaced, gone, pixels, raster.words);
				else choose(order.data, replaced, pixels, start, raster.words);
			} else raster.words.set(pixels);
			raster.flush();
			return raster.canvas;
		},
	};
}

/**
 * `first` where the rank is below `count`, `rest` elsewhere.
 *
 * @param {Int32Array} ranks
 * @param {number} count
 * @param {Uint32Array} first
 * @param {Uint32Array} rest
 * @param {Uint32Array} out
 */
function choose(ranks, count, first, rest, out) {
	for (let i = 0; i < out.length; i++) out[i] = ranks[i] < count ? first[i] : rest[i];
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
			const ranks = drawing.ranks();
			const { total, replaced } = drawing.replaced();
			const verb = VERBS[model.get("mode")] ?? "deleted";
			// An ordering that is not known yet has ranks that no pixel can have.
			const known = ranks && ranks.data[0] < total;
			amount.textContent = known ? `${percent(shareOf(model))} ${verb}` : "not computed yet";
			amount.title = known ? `${replaced} of ${total} pixels ${verb}` : "";
			const shape = (ranks ?? drawing.image())?.shape;
			const at = shape ? cellAt(model.get("position"), shape) : null;
			const rank = ranks && at ? ranks.data[at.row * at.columns + at.column] : null;
			place.textContent = at
				? `row ${at.row}, col ${at.column}${rank === null ? "" : `: ${verb} at ${percent((rank + 1) / total)}`}`
				: "";
			// The slider role of the stage announces the amount itself.
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
 * @param {number} count
 * @returns {Record<string, unknown> | null}
 */
function onKey({ key, shiftKey }, model, count) {
	const steps = /** @type {Record<string, number>} */ ({
		ArrowRight: 0.01,
		ArrowUp: 0.01,
		ArrowLeft: -0.01,
		ArrowDown: -0.01,
		PageUp: 0.1,
		PageDown: -0.1,
	});
	if (key in steps) {
		const fraction = model.get("fraction") + steps[key] * (shiftKey && key.startsWith("Arrow") ? 10 : 1);
		// Rounded, so that a hundred steps of 0.01 end at 1 exactly.
		return { fraction: clamp(Math.round(fraction * 1e4) / 1e4) };
	}
	if (key === "Home") return { fraction: 0 };
	if (key === "End") return { fraction: 1 };
	if (key === "Escape") return { position: null };
	if (key === "g") return { mode: OTHER[model.get("mode")] ?? "deletion" };
	if (key === "m" && count > 1) return { frame: (frameOf(model, count) + 1) % count };
	return null;
}

export default view("xw-figure xw-ordered-mask-view", (figure) => {
	const { model, bind, signal } = figure;
	const drawing = createDrawing(model);
	const readout = createReadout(figure, drawing);
	const head = createHead(figure, drawing.count);
	const stage = createImageStage(figure, {
		attributes: { role: "slider", "aria-valuemin": 0, "aria-valuemax": 1 },
		layers() {
			const canvas = drawing.canvas();
			return canvas ? [{ canvas, alpha: 1 }] : [];
		},
		shape: () => drawing.image()?.shape,
		tip: readout.tip,
		read() {
			stage.node.setAttribute("aria-valuenow", String(model.get("fraction")));
			stage.node.setAttribute("aria-valuetext", readout.show());
		},
	});
	const note = createNote();
	stage.node.append(note.node);
	const fraction = rangeControl(bind("fraction", "Fraction"), { min: 0, max: 1, step: 0.001, text: percent });
	fraction.classList.add("xw-fraction");
	const modes = toggleControl(bind("mode", "Mode"), MODES);
	modes.classList.add("xw-modes");
	observe(model, ["fraction", "mode", "span"], stage.repaint, signal);
	return {
		head: head.node,
		content: [stage.node, readout.node],
		tools: element("div", { class: "xw-tools" }, [fraction, modes]),
		label: "Image with pixels deleted or inserted",
		stage: stage.node,
		traits: ["image", "baselines", "ranks", "least", "frame", "labels", "interpolation"],
		refresh() {
			drawing.baselines();
			head.show();
			modes.hidden = !MODES.some(({ value }) => value === model.get("mode"));
			const ranks = drawing.ranks();
			// An ordering that no fraction reaches is one that is not known yet.
			const known = ranks?.data.some((rank) => rank < ranks.data.length);
			const veiled = Boolean(drawing.image() && drawing.baselines() && !known);
			note.show(veiled ? "not computed yet" : "", veiled);
			return stage.show(drawing.image()?.shape, "No image yet.");
		},
		fail: stage.fail,
		keys: KEYS,
		onKey: (event) => onKey(event, model, drawing.count()),
	};
});
