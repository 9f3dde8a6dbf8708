/**
 * The controls and keys of views that color values, and the color bar.
 *
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {import("./figure.js").Figure} Figure
 */
import { cached } from "./cached.js";
import { DIVERGING_NAMES, SEQUENTIAL_NAMES, STEPS } from "./colormaps.js";
import { checkControl, rangeControl, selectControl } from "./controls.js";
import { element } from "./dom.js";
import { Raster } from "./image.js";
import { clamp, next, percent } from "./numbers.js";

export const COLORMAPS = [...DIVERGING_NAMES, ...SEQUENTIAL_NAMES];
const SIGNS = ["auto", "both", "positive", "negative", "absolute"];
/** Which maps of a table share a scale. */
export const SCALES = [
	{ value: "cell", text: "each its own" },
	{ value: "row", text: "one a row" },
	{ value: "all", text: "one for all" },
];
const INTERPOLATIONS = [
	{ value: "bicubic", text: "bicubic" },
	{ value: "smooth", text: "bilinear" },
	{ value: "pixelated", text: "pixels" },
];
const PERCENTILES = [100, 99.9, 99.5, 99, 98, 95, 90];

/** @param {Figure} figure */
export function createColorControls({ model, bind }) {
	const percentiles = () =>
		[...new Set([...PERCENTILES, model.get("percentile")])]
			.sort((a, b) => b - a)
			.map((value) => ({ value: String(value), text: value === 100 ? "none" : `${value} %` }));
	return {
		/** @param {string} trait @param {string} label */
		share: (trait, label) => rangeControl(bind(trait, label), { min: 0, max: 1, step: 0.01, text: percent }),
		sign: () =>
			selectControl(bind("sign", "Sign"), () =>
				SIGNS.map((value) => ({ value, text: value === "both" ? "both signs" : value })),
			),
		colormap: () =>
			selectControl(bind("colormap", "Colors"), () =>
				["auto", ...COLORMAPS].map((value) => ({ value, text: value.replace("_", " – ") })),
			),
		percentile: () => selectControl(bind("percentile", "Clip"), percentiles),
		scale: () => selectControl(bind("scale", "Scale"), () => SCALES),
		fade: () => checkControl(bind("fade", "Fade small values"), { on: true, off: false }),
		/** @param {string} label */
		gray: (label) => checkControl(bind("gray", label), { on: true, off: false }),
		smooth: () => selectControl(bind("interpolation", "Enlarge"), () => INTERPOLATIONS),
		smoothing: () =>
			rangeControl(bind("smoothing", "Smoothing"), {
				min: 0,
				max: 8,
				step: 0.5,
				text: (sigma) => (sigma ? `${sigma} px` : "off"),
			}),
	};
}

const OPACITY_KEYS = /** @type {Record<string, number>} */ ({ "+": 5, "=": 5, "]": 5, "-": -5, "[": -5 });

/** The opacity that a key sets, or null. @param {string} key @param {Model} model */
export function opacityByKey(key, model) {
	const by = OPACITY_KEYS[key];
	return by ? { opacity: clamp(Math.round(100 * model.get("opacity") + by) / 100) } : null;
}

/** @param {Model} model */
export const nextSign = (model) => ({ sign: next(SIGNS, model.get("sign")) });

/** @param {Model} model */
export const nextInterpolation = (model) => ({
	interpolation: next(
		INTERPOLATIONS.map(({ value }) => value),
		model.get("interpolation"),
	),
});

/** The color bar with the values at its ends. */
export function createScale() {
	const bar = new Raster();
	bar.resize(STEPS, 1);
	bar.canvas.setAttribute("aria-hidden", "true");
	const ends = element("div", { class: "xw-ends" });
	return {
		node: element("div", { class: "xw-scale" }, [bar.canvas, ends]),
		/** `both` shows both signs; `end` is the value at the end, empty if all values are zero; `begin` else 0. */
		show: cached(
			(
				/** @type {Uint32Array} */ table,
				/** @type {boolean} */ both,
				/** @type {string} */ end,
				/** @type {string} */ begin = "0",
			) => {
				bar.words.set(table);
				bar.flush();
				const labels = both ? [`−${end}`, "0", end] : [begin, end];
				ends.replaceChildren(...(end ? labels : ["all zero"]).map((label) => element("span", {}, [label])));
			},
		),
	};
}
