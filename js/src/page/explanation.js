/**
 * Maps of methods that need only the scores of the network, and curves along them, for the panel of a page.
 *
 * @typedef {import("./engine.js").Engine} Engine
 * @typedef {import("./fills.js").Pixels} Pixels
 * @typedef {import("./replaced.js").Mode} Mode
 * @typedef {{signal: AbortSignal, onMap: (map: Float32Array, done: number) => void}} MapOptions
 * @typedef {{signal: AbortSignal, onCurve: (values: Float32Array, done: number) => void}} CurveOptions
 * @typedef {(scores: Float32Array) => number} Value  the value of the class from the scores of an image
 */
import { occlusionMap, patchesOf } from "./occlusion.js";
import { coarseToFine, countsOf } from "./replaced.js";
import { randomMasks, riseMap } from "./rise.js";

/** So many steps of a curve come first, spread over the whole of it. */
const COARSE = 16;

/**
 * Runs a job and hands over the value of the class for its images, in the order in which they were scored.
 *
 * @param {Engine} engine
 * @param {import("./engine_worker.js").Given} given
 * @param {Value} value
 * @param {AbortSignal} signal
 * @param {(k: number, value: number) => void} take
 * @param {(done: number) => void} show  after each batch
 */
function valuesOf(engine, given, value, signal, take, show) {
	return new Promise((resolve, reject) => {
		const stop = new AbortController();
		signal.addEventListener("abort", () => stop.abort());
		const onProgress = (/** @type {import("./engine.js").Progress} */ { numbers, scores, done }) => {
			if (!scores.every(Number.isFinite)) {
				stop.abort();
				reject(new Error("expected finite scores, got NaN or infinite ones"));
				return;
			}
			const classes = scores.length / numbers.length;
			for (const [i, k] of numbers.entries()) take(k, value(scores.subarray(i * classes, (i + 1) * classes)));
			show(done);
		};
		engine.run(given, { onProgress, signal: stop.signal }).then(resolve, reject);
	});
}

/**
 * The map of occlusion, with the score before softmax.
 *
 * @param {Engine} engine
 * @param {Pixels} image
 * @param {{side: number, stride: number}} settings
 * @param {number} target
 * @param {MapOptions} options
 */
export function occlusion(engine, { height, width, data }, settings, target, { signal, onMap }) {
	const patches = patchesOf(height, width, settings);
	let score = Number.NaN;
	/** @type {number[]} */
	const drops = [];
	return valuesOf(
		engine,
		{ name: "occlusion", data, settings },
		(scores) => scores[target],
		signal,
		(k, value) => {
			if (k === 0) score = value;
			else drops.push(score - value);
		},
		(done) => onMap(occlusionMap(height, width, patches, drops), done),
	);
}

/**
 * The map of RISE.
 *
 * @param {Engine} engine
 * @param {Pixels} image
 * @param {import("./rise.js").RiseSettings} settings
 * @param {Value} probability
 * @param {MapOptions} options
 */
export function rise(engine, { height, width, data }, settings, probability, { signal, onMap }) {
	const masks = randomMasks(height, width, settings);
	/** @type {number[]} */
	const values = [];
	return valuesOf(
		engine,
		{ name: "rise", data, settings },
		probability,
		signal,
		(_, value) => values.push(value),
		(done) => {
			if (values.length > 1) onMap(riseMap(masks, values), done);
		},
	);
}

/**
 * A deletion or insertion curve along a map; NaN where it is not computed yet.
 *
 * @param {Engine} engine
 * @param {Pixels} image
 * @param {import("./jobs.js").Curve} settings
 * @param {Value} probability
 * @param {CurveOptions} options
 */
export function curve(engine, { height, width, data }, settings, probability, { signal, onCurve }) {
	const count = countsOf(height * width, settings.steps).length;
	const values = new Float32Array(count).fill(Number.NaN);
	return valuesOf(
		engine,
		{ name: "curve", data, settings, order: coarseToFine(count, COARSE) },
		probability,
		signal,
		(k, value) => {
			values[k] = value;
		},
		(done) => onCurve(values.slice(), done),
	);
}
