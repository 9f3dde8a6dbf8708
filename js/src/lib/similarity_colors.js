/**
 * From the values of a image to the pixels of its overlay, and from components to theirs.
 *
 * @typedef {import("./colormaps.js").Sign} Sign
 * @typedef {import("./image.js").FloatMap} FloatMap
 */
import { scratch } from "./cubic.js";
import { shade } from "./heat.js";
import { resampled } from "./resample.js";

/** Smooth overlays are enlarged to about so many pixels before they are colored; the browser does the rest. */
const SMOOTH_SIZE = 56;
const enlarged = scratch();

/** Colors of components: those of Okabe and Ito, then of Tol, all distinguished with every common color blindness. */
export const COLORS = [
	"#009e73",
	"#cc79a7",
	"#56b4e9",
	"#e69f00",
	"#0072b2",
	"#d55e00",
	"#f0e442",
	"#882255",
	"#44aa99",
	"#999933",
	"#332288",
	"#ddcc77",
];

/**
 * @param {import("./image.js").Raster} raster  is given the size of the grid, or of the enlarged one
 * @param {FloatMap} map  of shape [h, w]
 * @param {{
 *   limit: number, sign: Sign, table: Uint32Array, threshold: number,
 *   interpolation: import("./resample.js").Interpolation,
 * }} look
 *     `threshold` is a share of `limit`
 */
export function paintOverlay(raster, map, { limit, sign, table, threshold, interpolation }) {
	const { shape, data } = resampled(map, interpolation, SMOOTH_SIZE, 1, enlarged);
	raster.resize(shape[1], shape[0]);
	shade(data, limit, sign, table, raster.words);
	if (threshold > 0) {
		const least = threshold * limit;
		for (let i = 0; i < data.length; i++) if (Math.abs(data[i]) < least) raster.words[i] = 0;
	}
	raster.flush();
}

/**
 * Each position has the colors of its components, mixed by how much of each there is, and is as opaque as the largest.
 *
 * @param {import("./image.js").Raster} raster
 * @param {{shape: number[], data: Uint8Array}} weights  of shape [h, w, M]
 * @param {(number[] | null)[]} colors  red, green and blue of each component; null for one that is not drawn
 */
export function paintComponents(raster, { shape: [rows, columns, count], data }, colors) {
	raster.resize(columns, rows);
	for (let location = 0; location < rows * columns; location++) {
		const mixed = [0, 0, 0];
		let sum = 0;
		let most = 0;
		for (let part = 0; part < count; part++) {
			const weight = data[location * count + part];
			const color = colors[part];
			if (!color || weight === 0) continue;
			sum += weight;
			most = Math.max(most, weight);
			for (let channel = 0; channel < 3; channel++) mixed[channel] += weight * color[channel];
		}
		const [r, g, b] = mixed.map((value) => (sum ? Math.round(value / sum) : 0));
		raster.words[location] = r | (g << 8) | (b << 16) | (most << 24);
	}
	raster.flush();
}

/**
 * Each position has three components as its red, green and blue.
 *
 * @param {import("./image.js").Raster} raster
 * @param {{shape: number[], data: Uint8Array}} weights  of shape [h, w, M], M at least 3
 */
export function paintColors(raster, { shape: [rows, columns, count], data }) {
	raster.resize(columns, rows);
	for (let at = 0; at < rows * columns; at++) {
		const [r, g, b] = data.subarray(at * count, at * count + 3);
		raster.words[at] = r | (g << 8) | (b << 16) | (255 << 24);
	}
	raster.flush();
}

/** @param {string} hex  "#rrggbb" */
export function rgbOf(hex) {
	return [1, 3, 5].map((start) => Number.parseInt(hex.slice(start, start + 2), 16));
}

/** The largest magnitude, 0 if none is finite. @param {Float32Array} values */
export function largest(values) {
	let most = 0;
	for (let i = 0; i < values.length; i++) {
		const magnitude = Math.abs(values[i]);
		if (magnitude > most && magnitude < Number.POSITIVE_INFINITY) most = magnitude;
	}
	return most;
}
