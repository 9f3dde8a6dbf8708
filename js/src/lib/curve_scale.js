/**
 * How numbers are placed on an axis: `drawn` turns a number into equal steps of the axis, `back` is its inverse.
 *
 * @typedef {{drawn: (value: number) => number, back: (value: number) => number}} Scale
 */

/** @param {number} value */
const same = (value) => value;

/** @type {Record<string, Scale>} */
const SCALES = {
	linear: { drawn: same, back: same },
	sqrt: { drawn: (value) => Math.sqrt(Math.max(value, 0)), back: (value) => Math.max(value, 0) ** 2 },
	log: { drawn: Math.log, back: Math.exp },
};

/** @param {string} name  "linear", "sqrt" or "log" */
export function scaleOf(name) {
	return SCALES[name] ?? SCALES.linear;
}
