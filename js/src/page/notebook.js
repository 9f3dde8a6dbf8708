/**
 * The network of a perturbation brush in a notebook: it answers what the user paints, and the kernel hears of it.
 *
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {import("./live_scores.js").Model} Widget
 * @typedef {{
 *   version: number, name: string, size: number, half: boolean, tolerance: number, expected: number[],
 *   engine: import("./engine_worker.js").Facts,
 *   facts: import("./live_scores.js").Facts,
 *   brushes: {brush: string, scores: string}[], picker: string, pair: string,
 * }} Given  ids of models, and `expected`, the scores of torch for an image
 */
import { decode } from "../lib/arrays.js";
import { Engine } from "./engine.js";
import { liveScores } from "./live_scores.js";

/** Scores are sent to the kernel when nothing has changed for this time, ms. */
const REST = 200;

/** @param {DataView} view */
const bytesOf = ({ buffer, byteOffset, byteLength }) =>
	new Uint8Array(/** @type {ArrayBuffer} */ (buffer), byteOffset, byteLength);

/** @param {DataView} packed @returns {Response} */
const unzipped = (packed) =>
	new Response(new Blob([bytesOf(packed)]).stream().pipeThrough(new DecompressionStream("gzip")));

/**
 * Starts a network in a worker, and compares its scores of an image with those of torch.
 *
 * @param {Given} given
 * @param {DataView[]} arrays  the program of the worker, WebAssembly, the network, and the image
 * @param {Float32Array | null} noise
 * @param {AbortSignal} signal
 * @returns {Promise<{engine: Engine, difference: number, time: number}>}
 */
export async function startEngine({ engine: facts, expected, tolerance }, arrays, noise, signal) {
	const [program, wasm, network, image] = arrays;
	const engine = new Engine(await unzipped(program).text());
	const close = () => engine.close();
	signal.addEventListener("abort", close);
	try {
		// Copies, which are given to the worker.
		const opened = {
			wasm: await unzipped(wasm).arrayBuffer(),
			network: bytesOf(network).slice(),
			noise: noise ?? new Float32Array(0),
			facts,
		};
		await engine.ask("open", opened, [opened.wasm, opened.network.buffer]);
		const { scores, time } = await engine.ask("scores", {
			data: new Float32Array(bytesOf(image).slice().buffer),
		});
		const scale = expected.reduce((most, score) => Math.max(most, Math.abs(score)), 1);
		const difference = expected.reduce((most, score, k) => Math.max(most, Math.abs(scores[k] - score)), 0);
		if (!(difference <= tolerance * scale))
			throw new Error(`its scores differ by ${difference.toPrecision(2)} from those of torch`);
		return { engine, difference, time };
	} catch (error) {
		close();
		throw error;
	}
}

/** Calls a function when nothing has changed for a while. @param {() => void} act @param {AbortSignal} signal */
function atRest(act, signal) {
	let timer = 0;
	signal.addEventListener("abort", () => clearTimeout(timer));
	return () => {
		clearTimeout(timer);
		timer = setTimeout(act, REST);
	};
}

/**
 * Answers the brushes of an explorer.
 *
 * @param {Engine} engine
 * @param {{brush: Widget, scores: Widget}[]} parts
 * @param {{picker: Widget, pair: Widget}} controls
 * @param {Given["facts"]} facts
 * @param {(error: Error) => void} failed  called when a pass failed; the kernel answers from then on
 * @param {AbortSignal} signal
 */
export function answer(engine, parts, { picker, pair }, facts, failed, signal) {
	/** @type {Map<Widget, Float32Array>} */
	const shown = new Map();
	/** @type {(() => void)[]} */
	const ends = [];
	/** @param {Widget} model @param {string} event @param {() => void} callback */
	const listen = (model, event, callback) => {
		model.on(event, callback);
		ends.push(() => model.off?.(event, callback));
	};
	const stop = () => {
		for (const end of ends.splice(0)) end();
	};
	/** @param {Error | null} error */
	const report = (error) => {
		if (!error) return;
		stop();
		failed(error);
	};

	const all = parts.map(({ brush, scores }, number) => {
		const save = atRest(() => scores.save_changes?.(), signal);
		const isShown = () => number === 0 || Boolean(pair.get("value"));
		const live = liveScores(engine, { brush, scores }, facts, { report, shown, isShown, scored: save });
		ends.push(live.stop);
		listen(scores, "change:values", () => {
			if (live.showing() || !live.known()) return;
			// None: the kernel has another image. Else an answer of the kernel that is late: the browser's is newer.
			if (scores.get("values") === null) live.forget();
			else
				queueMicrotask(() => {
					live.show();
					save();
				});
		});
		listen(picker, "change:target", () => {
			scores.set("target", picker.get("target"));
			live.show();
			save();
		});
		listen(scores, "change:_chosen", () => {
			const index = scores.get("_chosen");
			if (index < 0) return;
			scores.set("_chosen", -1);
			picker.set("target", index);
			picker.save_changes?.();
		});
		const saveFill = atRest(() => brush.save_changes?.(), signal);
		listen(brush, "change:_filled", saveFill);
		listen(pair, "change:value", live.score);
		listen(brush, "change:_live", () => brush.get("_live") || stop());
		scores.set("_live", true);
		brush.set("_live", true);
		brush.save_changes?.();
		ends.push(() => {
			scores.set("_live", false);
			if (!brush.get("_live")) return;
			brush.set("_live", false);
			brush.save_changes?.();
		});
		live.score();
		return live;
	});
	signal.addEventListener("abort", stop);
	return all;
}

/** The noise of a brush. @param {Widget} brush @returns {Float32Array | null} */
export const noiseOf = (brush) =>
	/** @type {Float32Array | null} */ (decode(brush.get("_noise"))?.data ?? null);
