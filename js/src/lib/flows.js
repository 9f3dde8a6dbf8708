/**
 * Layout of flows from rows at the left to one node at the right.
 *
 * @typedef {object} Row
 * @property {string} name
 * @property {string} group
 * @property {number} value
 * @property {boolean} fixed  whether it cannot be chosen
 */

/**
 * @typedef {Row & {index: number, top: number, thickness: number, end: number, against: boolean, heads: boolean}} Flow
 * `top` is the middle of the row, `end` the middle of the flow at the node.
 */

/** Height of a row, and least thickness of a flow that is not 0, px. */
export const ROW = 30;
const LEAST = 1.5;
/** Largest thickness of a flow, px. */
const MOST = 26;

/**
 * Lays the flows out: rows of a group together, the group with the largest contribution first; at the node the flows for
 * the class above those against it.
 *
 * @param {Row[]} rows
 * @returns {{flows: Flow[], height: number, node: {top: number, height: number}}}
 */
export function layout(rows) {
	const largest = Math.max(...rows.map(({ value }) => Math.abs(value)), 1e-30);
	/** @type {Map<string, number>} */
	const order = new Map();
	for (const [index, { group }] of rows.entries()) if (!order.has(group)) order.set(group, index);
	const sorted = rows
		.map((row, index) => ({ ...row, index }))
		.sort((a, b) => (order.get(a.group) ?? 0) - (order.get(b.group) ?? 0) || a.index - b.index);
	const flows = sorted.map((row, at) => ({
		...row,
		top: (at + 0.5) * ROW,
		thickness: row.value ? Math.max(LEAST, (Math.abs(row.value) / largest) * MOST) : 0,
		end: 0,
		against: row.value < 0,
		heads: at === 0 || sorted[at - 1].group !== row.group,
	}));
	const height = rows.length * ROW;
	const total = flows.reduce((sum, { thickness }) => sum + thickness, 0);
	let at = (height - total) / 2;
	const node = { top: at, height: total };
	for (const against of [false, true]) {
		for (const flow of flows) {
			if (flow.against !== against) continue;
			flow.end = at + flow.thickness / 2;
			at += flow.thickness;
		}
	}
	return { flows, height, node };
}

/**
 * The outline of a flow: two curves that leave and arrive level.
 *
 * @param {number} left @param {number} right @param {Flow} flow
 */
export function band(left, right, { top, end, thickness }) {
	const middle = (left + right) / 2;
	const half = thickness / 2;
	return (
		`M${left} ${top - half}C${middle} ${top - half} ${middle} ${end - half} ${right} ${end - half}` +
		`V${end + half}C${middle} ${end + half} ${middle} ${top + half} ${left} ${top + half}Z`
	);
}
