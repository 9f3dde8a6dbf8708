/**
 * Rows and columns of a leaderboard, read from its traits: their order, and the items that decide between two rows.
 *
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {{name: string, label?: string}} Row
 * @typedef {{name: string, label?: string, direction?: "higher" | "lower", help?: string}} Column
 * @typedef {{item: number, gain: number, a: number, b: number}} Difference
 */

/** @param {{name: string, label?: string}} entry */
export const labelOf = ({ name, label }) => label || name;

/** @param {Column} column */
export const isLower = (column) => column.direction === "lower";

/** The chosen metric as an index; the first one by default. @param {Model} model */
export function columnOf(model) {
	/** @type {Column[]} */
	const columns = model.get("columns");
	return Math.max(
		0,
		columns.findIndex(({ name }) => name === model.get("metric")),
	);
}

/** The chosen rows that there are, as indices: A and B. @param {Model} model @returns {number[]} */
export function pairOf(model) {
	/** @type {Row[]} */
	const rows = model.get("rows");
	/** @type {string[]} */
	const names = model.get("pair");
	return names.map((name) => rows.findIndex((row) => row.name === name)).filter((row) => row >= 0);
}

/**
 * The rows from top to bottom; those without a mean come last, and equal ones stay in the order that was given.
 *
 * @param {number} count
 * @param {((row: number) => number) | null} value  the mean of a row; NaN for none
 * @param {boolean} ascending
 * @returns {number[]}
 */
export function orderOf(count, value, ascending) {
	const rows = Array.from({ length: count }, (_, row) => row);
	if (!value) return rows;
	const known = rows.filter((row) => !Number.isNaN(value(row)));
	known.sort((a, b) => (ascending ? value(a) - value(b) : value(b) - value(a)));
	return [...known, ...rows.filter((row) => Number.isNaN(value(row)))];
}

/**
 * How much better A is than B on each item that both have, the largest first.
 *
 * @param {{shape: number[], data: Float32Array}} scores  (R, M, I)
 * @param {number[]} pair
 * @param {number} column
 * @param {boolean} lower  whether lower scores are better
 * @returns {Difference[]}
 */
export function differencesOf({ shape: [, columns, items], data }, [first, second], column, lower) {
	/** @type {Difference[]} */
	const found = [];
	for (let item = 0; item < items; item++) {
		const a = data[(first * columns + column) * items + item];
		const b = data[(second * columns + column) * items + item];
		const gain = Math.fround(lower ? b - a : a - b);
		if (Number.isFinite(gain)) found.push({ item, gain, a, b });
	}
	return found.sort((one, other) => other.gain - one.gain || one.item - other.item);
}

/**
 * The items at both ends: those on which A is better, and those on which B is.
 *
 * @param {Difference[]} differences  sorted
 * @param {number} count  of each
 */
export function decidingOf(differences, count) {
	const better = differences.filter(({ gain }) => gain > 0).slice(0, count);
	const worse = differences.filter(({ gain }) => gain < 0);
	worse.sort((one, other) => one.gain - other.gain || other.item - one.item);
	return { better, worse: worse.slice(0, count) };
}

/** A score with three digits behind the first that varies over a column. @param {number} value @param {number} span */
export function scoreText(value, span) {
	if (Number.isNaN(value)) return "—";
	const digits = Math.max(0, Math.min(6, 2 - Math.floor(Math.log10(span || 1))));
	return value.toFixed(digits).replace("-", "−");
}
