import { decode } from "./arrays.js";
import { digits } from "./digits.js";
import { float32Text, readable } from "./format.js";
import { seriesColor } from "./palette.js";

/**
 * One curve, as it is drawn.
 * @typedef {object} Curve
 * @property {number} row
 * @property {string} label
 * @property {string} note
 * @property {number} frame
 * @property {string} mode  the curve is active only in this mode; empty for all of them
 * @property {boolean} dashed
 * @property {string} color  CSS color, variables allowed
 * @property {boolean} hidden
 * @property {boolean} active
 * @property {number} computed  how many values there are
 * @property {Float32Array} values  NaN where nothing is computed
 */

/** @typedef {import("./curve_guides.js").Guides} Guides */
/**
 * `log`: how x is drawn; `steps`: the only positions of the cursor, if there are any.
 * @typedef {{x: Float32Array, log: boolean, steps: Float32Array, curves: Curve[]} & Guides} Curves
 */

/** @type {Curves} nothing to draw */
export const NO_CURVES = {
	x: new Float32Array(0),
	log: false,
	steps: new Float32Array(0),
	curves: [],
	lines: [],
	marks: [],
};

/**
 * The curves of a model as it is now; none while an array is missing.
 *
 * @param {import("@anywidget/types").AnyModel} model
 * @returns {Curves}
 * @throws {TypeError | RangeError} for arrays that cannot be drawn
 */
export function readCurves(model) {
	/** @type {import("./arrays.js").NDArray<Float32Array> | null} */
	const x = decode(model.get("x"));
	/** @type {import("./arrays.js").NDArray<Float32Array> | null} */
	const y = decode(model.get("y"));
	if (!x || !y) return NO_CURVES;
	const [rows, count] = y.shape;
	if (count !== x.data.length) {
		throw new RangeError(`y has ${count} steps, x has ${x.data.length}: expected as many`);
	}
	const log = model.get("x_scale") === "log";
	if (log && x.data.some((place) => !(place > 0))) {
		throw new RangeError(`x goes down to ${Math.min(...x.data)}: a logarithmic axis needs values above 0`);
	}
	const series = model.get("series") ?? [];
	const hidden = new Set(model.get("hidden"));
	const curves = Array.from({ length: rows }, (_, row) => {
		const values = y.data.subarray(row * count, (row + 1) * count);
		return describe(row, series[row] ?? {}, values, hidden.has(row));
	});
	markActive(curves, model.get("frame"), model.get("mode"));
	/** @type {import("./arrays.js").NDArray<Float32Array> | null} */
	const steps = decode(model.get("steps"));
	return {
		x: x.data,
		log,
		steps: steps?.data ?? NO_CURVES.steps,
		curves,
		lines: model.get("lines") ?? [],
		marks: model.get("marks") ?? [],
	};
}

/**
 * @param {number} row
 * @param {Record<string, any>} given  an entry of the trait `series`
 * @param {Float32Array} values
 * @param {boolean} hidden
 * @returns {Curve}
 */
function describe(row, given, values, hidden) {
	const frame = given.frame ?? row;
	let computed = 0;
	for (const value of values) if (!Number.isNaN(value)) computed++;
	return {
		row,
		label: given.label || `series ${row + 1}`,
		note: given.note ?? "",
		frame,
		mode: given.mode ?? "",
		dashed: given.style === "dashed",
		color: given.color || seriesColor(frame),
		hidden,
		active: false,
		computed,
		values,
	};
}

/**
 * @param {Curve[]} curves
 * @param {number} frame
 * @param {string} mode
 */
function markActive(curves, frame, mode) {
	for (const curve of curves) {
		curve.active = curve.frame === frame && (curve.mode === "" || curve.mode === mode);
	}
}

/**
 * The index of the value of an ascending array that is nearest to `value`.
 *
 * @param {ArrayLike<number>} sorted
 * @param {number} value
 * @returns {number} -1 for an empty array
 */
export function nearest(sorted, value) {
	let low = 0;
	let high = sorted.length - 1;
	while (high - low > 1) {
		const middle = (low + high) >> 1;
		if (sorted[middle] <= value) low = middle;
		else high = middle;
	}
	return high < 0 || value - sorted[low] <= sorted[high] - value ? Math.min(low, high) : high;
}

/**
 * The position on x of a fraction.
 *
 * @param {ArrayLike<number>} x
 * @param {number} fraction
 * @returns {number}
 */
export function positionOf(x, fraction) {
	if (x.length === 0) return fraction;
	return x[0] + fraction * (x[x.length - 1] - x[0]);
}

/**
 * How far along the axis a fraction of x is drawn, from 0 to 1.
 *
 * @param {{x: ArrayLike<number>, log: boolean}} data
 * @param {number} fraction
 * @returns {number}
 */
export function shareOf({ x, log }, fraction) {
	if (!log || x.length < 2) return fraction;
	return Math.log(positionOf(x, fraction) / x[0]) / Math.log(x[x.length - 1] / x[0]);
}

/**
 * The fraction of x that is drawn so far along the axis: the inverse of `shareOf`.
 *
 * @param {{x: ArrayLike<number>, log: boolean}} data
 * @param {number} share
 * @returns {number}
 */
export function fractionAt({ x, log }, share) {
	if (!log || x.length < 2) return share;
	const ratio = x[x.length - 1] / x[0];
	return (ratio ** share - 1) / (ratio - 1);
}

/**
 * How many decimals a fraction needs, to be finer than a hand everywhere on the axis.
 *
 * @param {{x: ArrayLike<number>, log: boolean}} data
 * @returns {number}
 */
export function decimalsOf({ x, log }) {
	if (!log || x.length < 2) return 4;
	return Math.min(4 + Math.max(Math.ceil(Math.log10(x[x.length - 1] / x[0])), 0), 15);
}

/**
 * The step nearest to a position on x, the first of several; the next one in that direction if it would stay where it is.
 *
 * @param {Float32Array} steps  in any order
 * @param {number} position
 * @param {number} [from]  the step to leave, if there is another
 * @returns {number} -1 without steps
 */
export function stepAt(steps, position, from = -1) {
	/** @param {Iterable<number>} some */
	const nearestOf = (some) => {
		let best = -1;
		for (const index of some) {
			const closer = Math.abs(steps[index] - position) < Math.abs(steps[best] - position);
			if (best < 0 || closer) best = index;
		}
		return best;
	};
	const found = nearestOf(steps.keys());
	const by = position - steps[from];
	if (found < 0 || !by || steps[found] !== steps[from]) return found;
	const ahead = nearestOf([...steps.keys()].filter((index) => (steps[index] - steps[from]) * by > 0));
	return ahead < 0 ? from : ahead;
}

/**
 * A position on x in words, as fine as a hand can choose it.
 *
 * @param {{x: ArrayLike<number>, log: boolean}} data
 * @param {number} position
 * @returns {string}
 */
export function placeText({ x, log }, position) {
	if (log) return position < 1e-5 ? digits(position) : readable(position, position);
	return readable(position, x.length > 1 ? x[x.length - 1] - x[0] : 1);
}

/**
 * The curves as comma-separated values in full precision; an empty field where nothing is computed. Each line is a column
 * of one number. Marks are a column of names, each in the row of its x; where no curve is sampled there, in a row of its
 * own.
 *
 * @param {Curves} data
 * @param {string} xLabel
 * @returns {string}
 */
export function toCsv({ x, curves, lines, marks }, xLabel) {
	const head = [xLabel || "x", ...curves.map(({ label }) => label)];
	head.push(...lines.map(({ label }, index) => label || `line ${index + 1}`));
	const constants = lines.map(({ y }) => float32Text(Math.fround(y)));
	/** @type {Map<number, string[]>} */
	const names = new Map();
	for (const mark of marks) {
		const at = Math.fround(mark.x);
		names.set(at, [...(names.get(at) ?? []), mark.label]);
	}
	if (marks.length) head.push("mark");
	const steps = new Map(Array.from(x, (place, step) => [place, step]));
	const places = [...new Set([...x, ...names.keys()])].sort((a, b) => a - b);
	const rows = places.map((place) => {
		const step = steps.get(place);
		const values = curves.map((curve) => (step === undefined ? "" : float32Text(curve.values[step])));
		const row = [float32Text(place), ...values, ...constants];
		return marks.length ? [...row, names.get(place)?.join("; ") ?? ""] : row;
	});
	return [head, ...rows].map((row) => `${row.map(quote).join(",")}\r\n`).join("");
}

/**
 * @param {string} field
 * @returns {string}
 */
function quote(field) {
	return /[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}
