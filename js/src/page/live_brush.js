/**
 * A perturbation brush that the network in the page answers, as the kernel does in a notebook.
 *
 * @typedef {import("./engine.js").Engine} Engine
 * @typedef {{get(name: string): any, set(values: any, value?: any): void, on(event: string, callback: () => void): void}} Model
 * @typedef {{fills: string[], top: number, activation: string | null, probabilities: boolean}} Facts
 * @typedef {{brush: Model, scores: Model, picker: Model | null, caption: Model | null}} Parts
 * @typedef {{name: string, width: number, height: number, data: Float32Array, image: Uint8Array, fills: Uint8Array[], scores: Float32Array}} Photo
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
 * @param {Engine} engine
 * @param {Parts} parts
 * @param {Facts} facts
 * @param {(error: Error | null) => void} report  called with the error of the last pass, or null
 * @param {Map<Model, Float32Array>} shown  the values of the best classes of each edit: all have one scale
 */
export function liveBrush(engine, { brush, scores, picker, caption }, facts, report, shown) {
	/** Whether a pass runs, and whether something has changed since it began. */
	let [running, again] = [false, false];
	/** The probabilities of the image that is not painted. */
	const original = () => /** @type {Float32Array} */ (decode(scores.get("reference"))?.data);

	/** Empty and full bars. */
	function limits() {
		if (facts.probabilities) return [0, 1];
		const all = [0, ...original(), ...[...shown.values()].flatMap((values) => [...values])];
		const [low, high] = [all.reduce((a, b) => Math.min(a, b)), all.reduce((a, b) => Math.max(a, b))];
		return [low, high > low ? high : low + 1];
	}

	/** @param {Float32Array} found */
	function show(found) {
		if (!found.every(Number.isFinite)) throw new Error("expected finite scores, got NaN or infinite ones");
		const values = probabilitiesOf(found, facts.activation);
		const best = bestOf(values, facts.top);
		const shape = [1, 1, best.length];
		const highest = Float32Array.from(best, (index) => values[index]);
		shown.set(scores, highest);
		for (const each of shown.keys()) each.set("value_limits", limits());
		scores.set({
			indices: message("int32", shape, best),
			values: message("float32", shape, highest),
			target_values: message("float32", [1, 1], Float32Array.of(values[scores.get("target")] ?? Number.NaN)),
		});
	}

	/** Shows the fill that the network got, where it depends on the mask. @param {number} index @param {Uint8Array} bytes */
	function showFill(index, bytes) {
		const { shape, data } = /** @type {import("../lib/arrays.js").NDArray<Uint8Array>} */ (
			decode(brush.get("fills"))
		);
		const all = data.slice();
		all.set(bytes, index * bytes.length);
		brush.set("fills", message("uint8", shape, all));
	}

	/** Scores the newest mask; those painted during a pass are skipped. */
	async function score() {
		again = true;
		if (running) return;
		running = true;
		while (again) {
			again = false;
			const stroke = brush.get("_stroke");
			const index = Math.min(brush.get("fill"), facts.fills.length - 1);
			const fill = facts.fills[index];
			const pixels = brush.get("_pixels");
			try {
				const mask = decode(brush.get("mask"))?.data ?? null;
				const { data } = /** @type {any} */ (decode(pixels));
				const answer = await engine.ask("paint", { data, mask, fill });
				// Those of another image are not shown.
				if (brush.get("_pixels") !== pixels) continue;
				show(answer.scores);
				if (fill === "inpaint") showFill(index, answer.fill);
				report(null);
			} catch (error) {
				// Scores of another mask must not be shown.
				scores.set({ indices: null, values: null, target_values: null });
				report(/** @type {Error} */ (error));
			}
			brush.set("_seen", stroke);
		}
		running = false;
	}

	for (const event of ["change:mask", "change:fill", "change:_pixels"]) brush.on(event, score);
	scores.set("_live", picker !== null);
	picker?.on("change:target", () => {
		scores.set("target", picker.get("target"));
		score();
	});
	scores.on("change:target", () => picker?.set("target", scores.get("target")));

	/** The image of the page, to come back to. */
	const first = {
		brush: ["image", "fills", "_pixels"].map((name) => [name, brush.get(name)]),
		picker: picker && ["probabilities", "target"].map((name) => [name, picker.get(name)]),
		scores: [["reference", scores.get("reference")]],
		caption: caption && [caption.get("value"), caption.get("layout").get("display")],
	};
	return {
		score,
		/** Shows a photograph in place of the image, with its predicted class. @param {Photo} photo @param {string} preprocessing */
		open(photo, preprocessing) {
			const [height, width] = brush.get("image").shape;
			const values = probabilitiesOf(photo.scores, facts.activation);
			const fills = new Uint8Array(photo.fills.length * photo.image.length);
			for (const [index, fill] of photo.fills.entries()) fills.set(fill, index * fill.length);
			const [channels] = brush.get("_pixels").shape;
			scores.set("reference", message("float32", [values.length], values));
			caption?.set("value", `<small>Image: ${photo.width} x ${photo.height}, ${preprocessing}</small>`);
			caption?.get("layout").set("display", null);
			brush.set({
				mask: null,
				image: message("uint8", [height, width, 3], photo.image),
				fills: message("uint8", [photo.fills.length, height, width, 3], fills),
				_pixels: message("float32", [channels, height, width], photo.data),
			});
			picker?.set({ probabilities: Array.from(values), target: bestOf(values, 1)[0] });
		},
		/** Shows the image of the page again. */
		restore() {
			scores.set(Object.fromEntries(first.scores));
			caption?.set("value", first.caption?.[0]);
			caption?.get("layout").set("display", first.caption?.[1]);
			brush.set({ ...Object.fromEntries(first.brush), mask: null });
			picker?.set(Object.fromEntries(first.picker ?? []));
		},
	};
}
