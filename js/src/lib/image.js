/**
 * Pixels off screen: checked arrays, bytes packed to RGBA words, canvases to draw from.
 *
 * @typedef {import("./arrays.js").ArrayMessage | null | undefined} Message
 * @typedef {import("./arrays.js").NDArray<Float32Array>} FloatMap
 * @typedef {import("./arrays.js").NDArray<Uint8Array>} Bytes
 */
import { decode } from "./arrays.js";

/**
 * RGBA words (little-endian, as every browser's machine is) of an image.
 *
 * @param {Uint8Array} rgb  three bytes a pixel
 * @returns {Uint32Array}
 */
export function pack(rgb) {
	const words = new Uint32Array(rgb.length / 3);
	for (let i = 0, j = 0; i < words.length; i++, j += 3) {
		words[i] = rgb[j] | (rgb[j + 1] << 8) | (rgb[j + 2] << 16) | 0xff000000;
	}
	return words;
}

/**
 * The words of an image without its colors.
 *
 * @param {Uint8Array} rgb  three bytes a pixel
 * @returns {Uint32Array}
 */
export function packGray(rgb) {
	const words = new Uint32Array(rgb.length / 3);
	for (let i = 0, j = 0; i < words.length; i++, j += 3) {
		// The weights of luma after ITU-R BT.601.
		const gray = Math.round(0.299 * rgb[j] + 0.587 * rgb[j + 1] + 0.114 * rgb[j + 2]);
		words[i] = gray | (gray << 8) | (gray << 16) | 0xff000000;
	}
	return words;
}

/** A canvas off screen whose pixels are words: write `words`, then `flush`. */
export class Raster {
	canvas = document.createElement("canvas");
	words = new Uint32Array(0);
	#pixels = new ImageData(1, 1);
	#opaque;

	/** @param {{opaque?: boolean}} [options]  an opaque canvas is drawn faster */
	constructor({ opaque = false } = {}) {
		this.#opaque = opaque;
	}

	/** Keeps its memory while the size stays. @param {number} width @param {number} height */
	resize(width, height) {
		const { canvas } = this;
		if (this.words.length && canvas.width === width && canvas.height === height) return;
		canvas.width = width;
		canvas.height = height;
		this.#pixels = new ImageData(width, height);
		this.words = new Uint32Array(this.#pixels.data.buffer);
	}

	/** @param {{left: number, top: number, right: number, bottom: number}} [rect]  what has changed; all by default */
	flush(rect) {
		const { left, top, right, bottom } = rect ?? {
			left: 0,
			top: 0,
			right: this.canvas.width,
			bottom: this.canvas.height,
		};
		const context = this.canvas.getContext("2d", { alpha: !this.#opaque });
		context?.putImageData(this.#pixels, 0, 0, left, top, right - left, bottom - top);
	}
}

/**
 * The array of a message, refused in words for the person who looks at the view if its type or shape is another.
 *
 * @template {import("./arrays.js").Values} T
 * @param {new () => T} type
 * @param {string} name  of the trait
 * @param {Message} message
 * @param {(number | null)[]} shape  null stands for any extent
 * @returns {import("./arrays.js").NDArray<T> | null}  null also for an array without elements
 */
export function expectArray(type, name, message, shape) {
	const array = /** @type {import("./arrays.js").NDArray<T> | null} */ (decode(message));
	if (!array) return null;
	const have = array.shape;
	const fits =
		have.length === shape.length && shape.every((extent, i) => extent === null || extent === have[i]);
	if (!fits || !(array.data instanceof type)) {
		const want = shape.map((extent) => extent ?? "any").join(", ");
		throw new TypeError(
			`${name} is a ${array.data.constructor.name} of shape [${have.join(", ")}], expected a ${type.name} of [${want}]`,
		);
	}
	return have.includes(0) ? null : array;
}

/** @param {string} name @param {Message} message @param {(number | null)[]} shape */
export const bytes = (name, message, shape) => expectArray(Uint8Array, name, message, shape);

/** @param {string} name @param {Message} message @param {(number | null)[]} shape */
export const floats = (name, message, shape) => expectArray(Float32Array, name, message, shape);
