/**
 * The bars of a painted image, from a network in the browser.
 *
 * @typedef {import("./engine.js").Engine} Engine
 * @typedef {{get(name: string): any, set(values: any, value?: any): void, on(event: string, callback: () => void): void, off?(event: string, callback: () => void): void, save_changes?(): void}} Model
 * @typedef {{fills: string[], top: number, activation: string | null, probabilities: boolean}} Facts
 */
import { decode } from "../lib/arrays.js";

/**
 * @param {"uint8" | "int32" | "float32"} dtype
 * @param {number[]} shape
 * @param {Uint8Array | Int32Array | Float32Array} values
 */
export const message = (dtype, shape, values) => ({ dtype, shape, data: new DataView(values.buffer) });

/**
 * The probabilities of scores, or the scores where there are none.
 *
 * @param {Float32Array} scores
 * @param {string | null} activation
 */
export function probabilitiesOf(scores, activation) {
	if (activation === "sigmoid") return scores.map((score) => 1 / (1 + Math.exp(-score)));
	if (activation !== "softmax") return scores;
	const highest = scores.reduce((most, score) => Math.max(most, score), Number.NEGATIVE_INFINITY);
	const powers = Float64Array.from(scores, (score) => Math.exp(score - highest));
	const sum = powers.reduce((total, power) => total + power, 0);
	return Float32Array.from(powers, (power) => power / sum);
}

/** The classes of the highest values, best first. @param {Float32Array} values @param {number} count */
export function bestOf(values, count) {
	return Int32Array.from([...values.keys()].sort((a, b) => values[b] - values[a] || a - b).slice(0, count));
}

/**
 * Scores the newest mask of a brush whenever the mask, the fill or the image changes; masks painted during a pass are
 * skipped.
 *
 * @param {Engine} engine
 * @param {{brush: Model, scores: Model}} parts
 * @param {Facts} facts
 * @param {object} options
 * @param {(error: Error | null) => void} options.report  called with the error of each pass, or null
 * @param {(stroke: number) => void} [options.scored]  called after each pass, with the number of the stroke before it
 * @param {() => boolean} [options.isShown]  whether the brush is shown
 * @param {Map<Model, Float32Array>} options.shown  the values of the best classes of each edit: all have one scale
 */
export function liveScores(
	engine,
	{ brush, scores },
	facts,
	{ report, scored = () => {}, isShown = () => true, shown },
) {
	/** Whether a pass runs, and whether something has changed since it began. */
	let [running, again, stopped] = [false, false, false];
	/** Whether values are being shown. */
	let showing = false;
	/** The values of all classes for the last mask. @type {Float32Array | null} */
	let latest = null;
	/** The probabilities of the image that is not painted. */
	const original = () => /** @type {Float32Array} */ (decode(scores.get("reference"))?.data);

	/** Empty and full bars. */
	function limits() {
		if (facts.probabilities) return [0, 1];
		const all = [0, ...original(), ...[...shown.values()].flatMap((values) => [...values])];
		const [low, high] = [all.reduce((a, b) => Math.min(a, b)), all.reduce((a, b) => Math.max(a, b))];
		return [low, high > low ? high : low + 1];
	}

	/** Shows the last values, with that of the marked class. */
	function show() {
		if (latest === null) return;
		const values = latest;
		const best = bestOf(values, facts.top);
		const shape = [1, 1, best.length];
		const highest = Float32Array.from(best, (index) => values[index]);
		shown.set(scores, highest);
		showing = true;
		for (const each of shown.keys()) each.set("value_limits", limits());
		scores.set({
			indices: message("int32", shape, best),
			values: message("float32", shape, highest),
			target_values: message("float32", [1, 1], Float32Array.of(values[scores.get("target")] ?? Number.NaN)),
		});
		showing = false;
	}

	/** Shows none: scores of another mask must not be shown. */
	function clear() {
		latest = null;
		scores.set({ indices: null, values: null, target_values: null });
	}

	async function pass() {
		const stroke = brush.get("_stroke");
		const index = Math.min(brush.get("fill"), facts.fills.length - 1);
		const fill = facts.fills[index];
		const pixels = brush.get("_pixels");
		try {
			const mask = decode(brush.get("mask"))?.data ?? null;
			const { data } = /** @type {any} */ (decode(pixels));
			const answer = await engine.ask("paint", { data, mask, fill });
			// Those of another image are not shown.
			if (stopped || brush.get("_pixels") !== pixels) return;
			if (!answer.scores.every(Number.isFinite))
				throw new Error("expected finite scores, got NaN or infinite ones");
			latest = probabilitiesOf(answer.scores, facts.activation);
			show();
			// The fill that the network got, where it depends on the mask.
			if (fill === "inpaint") brush.set("_filled", message("uint8", brush.get("image").shape, answer.fill));
			report(null);
		} catch (error) {
			if (stopped) return;
			clear();
			report(/** @type {Error} */ (error));
		}
		scored(stroke);
	}

	async function score() {
		again = true;
		if (running) return;
		running = true;
		while (again && !stopped && isShown()) {
			again = false;
			await pass();
		}
		running = false;
	}

	const events = ["change:mask", "change:fill", "change:_pixels"];
	for (const event of events) brush.on(event, score);
	return {
		score,
		show,
		/** Forgets the last values. */
		forget() {
			latest = null;
		},
		/** Whether it sets the values itself just now. */
		showing: () => showing,
		/** Whether there are values of a mask. */
		known: () => latest !== null,
		stop() {
			stopped = true;
			for (const event of events) brush.off?.(event, score);
		},
	};
}
