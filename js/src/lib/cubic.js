/**
 * Maps enlarged by cubic interpolation. A hover enlarges a map for each image in sight, so weights are computed once for
 * each size, and nothing is allocated but the result.
 *
 * @typedef {import("./image.js").FloatMap} FloatMap
 * @typedef {{at: Int32Array, weight: Float64Array}} Taps  four cells, and their weights, for each pixel along an axis
 */
import { cached } from "./cached.js";
import { resize } from "./heat.js";
import { clamp } from "./numbers.js";

/**
 * A map enlarged by a whole factor: cubic between the centers of its cells (Keys 1981, a = -1/2), kept within the values
 * of the cells around, so that no ring of the other sign appears.
 *
 * @param {FloatMap} map  of shape [h, w]
 * @param {number} factor
 * @param {(length: number) => Float32Array} [make]  returns the array that is written to
 * @returns {FloatMap}
 */
export function enlargeCubic(map, factor, make = (length) => new Float32Array(length)) {
	const [h, w] = map.shape;
	const [height, width] = [h * factor, w * factor];
	// Next to a cell that is not finite there is no curve to follow.
	for (let i = 0; i < map.data.length; i++) {
		if (!Number.isFinite(map.data[i])) return resize(map, [height, width]);
	}
	const wide = between(h * width);
	const out = make(height * width);
	interpolate(map.data, wide, tapsAcross(w, width), { count: h, across: 1, before: w, after: width });
	interpolate(wide, out, tapsDown(h, height), { count: width, across: width, before: 1, after: 1 });
	return { shape: [height, width], data: out };
}

/**
 * A function that returns an array of a length, the same one as long as the length stays: for values that are used up
 * before the next call.
 *
 * @returns {(length: number) => Float32Array}
 */
export function scratch() {
	let array = new Float32Array(0);
	return (length) => {
		if (array.length !== length) array = new Float32Array(length);
		return array;
	};
}

const between = scratch();
const tapsAcross = cached(taps);
const tapsDown = cached(taps);

/** @param {number} extent  in cells @param {number} size  in pixels @returns {Taps} */
function taps(extent, size) {
	const at = new Int32Array(4 * size);
	const weight = new Float64Array(4 * size);
	for (let x = 0; x < size; x++) {
		const place = ((x + 0.5) * extent) / size - 0.5;
		const low = Math.floor(place);
		const t = place - low;
		at.set(
			[-1, 0, 1, 2].map((step) => clamp(low + step, 0, extent - 1)),
			4 * x,
		);
		weight.set(
			[
				t * (-0.5 + t * (1 - 0.5 * t)),
				1 + t * t * (-2.5 + 1.5 * t),
				t * (0.5 + t * (2 - 1.5 * t)),
				t * t * (-0.5 + 0.5 * t),
			],
			4 * x,
		);
	}
	return { at, weight };
}

/**
 * Interpolates along one axis.
 *
 * @param {Float32Array} data
 * @param {Float32Array} out
 * @param {Taps} taps
 * @param {{count: number, across: number, before: number, after: number}} steps  `count` lines, each `before` elements
 *     behind the one before it in `data`, and `after` in `out`; their elements are `across` apart
 */
function interpolate(data, out, { at, weight }, { count, across, before, after }) {
	for (let i = 0, x = 0; i < at.length; i += 4, x += across) {
		// Plain statements: this is run for a million pixels a second.
		const a = at[i] * across;
		const b = at[i + 1] * across;
		const c = at[i + 2] * across;
		const d = at[i + 3] * across;
		const p = weight[i];
		const q = weight[i + 1];
		const r = weight[i + 2];
		const s = weight[i + 3];
		for (let line = 0, from = 0, to = x; line < count; line++, from += before, to += after) {
			const v0 = data[from + a];
			const v1 = data[from + b];
			const v2 = data[from + c];
			const v3 = data[from + d];
			const low = Math.min(Math.min(v0, v1), Math.min(v2, v3));
			const high = Math.max(Math.max(v0, v1), Math.max(v2, v3));
			out[to] = Math.min(Math.max(p * v0 + q * v1 + r * v2 + s * v3, low), high);
		}
	}
}
