/**
 * The cells of a table of maps, in a grid with the names of rows and columns, or side by side if there is one column. The
 * position under the pointer is one variable of the view, which all cells follow.
 */
import { element, setText } from "./dom.js";
import { createLayers } from "./map_grid_layers.js";
import { spans } from "./map_grid_layout.js";

/** The names of the pins. */
export const PINS = ["A", "B"];

/** @param {number} row @param {number} column */
function createBox(row, column) {
	const layers = createLayers();
	const words = element("div", { class: "xw-words", hidden: true });
	const warning = element("div", { class: "xw-warning", hidden: true });
	layers.stage.append(words, warning);
	const badge = element("div", { class: "xw-badge", hidden: true });
	// The key is p: the tab key need not stop at a hundred cells.
	const pin = element("button", {
		type: "button",
		class: "xw-pin",
		tabindex: -1,
		title: "Pin this map, to compare it with others",
	});
	const name = element("span", { class: "xw-cell-name" });
	const value = element("span", { class: "xw-map-value" });
	return {
		row,
		column,
		layers,
		words,
		warning,
		badge,
		pin,
		name,
		value,
		stage: layers.stage,
		node: element("div", { class: "xw-map-cell", "data-row": row, "data-column": column }, [
			layers.stage,
			badge,
			pin,
			element("div", { class: "xw-caption" }, [name, value]),
		]),
	};
}

/** @typedef {ReturnType<typeof createBox>} Box */

/**
 * Shows the state of a cell in place of its map, or the warning about its map.
 *
 * @param {Box} box
 * @param {string} state
 * @param {string} note
 */
function sayState({ node, words, warning }, state, note) {
	node.dataset.state = state;
	const warned = state === "done" && Boolean(note);
	warning.hidden = !warned;
	setText(warning, warned ? `⚠ ${note}` : "");
	warning.title = note;
	const said = { done: "", computing: "computing …", waiting: note || "waiting" }[state] ?? note;
	words.hidden = !said;
	setText(words, said);
	words.title = said;
}

/**
 * @param {{
 *   attributes: Record<string, string | number>,
 *   at: (event: MouseEvent, stage: HTMLElement) => number[],
 *   hover: (box: Box, position: number[]) => void,
 *   leave: () => void,
 *   click: (box: Box) => void,
 *   pin: (box: Box) => void,
 *   signal: AbortSignal,
 * }} options  `at` is the position of a pointer in an image
 */
export function createCells({ attributes, at, hover, leave, click, pin, signal }) {
	const node = element("div", { class: "xw-map-grid", tabindex: 0, ...attributes });
	/** @type {Box[]} */
	let boxes = [];
	/** @type {HTMLElement[]} */
	let rowHeads = [];
	let heads = "";

	/** @param {Event} event @param {"stage" | "pin"} part */
	const boxAt = ({ target }, part) =>
		boxes.find((box) => target instanceof Node && box[part].contains(target)) ?? null;
	node.addEventListener(
		"pointermove",
		(event) => {
			const box = boxAt(event, "stage");
			if (box) hover(box, at(event, box.stage));
		},
		{ signal },
	);
	node.addEventListener("pointerleave", leave, { signal });
	node.addEventListener(
		"click",
		(event) => {
			// From a button the keys would not reach the grid; and the lightbox returns the focus to it.
			node.focus({ preventScroll: true });
			const [pinned, clicked] = [boxAt(event, "pin"), boxAt(event, "stage")];
			if (pinned) pin(pinned);
			else if (clicked) click(clicked);
		},
		{ signal },
	);

	/** @param {{name: string, caption: string}} head */
	const columnHead = ({ name, caption }) =>
		element("div", { class: "xw-column-head", "aria-hidden": "true" }, [
			element("div", { class: "xw-column-name", title: name }, [name]),
			...(caption ? [element("div", { class: "xw-muted", title: caption }, [caption])] : []),
		]);

	return {
		node,
		/** The image under a pointer. @param {Event} event @returns {HTMLElement | null} */
		stageAt: (event) => boxAt(event, "stage")?.stage ?? null,
		boxes: () => boxes,
		/** @param {number} row @param {number} column */
		box: (row, column) => boxes.find((box) => box.row === row && box.column === column) ?? null,
		/**
		 * Makes the cells and the names around them, if there are others than before; returns whether it did.
		 *
		 * @param {string[]} rows
		 * @param {{name: string, caption: string}[]} columns
		 */
		arrange(rows, columns) {
			const wanted = JSON.stringify([rows, columns]);
			if (wanted === heads) return false;
			heads = wanted;
			const [height, width] = [rows.length, columns.length];
			if (boxes.length !== height * width || boxes.some(({ column }) => column >= width)) {
				boxes = Array.from({ length: height * width }, (_, index) =>
					createBox(Math.floor(index / width), index % width),
				);
			}
			for (const { name, row } of boxes) setText(name, rows[row]);
			for (const { name, row } of boxes) name.title = rows[row];
			rowHeads = rows.map((name, row) =>
				element("div", { class: "xw-row-head", "data-row": row, "aria-hidden": "true", title: name }, [name]),
			);
			const lines = rowHeads.flatMap((head, row) => [
				head,
				...boxes.slice(row * width, (row + 1) * width).map((box) => box.node),
			]);
			node.replaceChildren(element("div", { class: "xw-corner" }), ...columns.map(columnHead), ...lines);
			node.classList.toggle("xw-wrapped", width === 1);
			return true;
		},
		/**
		 * Shows the states. Neighbors without a map for one reason share a cell, and those of a whole row a line of text.
		 *
		 * @param {string[][]} states
		 * @param {(row: number, column: number) => string} note
		 */
		sayStates(states, note) {
			const wide = states.map((row, r) => spans(row, (column) => note(r, column)));
			for (const box of boxes) {
				const { row, column } = box;
				const span = wide[row][column];
				const { length } = states[row];
				const line = span === length && states[row][column] === "failed";
				box.node.hidden = span === 0;
				box.node.classList.toggle("xw-line", line);
				box.node.classList.toggle("xw-wide", span > 1 && !line);
				box.node.style.gridColumn = span > 1 && !line ? `span ${span}` : "";
				sayState(box, states[row][column], note(row, column));
			}
		},
		/** Orders the rows without moving the nodes; lines of text follow a wrapped column. @param {number[]} ranks  of each row */
		order(ranks) {
			const lines = node.classList.contains("xw-wrapped") ? ranks.length : 0;
			for (const { node: cell, row } of boxes) {
				cell.style.order = String(1 + ranks[row] + (cell.classList.contains("xw-line") ? lines : 0));
			}
			for (const [row, head] of rowHeads.entries()) head.style.order = String(1 + ranks[row]);
		},
	};
}
