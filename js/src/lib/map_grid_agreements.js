/**
 * The agreement of each cell with the first pinned one, computed in pieces: those of fine maps take longer than a frame.
 *
 * @typedef {ReturnType<typeof import("./map_grid_state.js").createTable>} Table
 * @typedef {ReturnType<typeof import("./map_grid_cells.js").createCells>} Cells
 */
import { MEASURES } from "./agreement.js";
import { setText } from "./dom.js";
import { agreementText, pinsOf } from "./map_grid_tools.js";

/** For so long, in ms, agreements are computed in one go. */
const BUDGET = 8;
/** After a map has changed no agreement is computed for this time, ms: during a drag, the next maps replace it. */
const REST = 120;

/**
 * @param {import("./figure.js").Figure} figure
 * @param {Table} table
 * @param {Cells} cells
 * @param {() => void} finish  called when all are known
 */
export function createAgreements({ model, signal }, table, cells, finish) {
	/** @type {ReturnType<typeof setTimeout> | undefined} */
	let timer;
	let moved = Number.NEGATIVE_INFINITY;
	signal.addEventListener("abort", () => clearTimeout(timer));

	function show() {
		clearTimeout(timer);
		const [first, second] = pinsOf(model, table);
		const measure = model.get("measure");
		const start = performance.now();
		const resting = start - moved >= REST;
		let unknown = 0;
		for (const { row, column, badge } of cells.boxes()) {
			const own = first?.[0] === row && first[1] === column;
			const compared = Boolean(first && !own && table.map(first[0], first[1]) && table.map(row, column));
			badge.hidden = !compared;
			if (!compared) continue;
			const known = table.agreementIsKnown(first, [row, column], measure);
			if (known || (resting && performance.now() - start < BUDGET)) {
				setText(badge, agreementText(table.agreement(first, [row, column], measure)));
			} else {
				setText(badge, "…");
				unknown++;
			}
		}
		for (const { value } of second ? MEASURES : []) {
			if (table.agreementIsKnown(first, second, value)) continue;
			if (resting && performance.now() - start < BUDGET) table.agreement(first, second, value);
			else unknown++;
		}
		if (unknown) timer = setTimeout(show, resting ? 0 : REST);
		else finish();
	}

	return {
		show,
		/** Notes that a map has changed. */
		wait() {
			if (pinsOf(model, table).length) moved = performance.now();
		},
	};
}

/**
 * The rank of each row: as given, or by the agreement with the first pinned cell, the largest first.
 *
 * @param {import("@anywidget/types").AnyModel} model
 * @param {Table} table
 * @returns {number[]}
 */
export function ranksOf(model, table) {
	const rows = Array.from({ length: table.height() }, (_, row) => row);
	const [first] = pinsOf(model, table);
	if (model.get("sort") !== "agreement" || !first) return rows;
	const measure = model.get("measure");
	const numbers = rows.map((row) => {
		if (row === first[0]) return Number.POSITIVE_INFINITY;
		const number = table.agreement(first, [row, first[1]], measure);
		// A row without a number is the last.
		return number === null || Number.isNaN(number) ? Number.NEGATIVE_INFINITY : number;
	});
	const sorted = [...rows].sort((a, b) => (numbers[a] === numbers[b] ? a - b : numbers[b] - numbers[a]));
	return rows.map((row) => sorted.indexOf(row));
}
