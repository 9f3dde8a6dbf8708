/**
 * Deletion and insertion along a map (Petsiuk et al. 2018) as `xai_widgets.metrics.deletion` computes them: pixels are
 * replaced in the order of the map, by the mean color of the training images, or on the blurred image by its own.
 *
 * @typedef {import("./fills.js").Pixels} Pixels
 * @typedef {"deletion" | "insertion"} Mode
 */
import { clamp } from "../lib/numbers.js";
import { roundEven } from "./resizing.js";

/** The blur of RISE: a Gaussian of so many pixels, cut off at a kernel of 11. */
const [SIGMA, REACH] = [5, 5];

/**
 * A map enlarged bilinearly, as `xai_widgets.ops.resize.resize_map` does it.
 *
 * @param {{shape: [number, number], data: Float32Array}} map
 * @param {[number, number]} size
 * @returns {Float32Array}
 */
export function resizedMap({ shape, data }, size) {
	if (shape[0] === size[0] && shape[1] === size[1]) return data;
	const [rows, columns] = shape.map((from, axis) =>
		Array.from({ length: size[axis] }, (_, i) => {
			const center = Math.max(0, ((i + 0.5) * from) / size[axis] - 0.5);
			const first = Math.min(Math.floor(center), from - 1);
			return { first, last: Math.min(first + 1, from - 1), weight: center - first };
		}),
	);
	const out = new Float32Array(size[0] * size[1]);
	for (const [y, row] of rows.entries()) {
		const [high, low] = [row.first * shape[1], row.last * shape[1]];
		for (const [x, { first, last, weight }] of columns.entries()) {
			const above = data[high + first] * (1 - weight) + data[high + last] * weight;
			const below = data[low + first] * (1 - weight) + data[low + last] * weight;
			out[y * size[1] + x] = above * (1 - row.weight) + below * row.weight;
		}
	}
	return out;
}

/**
 * The rank of each pixel: 0 for the highest value; of equal ones the first comes first.
 *
 * @param {Float32Array} map
 * @returns {Int32Array}
 */
export function ranksOf(map) {
	const order = Int32Array.from(map.keys()).sort((a, b) => map[b] - map[a] || a - b);
	const ranks = new Int32Array(map.length);
	for (const [rank, pixel] of order.entries()) ranks[pixel] = rank;
	return ranks;
}

/** How many pixels are replaced at each step. @param {number} pixels @param {number} steps @returns {number[]} */
export function countsOf(pixels, steps) {
	return Array.from({ length: steps + 1 }, (_, k) => roundEven((k * pixels) / steps));
}

/**
 * The steps in an order whose first ones are spread over the whole curve.
 *
 * @param {number} count
 * @param {number} coarse  how many come first
 * @returns {number[]}
 */
export function coarseToFine(count, coarse) {
	const stride = Math.ceil(count / coarse);
	return Array.from({ length: stride }, (_, first) =>
		Array.from({ length: Math.ceil((count - first) / stride) }, (_, k) => first + k * stride),
	).flat();
}

/**
 * An image blurred by a truncated Gaussian, with the border repeated.
 *
 * @param {Pixels} image
 * @returns {Pixels}
 */
export function truncatedBlur({ channels, height, width, data }) {
	const offsets = Array.from({ length: 2 * REACH + 1 }, (_, i) => i - REACH);
	const powers = offsets.map((offset) => Math.exp(-((offset / SIGMA) ** 2) / 2));
	const sum = powers.reduce((total, power) => total + power, 0);
	const weights = powers.map((power) => power / sum);
	const [wide, out] = [new Float32Array(data.length), new Float32Array(data.length)];
	for (let row = 0; row < channels * height; row++) {
		for (let x = 0; x < width; x++) {
			let value = 0;
			for (const [k, offset] of offsets.entries()) {
				value += weights[k] * data[row * width + clamp(x + offset, 0, width - 1)];
			}
			wide[row * width + x] = value;
		}
	}
	for (let row = 0; row < channels * height; row++) {
		const [plane, y] = [row - (row % height), row % height];
		for (let x = 0; x < width; x++) {
			let value = 0;
			for (const [k, offset] of offsets.entries()) {
				value += weights[k] * wide[(plane + clamp(y + offset, 0, height - 1)) * width + x];
			}
			out[row * width + x] = value;
		}
	}
	return { channels, height, width, data: out };
}

/**
 * The image before the first step, and the one after the last.
 *
 * @param {Mode} mode
 * @param {Pixels} image
 * @param {number[]} mean  color of the training images
 * @returns {[Pixels, Pixels]}
 */
export function endsOf(mode, image, mean) {
	if (mode === "insertion") return [truncatedBlur(image), image];
	const area = image.height * image.width;
	const data = image.data.map((_, i) => mean[Math.floor(i / area) % mean.length]);
	return [image, { ...image, data }];
}

/** The area under a curve by the trapezoid rule. @param {ArrayLike<number>} x @param {ArrayLike<number>} y */
export function areaUnder(x, y) {
	let area = 0;
	for (let i = 1; i < x.length; i++) area += ((x[i] - x[i - 1]) * (y[i] + y[i - 1])) / 2;
	return area;
}
