/**
 * The cells of a table of maps, in a grid with the names of rows and columns. A canvas has the pixels of its map or image
 * and the browser stretches it; the position under the pointer is one variable of the grid, which all cells follow.
 *
 * @typedef {import("./map_grid_state.js").Look} Look
 * @typedef {import("./image.js").FloatMap} FloatMap
 */
import { element, setText } from "./dom.js";
import { enlarge, shade } from "./heat.js";
import { Raster } from "./image.js";

/** The names of the pins. */
export const PINS = ["A", "B"];
/** Smooth maps are enlarged to about so many pixels before they are colored, alone and among others. */
const SMOOTH_SIZE = { alone: 448, among: 160 };

/** @param {number} row @param {number} column */
function createBox(row, column) {
	const [base, map] = [new Raster(), new Raster()];
	base.canvas.className = "xw-base";
	map.canvas.className = "xw-map";
	const words = element("div", { class: "xw-words", hidden: true });
	const cross = element("div", { class: "xw-cross" });
	const badge = element("div", { class: "xw-badge", hidden: true });
	// The key is p: the tab key need not stop at a hundred cells.
	const pin = element("button", { type: "button", class: "xw-pin", tabindex: -1 });
	const stage = element("div", { class: "xw-map-stage" }, [base.canvas, map.canvas, cross, words]);
	const value = element("span", { class: "xw-map-value" });
	const alert = element("span", { class: "xw-alert", hidden: true }, ["⚠"]);
	return {
		row,
		column,
		base,
		map,
		words,
		badge,
		pin,
		value,
		alert,
		stage,
		/** The arguments that the canvases were painted from. @type {{base: unknown, map: unknown[]}} */
		painted: { base: null, map: [] },
		node: element("div", { class: "xw-map-cell", "data-row": row, "data-column": column }, [
			stage,
			badge,
			pin,
			element("div", { class: "xw-caption" }, [value, alert]),
		]),
	};
}

/** @typedef {ReturnType<typeof createBox>} Box */

/**
 * @param {Box} box
 * @param {{shape: number[], words: Uint32Array} | null} image
 * @param {number[]} shape  rows and columns of the visible image
 */
export function paintBase(box, image, [height, width]) {
	box.stage.style.aspectRatio = `${width} / ${height}`;
	box.base.canvas.hidden = !image;
	if (!image || box.painted.base === image) return;
	box.painted.base = image;
	box.base.resize(image.shape[1], image.shape[0]);
	box.base.words.set(image.words);
	box.base.flush();
}

/**
 * @param {Box} box
 * @param {FloatMap | null} map
 * @param {Look} look
 * @param {{smooth: boolean, alone: boolean}} how
 */
export function paintMap(box, map, { limit, sign, table }, { smooth, alone }) {
	const { canvas } = box.map;
	canvas.hidden = !map;
	canvas.style.imageRendering = smooth ? "auto" : "pixelated";
	const from = [map, limit, sign, table, smooth, alone];
	if (!map || from.every((value, index) => value === box.painted.map[index])) return;
	box.painted.map = from;
	const factor = Math.round(SMOOTH_SIZE[alone ? "alone" : "among"] / Math.max(...map.shape));
	const { shape, data } = smooth && factor > 1 ? enlarge(map, factor) : map;
	box.map.resize(shape[1], shape[0]);
	shade(data, limit, sign, table, box.map.words);
	box.map.flush();
}

/**
 * Shows the state of a cell in place of its map, and its note.
 *
 * @param {Box} box
 * @param {string} state
 * @param {string} note
 */
export function sayState(box, state, note) {
	box.node.dataset.state = state;
	box.alert.hidden = state !== "done" || !note;
	box.alert.title = note;
	const words = /** @type {Record<string, string>} */ ({ done: "", computing: "computing …" })[state];
	const said = words ?? (note || (state === "waiting" ? "waiting" : ""));
	box.words.hidden = !said;
	setText(box.words, said);
	if (state === "failed") box.words.title = note;
	else box.words.removeAttribute("title");
}

/**
 * @param {{
 *   attributes: Record<string, string | number>,
 *   at: (event: MouseEvent, stage: HTMLElement) => number[],
 *   hover: (box: Box, position: number[]) => void,
 *   leave: () => void,
 *   click: (box: Box, position: number[]) => void,
 *   pin: (box: Box) => void,
 *   signal: AbortSignal,
 * }} options  `at` is the position of a pointer in an image
 */
export function createCells({ attributes, at, hover, leave, click, pin, signal }) {
	const node = element("div", { class: "xw-map-grid", tabindex: 0, ...attributes });
	/** @type {Box[]} */
	let boxes = [];
	let heads = "";

	/** @param {Event} event @param {"stage" | "pin"} part */
	const boxAt = ({ target }, part) =>
		boxes.find((box) => target instanceof Node && box[part].contains(target)) ?? null;
	/** @param {PointerEvent | MouseEvent} event @param {(box: Box, position: number[]) => void} act */
	const placed = (event, act) => {
		const box = boxAt(event, "stage");
		if (box) act(box, at(event, box.stage));
	};
	node.addEventListener("pointermove", (event) => placed(event, hover), { signal });
	node.addEventListener("pointerleave", leave, { signal });
	node.addEventListener(
		"click",
		(event) => {
			const pinned = boxAt(event, "pin");
			if (pinned) pin(pinned);
			else placed(event, click);
			// From the button the keys would not reach the grid.
			node.focus({ preventScroll: true });
		},
		{ signal },
	);

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
			node.style.setProperty("--xw-columns", String(width));
			const corner = element("div", { class: "xw-corner" });
			const over = columns.map(({ name, caption }) =>
				element("div", { class: "xw-column-head", "aria-hidden": "true" }, [
					element("div", { class: "xw-column-name", title: name }, [name]),
					...(caption ? [element("div", { class: "xw-muted" }, [caption])] : []),
				]),
			);
			const lines = rows.flatMap((name, row) => [
				element("div", { class: "xw-row-head", "data-row": row, "aria-hidden": "true" }, [name]),
				...boxes.slice(row * width, (row + 1) * width).map((box) => box.node),
			]);
			node.replaceChildren(corner, ...over, ...lines);
			return true;
		},
	};
}
