import { decode } from "./arrays.js";
import { positionOf } from "./curves.js";

/**
 * The score of one class; `before` is the score to compare with, NaN for nothing.
 * @typedef {{label: string, index: number, score: number, before: number, target: boolean, extra: boolean}} Score
 */

/**
 * The scores of one step, best first.
 * @typedef {object} Scores
 * @property {Score[]} rows  the target comes last, as `extra`, when it is not among the best
 * @property {string} label  of the series
 * @property {number} at  x of the step
 * @property {number} top  how many rows there are at most, the extra one left out
 * @property {number} steps  how many there are to choose from, computed or not
 * @property {boolean} counted  whether the steps are whole numbers of something
 */

/**
 * The scores of the computed step nearest to the fraction.
 *
 * @param {import("@anywidget/types").AnyModel} model
 * @returns {Scores | null} null while nothing is computed
 * @throws {TypeError | RangeError} for arrays that do not belong together
 */
export function readScores(model) {
	const { x, values, indices, targets, reference } = arrays(model);
	if (!x || !values || !indices) return null;
	const [count, steps, top] = values.shape;
	const { series, label } = seriesOf(model);
	if (series < 0 || series >= count || top === 0) return null;
	const first = series * steps;
	const step = nearestComputed(x.data, positionOf(x.data, model.get("fraction")), (at) =>
		Number.isNaN(values.data[(first + at) * top]),
	);
	if (step < 0) return null;
	if (model.get("exact") && !isAt(x.data, step, positionOf(x.data, model.get("fraction")))) return null;
	const from = (first + step) * top;
	const labels = model.get("labels");
	const target = model.get("target");
	/** @param {number} index @param {number} score @param {boolean} extra @returns {Score} */
	const row = (index, score, extra) => {
		const label = labels[index] ?? `class ${index}`;
		const before = reference?.data[index] ?? Number.NaN;
		return { label, index, score, before, target: index === target, extra };
	};
	const rows = Array.from({ length: top }, (_, k) =>
		row(indices.data[from + k], values.data[from + k], false),
	)
		.filter(({ score }) => !Number.isNaN(score))
		.sort((a, b) => b.score - a.score || a.index - b.index);
	const own = targets ? targets.data[first + step] : Number.NaN;
	if (target >= 0 && !Number.isNaN(own) && !rows.some((score) => score.target))
		rows.push(row(target, own, true));
	return { rows, label, at: x.data[step], top, steps, counted: x.data.every(Number.isInteger) };
}

/**
 * The series of the frame and the mode; without descriptions, the frame is its index.
 *
 * @param {import("@anywidget/types").AnyModel} model
 */
function seriesOf(model) {
	const all = /** @type {{label?: string, frame?: number, mode?: string}[]} */ (model.get("series"));
	const [shown, now] = [model.get("frame"), model.get("mode")];
	if (all.length === 0) return { series: shown, label: "" };
	const series = all.findIndex(
		({ frame, mode }, index) => (frame ?? index) === shown && (!mode || mode === now),
	);
	return { series, label: all[series]?.label ?? "" };
}

/** @param {import("@anywidget/types").AnyModel} model */
function arrays(model) {
	/** @type {import("./arrays.js").NDArray<Float32Array> | null} */
	const values = decode(model.get("values"));
	/** @type {import("./arrays.js").NDArray<Float32Array> | null} */
	const given = decode(model.get("x"));
	// A single step is nowhere on x.
	const x = given ?? (values?.shape[1] === 1 ? { shape: [1], data: new Float32Array(1) } : null);
	/** @type {import("./arrays.js").NDArray<Float32Array> | null} */
	const reference = decode(model.get("reference"));
	/** @type {import("./arrays.js").NDArray<Int32Array> | null} */
	const indices = decode(model.get("indices"));
	/** @type {import("./arrays.js").NDArray<Float32Array> | null} */
	const targets = decode(model.get("target_values"));
	if (x && values && values.shape[1] !== x.data.length) {
		throw new RangeError(`values has ${values.shape[1]} steps, x has ${x.data.length}: expected as many`);
	}
	if (values && indices && String(values.shape) !== String(indices.shape)) {
		throw new RangeError(`values has shape [${values.shape}], indices [${indices.shape}]: expected the same`);
	}
	if (values && targets && String(values.shape.slice(0, 2)) !== String(targets.shape)) {
		throw new RangeError(
			`target_values has shape [${targets.shape}], expected [${values.shape.slice(0, 2)}]`,
		);
	}
	return { x, values, indices, targets, reference };
}

/**
 * @param {Float32Array} x
 * @param {number} position
 * @param {(step: number) => boolean} missing
 * @returns {number} -1 when every step is missing
 */
function nearestComputed(x, position, missing) {
	let found = -1;
	for (let step = 0; step < x.length; step++) {
		if (missing(step)) continue;
		if (found < 0 || Math.abs(x[step] - position) < Math.abs(x[found] - position)) found = step;
	}
	return found;
}

/** Whether a step is the one at a position, within half of the room between two steps. @param {Float32Array} x @param {number} step @param {number} position */
function isAt(x, step, position) {
	const apart = (x[x.length - 1] - x[0]) / Math.max(x.length - 1, 1);
	return Math.abs(x[step] - position) <= 0.51 * apart;
}
