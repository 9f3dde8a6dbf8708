/**
 * The section "Similarity of positions": the vectors of the image of the brush, and of the one before it, for the view of
 * similarities of the package, which compares them.
 *
 * @typedef {import("./engine.js").Engine} Engine
 * @typedef {import("./live_scores.js").Model} Model
 * @typedef {{shape: [number, number, number], vectors: Float32Array}} Vectors  (h, w, C) of a layer
 * @typedef {{pixels: unknown, name: string, image: Uint8Array, layers: Vectors[]}} Shown
 */
import { decode } from "../lib/arrays.js";
import { element, setText } from "../lib/dom.js";
import { message } from "./live_scores.js";

/** So many images are compared: the newest, and the one before it. */
const IMAGES = 2;
const HINT =
	"Point at a position of an image: the colors are the cosines of its vector with those of all positions.";
const MORE = " Once a photo is opened, it is compared with the image before it, too.";

/**
 * @template {Float32Array | Uint8Array} T
 * @param {T[]} parts  of the same length
 * @param {T} all  as long as all of them
 */
function joined(parts, all) {
	for (const [index, part] of parts.entries()) all.set(part, index * part.length);
	return all;
}

/**
 * @param {Engine} engine
 * @param {{brush: Model, view: Model}} models
 * @param {string[]} outputs  of the network, one for each layer of the view
 * @param {{name: string}} subject  the name of the photograph of the brush, "" for the image of the page
 * @param {boolean} photos  whether photographs can be opened
 */
export function similarityPanel(engine, { brush, view }, outputs, subject, photos) {
	const hint = element("p", { class: "page-hint" }, [photos ? HINT + MORE : HINT]);
	const status = element("p", { class: "page-hint", role: "status", hidden: true });
	/** @type {Shown[]} */
	let shown = [];

	function show() {
		const [height, width] = brush.get("image").shape;
		const bytes = shown.length * height * width * 3;
		const images = joined(
			shown.map(({ image }) => image),
			new Uint8Array(bytes),
		);
		view.set({
			labels: shown.map(({ name }) => name),
			images: message("uint8", [shown.length, height, width, 3], images),
			activations: outputs.map((_, layer) => {
				const parts = shown.map(({ layers }) => layers[layer].vectors);
				const all = joined(parts, new Float32Array(parts.length * parts[0].length));
				return message("float32", [shown.length, ...shown[0].layers[layer].shape], all);
			}),
			// The newest image is the last one.
			frame: shown.length - 1,
			pins: [],
		});
	}

	async function add() {
		const pixels = brush.get("_pixels");
		const name = subject.name || "image of the page";
		const image = /** @type {Uint8Array} */ (decode(brush.get("image"))?.data);
		try {
			const { data } = /** @type {any} */ (decode(pixels));
			/** @type {Vectors[]} */
			const layers = await engine.ask("vectors", { data, outputs });
			// Those of another image are not shown.
			if (brush.get("_pixels") !== pixels) return;
			if (!layers.every(({ vectors }) => vectors.every(Number.isFinite)))
				throw new Error("expected finite activations, got NaN or infinite ones");
			const others = shown.filter((each) => each.pixels !== pixels);
			shown = [...others.slice(1 - IMAGES), { pixels, name, image, layers }];
			show();
			if (shown.length === IMAGES) setText(hint, HINT);
			status.hidden = true;
		} catch (error) {
			status.hidden = false;
			setText(status, `The similarity of ${name} cannot be shown: ${/** @type {Error} */ (error).message}.`);
		}
	}

	brush.on("change:_pixels", add);
	add();
	return [hint, status];
}
