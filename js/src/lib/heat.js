/**
 * From the values of a map to colors.
 *
 * @typedef {import("./arrays.js").NDArray<Float32Array>} FloatMap
 * @typedef {import("./colormaps.js").Sign} Sign
 */
import { STEPS } from "./colormaps.js";
import { clamp } from "./numbers.js";

/**
 * The value that a percentage of the magnitudes do not exceed, interpolated as numpy does.
 *
 * Falls back to the largest magnitude where the percentile is zero, as in a map with few non-zero cells.
 *
 * @param {Float32Array} values  NaN and infinities are left out
 * @param {number} percentile  in (0, 100]
 * @returns {number} 0 if all values are zero or none is finite
 */
export function magnitudeLimit(values, percentile) {
	const magnitudes = new Float32Array(values.length);
	let count = 0;
	let largest = 0;
	for (let i = 0; i < values.length; i++) {
		const magnitude = Math.abs(values[i]);
		if (!(magnitude < Number.POSITIVE_INFINITY)) continue;
		magnitudes[count++] = magnitude;
		if (magnitude > largest) largest = magnitude;
	}
	if (count === 0 || percentile >= 100) return largest;
	const place = (percentile / 100) * (count - 1);
	const rank = Math.floor(place);
	const finite = magnitudes.subarray(0, count);
	const low = select(finite, rank);
	if (rank + 1 >= count) return low || largest;
	let next = Number.POSITIVE_INFINITY;
	for (let i = rank + 1; i < count; i++) if (finite[i] < next) next = finite[i];
	return low + (place - rank) * (next - low) || largest;
}

/**
 * The element of a rank, by Hoare's selection: linear time, where sorting a large map would take a frame.
 * Afterwards no value before it is larger and none behind it smaller.
 *
 * @param {Float32Array} values  reordered
 * @param {number} rank
 */
function select(values, rank) {
	let left = 0;
	let right = values.length - 1;
	while (left < right) {
		const pivot = values[(left + right) >> 1];
		let i = left;
		let j = right;
		while (i <= j) {
			while (values[i] < pivot) i++;
			while (values[j] > pivot) j--;
			if (i <= j) {
				const swap = values[i];
				values[i++] = values[j];
				values[j--] = swap;
			}
		}
		if (rank <= j) right = j;
		else if (rank >= i) left = i;
		else break;
	}
	return values[rank];
}

/**
 * Writes the color of every value.
 *
 * @param {Float32Array} values
 * @param {number} limit  the magnitude at the end of the scale; 0 gives the color of zero everywhere
 * @param {Sign} sign
 * @param {Uint32Array} table  STEPS colors
 * @param {Uint32Array} out  one word a value; transparent where the value is not finite
 */
export function shade(values, limit, sign, table, out) {
	const top = STEPS - 1;
	const zero = sign === "both" ? top / 2 : 0;
	const gain = limit > 0 ? ((sign === "negative" ? -1 : 1) * (top - zero)) / limit : 0;
	const magnitudes = sign === "absolute";
	for (let i = 0; i < values.length; i++) {
		const value = magnitudes ? Math.abs(values[i]) : values[i];
		if (value - value !== 0) {
			out[i] = 0;
			continue;
		}
		// Clamped before it becomes an integer, which a large value would overflow.
		out[i] = table[Math.max(0, Math.min(zero + gain * value + 0.5, top)) | 0];
	}
}

/**
 * A map enlarged by a whole factor, bilinear between the centers of its cells. Values are interpolated before they
 * are colored: mixing colors instead leaves the color map.
 *
 * @param {FloatMap} map  of shape [h, w]
 * @param {number} factor
 * @returns {FloatMap}
 */
export function enlarge(map, factor) {
	return resize(map, [map.shape[0] * factor, map.shape[1] * factor]);
}

/**
 * A map in another resolution, not below its own: bilinear between the centers of its cells, as torch's `interpolate`.
 *
 * @param {FloatMap} map  of shape [h, w]
 * @param {number[]} shape  rows and columns
 * @returns {FloatMap}
 */
export function resize({ shape: [h, w], data }, [height, width]) {
	const out = new Float32Array(height * width);
	const columns = taps(w, width);
	const rows = taps(h, height);
	for (let y = 0; y < height; y++) {
		const top = rows.low[y] * w;
		const bottom = rows.high[y] * w;
		const v = rows.weight[y];
		for (let x = 0; x < width; x++) {
			const left = columns.low[x];
			const right = columns.high[x];
			const u = columns.weight[x];
			const above = data[top + left] * (1 - u) + data[top + right] * u;
			const below = data[bottom + left] * (1 - u) + data[bottom + right] * u;
			const value = above * (1 - v) + below * v;
			// Next to a cell that is not finite there is nothing to interpolate: the nearest cell stands.
			out[y * width + x] =
				value - value === 0 ? value : data[(v < 0.5 ? top : bottom) + (u < 0.5 ? left : right)];
		}
	}
	return { shape: [height, width], data: out };
}

/** @param {number} extent @param {number} size */
function taps(extent, size) {
	const low = new Int32Array(size);
	const high = new Int32Array(size);
	const weight = new Float32Array(size);
	for (let i = 0; i < size; i++) {
		const place = clamp(((i + 0.5) * extent) / size - 0.5, 0, extent - 1);
		low[i] = Math.floor(place);
		high[i] = Math.min(low[i] + 1, extent - 1);
		weight[i] = place - low[i];
	}
	return { low, high, weight };
}
