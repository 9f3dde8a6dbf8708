import { decode } from "./arrays.js";
import { scaleOf } from "./curve_scale.js";
import { digits } from "./digits.js";
import { float32Text, readable, share } from "./format.js";
import { lookOf } from "./palette.js";

/**
 * One curve, as it is drawn.
 * @typedef {object} Curve
 * @property {number} row
 * @property {string} label
 * @property {string} note
 * @property {string} name  curves of one name share a row of the legend; empty for a row of its own
 * @property {number} auc  the area under the curve, NaN where it is not known
 * @property {string} warning
 * @property {number} between  a number about all curves of its name, such as the area between them; NaN for none
 * @property {string} scope  the curve is drawn in this scope only; empty for all of them
 * @property {number} flip  where on x the predicted class changes, NaN for nowhere
 * @property {string} flipLabel
 * @property {boolean} flips  whether a change of the predicted class would be marked
 * @property {number} frame
 * @property {string} mode  the curve is active only in this mode; empty for all of them
 * @property {boolean} dashed
 * @property {string} color  CSS color, variables allowed
 * @property {import("./palette.js").Marker} marker  distinguishes curves of one color
 * @property {boolean} hidden
 * @property {boolean} active
 * @property {boolean} absent  neither drawn nor in the legend
 * @property {number} computed  how many values there are
 * @property {Float32Array} values  NaN where nothing is computed
 * @property {[low: Float32Array, high: Float32Array] | null} band  between which the curve lies
 */

/** @typedef {import("./curve_guides.js").Guides} Guides */
/**
 * `scale`: how x is drawn; `percent`: whether x is a share; `steps`: the only positions of the cursor, if there are any.
 * @typedef {{x: Float32Array, scale: string, percent: boolean, steps: Float32Array, curves: Curve[]} & Guides} Curves
 */
/** @typedef {{x: ArrayLike<number>, scale: string}} Axis */

/** A curve of fewer values has no stops of its own. */
const FEW = 3;

/** @type {Curves} nothing to draw */
export const NO_CURVES = {
	x: new Float32Array(0),
	scale: "linear",
	percent: false,
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
	const scale = model.get("x_scale") ?? "linear";
	const lowest = Math.min(...x.data);
	if (scale === "log" && !(lowest > 0)) {
		throw new RangeError(`x goes down to ${lowest}: a logarithmic axis needs values above 0`);
	}
	if (scale === "sqrt" && !(lowest >= 0)) {
		throw new RangeError(`x goes down to ${lowest}: a square-root axis needs values from 0`);
	}
	const series = model.get("series") ?? [];
	const hidden = new Set(model.get("hidden"));
	const bands = readBands(model, rows, count);
	const curves = Array.from({ length: rows }, (_, row) => {
		const values = y.data.subarray(row * count, (row + 1) * count);
		return describe(row, series[row] ?? {}, values, hidden.has(row), bands(row));
	});
	markActive(curves, model.get("frame"), model.get("mode"));
	leaveScopes(curves, scopeOf(model));
	if (model.get("only_active")) leaveOut(curves);
	/** @type {import("./arrays.js").NDArray<Float32Array> | null} */
	const steps = decode(model.get("steps"));
	return {
		x: x.data,
		scale,
		percent: Boolean(model.get("x_percent")),
		steps: steps?.data ?? NO_CURVES.steps,
		curves,
		lines: model.get("lines") ?? [],
		marks: model.get("marks") ?? [],
	};
}

/**
 * The band of each row; null for a row without one.
 *
 * @param {import("@anywidget/types").AnyModel} model
 * @param {number} rows
 * @param {number} count
 * @returns {(row: number) => Curve["band"]}
 */
function readBands(model, rows, count) {
	/** @type {import("./arrays.js").NDArray<Float32Array> | null} */
	const both = decode(model.get("band"));
	// Sent after `y`, it may still be that of other curves.
	if (!both || String(both.shape) !== `2,${rows},${count}`) return () => null;
	const half = rows * count;
	return (row) => {
		const [low, high] = [0, half].map((from) =>
			both.data.subarray(from + row * count, from + (row + 1) * count),
		);
		return low.every(Number.isNaN) ? null : [low, high];
	};
}

/**
 * @param {number} row
 * @param {Record<string, any>} given  an entry of the trait `series`
 * @param {Float32Array} values
 * @param {boolean} hidden
 * @param {Curve["band"]} band
 * @returns {Curve}
 */
function describe(row, given, values, hidden, band) {
	const frame = given.frame ?? row;
	const look = lookOf(given.look ?? frame);
	let computed = 0;
	for (const value of values) if (!Number.isNaN(value)) computed++;
	return {
		row,
		label: given.label || `series ${row + 1}`,
		note: given.note ?? "",
		name: given.name ?? "",
		auc: given.auc ?? Number.NaN,
		warning: given.warning ?? "",
		between: given.between ?? Number.NaN,
		scope: given.scope ?? "",
		flip: given.flip ?? Number.NaN,
		flips: "flip" in given || "flip_label" in given,
		flipLabel: given.flip_label ?? "",
		frame,
		mode: given.mode ?? "",
		dashed: given.style === "dashed",
		color: given.color || look.color,
		marker: given.color ? "" : look.marker,
		hidden,
		active: false,
		absent: false,
		computed,
		values,
		band,
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

/** The scopes of the curves, in their order. @param {import("@anywidget/types").AnyModel} model @returns {string[]} */
export function scopesOf(model) {
	const series = /** @type {{scope?: string}[]} */ (model.get("series") ?? []);
	return [...new Set(series.map(({ scope }) => scope ?? ""))].filter(Boolean);
}

/** The chosen scope, the first one unless it is there. @param {import("@anywidget/types").AnyModel} model */
export function scopeOf(model) {
	const scopes = scopesOf(model);
	return scopes.includes(model.get("scope")) ? model.get("scope") : (scopes[0] ?? "");
}

/** Leaves out the curves of other scopes. @param {Curve[]} curves @param {string} chosen */
function leaveScopes(curves, chosen) {
	for (const curve of curves) {
		if (!curve.scope || curve.scope === chosen) continue;
		curve.absent = true;
		curve.hidden = true;
		curve.active = false;
	}
}

/** Leaves out the curves that are not active. @param {Curve[]} curves */
function leaveOut(curves) {
	for (const curve of curves) {
		curve.absent = !curve.active;
		curve.hidden ||= curve.absent;
		// All that are left are equal: none is thicker, none is faded.
		curve.active = false;
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
 * How far a position lies between the ends of x: the inverse of `positionOf`.
 *
 * @param {ArrayLike<number>} x
 * @param {number} position
 * @returns {number}
 */
export function shareBetween(x, position) {
	return x.length < 2 ? position : (position - x[0]) / (x[x.length - 1] - x[0]);
}

/**
 * How far along the axis a fraction of x is drawn, from 0 to 1.
 *
 * @param {Axis} data
 * @param {number} fraction
 * @returns {number}
 */
export function shareOf({ x, scale }, fraction) {
	if (scale === "linear" || x.length < 2) return fraction;
	const { drawn } = scaleOf(scale);
	const [first, last] = [drawn(x[0]), drawn(x[x.length - 1])];
	return (drawn(positionOf(x, fraction)) - first) / (last - first);
}

/**
 * The fraction of x that is drawn so far along the axis: the inverse of `shareOf`.
 *
 * @param {Axis} data
 * @param {number} share
 * @returns {number}
 */
export function fractionAt({ x, scale }, share) {
	if (scale === "linear" || x.length < 2) return share;
	const { drawn, back } = scaleOf(scale);
	const [low, high] = [x[0], x[x.length - 1]];
	return (back(drawn(low) + share * (drawn(high) - drawn(low))) - low) / (high - low);
}

/**
 * How many decimals a fraction needs, to be finer than a hand everywhere on the axis.
 *
 * @param {Axis} data
 * @returns {number}
 */
export function decimalsOf({ x, scale }) {
	if (scale === "sqrt") return 6;
	if (scale === "linear" || x.length < 2) return 4;
	return Math.min(4 + Math.max(Math.ceil(Math.log10(x[x.length - 1] / x[0])), 0), 15);
}

/**
 * The positions of the computed values of the active curve, at which a cursor that snaps stops; all of x while there are
 * only a few.
 *
 * @param {Curves} data
 * @returns {Float32Array}
 */
export function stopsOf({ x, curves }) {
	const active = curves.find((curve) => curve.active);
	if (!active || active.computed < FEW) return x;
	return x.filter((_, step) => !Number.isNaN(active.values[step]));
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

/** Whether x counts something, such as layers: whole numbers over a range of at least two. @param {Curves} data */
export function countsOnly({ x, scale, percent }) {
	return scale === "linear" && !percent && x[x.length - 1] - x[0] >= 2 && x.every(Number.isInteger);
}

/**
 * A position on x in words, as fine as a hand can choose it.
 *
 * @param {Axis & {percent: boolean}} data
 * @param {number} position
 * @returns {string}
 */
export function placeText({ x, scale, percent }, position) {
	if (percent) return share(position);
	const whole = Math.round(position);
	if (Math.abs(position - whole) < 1e-3 && Array.from(x).every(Number.isInteger)) return String(whole);
	if (scale === "log") return position < 1e-5 ? digits(position) : readable(position, position);
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
