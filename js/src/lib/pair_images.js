/**
 * The images and maps that were sent for some items, and how a map becomes colors.
 *
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {import("./image.js").Message} Message
 * @typedef {import("./image.js").FloatMap} FloatMap
 * @typedef {import("./colormaps.js").Sign} Sign
 */
import { slice } from "./arrays.js";
import { cached, remembered } from "./cached.js";
import { colorTable, signFor } from "./colormaps.js";
import { corner } from "./drawing.js";
import { magnitudeLimit } from "./heat.js";
import { bytes, floats, pack, packGray } from "./image.js";
import { smoothed } from "./resample.js";

/** @param {Model} model */
export function createSent(model) {
	const decodeImages = cached((/** @type {Message} */ message, /** @type {boolean} */ gray) => {
		const all = bytes("images", message, [null, null, null, 3]);
		return Array.from({ length: all?.shape[0] ?? 0 }, (_, at) => {
			const { shape, data } = slice(/** @type {NonNullable<typeof all>} */ (all), at);
			return { shape, words: (gray ? packGray : pack)(data) };
		});
	});
	const decodeMaps = cached((/** @type {Message} */ message, /** @type {number[][]} */ sizes) => {
		const all = floats("maps", message, [null, null, null]);
		return Array.from({ length: all?.shape[0] ?? 0 }, (_, at) =>
			corner(slice(/** @type {FloatMap} */ (all), at), sizes[at]),
		);
	});
	const maps = () => decodeMaps(model.get("maps"), model.get("map_sizes"));
	const negative = remembered((/** @type {FloatMap} */ { data }) => data.some((value) => value < 0));
	const limitOf = remembered((/** @type {FloatMap} */ { data }) =>
		cached((/** @type {number} */ percentile) => magnitudeLimit(data, percentile)),
	);
	const smoothings = remembered((/** @type {FloatMap} */ one) =>
		cached((/** @type {number} */ sigma, /** @type {Sign} */ sign) => smoothed(one, sigma, sign)),
	);
	const tables = {
		both: cached(colorTable),
		positive: cached(colorTable),
		negative: cached(colorTable),
		absolute: cached(colorTable),
	};
	/** @param {number} row @returns {Sign} */
	const signOf = (row) => {
		const chosen = /** @type {Sign | "auto"} */ (model.get("sign"));
		if (chosen !== "auto") return chosen;
		const own = /** @type {Sign | "auto" | undefined} */ (model.get("signs")[row]);
		if (own && own !== "auto") return signFor(own, model.get("colormap"));
		const all = maps();
		/** @type {number[]} */
		const rows = model.get("map_rows");
		const below = all.some((one, at) => rows[at] === row && negative(one));
		return signFor(below ? "both" : "positive", model.get("colormap"));
	};
	return {
		/** The image of an item, or null. @param {number} item */
		image(item) {
			const at = model.get("image_items").indexOf(item);
			return at < 0 ? null : (decodeImages(model.get("images"), model.get("gray"))[at] ?? null);
		},
		/** The map of a row on an item with its colors, or null. @param {number} row @param {number} item */
		map(row, item) {
			/** @type {number[]} */
			const rows = model.get("map_rows");
			/** @type {number[]} */
			const items = model.get("map_items");
			const at = rows.findIndex((one, index) => one === row && items[index] === item);
			const given = at < 0 ? null : maps()[at];
			if (!given) return null;
			const sign = signOf(row);
			const sigma = model.get("smoothing");
			const values = sigma > 0 ? smoothings(given)(sigma, sign) : given;
			const table = tables[sign](model.get("colormap"), sign, model.get("fade"));
			return { values, look: { sign, table, limit: limitOf(values)(model.get("percentile")) } };
		},
	};
}

/** @typedef {ReturnType<typeof createSent>} Sent */
