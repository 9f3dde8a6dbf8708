/**
 * The fills of painted pixels, as `xai_widgets.ops.fill` computes them, for images of any number of channels.
 *
 * @typedef {{channels: number, height: number, width: number, data: Float32Array}} Pixels  channels first, in [0, 1]
 */
import { clamp } from "../lib/numbers.js";

/** Standard deviation of the blur as a share of the short side: 20 pixels at 224. */
const SIGMA = 20 / 224;
/** A Gaussian is below the rounding of float32 beyond so many standard deviations. */
const REACH = 6;

/**
 * Each pixel along an axis as a mean of its neighbors by a Gaussian, which is normalized at the border.
 *
 * @param {number} extent
 * @param {number} sigma  in pixels
 * @returns {{first: number, weights: Float64Array}[]}
 */
function gaussianRows(extent, sigma) {
	const reach = Math.ceil(REACH * sigma);
	return Array.from({ length: extent }, (_, center) => {
		const first = Math.max(0, center - reach);
		const last = Math.min(extent - 1, center + reach);
		const weights = new Float64Array(last - first + 1);
		let sum = 0;
		for (let i = 0; i < weights.length; i++) {
			weights[i] = Math.exp(-((first + i - center) ** 2) / (2 * sigma * sigma));
			sum += weights[i];
		}
		for (let i = 0; i < weights.length; i++) weights[i] /= sum;
		return { first, weights };
	});
}

/**
 * An image blurred by a Gaussian that ends at the border and is normalized there.
 *
 * @param {Pixels} image
 * @param {number} sigma  in pixels, above 0
 * @returns {Pixels}
 */
export function blurred({ channels, height, width, data }, sigma) {
	const across = gaussianRows(width, sigma);
	const down = gaussianRows(height, sigma);
	const wide = new Float32Array(data.length);
	const out = new Float32Array(data.length);
	const sums = new Float64Array(width);
	for (let row = 0; row < channels * height; row++) {
		const start = row * width;
		for (let x = 0; x < width; x++) {
			const { first, weights } = across[x];
			let sum = 0;
			for (let i = 0; i < weights.length; i++) sum += weights[i] * data[start + first + i];
			wide[start + x] = sum;
		}
	}
	for (let row = 0; row < channels * height; row++) {
		const { first, weights } = down[row % height];
		const plane = (row - (row % height)) * width;
		sums.fill(0);
		for (let i = 0; i < weights.length; i++) {
			const from = plane + (first + i) * width;
			for (let x = 0; x < width; x++) sums[x] += weights[i] * wide[from + x];
		}
		out.set(sums, row * width);
	}
	return { channels, height, width, data: out };
}

/** The mean of each channel. @param {Pixels} image @returns {number[]} */
function means({ channels, data }) {
	const area = data.length / channels;
	return Array.from({ length: channels }, (_, channel) => {
		let sum = 0;
		for (let i = channel * area; i < (channel + 1) * area; i++) sum += data[i];
		return sum / area;
	});
}

/**
 * Noise with the mean and the standard deviation of each channel.
 *
 * @param {Pixels} image
 * @param {Float32Array} noise  standard normal, as many numbers as the image has
 * @returns {Pixels}
 */
export function noisy(image, noise) {
	const { channels, data } = image;
	const area = data.length / channels;
	const out = new Float32Array(data.length);
	for (const [channel, mean] of means(image).entries()) {
		let sum = 0;
		for (let i = channel * area; i < (channel + 1) * area; i++) sum += (data[i] - mean) ** 2;
		const deviation = Math.sqrt(sum / area);
		for (let i = channel * area; i < (channel + 1) * area; i++) out[i] = clamp(mean + deviation * noise[i]);
	}
	return { ...image, data: out };
}

/**
 * The masked part filled with the blurred rest, by the finest blur that reaches each pixel.
 *
 * @param {Pixels} image
 * @param {Float32Array} mask  1 where the image is to be filled
 * @returns {Pixels}
 */
export function inpainted(image, mask) {
	const { channels, height, width, data } = image;
	const area = height * width;
	const visible = mask.map((value) => Number(value < 0.5));
	const kept = { ...image, data: data.map((value, i) => value * visible[i % area]) };
	const filled = { ...image, data: new Float32Array(data.length) };
	for (const [channel, mean] of means(image).entries())
		filled.data.fill(mean, channel * area, (channel + 1) * area);
	for (let sigma = Math.max(height, width); sigma >= 0.5; sigma /= 2) {
		const weight = blurred({ channels: 1, height, width, data: visible }, sigma).data;
		const sums = blurred(kept, sigma).data;
		for (let i = 0; i < channels * area; i++) {
			const reached = weight[i % area];
			if (reached > 0.05) filled.data[i] = sums[i] / reached;
		}
	}
	return filled;
}

/**
 * A fill by its name; "inpaint" without a mask is the blurred image.
 *
 * @param {string} name  one of "blur", "gray", "noise", "inpaint"
 * @param {Pixels} image
 * @param {Float32Array} noise
 * @param {Float32Array | null} mask
 * @returns {Pixels}
 */
export function fillOf(name, image, noise, mask) {
	if (name === "gray") return { ...image, data: new Float32Array(image.data.length).fill(0.5) };
	if (name === "noise") return noisy(image, noise);
	if (name === "inpaint" && mask) return inpainted(image, mask);
	return blurred(image, SIGMA * Math.min(image.height, image.width));
}

/**
 * The image with its masked part replaced: image + m (fill - image).
 *
 * @param {Pixels} image
 * @param {Pixels} fill
 * @param {Float32Array | null} mask
 * @returns {Pixels}
 */
export function painted(image, fill, mask) {
	if (!mask) return image;
	const area = image.height * image.width;
	const data = image.data.map((value, i) => value + mask[i % area] * (fill.data[i] - value));
	return { ...image, data };
}
