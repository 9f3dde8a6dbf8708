import { slice } from "./arrays.js";
import { cached } from "./cached.js";
import { colorTable } from "./colormaps.js";
import { frameOf } from "./frames.js";
import { enlarge, magnitudeLimit, shade } from "./heat.js";
import { bytes, floats, pack, packGray, Raster } from "./image.js";

/**
 * @typedef {import("./image.js").Bytes} Bytes
 * @typedef {import("./image.js").FloatMap} FloatMap
 * @typedef {import("./image.js").Message} Message
 * @typedef {import("@anywidget/types").AnyModel} Model
 */

/** A map is enlarged to about so many pixels before it is colored. */
const SMOOTH_SIZE = 384;

/**
 * The layers to draw, computed from the traits; every step is remembered until what it depends on changes.
 *
 * @param {Model} model
 */
export function createDrawing(model) {
	const decodeImage = cached((/** @type {Message} */ message) => bytes("image", message, [null, null, 3]));
	const decodeImages = cached((/** @type {Message} */ message) =>
		bytes("images", message, [null, null, null, 3]),
	);
	const decodeMaps = cached((/** @type {Message} */ message) => floats("maps", message, [null, null, null]));
	const pickImage = cached((/** @type {Bytes} */ images, /** @type {number} */ frame) =>
		slice(images, frame),
	);
	const pick = cached((/** @type {FloatMap} */ maps, /** @type {number} */ frame) => slice(maps, frame));
	const limitOf = cached(magnitudeLimit);
	const reachesBelowZero = cached((/** @type {Float32Array} */ values) => values.some((value) => value < 0));
	const tableOf = cached(colorTable);
	const smooth = cached((/** @type {FloatMap} */ map) => {
		const factor = Math.round(SMOOTH_SIZE / Math.max(...map.shape));
		return factor > 1 ? enlarge(map, factor) : map;
	});
	/** @param {(rgb: Uint8Array) => Uint32Array} words */
	const imageRaster = (words) =>
		rastered((target, /** @type {Bytes} */ image) => {
			target.resize(image.shape[1], image.shape[0]);
			target.words.set(words(image.data));
		});
	const inColor = imageRaster(pack);
	const inGray = imageRaster(packGray);
	const mapRaster = rastered((target, /** @type {FloatMap} */ map, limit, sign, table) => {
		target.resize(map.shape[1], map.shape[0]);
		shade(map.data, limit, sign, table, target.words);
	});

	const images = () => decodeImages(model.get("images"));
	const image = () => {
		const all = images();
		return all?.shape[0] ? pickImage(all, frameOf(model, all.shape[0])) : decodeImage(model.get("image"));
	};
	const maps = () => decodeMaps(model.get("maps"));
	/** Maps in each group. */
	const size = () => {
		const all = maps()?.shape[0] ?? 0;
		const groups = model.get("groups");
		if (all % groups)
			throw new RangeError(`maps has ${all} maps, expected a multiple of ${groups}, the groups`);
		return all / groups;
	};
	const map = () => {
		const all = maps();
		if (!all) return null;
		const group = Math.min(model.get("group"), model.get("groups") - 1);
		return pick(all, group * size() + frameOf(model, size()));
	};
	/** The magnitude at the end of the scale. */
	const limit = () => {
		const shown = map();
		return shown ? (model.get("limit") ?? limitOf(shown.data, model.get("percentile"))) : 0;
	};
	/** Which values are shown: "auto" is both signs for a map that has both, else the positive one. */
	const sign = () => {
		const chosen = model.get("sign");
		if (chosen !== "auto") return chosen;
		const shown = map();
		return shown && !reachesBelowZero(shown.data) ? "positive" : "both";
	};
	const table = () => tableOf(model.get("colormap"), sign(), model.get("fade"));
	return {
		image,
		map,
		limit,
		sign,
		table,
		/** How many there are to choose from. */
		count: () => size() || (images()?.shape[0] ?? 0),
		/** The layers, from below. */
		layers() {
			const [base, shown] = [image(), map()];
			const smoothed = model.get("interpolation") === "smooth";
			// Without an image there is nothing to see through to.
			const alpha = base ? model.get("opacity") : 1;
			const layers = [];
			if (base) layers.push({ canvas: inColor(base), alpha: 1 });
			// The image loses its own colors as far as the map covers it: none is taken for a value.
			if (base && shown && model.get("gray")) layers.push({ canvas: inGray(base), alpha });
			if (shown) {
				const cells = smoothed ? smooth(shown) : shown;
				layers.push({ canvas: mapRaster(cells, limit(), sign(), table()), alpha });
			}
			return layers;
		},
	};
}

/**
 * A raster that is written again only for other arguments.
 *
 * @template {any[]} A
 * @param {(target: Raster, ...args: A) => void} write
 * @returns {(...args: A) => HTMLCanvasElement}
 */
export function rastered(write) {
	const target = new Raster();
	return cached((/** @type {A} */ ...args) => {
		write(target, ...args);
		target.flush();
		return target.canvas;
	});
}
