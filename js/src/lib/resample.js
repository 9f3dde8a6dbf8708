/**
 * Maps in other resolutions, and smoothed ones. All of it is done on values before they are colored: mixing colors leaves
 * the color map.
 *
 * @typedef {import("./image.js").FloatMap} FloatMap
 * @typedef {import("./colormaps.js").Sign} Sign
 * @typedef {"bicubic" | "smooth" | "pixelated"} Interpolation
 */
import { enlargeCubic } from "./cubic.js";
import { enlarge } from "./heat.js";

/** A Gaussian reaches so many standard deviations far. */
const REACH = 3;

/**
 * A map for drawing at a size: enlarged by a whole factor with its interpolation, or, where it is finer than the
 * drawing, reduced by one.
 *
 * @param {FloatMap} map  of shape [h, w]
 * @param {Interpolation} interpolation
 * @param {number} most  about so many pixels a smooth map is enlarged to
 * @param {number} [reduction]  from `reductionFor`
 * @param {(length: number) => Float32Array} [make]  returns the array that a bicubic map is written to
 * @returns {FloatMap}
 */
export function resampled(map, interpolation, most, reduction = 1, make = undefined) {
	if (reduction > 1) return reduced(map, reduction);
	const factor = Math.round(most / Math.max(...map.shape));
	if (interpolation === "pixelated" || factor < 2) return map;
	return interpolation === "bicubic" ? enlargeCubic(map, factor, make) : enlarge(map, factor);
}

/**
 * How many cells along an axis share a pixel when a map is drawn at a size, rounded up; 1 if they are about as many.
 *
 * @param {number[]} shape
 * @param {number[]} size
 */
export function reductionFor([h, w], [height, width]) {
	const ratio = Math.min(h / height, w / width);
	return ratio > 1.1 ? Math.ceil(ratio) : 1;
}

/**
 * A coarser map: the mean magnitude of the cells of a block, with the sign of their sum. A mean of the values would cancel
 * where signs alternate, and the nearest value would drop the others.
 *
 * @param {FloatMap} map  of shape [h, w]; cells that are not finite are left out
 * @param {number} factor  cells of a block along each axis; those at the border may be smaller
 * @returns {FloatMap}
 */
export function reduced({ shape: [h, w], data }, factor) {
	const [height, width] = [Math.ceil(h / factor), Math.ceil(w / factor)];
	const out = new Float32Array(height * width);
	for (let row = 0; row < height; row++) {
		for (let column = 0; column < width; column++) {
			let [sum, magnitude, count] = [0, 0, 0];
			const [bottom, right] = [Math.min(h, (row + 1) * factor), Math.min(w, (column + 1) * factor)];
			for (let y = row * factor; y < bottom; y++) {
				for (let x = column * factor; x < right; x++) {
					const value = data[y * w + x];
					if (value - value !== 0) continue;
					sum += value;
					magnitude += Math.abs(value);
					count++;
				}
			}
			out[row * width + column] = count ? (Math.sign(sum) * magnitude) / count : Number.NaN;
		}
	}
	return { shape: [height, width], data: out };
}

/** @param {Float32Array} data @param {number} rows @param {number} columns */
function transposed(data, rows, columns) {
	const out = new Float32Array(data.length);
	for (let row = 0; row < rows; row++) {
		for (let column = 0; column < columns; column++) out[column * rows + row] = data[row * columns + column];
	}
	return out;
}

/**
 * A map smoothed by a Gaussian. Weights are normalized over the finite cells within the map, so that a constant map stays
 * as it is up to its border.
 *
 * @param {FloatMap} map  of shape [h, w]; cells that are not finite stay so
 * @param {number} sigma  in cells, 0 for the very same map
 * @param {Sign} [sign]  the values that are smoothed: magnitudes for "absolute", those of one sign for one
 * @returns {FloatMap}
 */
export function smoothed(map, sigma, sign = "both") {
	if (!(sigma > 0)) return map;
	const [h, w] = map.shape;
	const radius = Math.max(1, Math.ceil(REACH * sigma));
	const kernel = Float64Array.from({ length: 2 * radius + 1 }, (_, i) =>
		Math.exp(-0.5 * ((i - radius) / sigma) ** 2),
	);
	const finite = map.data.every(Number.isFinite);
	const values = Float32Array.from(map.data, (value) => (value - value === 0 ? part(value, sign) : 0));
	const there = Float32Array.from(map.data, (value) => (value - value === 0 ? 1 : 0));
	const sums = convolved(values, h, w, kernel, radius);
	// Without gaps, all rows have the weights of one row, and all columns those of one column.
	const weights = finite ? null : convolved(there, h, w, kernel, radius);
	const [across, down] = [edgeWeights(w, kernel, radius), edgeWeights(h, kernel, radius)];
	const data = sums.map((sum, index) => {
		const weight = weights ? weights[index] : across[index % w] * down[Math.floor(index / w)];
		return there[index] ? sum / weight : map.data[index];
	});
	return { shape: [h, w], data };
}

/** @param {number} value @param {Sign} sign */
function part(value, sign) {
	if (sign === "absolute") return Math.abs(value);
	if (sign === "positive") return Math.max(value, 0);
	return sign === "negative" ? Math.min(value, 0) : value;
}

/** The weights that lie within the map. @param {number} extent @param {Float64Array} kernel @param {number} radius */
function edgeWeights(extent, kernel, radius) {
	return Float64Array.from({ length: extent }, (_, at) => {
		let sum = 0;
		for (let i = -radius; i <= radius; i++) if (at + i >= 0 && at + i < extent) sum += kernel[i + radius];
		return sum;
	});
}

/** @param {Float32Array} data @param {number} h @param {number} w @param {Float64Array} kernel @param {number} radius */
function convolved(data, h, w, kernel, radius) {
	const across = convolvedRows(data, h, w, kernel, radius);
	return transposed(convolvedRows(transposed(across, h, w), w, h, kernel, radius), w, h);
}

/** @param {Float32Array} data @param {number} h @param {number} w @param {Float64Array} kernel @param {number} radius */
function convolvedRows(data, h, w, kernel, radius) {
	const out = new Float32Array(data.length);
	for (let start = 0; start < h * w; start += w) {
		for (let x = 0; x < w; x++) {
			const [first, last] = [Math.max(0, x - radius), Math.min(w - 1, x + radius)];
			let sum = 0;
			for (let i = first; i <= last; i++) sum += data[start + i] * kernel[i - x + radius];
			out[start + x] = sum;
		}
	}
	return out;
}
