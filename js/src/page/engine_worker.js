/**
 * The worker that runs a network: it computes one answer after the other, so the page never waits for a pass.
 *
 * @typedef {import("./fills.js").Pixels} Pixels
 * @typedef {{shape: [number, number, number], resizing: import("./resizing.js").Resizing}} Facts
 */
import * as ort from "onnxruntime-web/wasm";
import { fillOf, painted } from "./fills.js";
import { bytesOf, fitted, pixelsOf } from "./resizing.js";

/** @type {ort.InferenceSession} */
let session;
/** @type {Facts} */
let facts;
/** Standard normal, as many numbers as an image has. */
let noise = new Float32Array(0);

/** The scores of an image. @param {Pixels} image @returns {Promise<Float32Array>} */
async function scoresOf({ channels, height, width, data }) {
	const pixels = new ort.Tensor("float32", data, [1, channels, height, width]);
	const { scores } = await session.run({ pixels });
	return /** @type {Float32Array} */ (scores.data).slice();
}

/** @param {Float32Array} data @returns {Pixels} */
function imageOf(data) {
	const [channels, height, width] = facts.shape;
	return { channels, height, width, data };
}

const ANSWERS = {
	/** @param {{wasm: ArrayBuffer, network: Uint8Array, noise: Float32Array, facts: Facts}} given */
	async open(given) {
		facts = given.facts;
		noise = new Float32Array(given.noise);
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

let last = Promise.resolve();
self.addEventListener("message", ({ data: { id, name, given } }) => {
	last = last.then(async () => {
		try {
			self.postMessage({ id, result: await ANSWERS[/** @type {keyof typeof ANSWERS} */ (name)](given) });
		} catch (error) {
			self.postMessage({ id, error: error instanceof Error ? error.message : String(error) });
		}
	});
});
