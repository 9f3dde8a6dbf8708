/**
 * How alike positions are: vectors of a layer over P images, in a grid of h x w positions each.
 *
 * With codes q and scales t, so that t q is a vector of length 1, and the lengths n that the vectors had:
 *
 *     cosine     s = t_a t_b (q_a . q_b), 0 where one of them is zero
 *     dot        n_a n_b s
 *     euclidean  exp(-(n_a^2 + n_b^2 - 2 n_a n_b s) / (2 sigma^2))
 *
 * @typedef {"cosine" | "dot" | "euclidean"} Kind
 * @typedef {Int8Array | Float32Array} Codes
 * @typedef {{
 *   frameCount: number, rows: number, columns: number, channels: number, tokens: string[],
 *   codes: Codes, scales: Float32Array, norms: Float32Array, sigma: number,
 *   products: (source: number, first: number, out: Float32Array) => void,
 * }} Space  positions are numbered through: (image * rows + row) * columns + column; the tokens without a position follow
 *     them, image by image
 * @typedef {{names: string[], data: Codes, scales: Float32Array | null, norms: Float32Array | null}} Tokens
 * @typedef {{row: number, column: number}} Cell
 */

import { byteProducts } from "./dot_products.js";
import { clamp } from "./numbers.js";

/**
 * @param {import("./arrays.js").NDArray<Codes>} activations  of shape [P, h, w, C]
 * @param {Float32Array | null} scales  null: 1 over the length of the codes
 * @param {Float32Array | null} norms  null: the lengths of the codes
 * @param {number} sigma
 * @param {Tokens | null} tokens  their scales and norms are null if those of the activations are
 * @returns {Space}
 */
export function createSpace({ shape, data: codes }, scales, norms, sigma, tokens = null) {
	const [frameCount, rows, columns, channels] = shape;
	const names = tokens?.names ?? [];
	const data = tokens && names.length > 0 ? joined(codes, tokens.data) : codes;
	const count = frameCount * (rows * columns + names.length);
	if (tokens && names.length > 0) {
		scales = scales && tokens.scales && joined(scales, tokens.scales);
		norms = norms && tokens.norms && joined(norms, tokens.norms);
	}
	const lengths = scales && norms ? null : lengthsOf(data, count, channels);
	return {
		frameCount,
		rows,
		columns,
		channels,
		tokens: names,
		codes: data,
		scales: scales ?? /** @type {Float32Array} */ (lengths).map((length) => (length > 0 ? 1 / length : 0)),
		norms: norms ?? /** @type {Float32Array} */ (lengths),
		sigma,
		products:
			data instanceof Int8Array
				? byteProducts(data, count, channels)
				: (source, first, out) =>
						productsOfFloats(data, data.slice(source * channels, (source + 1) * channels), first, out),
	};
}

/**
 * One array after the other, of the type of the first.
 *
 * @template {Codes} T
 * @param {T} first
 * @param {Codes} second
 * @returns {T}
 */
function joined(first, second) {
	const length = first.length + second.length;
	const both = /** @type {T} */ (
		first instanceof Int8Array ? new Int8Array(length) : new Float32Array(length)
	);
	both.set(first);
	both.set(second, first.length);
	return both;
}

/** @param {Space} space @param {number} frame @param {string} name  the number of a token of an image, -1 for none */
export function tokenIndex({ frameCount, rows, columns, tokens }, frame, name) {
	const index = tokens.indexOf(name);
	return index < 0 ? -1 : frameCount * rows * columns + frame * tokens.length + index;
}

/** @param {Codes} codes @param {number} count @param {number} channels */
function lengthsOf(codes, count, channels) {
	const lengths = new Float32Array(count);
	for (let location = 0, at = 0; location < count; location++) {
		// By the largest element first, as squares of large ones overflow and those of small ones vanish.
		let peak = 0;
		for (let c = 0; c < channels; c++) peak = Math.max(peak, Math.abs(codes[at + c]));
		let sum = 0;
		for (let c = 0; c < channels; c++) sum += peak ? (codes[at + c] / peak) ** 2 : 0;
		lengths[location] = peak * Math.sqrt(sum);
		at += channels;
	}
	return lengths;
}

/** @param {Float32Array} a @param {Float32Array} b @param {number} first @param {Float32Array} out */
function productsOfFloats(a, b, first, out) {
	const channels = b.length;
	const whole = channels - (channels % 4);
	for (let i = 0, at = first * channels; i < out.length; i++, at += channels) {
		let s0 = 0;
		let s1 = 0;
		let s2 = 0;
		let s3 = 0;
		let c = 0;
		for (; c < whole; c += 4) {
			s0 += a[at + c] * b[c];
			s1 += a[at + c + 1] * b[c + 1];
			s2 += a[at + c + 2] * b[c + 2];
			s3 += a[at + c + 3] * b[c + 3];
		}
		for (; c < channels; c++) s0 += a[at + c] * b[c];
		out[i] = s0 + s1 + s2 + s3;
	}
}

/**
 * How alike one position is to a run of positions.
 *
 * @param {Space} space
 * @param {number} source  the position
 * @param {Kind} kind
 * @param {number} first  the first of the positions it is compared with
 * @param {Float32Array} out  as many as there are
 */
export function similarities(space, source, kind, first, out) {
	const { products, scales, norms, sigma } = space;
	products(source, first, out);
	const t = scales[source];
	const n = norms[source];
	for (let i = 0; i < out.length; i++) {
		const cosine = clamp(t * scales[first + i] * out[i], -1, 1);
		if (kind === "cosine") out[i] = cosine;
		else {
			const m = norms[first + i];
			const dot = n * m * cosine;
			out[i] = kind === "dot" ? dot : Math.exp(-Math.max(n * n + m * m - 2 * dot, 0) / (2 * sigma * sigma));
		}
	}
}

/**
 * The cell of another grid in which the middle of a cell lies: floor((i + 0.5) n_t / n_s) for each axis.
 *
 * @param {Cell} cell
 * @param {{rows: number, columns: number}} from
 * @param {{rows: number, columns: number}} to
 * @returns {Cell}
 */
export function sameCell({ row, column }, from, to) {
	// Whole numbers are divided: where the quotient is whole too there is no rounding error.
	return {
		row: Math.floor(((2 * row + 1) * to.rows) / (2 * from.rows)),
		column: Math.floor(((2 * column + 1) * to.columns) / (2 * from.columns)),
	};
}

/**
 * Where the middle of a cell of one image lies in another image of the same thing; null where it has left it.
 *
 * @param {Cell} cell
 * @param {{rows: number, columns: number}} from
 * @param {{rows: number, columns: number}} to
 * @param {ArrayLike<number>} here  the six numbers of the image's transform, row by row
 * @param {ArrayLike<number>} there  those of the other one
 * @returns {Cell | null}
 */
export function followCell({ row, column }, from, to, here, there) {
	const x = (column + 0.5) / from.columns - here[2];
	const y = (row + 0.5) / from.rows - here[5];
	const determinant = here[0] * here[4] - here[1] * here[3];
	const u = (here[4] * x - here[1] * y) / determinant;
	const v = (here[0] * y - here[3] * x) / determinant;
	const at = {
		row: Math.floor((there[3] * u + there[4] * v + there[5]) * to.rows),
		column: Math.floor((there[0] * u + there[1] * v + there[2]) * to.columns),
	};
	const inside = at.row >= 0 && at.row < to.rows && at.column >= 0 && at.column < to.columns;
	return inside ? at : null;
}

/**
 * The values of a column: how alike every position is to the source of its image, NaN in images without one; with
 * other sources, less how alike it is to those.
 *
 * @param {Space} space
 * @param {Kind} kind
 * @param {number[][]} sources  one list, or two; for each image the number of a position, -1 for none
 * @returns {Float32Array} one value a position
 */
export function overlay(space, kind, sources) {
	const size = space.rows * space.columns;
	const values = new Float32Array(space.frameCount * size);
	const part = new Float32Array(size);
	for (const [index, list] of sources.entries()) {
		for (const [frame, source] of list.entries()) {
			const out = values.subarray(frame * size, (frame + 1) * size);
			if (source < 0) out.fill(Number.NaN);
			else if (index === 0) similarities(space, source, kind, frame * size, out);
			else {
				similarities(space, source, kind, frame * size, part);
				for (let i = 0; i < size; i++) out[i] -= part[i];
			}
		}
	}
	return values;
}

/** The smallest and the largest finite value; 0 and 1 if there is none. @param {Float32Array} values */
export function extremes(values) {
	let low = Number.POSITIVE_INFINITY;
	let high = Number.NEGATIVE_INFINITY;
	for (let i = 0; i < values.length; i++) {
		if (!Number.isFinite(values[i])) continue;
		if (values[i] < low) low = values[i];
		if (values[i] > high) high = values[i];
	}
	return low <= high ? [low, high] : [0, 1];
}

/** Values as shares of the way from the smallest to the largest. @param {Float32Array} values */
export function rescaled(values) {
	const [low, high] = extremes(values);
	const span = high - low || 1;
	return values.map((value) => (value - low) / span);
}
