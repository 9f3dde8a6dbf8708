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
	if (hasNaN(a) || hasNaN(b)) return Number.NaN;
	if (measure === "ssim") return ssim(a, b, shape);
	return measure === "pearson" ? pearson(a, b) : pearson(ranks(a), ranks(b));
}

/** @typedef {Float32Array | Float64Array} Floats */

/** @param {Floats} values */
function rangeOf(values) {
	let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
	for (let i = 0; i < values.length; i++) {
		if (values[i] < low) low = values[i];
		if (values[i] > high) high = values[i];
	}
	return { low, high };
}

/** @param {Floats} values */
function hasNaN(values) {
	for (let i = 0; i < values.length; i++) if (Number.isNaN(values[i])) return true;
	return false;
}

/** @param {Floats} values */
function meanOf(values) {
	let sum = 0;
	for (let i = 0; i < values.length; i++) sum += values[i];
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
	const order = sortedIndices(values);
	const out = new Float64Array(values.length);
	for (let start = 0; start < order.length; ) {
		let end = start + 1;
		while (end < order.length && values[order[end]] === values[order[start]]) end++;
		for (let i = start; i < end; i++) out[order[i]] = (start + end - 1) / 2;
		start = end;
	}
	return out;
});

/**
 * The indices of values from the smallest to the largest, by a radix sort of their bits: a map of a photograph would take
 * several frames with comparisons.
 *
 * @param {Float32Array} values  without NaN
 */
function sortedIndices(values) {
	const count = values.length;
	// The bits of floats, negative ones inverted, are in the order of the values; adding 0 makes -0 the same as 0.
	const floats = new Float32Array(count);
	for (let i = 0; i < count; i++) floats[i] = values[i] + 0;
	const bits = new Int32Array(floats.buffer);
	const keys = new Uint32Array(count);
	for (let i = 0; i < count; i++) keys[i] = bits[i] < 0 ? ~bits[i] : bits[i] | 0x80000000;
	let from = new Uint32Array(count);
	let to = new Uint32Array(count);
	for (let i = 0; i < count; i++) from[i] = i;
	for (const shift of [0, 11, 22]) {
		const starts = new Uint32Array(2049);
		for (let i = 0; i < count; i++) starts[((keys[i] >>> shift) & 2047) + 1]++;
		for (let digit = 0; digit < 2048; digit++) starts[digit + 1] += starts[digit];
		for (let i = 0; i < count; i++) to[starts[(keys[from[i]] >>> shift) & 2047]++] = from[i];
		[from, to] = [to, from];
	}
	return from;
}

/** @param {Float32Array} first @param {Float32Array} second @param {number[]} shape */
function ssim(first, second, shape) {
	const [a, b] = [unit(first), unit(second)];
	const side = Math.min(SIDE, ...shape);
	const window = gaussian(side - 1 + (side % 2));
	/** Weighted means of products. @param {Float64Array} x @param {Float64Array} y */
	const mean = (x, y) => {
		const products = new Float64Array(x.length);
		for (let i = 0; i < x.length; i++) products[i] = x[i] * y[i];
		return slide(products, shape, window);
	};
	const [muA, muB] = [slide(a, shape, window), slide(b, shape, window)];
	const [aa, bb, ab] = [mean(a, a), mean(b, b), mean(a, b)];
	let sum = 0;
	for (let i = 0; i < muA.length; i++) {
		const [x, y] = [muA[i], muB[i]];
		const squares = x * x + y * y;
		const upper = (2 * x * y + C1) * (2 * (ab[i] - x * y) + C2);
		sum += upper / ((squares + C1) * (aa[i] + bb[i] - squares + C2));
	}
	return sum / muA.length;
}

/** Values from 0 to 1; a constant map is 0. */
const unit = remembered((/** @type {Float32Array} */ values) => {
	const { low, high } = rangeOf(values);
	const out = new Float64Array(values.length);
	if (high > low) for (let i = 0; i < values.length; i++) out[i] = (values[i] - low) / (high - low);
	return out;
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
