/**
 * Resizing and cropping of images to the input of a network, as `xai_widgets.core.resizing` does it: antialiased by a
 * filter that is as wide as an output pixel.
 *
 * @typedef {import("./fills.js").Pixels} Pixels
 * @typedef {{size: [number, number], resize: number | [number, number] | null, interpolation: string, rounding: string}} Resizing
 */
import { clamp } from "../lib/numbers.js";

/** Images of more pixels are resized in 8 bits, as in Python. */
const LARGE = 2 ** 21;

/** Rounds halves to the even number, as Python does. @param {number} value */
export function roundEven(value) {
	const low = Math.floor(value);
	if (value - low !== 0.5) return Math.round(value);
	return low % 2 === 0 ? low : low + 1;
}

/** @type {Record<string, {reach: number, filter: (t: number) => number}>} */
const FILTERS = {
	bilinear: { reach: 1, filter: (t) => Math.max(0, 1 - Math.abs(t)) },
	bicubic: {
		reach: 2,
		// Keys 1981, a = -1/2.
		filter(t) {
			const x = Math.abs(t);
			if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
			return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
		},
	},
};

/**
 * The inputs that an output along an axis is a weighted mean of.
 *
 * @param {number} from  length of the input
 * @param {number} to  length of the output
 * @param {string} interpolation
 * @returns {{first: number, weights: Float64Array}[]}
 */
function taps(from, to, interpolation) {
	const scale = from / to;
	return Array.from({ length: to }, (_, i) => {
		if (interpolation === "nearest") {
			return { first: Math.min(from - 1, Math.floor((i + 0.5) * scale)), weights: Float64Array.of(1) };
		}
		const { reach, filter } = FILTERS[interpolation];
		const stretch = Math.max(scale, 1);
		const center = scale * (i + 0.5);
		const first = Math.max(0, Math.trunc(center - reach * stretch + 0.5));
		const end = Math.min(from, Math.trunc(center + reach * stretch + 0.5));
		const weights = Float64Array.from({ length: end - first }, (_, j) =>
			filter((first + j - center + 0.5) / stretch),
		);
		const sum = weights.reduce((total, weight) => total + weight, 0);
		return { first, weights: weights.map((weight) => weight / sum) };
	});
}

/**
 * Part of a resized image; only its rows and columns are computed.
 *
 * @param {Pixels} image
 * @param {[number, number]} size  of the whole resized image
 * @param {string} interpolation
 * @param {{top: number, left: number, height: number, width: number}} part
 * @param {boolean} rounded  whether values are rounded to 8 bits after each axis
 * @returns {Pixels}
 */
function resizedPart({ channels, height, width, data }, size, interpolation, part, rounded) {
	const across = taps(width, size[1], interpolation).slice(part.left, part.left + part.width);
	const down = taps(height, size[0], interpolation).slice(part.top, part.top + part.height);
	const settle = rounded
		? (/** @type {number} */ v) => Math.round(255 * clamp(v)) / 255
		: (/** @type {number} */ v) => v;
	const out = new Float32Array(channels * part.height * part.width);
	const wide = new Float32Array(height * part.width);
	for (let channel = 0; channel < channels; channel++) {
		for (let row = 0; row < height; row++) {
			const start = (channel * height + row) * width;
			for (let x = 0; x < part.width; x++) {
				const { first, weights } = across[x];
				let sum = 0;
				for (let i = 0; i < weights.length; i++) sum += weights[i] * data[start + first + i];
				wide[row * part.width + x] = settle(sum);
			}
		}
		for (let row = 0; row < part.height; row++) {
			const { first, weights } = down[row];
			for (let x = 0; x < part.width; x++) {
				let sum = 0;
				for (let i = 0; i < weights.length; i++) sum += weights[i] * wide[(first + i) * part.width + x];
				out[(channel * part.height + row) * part.width + x] = clamp(settle(sum));
			}
		}
	}
	return { channels, height: part.height, width: part.width, data: out };
}

/** The middle of an axis. @param {Pixels} image @param {number} rows @param {number} columns  dropped at each end */
function trimmed({ channels, height, width, data }, rows, columns) {
	const [high, wide] = [height - 2 * rows, width - 2 * columns];
	const out = new Float32Array(channels * high * wide);
	for (let row = 0; row < channels * high; row++) {
		const [channel, y] = [Math.floor(row / high), row % high];
		const start = (channel * height + rows + y) * width + columns;
		out.set(data.subarray(start, start + wide), row * wide);
	}
	return { channels, height: high, width: wide, data: out };
}

/**
 * The part of an image that is needed, and the size of that part after resizing.
 *
 * @param {Pixels} image
 * @param {Resizing} resizing
 * @returns {{image: Pixels, scaled: [number, number]}}
 */
function scaled(image, { size, resize }) {
	if (Array.isArray(resize)) return { image, scaled: resize };
	const [height, width] = size;
	const covering = Math.max(height / image.height, width / image.width);
	const scale = resize === null ? covering : resize / Math.min(image.height, image.width);
	// Only the middle of a very long image is resized.
	const spare = (/** @type {number} */ have, /** @type {number} */ need) =>
		Math.max(0, Math.floor((have - 4 * Math.ceil(need / scale) - 4) / 2));
	const part = trimmed(image, spare(image.height, height), spare(image.width, width));
	if (resize === null) {
		const sides = [part.height, part.width].map((side, axis) =>
			Math.max(size[axis], roundEven(side * scale)),
		);
		return { image: part, scaled: [sides[0], sides[1]] };
	}
	const short = Math.min(part.height, part.width);
	const sides = [part.height, part.width].map((side) => Math.trunc((resize * side) / short));
	return { image: part, scaled: [sides[0], sides[1]] };
}

/**
 * An image as the network gets it.
 *
 * @param {Pixels} given
 * @param {Resizing} resizing
 * @returns {Pixels}
 */
export function fitted(given, resizing) {
	const { size, resize, interpolation, rounding } = resizing;
	const [height, width] = size;
	const fits = given.height === height && given.width === width;
	const same = resize === null || (Array.isArray(resize) && resize[0] === height && resize[1] === width);
	if (fits && same) return given;
	const { image, scaled: sides } = scaled(given, resizing);
	const round = rounding === "even" ? roundEven : Math.trunc;
	const [top, left] = [round((sides[0] - height) / 2), round((sides[1] - width) / 2)];
	const rounded = given.height * given.width > LARGE;
	return resizedPart(image, sides, interpolation, { top, left, height, width }, rounded);
}

/**
 * The pixels of a canvas as an image of three channels, or of one: the luminance of ITU-R BT.601.
 *
 * @param {ImageData} source
 * @param {number} channels
 * @returns {Pixels}
 */
export function pixelsOf({ data, height, width }, channels) {
	const area = height * width;
	const out = new Float32Array(channels * area);
	for (let i = 0; i < area; i++) {
		const [red, green, blue] = [data[4 * i] / 255, data[4 * i + 1] / 255, data[4 * i + 2] / 255];
		if (channels === 1) out[i] = 0.299 * red + 0.587 * green + 0.114 * blue;
		else {
			out[i] = red;
			out[area + i] = green;
			out[2 * area + i] = blue;
		}
	}
	return { channels, height, width, data: out };
}

/** Bytes of an image for a view, (H, W, 3). @param {Pixels} image @returns {Uint8Array} */
export function bytesOf({ channels, height, width, data }) {
	const area = height * width;
	const out = new Uint8Array(3 * area);
	for (let i = 0; i < area; i++) {
		for (let k = 0; k < 3; k++) {
			out[3 * i + k] = roundEven(255 * clamp(data[Math.min(k, channels - 1) * area + i]));
		}
	}
	return out;
}
