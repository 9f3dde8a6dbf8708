/**
 * A perturbation brush that the network in the page answers, as the kernel does in a notebook.
 *
 * @typedef {import("./engine.js").Engine} Engine
 * @typedef {import("./live_scores.js").Model} Model
 * @typedef {import("./live_scores.js").Facts} Facts
 * @typedef {{brush: Model, scores: Model, picker: Model | null, caption: Model | null}} Parts
 * @typedef {{name: string, width: number, height: number, data: Float32Array, image: Uint8Array, fills: Uint8Array[], scores: Float32Array}} Photo
 */
import { bestOf, liveScores, message, probabilitiesOf } from "./live_scores.js";

/**
 * @param {Engine} engine
 * @param {Parts} parts
 * @param {Facts} facts
 * @param {(error: Error | null) => void} report  called with the error of the last pass, or null
 * @param {Map<Model, Float32Array>} shown  the values of the best classes of each edit: all have one scale
 */
export function liveBrush(engine, { brush, scores, picker, caption }, facts, report, shown) {
	const live = liveScores(engine, { brush, scores }, facts, {
		report,
		shown,
		scored: (stroke) => brush.set("_seen", stroke),
	});
	scores.set("_live", picker !== null);
	picker?.on("change:target", () => {
		scores.set("target", picker.get("target"));
		live.show();
	});
	scores.on("change:_chosen", () => {
		const index = scores.get("_chosen");
		scores.set("_chosen", -1);
		if (index >= 0) picker?.set("target", index);
	});

	/** The image of the page, to come back to. */
	const first = {
		brush: ["image", "fills", "_pixels"].map((name) => [name, brush.get(name)]),
		picker: picker && ["probabilities", "target"].map((name) => [name, picker.get(name)]),
		scores: [["reference", scores.get("reference")]],
		caption: caption && [caption.get("value"), caption.get("layout").get("display")],
	};
	return {
		score: live.score,
		/** Shows a photograph in place of the image, with its predicted class. @param {Photo} photo @param {string} preprocessing */
		open(photo, preprocessing) {
			const [height, width] = brush.get("image").shape;
			const values = probabilitiesOf(photo.scores, facts.activation);
			const fills = new Uint8Array(photo.fills.length * photo.image.length);
			for (const [index, fill] of photo.fills.entries()) fills.set(fill, index * fill.length);
			const [channels] = brush.get("_pixels").shape;
			scores.set("reference", message("float32", [values.length], values));
			const words = document.createElement("small");
			words.textContent = `Image: ${photo.name}, ${photo.width} x ${photo.height}, ${preprocessing}`;
			caption?.set("value", words.outerHTML);
			caption?.get("layout").set("display", null);
			brush.set({
				mask: null,
				_filled: null,
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
			brush.set({ ...Object.fromEntries(first.brush), mask: null, _filled: null });
			picker?.set(Object.fromEntries(first.picker ?? []));
		},
	};
}
