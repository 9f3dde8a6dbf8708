import { slice } from "./arrays.js";
import { cached } from "./cached.js";
import { colorTable, signFor } from "./colormaps.js";
import { frameOf } from "./frames.js";
import { magnitudeLimit, shade } from "./heat.js";
import { bytes, floats, pack, packGray, Raster } from "./image.js";
import { reductionFor, resampled, smoothed } from "./resample.js";

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
	const pick = cached(
		(/** @type {FloatMap} */ maps, /** @type {number} */ frame, /** @type {number[] | undefined} */ size) =>
			corner(slice(maps, frame), size),
	);
	const limitOf = cached(magnitudeLimit);
	const reachesBelowZero = cached((/** @type {Float32Array} */ values) => values.some((value) => value < 0));
	const tableOf = cached(colorTable);
	const blurred = cached(smoothed);
	const cellsOf = cached(resampled);
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
	/** Index of the map that is shown. */
	const index = () => {
		const group = Math.min(model.get("group"), model.get("groups") - 1);
		return group * size() + frameOf(model, size());
	};
	const map = () => {
		const all = maps();
		if (!all) return null;
		return blurred(pick(all, index(), model.get("sizes")?.[index()]), model.get("smoothing") ?? 0, sign());
	};
	/** The magnitude at the end of the scale. */
	const limit = () => {
		const shown = map();
		return shown ? (model.get("limit") ?? limitOf(shown.data, model.get("percentile"))) : 0;
	};
	/** Which values are shown. @returns {import("./colormaps.js").Sign} */
	const sign = () => {
		const all = maps();
		if (model.get("sign") !== "auto") return model.get("sign");
		const own = (all && model.get("signs")?.[index()]) ?? "auto";
		// By all maps: one method has one look.
		const found = all && !reachesBelowZero(all.data) ? "positive" : "both";
		return signFor(own === "auto" ? found : own, model.get("colormap"));
	};
	// Without an image there is nothing that a transparent value would show.
	const table = () => tableOf(model.get("colormap"), sign(), model.get("fade") && image() !== null);
	return {
		image,
		map,
		limit,
		sign,
		table,
		/** The note of the map, or else of the image, that is shown. @returns {string} */
		note() {
			const at = maps() ? index() : frameOf(model, images()?.shape[0] || 1);
			return ((maps() ?? image()) && model.get("notes")?.[at]) || "";
		},
		/** How many there are to choose from. */
		count: () => size() || (images()?.shape[0] ?? 0),
		/** The layers, from below. @param {number} width  of the image where it is drawn @param {number} height */
		layers(width, height) {
			const [base, shown] = [image(), map()];
			// Without an image there is nothing to see through to.
			const alpha = base ? model.get("opacity") : 1;
			const layers = [];
			// The image has no colors of its own below a map: none is taken for a value.
			if (base) layers.push({ canvas: shown && model.get("gray") ? inGray(base) : inColor(base), alpha: 1 });
			if (shown) {
				const reduction = reductionFor(shown.shape, [height, width]);
				const cells = cellsOf(shown, model.get("interpolation"), SMOOTH_SIZE, reduction);
				layers.push({ canvas: mapRaster(cells, limit(), sign(), table()), alpha });
			}
			return layers;
		},
	};
}

/**
 * The upper left corner of a map; the whole map without a size.
 *
 * @param {FloatMap} map
 * @param {number[] | undefined} size  rows and columns
 * @returns {FloatMap}
 */
export function corner(map, size) {
	const [height, width] = map.shape;
	if (!size || (size[0] === height && size[1] === width)) return map;
	const [rows, columns] = size;
	if (rows > height || columns > width) {
		throw new RangeError(`sizes has [${size}], expected at most [${map.shape}], the shape of a map`);
	}
	const data = new Float32Array(rows * columns);
	for (let row = 0; row < rows; row++) {
		data.set(map.data.subarray(row * width, row * width + columns), row * columns);
	}
	return { shape: [rows, columns], data };
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
