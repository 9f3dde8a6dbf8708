/**
 * The worker that runs a network, so that the page never waits for a pass. Questions are answered in their order; jobs of
 * many images run in batches, between which other questions are answered.
 *
 * @typedef {import("./fills.js").Pixels} Pixels
 * @typedef {{shape: [number, number, number], batches: boolean, head: Head | null, resizing: import("./resizing.js").Resizing}} Facts
 * @typedef {{output: string, offset: number, dtype: "float32" | "float16", shape: [number, number], relu: boolean}} Head  where the file of
 *   the network holds the weights (classes, channels) of its last layer, before which is a global average
 *   `batches`: whether the network takes several images at once
 * @typedef {{name: keyof import("./jobs.js").Settings, data: Float32Array, settings: any, order?: number[]}} Given
 *   `order`: the numbers of the images, in place of all from the first to the last
 */
import * as ort from "onnxruntime-web/wasm";
import { decode } from "../lib/arrays.js";
import { fillOf, painted } from "./fills.js";
import { JOBS } from "./jobs.js";
import { bytesOf, fitted, pixelsOf } from "./resizing.js";

/** @type {ort.InferenceSession} */
let session;
/** @type {Facts} */
let facts;
/** Standard normal, as many numbers as an image has. */
let noise = new Float32Array(0);

/** Weights of the linear head, (classes, channels). */
let weights = new Float32Array(0);

/** Time of a batch, ms: a job answers to a cancel after it. */
const BATCH_TIME = 400;
/** Larger batches are not faster. */
const LARGEST = 32;

/** The scores of some images, one after the other. @param {Float32Array} data @param {number} count @returns {Promise<Float32Array>} */
async function scoresOfAll(data, count) {
	const pixels = new ort.Tensor("float32", data, [count, ...facts.shape]);
	const { scores } = await session.run({ pixels }, ["scores"]);
	return /** @type {Float32Array} */ (scores.data).slice();
}

/**
 * The activations of some layers for an image, each (C, h, w).
 *
 * @param {Float32Array} data
 * @param {string[]} outputs  names in the file of the network
 */
async function activationsOf(data, outputs) {
	const pixels = new ort.Tensor("float32", data, [1, ...facts.shape]);
	const found = await session.run({ pixels }, outputs);
	return outputs.map((name) => {
		const [, channels, height, width] = found[name].dims;
		return { channels, height, width, values: /** @type {Float32Array} */ (found[name].data) };
	});
}

/** The scores of an image. @param {Pixels} image @returns {Promise<Float32Array>} */
const scoresOf = ({ data }) => scoresOfAll(data, 1);

/** @param {Float32Array} data @returns {Pixels} */
function imageOf(data) {
	const [channels, height, width] = facts.shape;
	return { channels, height, width, data };
}

/** The weights of the linear head in the file of the network. @param {Uint8Array} file @param {Head} head */
function weightsIn({ buffer, byteOffset }, { offset, dtype, shape }) {
	const length = shape[0] * shape[1] * (dtype === "float16" ? 2 : 4);
	const data = new DataView(buffer, byteOffset + offset, length);
	// A copy: the file is given to the network.
	return /** @type {Float32Array<ArrayBuffer>} */ (decode({ dtype, shape, data })?.data.slice());
}

const ANSWERS = {
	/** @param {{wasm: ArrayBuffer, network: Uint8Array, noise: Float32Array, facts: Facts}} given */
	async open(given) {
		facts = given.facts;
		noise = new Float32Array(given.noise);
		if (facts.head) weights = weightsIn(given.network, facts.head);
		ort.env.logLevel = "error";
		ort.env.wasm.wasmBinary = given.wasm;
		// Threads need a server that isolates the page.
		ort.env.wasm.numThreads = 1;
		session = await ort.InferenceSession.create(given.network, { executionProviders: ["wasm"] });
	},

	/** The scores of an image, and the time of the pass in ms. @param {{data: Float32Array}} given */
	async scores({ data }) {
		const begin = performance.now();
		const scores = await scoresOf(imageOf(data));
		return { scores, time: performance.now() - begin };
	},

	/**
	 * The class activation map of an image, (h, w): the channels of the last layer, weighted as in the score of the class.
	 *
	 * @param {{data: Float32Array, target: number}} given
	 */
	async cam({ data, target }) {
		const { output, relu } = /** @type {Head} */ (facts.head);
		const [{ channels, height, width, values }] = await activationsOf(data, [output]);
		const area = height * width;
		const map = new Float32Array(area);
		for (let i = 0; i < area; i++) {
			let sum = 0;
			for (let k = 0; k < channels; k++) {
				const value = values[k * area + i];
				sum += weights[target * channels + k] * (relu ? Math.max(0, value) : value);
			}
			map[i] = sum;
		}
		return { map, height, width };
	},

	/**
	 * The vectors of an image in some layers, each (h, w, C).
	 *
	 * @param {{data: Float32Array, outputs: string[]}} given
	 */
	async vectors({ data, outputs }) {
		return (await activationsOf(data, outputs)).map(({ channels, height, width, values }) => {
			const area = height * width;
			const vectors = new Float32Array(values.length);
			for (let k = 0; k < channels; k++) {
				for (let i = 0; i < area; i++) vectors[i * channels + k] = values[k * area + i];
			}
			return { shape: [height, width, channels], vectors };
		});
	},

	/**
	 * The scores of a painted image, with the fill that it got.
	 *
	 * @param {{data: Float32Array, mask: Uint8Array | null, fill: string}} given
	 */
	async paint({ data, mask, fill }) {
		const image = imageOf(data);
		const amount = mask && Float32Array.from(mask, (value) => value / 255);
		const filled = fillOf(fill, image, noise, amount);
		return { scores: await scoresOf(painted(image, filled, amount)), fill: bytesOf(filled) };
	},

	/**
	 * A photograph as the network gets it, with its scores and its fills.
	 *
	 * @param {{photo: ImageData, fills: string[]}} given
	 */
	async photo({ photo, fills }) {
		const image = fitted(pixelsOf(photo, facts.shape[0]), facts.resizing);
		return {
			data: image.data,
			image: bytesOf(image),
			fills: fills.map((name) => bytesOf(fillOf(name, image, noise, null))),
			scores: await scoresOf(image),
		};
	},
};

/** @type {Promise<unknown>} */
let last = Promise.resolve();
/** Runs a task after those before it. @template T @param {() => T | Promise<T>} task @returns {Promise<T>} */
function inTurn(task) {
	const done = last.then(task);
	last = done.catch(() => {});
	return done;
}

/** Jobs that run, or wait for their first batch. @type {Set<number>} */
const jobs = new Set();

/**
 * Scores the images of a job, and sends the scores of each batch; ends early if the job is canceled.
 *
 * @param {number} id
 * @param {Given} given
 */
async function run(id, { name, data, settings, order }) {
	jobs.add(id);
	const job = await inTurn(() => JOBS[name](imageOf(data), settings));
	const numbers = order ?? Array.from({ length: job.count }, (_, k) => k);
	const batch = new Float32Array((facts.batches ? LARGEST : 1) * data.length);
	// The first pass is measured.
	let size = 1;
	for (let start = 0; start < numbers.length && jobs.has(id); ) {
		const some = numbers.slice(start, start + size);
		const begin = performance.now();
		const scores = await inTurn(() => {
			const images = batch.subarray(0, some.length * data.length);
			for (const [i, k] of some.entries()) {
				job.write(k, images.subarray(i * data.length, (i + 1) * data.length));
			}
			return scoresOfAll(images, some.length);
		});
		const time = (performance.now() - begin) / some.length;
		start += some.length;
		const progress = { numbers: some, scores, done: start / numbers.length };
		if (jobs.has(id)) self.postMessage({ id, progress });
		if (facts.batches) size = Math.max(1, Math.min(LARGEST, Math.floor(BATCH_TIME / time)));
		// Messages that came during the batch are read, and their answers come before the next one.
		await new Promise((resolve) => setTimeout(resolve));
	}
	return jobs.delete(id);
}

self.addEventListener("message", async ({ data: { id, name, given } }) => {
	if (name === "cancel") {
		jobs.delete(given);
		return;
	}
	try {
		const answer = /** @type {(given: any) => Promise<any>} */ (
			ANSWERS[/** @type {keyof typeof ANSWERS} */ (name)]
		);
		self.postMessage({ id, result: await (name === "run" ? run(id, given) : inTurn(() => answer(given))) });
	} catch (error) {
		jobs.delete(id);
		self.postMessage({ id, error: error instanceof Error ? error.message : String(error) });
	}
});
