import { clamp } from "./numbers.js";

/**
 * Masks as bytes, 255 where the image is preserved: what they show of an image, and where they are a half.
 *
 * @typedef {import("./arrays.js").NDArray<Uint8Array>} Bytes
 */

/**
 * The levels of a pyramid where the mask points, linearly between two of them.
 *
 * @param {Bytes} levels  (L, H, W, 3), from perturbed to untouched
 * @param {Uint8Array} mask  one byte a pixel
 * @param {boolean} inverted  take 1 - m for m
 * @param {Uint32Array} out  RGBA words
 */
export function look({ shape, data }, mask, inverted, out) {
	const last = shape[0] - 1;
	const plane = 3 * out.length;
	// For each of the 256 values of a mask: where the lower level begins, and the weight of the upper one.
	const start = new Uint32Array(256);
	const weight = new Float32Array(256);
	for (let value = 0; value < 256; value++) {
		const place = ((inverted ? 255 - value : value) * last) / 255;
		const below = Math.min(Math.floor(place), last - 1);
		start[value] = below * plane;
		weight[value] = place - below;
	}
	for (let i = 0, j = 0; i < out.length; i++, j += 3) {
		const w = weight[mask[i]];
		const low = start[mask[i]] + j;
		const high = low + plane;
		const r = data[low] + w * (data[high] - data[low]) + 0.5;
		const g = data[low + 1] + w * (data[high + 1] - data[low + 1]) + 0.5;
		const b = data[low + 2] + w * (data[high + 2] - data[low + 2]) + 0.5;
		out[i] = r | (g << 8) | (b << 16) | 0xff000000;
	}
}

/** How much darker an image is where it is not preserved, under the outline of a mask. */
const DIM = 0.45;

/**
 * The image, darker where the mask is not 255.
 *
 * @param {Uint8Array} rgb  three bytes a pixel
 * @param {Uint8Array} mask
 * @param {Uint32Array} out  RGBA words
 */
export function dim(rgb, mask, out) {
	for (let i = 0, j = 0; i < out.length; i++, j += 3) {
		const light = 1 - DIM * (1 - mask[i] / 255);
		const [r, g, b] = [light * rgb[j] + 0.5, light * rgb[j + 1] + 0.5, light * rgb[j + 2] + 0.5];
		out[i] = r | (g << 8) | (b << 16) | 0xff000000;
	}
}

/** The mask in gray. @param {Uint8Array} mask @param {Uint32Array} out  RGBA words */
export function gray(mask, out) {
	for (let i = 0; i < out.length; i++) out[i] = (mask[i] * 0x010101) | 0xff000000;
}

/**
 * A mask in another size, bilinearly, values at the centers of the pixels.
 *
 * @param {Bytes} mask  (h, w)
 * @param {number} height
 * @param {number} width
 * @returns {Bytes} the very same if it has the size already
 */
export function resize(mask, height, width) {
	const [rows, columns] = mask.shape;
	if (rows === height && columns === width) return mask;
	const across = places(width, columns);
	const data = new Uint8Array(height * width);
	let at = 0;
	for (const { low, high, weight } of places(height, rows)) {
		const [top, bottom] = [low * columns, high * columns];
		for (const x of across) {
			const above = mix(mask.data[top + x.low], mask.data[top + x.high], x.weight);
			const below = mix(mask.data[bottom + x.low], mask.data[bottom + x.high], x.weight);
			data[at++] = Math.round(mix(above, below, weight));
		}
	}
	return { shape: [height, width], data };
}

/** @param {number} a @param {number} b @param {number} weight  of b */
const mix = (a, b, weight) => a + weight * (b - a);

/** Between which two of `count` cells each of `extent` pixels lies. @param {number} extent @param {number} count */
function places(extent, count) {
	return Array.from({ length: extent }, (_, pixel) => {
		const place = clamp(((pixel + 0.5) * count) / extent - 0.5, 0, count - 1);
		const low = Math.floor(place);
		return { low, high: Math.min(low + 1, count - 1), weight: place - low };
	});
}

/**
 * The line at which a mask is a half, by marching squares; around the image the mask counts as 0, so that the line
 * closes at its border.
 *
 * @param {Bytes} mask  (H, W)
 * @returns {Path2D} in pixels of the mask
 */
export function contour({ shape: [height, width], data }) {
	const path = new Path2D();
	// With a border of zeros: one sweep over small numbers finds the few cells that the line crosses.
	const stride = width + 2;
	const padded = new Uint8Array(stride * (height + 2));
	for (let row = 0; row < height; row++) {
		padded.set(data.subarray(row * width, (row + 1) * width), (row + 1) * stride + 1);
	}
	for (let row = 0; row <= height; row++) {
		for (let column = 0; column <= width; column++) {
			const at = row * stride + column;
			const below = at + stride;
			// 128 and more is above a half.
			const kind =
				(padded[at] >> 7) |
				((padded[at + 1] >> 7) << 1) |
				((padded[below + 1] >> 7) << 2) |
				((padded[below] >> 7) << 3);
			if (kind === 0 || kind === 15) continue;
			const points = crossings(padded[at], padded[at + 1], padded[below + 1], padded[below]);
			for (const [from, to] of SEGMENTS[kind]) {
				path.moveTo(column - 0.5 + points[from][0], row - 0.5 + points[from][1]);
				path.lineTo(column - 0.5 + points[to][0], row - 0.5 + points[to][1]);
			}
		}
	}
	return path;
}

/**
 * Where the line crosses the sides of a cell (north, east, south, west), from its corners; of a side that it does not
 * cross, anything.
 *
 * @param {number} nw @param {number} ne @param {number} se @param {number} sw
 */
function crossings(nw, ne, se, sw) {
	/** @param {number} a @param {number} b */
	const part = (a, b) => (127.5 - a) / (b - a);
	return [
		[part(nw, ne), 0],
		[1, part(ne, se)],
		[part(sw, se), 1],
		[0, part(nw, sw)],
	];
}

/** By the corners that are above a half (1 north-west, 2 north-east, 4 south-east, 8 south-west): the sides that the
 * line joins (0 north, 1 east, 2 south, 3 west). @type {[number, number][][]} */
const SEGMENTS = [
	[],
	[[3, 0]],
	[[0, 1]],
	[[3, 1]],
	[[1, 2]],
	[
		[3, 0],
		[1, 2],
	],
	[[0, 2]],
	[[3, 2]],
	[[3, 2]],
	[[0, 2]],
	[
		[0, 1],
		[3, 2],
	],
	[[1, 2]],
	[[3, 1]],
	[[0, 1]],
	[[3, 0]],
	[],
];

/**
 * Draws a line that shows on any image: light within dark.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Path2D} path  in pixels of the image
 * @param {number} width  of the canvas
 * @param {number} height
 * @param {number[]} shape  [rows, columns] of the image
 */
export function strokeContour(context, path, width, height, [rows, columns]) {
	const scaled = new Path2D();
	scaled.addPath(path, new DOMMatrix().scale(width / columns, height / rows));
	const unit = Math.max(1, Math.round(window.devicePixelRatio));
	context.save();
	context.lineCap = "round";
	for (const [color, thickness] of /** @type {const} */ ([
		["rgb(0 0 0 / 80%)", 4],
		["#fff", 1.75],
	])) {
		context.strokeStyle = color;
		context.lineWidth = thickness * unit;
		context.stroke(scaled);
	}
	context.restore();
}
