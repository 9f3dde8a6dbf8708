/**
 * The traits of a table of maps, read: its cells, their maps and images, the colors of values, and how far
 * two cells agree.
 *
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {import("./image.js").Message} Message
 * @typedef {import("./image.js").FloatMap} FloatMap
 * @typedef {import("./image.js").Bytes} Bytes
 * @typedef {import("./colormaps.js").Sign} Sign
 * @typedef {import("./agreement.js").Measure} Measure
 * @typedef {{limit: number, sign: Sign, table: Uint32Array}} Look
 */
import { agreement } from "./agreement.js";
import { slice } from "./arrays.js";
import { cached, remembered } from "./cached.js";
import { colorTable } from "./colormaps.js";
import { magnitudeLimit } from "./heat.js";
import { bytes, floats, pack, packGray } from "./image.js";

/** The trait of a map. @param {number} row @param {number} column */
export const mapTrait = (row, column) => `_map_${row}_${column}`;

/** @param {Model} model */
export function createTable(model) {
	const decodeImages = cached((/** @type {Message} */ message, /** @type {boolean} */ gray) => {
		const all = bytes("images", message, [null, null, null, 3]);
		if (!all) return [];
		return Array.from({ length: all.shape[0] }, (_, index) => {
			const { shape, data } = slice(all, index);
			return { shape, words: (gray ? packGray : pack)(data) };
		});
	});
	const tables = {
		both: cached(colorTable),
		positive: cached(colorTable),
		negative: cached(colorTable),
		absolute: cached(colorTable),
	};
	const negative = remembered((/** @type {FloatMap} */ { data }) => data.some((value) => value < 0));
	const agreements = remembered((/** @type {FloatMap} */ first) =>
		remembered((/** @type {FloatMap} */ second) => {
			/** @type {Partial<Record<Measure, number>>} */
			const known = {};
			return (/** @type {Measure} */ measure) => {
				known[measure] ??= agreement(measure, first, second);
				return known[measure];
			};
		}),
	);
	const decode = remembered((/** @type {NonNullable<Message>} */ message) =>
		floats("a map", message, [null, null]),
	);

	/** @type {() => string[][]} */
	const states = () => model.get("states");
	const height = () => states().length;
	const width = () => states()[0]?.length ?? 0;
	/** @param {number} row @param {number} column */
	const map = (row, column) => {
		const message = model.get(mapTrait(row, column));
		return message ? decode(message) : null;
	};
	const limitOf = remembered((/** @type {FloatMap} */ { data }) =>
		cached((/** @type {number} */ percentile) => magnitudeLimit(data, percentile)),
	);
	/** How the values of maps of one scale become colors. @param {(FloatMap | null)[]} maps @returns {Look} */
	const lookOf = (maps) => {
		const chosen = /** @type {Sign | "auto"} */ (model.get("sign"));
		const auto = maps.some((one) => one && negative(one)) ? "both" : "positive";
		const sign = chosen === "auto" ? auto : chosen;
		const table = tables[sign](model.get("colormap"), sign, model.get("fade"));
		const percentile = model.get("percentile");
		// The largest end of all maps: pooled, the many values of fine maps would outvote a coarse one.
		const limit = Math.max(0, ...maps.map((one) => (one ? limitOf(one)(percentile) : 0)));
		return { sign, limit, table };
	};

	return {
		states,
		height,
		width,
		map,
		/** The image of a column. @param {number} column */
		image(column) {
			const all = decodeImages(model.get("images"), model.get("gray"));
			return all[Math.min(column, all.length - 1)] ?? null;
		},
		/** @param {number} row @returns {string} */
		rowName: (row) => model.get("row_labels")[row] || `row ${row + 1}`,
		/** @param {number} column @returns {string} */
		columnName: (column) => model.get("column_labels")[column] || `column ${column + 1}`,
		/** @param {number} row @param {number} column @returns {string} */
		note: (row, column) => model.get("notes")[row]?.[column] ?? "",
		/** Whether there is such a cell. @param {number} row @param {number} column */
		has: (row, column) => row >= 0 && column >= 0 && row < height() && column < width(),
		/** How the values of each cell become colors. @returns {Look[][]} */
		looks() {
			const maps = states().map((row, r) => row.map((_, c) => map(r, c)));
			const scale = model.get("scale");
			if (scale === "cell") return maps.map((row) => row.map((one) => lookOf([one])));
			const all = scale === "all" ? lookOf(maps.flat()) : null;
			return maps.map((row) => new Array(row.length).fill(all ?? lookOf(row)));
		},
		/**
		 * How far two cells agree; null where there is no map.
		 *
		 * @param {number[]} first  row and column
		 * @param {number[]} second
		 * @param {Measure} measure
		 */
		agreement([row, column], second, measure) {
			const [a, b] = [map(row, column), map(second[0], second[1])];
			return a && b ? agreements(a)(b)(measure) : null;
		},
	};
}
