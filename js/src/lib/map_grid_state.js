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
import { colorTable, DIVERGING_NAMES, signFor } from "./colormaps.js";
import { magnitudeLimit, resize } from "./heat.js";
import { bytes, floats, pack, packGray } from "./image.js";
import { smoothed } from "./resample.js";

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
		difference: cached(colorTable),
	};
	const negative = remembered((/** @type {FloatMap} */ { data }) => data.some((value) => value < 0));
	const known = remembered((/** @type {FloatMap} */ _first) =>
		remembered((/** @type {FloatMap} */ _second) => /** @type {Partial<Record<Measure, number>>} */ ({})),
	);
	/** @type {(first: FloatMap) => (second: FloatMap) => (measure: Measure) => number} */
	const agreements = (first) => (second) => (measure) => {
		const values = known(first)(second);
		values[measure] ??= agreement(measure, first, second);
		return /** @type {number} */ (values[measure]);
	};
	const decode = remembered((/** @type {NonNullable<Message>} */ message) =>
		floats("a map", message, [null, null]),
	);

	/** @type {() => string[][]} */
	const states = () => model.get("states");
	const height = () => states().length;
	const width = () => states()[0]?.length ?? 0;
	/** The map as it was given. @param {number} row @param {number} column */
	const given = (row, column) => {
		const message = model.get(mapTrait(row, column));
		return message ? decode(message) : null;
	};
	const smoothings = remembered((/** @type {FloatMap} */ one) =>
		cached((/** @type {number} */ sigma, /** @type {Sign} */ sign) => smoothed(one, sigma, sign)),
	);
	/** The map, smoothed. @param {number} row @param {number} column */
	const map = (row, column) => {
		const one = given(row, column);
		const sigma = model.get("smoothing") ?? 0;
		return one && sigma > 0 ? smoothings(one)(sigma, signOf(row)) : one;
	};
	const limitOf = remembered((/** @type {FloatMap} */ { data }) =>
		cached((/** @type {number} */ percentile) => magnitudeLimit(data, percentile)),
	);
	/**
	 * Which values are shown: by the sign of the row, else by all of its maps, so that one method has one scale.
	 *
	 * @param {number} row
	 * @returns {Sign}
	 */
	const signOf = (row) => {
		const chosen = /** @type {Sign | "auto"} */ (model.get("sign"));
		if (chosen !== "auto") return chosen;
		const own = /** @type {Sign | "auto" | undefined} */ (model.get("row_signs")[row]);
		const name = model.get("colormap");
		if (own && own !== "auto") return signFor(own, name);
		return signFor(states()[row]?.some((_, column) => negativeAt(row, column)) ? "both" : "positive", name);
	};
	/** @param {number} row @param {number} column */
	const negativeAt = (row, column) => {
		const one = given(row, column);
		return Boolean(one && negative(one));
	};
	/** The magnitude at the end of the scale of a map. @param {FloatMap | null} one */
	const endOf = (one) => (one ? limitOf(one)(model.get("percentile")) : 0);
	/** The cells that share the scale of a cell. @param {number} row @param {number} column @returns {number[][]} */
	const sharing = (row, column) => {
		const scale = model.get("scale");
		if (scale === "cell") return [[row, column]];
		return states().flatMap((cells, r) => (scale === "all" || r === row ? cells.map((_, c) => [r, c]) : []));
	};
	/** How the values of a cell become colors. @param {number} row @param {number} column @returns {Look} */
	const look = (row, column) => {
		const cells = sharing(row, column);
		const signs = model.get("scale") === "all" ? states().map((_, r) => signOf(r)) : [signOf(row)];
		const sign = signs.find((one) => one === "both") ?? signs[0];
		const table = tables[sign](model.get("colormap"), sign, model.get("fade"));
		// The largest end of all maps: pooled, the many values of fine maps would outvote a coarse one.
		return { sign, table, limit: Math.max(0, ...cells.map(([r, c]) => endOf(map(r, c)))) };
	};
	const pairs = remembered((/** @type {FloatMap} */ first) =>
		remembered((/** @type {FloatMap} */ second) =>
			cached((/** @type {number} */ percentile) =>
				difference(first, second, limitOf(first)(percentile), limitOf(second)(percentile)),
			),
		),
	);

	/** @param {number} row @returns {string} */
	const rowName = (row) => model.get("row_labels")[row] || `row ${row + 1}`;
	/** @param {number} column @returns {string} */
	const columnName = (column) => model.get("column_labels")[column] || `column ${column + 1}`;

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
		rowName,
		columnName,
		/** @param {number[]} cell  row and column */
		nameOf: ([row, column]) => `${rowName(row)} · ${columnName(column)}`,
		/** @param {number} row @param {number} column @returns {string} */
		note: (row, column) => model.get("notes")[row]?.[column] ?? "",
		/** Whether there is such a cell. @param {number} row @param {number} column */
		has: (row, column) => row >= 0 && column >= 0 && row < height() && column < width(),
		look,
		/** The smallest and largest value of a cell. @param {number} row @param {number} column */
		range(row, column) {
			const one = map(row, column);
			return one ? rangeOf(one) : null;
		},
		/**
		 * The difference of two cells, each divided by the end of its own scale, with its colors; null where there is no map.
		 *
		 * @param {number[]} first  row and column
		 * @param {number[]} second
		 */
		difference([row, column], second) {
			const [a, b] = [map(row, column), map(second[0], second[1])];
			if (!a || !b) return null;
			const made = pairs(a)(b)(model.get("percentile"));
			const own = model.get("colormap");
			const colors = DIVERGING_NAMES.includes(own) ? own : "auto";
			const table = tables.difference(colors, "both", model.get("fade"));
			return { map: made, look: { sign: /** @type {Sign} */ ("both"), limit: endOf(made), table } };
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
		/** Whether the agreement of two cells is known already, or there is none. @param {number[]} first @param {number[]} second @param {Measure} measure */
		agreementIsKnown([row, column], second, measure) {
			const [a, b] = [map(row, column), map(second[0], second[1])];
			return !a || !b || known(a)(b)[measure] !== undefined;
		},
	};
}

/**
 * The difference of two maps, each divided by its own scale and brought to the resolution of the larger.
 *
 * @param {FloatMap} first
 * @param {FloatMap} second
 * @param {number} firstEnd  0 for a map of zeros
 * @param {number} secondEnd
 * @returns {FloatMap}
 */
export function difference(first, second, firstEnd, secondEnd) {
	const shape = first.shape.map((extent, axis) => Math.max(extent, second.shape[axis]));
	const [a, b] = [first, second].map((map) => resize(map, shape).data);
	const [gainA, gainB] = [firstEnd, secondEnd].map((end) => (end > 0 ? 1 / end : 0));
	return { shape, data: a.map((value, i) => gainA * value - gainB * b[i]) };
}

const rangeOf = remembered((/** @type {FloatMap} */ { data }) => {
	let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
	for (const value of data) {
		if (value < low) low = value;
		if (value > high) high = value;
	}
	return { low, high };
});
