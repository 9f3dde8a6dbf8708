/**
 * The images that the methods of the page score: each job numbers them, and writes any of them.
 *
 * @typedef {import("./fills.js").Pixels} Pixels
 * @typedef {{count: number, write(k: number, out: Float32Array): void}} Job
 * @typedef {{occlusion: {side: number, stride: number}, rise: import("./rise.js").RiseSettings, curve: Curve}} Settings
 * @typedef {{mode: import("./replaced.js").Mode, map: Float32Array, steps: number, mean: number[]}} Curve
 */
import { eachPixel, patchesOf } from "./occlusion.js";
import { countsOf, endsOf, ranksOf } from "./replaced.js";
import { randomMasks, writeMask } from "./rise.js";

/** Gray that fills a patch. */
export const GRAY = 0.5;

/** @type {{[K in keyof Settings]: (image: Pixels, settings: Settings[K]) => Job}} */
export const JOBS = {
	/** The image itself, and then with each patch gray. */
	occlusion({ channels, height, width, data }, settings) {
		const patches = patchesOf(height, width, settings);
		return {
			count: 1 + patches.length,
			write(k, out) {
				out.set(data);
				if (k === 0) return;
				for (let channel = 0; channel < channels; channel++) {
					eachPixel(patches[k - 1], width, (i) => {
						out[channel * height * width + i] = GRAY;
					});
				}
			},
		};
	},

	/** The image under each mask, black where it is hidden. */
	rise({ height, width, data }, settings) {
		const masks = randomMasks(height, width, settings);
		const area = height * width;
		const mask = new Float32Array(area);
		return {
			count: settings.count,
			write(k, out) {
				writeMask(masks, k, mask);
				for (let i = 0; i < data.length; i++) out[i] = data[i] * mask[i % area];
			},
		};
	},

	/** The image at each step of a curve. */
	curve(image, { mode, map, steps, mean }) {
		const area = image.height * image.width;
		const ranks = ranksOf(map);
		const counts = countsOf(area, steps);
		const [start, end] = endsOf(mode, image, mean);
		return {
			count: counts.length,
			write(k, out) {
				for (let i = 0; i < out.length; i++) out[i] = (ranks[i % area] < counts[k] ? end : start).data[i];
			},
		};
	},
};
