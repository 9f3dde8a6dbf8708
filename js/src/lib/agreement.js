/**
 * How far two maps of the same image agree, by the formulas of `xai_widgets.metrics`: Pearson's correlation, that of
 * the ranks after Spearman, and structural similarity (Wang et al. 2004).
 *
 * @typedef {import("./heat.js").FloatMap} FloatMap
 * @typedef {"pearson" | "spearman" | "ssim"} Measure
 */
import { remembered } from "./cached.js";
import { resize } from "./heat.js";
import { clamp } from "./numbers.js";

/** @type {{value: Measure, text: string}[]} */
export const MEASURES = [
	{ value: "pearson", text: "Pearson" },
	{ value: "spearman", text: "Spearman" },
	{ value: "ssim", text: "SSIM" },
];
/** Widest window of the structural similarity, its standard deviation, and the constants that keep its fractions finite. */
const [SIDE, SIGMA, C1, C2] = [11, 1.5, 0.01 ** 2, 0.03 ** 2];

/**
 * Both maps are brought to the resolution of the larger one first.
 *
 * @param {Measure} measure
 * @param {FloatMap} first
 * @param {FloatMap} second
 * @returns {number} at most 1; NaN where a map has a NaN, and for a correlation where a map is constant
 */
export function agreement(measure, first, second) {
	const shape = first.shape.map((extent, axis) => Math.max(extent, second.shape[axis]));
	const [a, b] = [first, second].map((map) =>
		map.shape.every((extent, axis) => extent === shape[axis]) ? map.data : resize(map, shape).data,
	);
	if (a.some(Number.isNaN) || b.some(Number.isNaN)) return Number.NaN;
	if (measure === "ssim") return ssim(a, b, shape);
	return measure === "pearson" ? pearson(a, b) : pearson(ranks(a), ranks(b));
}

/** @typedef {Float32Array | Float64Array} Floats */

/** @param {Floats} values */
function rangeOf(values) {
	let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
	for (const value of values) {
		if (value < low) low = value;
		if (value > high) high = value;
	}
	return { low, high };
}

/** @param {Floats} values */
function meanOf(values) {
	let sum = 0;
	for (const value of values) sum += value;
	return sum / values.length;
}

/** @param {Floats} a @param {Floats} b */
function pearson(a, b) {
	// By their range: the deviation of a constant map is rounded to something that is not 0.
	for (const { low, high } of [rangeOf(a), rangeOf(b)]) if (low === high) return Number.NaN;
	const [meanA, meanB] = [meanOf(a), meanOf(b)];
	let [ab, aa, bb] = [0, 0, 0];
	for (let i = 0; i < a.length; i++) {
		const [x, y] = [a[i] - meanA, b[i] - meanB];
		ab += x * y;
		aa += x * x;
		bb += y * y;
	}
	return clamp(ab / Math.sqrt(aa) / Math.sqrt(bb), -1, 1);
}

/** Ranks from 0, equal values sharing the mean of theirs. */
const ranks = remembered((/** @type {Float32Array} */ values) => {
	const sorted = Float32Array.from(values).sort();
	/** How many values are below, or not above. @param {number} value @param {boolean} orEqual */
	const count = (value, orEqual) => {
		let [low, high] = [0, sorted.length];
		while (low < high) {
			const middle = (low + high) >> 1;
			if (sorted[middle] < value || (orEqual && sorted[middle] === value)) low = middle + 1;
			else high = middle;
		}
		return low;
	};
	return Float64Array.from(values, (value) => (count(value, false) + count(value, true) - 1) / 2);
});

/** @param {Float32Array} first @param {Float32Array} second @param {number[]} shape */
function ssim(first, second, shape) {
	const [a, b] = [unit(first), unit(second)];
	const side = Math.min(SIDE, ...shape);
	const window = gaussian(side - 1 + (side % 2));
	/** @param {(i: number) => number} of */
	const mean = (of) =>
		slide(
			Float64Array.from(a, (_, i) => of(i)),
			shape,
			window,
		);
	const [muA, muB] = [mean((i) => a[i]), mean((i) => b[i])];
	const [aa, bb, ab] = [mean((i) => a[i] ** 2), mean((i) => b[i] ** 2), mean((i) => a[i] * b[i])];
	return meanOf(
		muA.map((x, i) => {
			const y = muB[i];
			const squares = x * x + y * y;
			const upper = (2 * x * y + C1) * (2 * (ab[i] - x * y) + C2);
			return upper / ((squares + C1) * (aa[i] + bb[i] - squares + C2));
		}),
	);
}

/** Values from 0 to 1; a constant map is 0. */
const unit = remembered((/** @type {Float32Array} */ values) => {
	const { low, high } = rangeOf(values);
	return Float64Array.from(values, (value) => (high > low ? (value - low) / (high - low) : 0));
});

/** @param {number} side  odd */
function gaussian(side) {
	const middle = side >> 1;
	const weights = Array.from({ length: side }, (_, i) => Math.exp(-((i - middle) ** 2) / (2 * SIGMA ** 2)));
	const sum = weights.reduce((total, weight) => total + weight, 0);
	return weights.map((weight) => weight / sum);
}

/**
 * Means over windows that are never laid over the border.
 *
 * @param {Float64Array} values
 * @param {number[]} shape
 * @param {number[]} window  weights along each axis
 */
function slide(values, [h, w], window) {
	const [height, width] = [h - window.length + 1, w - window.length + 1];
	const across = new Float64Array(h * width);
	const out = new Float64Array(height * width);
	for (const [k, weight] of window.entries()) {
		for (let y = 0; y < h; y++) {
			for (let x = 0; x < width; x++) across[y * width + x] += weight * values[y * w + x + k];
		}
	}
	for (const [k, weight] of window.entries()) {
		for (let i = 0; i < out.length; i++) out[i] += weight * across[i + k * width];
	}
	return out;
}
