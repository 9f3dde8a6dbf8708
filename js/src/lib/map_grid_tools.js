/**
 * The controls of a table of maps, its keys and its readout.
 *
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {import("./figure.js").Figure} Figure
 * @typedef {ReturnType<typeof import("./map_grid_state.js").createTable>} Table
 */
import { MEASURES } from "./agreement.js";
import {
	COLORMAPS,
	createColorControls,
	nextInterpolation,
	nextSign,
	opacityByKey,
	SCALES,
} from "./color_tools.js";
import { checkControl, selectControl } from "./controls.js";
import { element, setText } from "./dom.js";
import { ARROWS } from "./keys.js";
import { clamp, next } from "./numbers.js";
import { stepPosition } from "./stage.js";
import { ZOOM_KEYS } from "./viewport.js";

/** @type {import("./figure.js").Keys} */
export const KEYS = [
	["← ↑ ↓ →", "next cell; with Shift, the position moves"],
	["Enter or click", "enlarge the cell"],
	["Esc", "back to the table; then remove pins and mark"],
	["p", "pin the cell, or remove its pin: A, then B"],
	["d", "show the pinned cells and their difference"],
	["m", "next measure of agreement"],
	["− + or [ ]", "opacity"],
	["c", "next colors"],
	["s", "next sign"],
	["l", "next scale"],
	["i", "bicubic, bilinear or pixels"],
	...ZOOM_KEYS,
];

/** @param {Figure} figure */
export function createTools(figure) {
	const controls = createColorControls(figure);
	return element("div", { class: "xw-tools" }, [
		controls.share("opacity", "Opacity"),
		controls.scale(),
		controls.sign(),
		controls.colormap(),
		controls.percentile(),
		controls.fade(),
		controls.gray("Gray images"),
		controls.smoothing(),
		controls.smooth(),
	]);
}

/** The pinned cells that exist. @param {Model} model @param {Table} table @returns {number[][]} */
export const pinsOf = (model, table) =>
	model.get("pins").filter((/** @type {number[]} */ [row, column]) => table.has(row, column));

/** @param {number | null} value  null where there is no map */
export const agreementText = (value) =>
	value === null || Number.isNaN(value) ? "—" : value.toFixed(2).replace("-", "−");

/** All agreements of two cells that are known so far. @param {Table} table @param {number[]} first @param {number[]} second */
export function agreementWords(table, first, second) {
	return MEASURES.map(({ value, text }) => {
		const known = table.agreementIsKnown(first, second, value);
		return `${text} ${known ? agreementText(table.agreement(first, second, value)) : "…"}`;
	}).join(", ");
}

/** The value at the pointer, and, while a cell is pinned, how far the others agree with it. @param {Figure} figure */
export function createReadout({ announce, bind, set }) {
	const place = element("span", { class: "xw-cell" });
	const value = element("span", { class: "xw-value" });
	const pinned = element("span", { class: "xw-agreement" });
	const compare = element(
		"button",
		{
			...{ type: "button", class: "xw-compare" },
			title: "Show the two pinned maps and their difference",
		},
		["Compare A | B"],
	);
	compare.addEventListener("click", () => set({ enlarged: true, compared: true }));
	const remove = element("button", { type: "button", title: "Remove the pins (Esc)" }, ["Remove pins"]);
	remove.addEventListener("click", () => set({ pins: [] }));
	const strip = element("div", { class: "xw-bar xw-pins", hidden: true }, [
		pinned,
		compare,
		selectControl(bind("measure", "Agreement"), () => MEASURES),
		checkControl(bind("sort", "Sort rows by it"), { on: "agreement", off: "given" }),
		remove,
	]);
	return {
		node: element("div", { class: "xw-readout" }, [place, value]),
		strip,
		/** @param {string} where @param {string} number @param {string} agreement @param {boolean} both  whether two cells are pinned */
		show(where, number, agreement, both) {
			setText(place, where);
			setText(value, number);
			setText(pinned, agreement);
			pinned.title = agreement;
			compare.hidden = !both;
			announce([where, number, agreement].filter(Boolean).join(": "));
		},
	};
}

/**
 * The pins after a cell was pinned: its own pin is taken away, and of two the second is replaced.
 *
 * @param {Model} model
 * @param {number} row
 * @param {number} column
 */
export function pinned(model, row, column) {
	const pins = /** @type {number[][]} */ (model.get("pins"));
	const others = pins.filter(([r, c]) => r !== row || c !== column);
	return { pins: others.length < pins.length ? others : [...pins.slice(0, 1), [row, column]] };
}

/** @param {{value: unknown}[]} options */
const values = (options) => options.map(({ value }) => value);

/**
 * The cell that lies so many columns to the right and rows down, in the order on the screen.
 *
 * @param {Table} table
 * @param {number[]} cell  row and column
 * @param {number[]} shift  to the right and down
 * @param {{wrapped: number, ranks: number[]}} shown  cells side by side of a wrapped column, 0 if it is none; the rank
 *     of each row
 */
export function neighbor(table, [row, column], [right, down], { wrapped, ranks }) {
	const by = wrapped ? right + down * wrapped : down;
	const rank = ranks[row] + by;
	// A step beyond the last line stays; one within a line ends at the first or last cell.
	const inside = rank >= 0 && rank < ranks.length;
	return {
		row: inside ? ranks.indexOf(rank) : row,
		column: wrapped ? column : clamp(column + right, 0, table.width() - 1),
	};
}

/**
 * @param {KeyboardEvent} event
 * @param {Model} model
 * @param {Table} table
 * @param {{wrapped: number, ranks: number[]}} shown  see `neighbor`
 * @returns {Record<string, unknown> | null} the traits to set
 */
export function onKey({ key, shiftKey }, model, table, shown) {
	const [row, column] = [model.get("row"), model.get("column")];
	const shift = ARROWS[key];
	if (shift && shiftKey) {
		const [r, c] = [Math.max(row, 0), Math.max(column, 0)];
		const shape = (table.map(r, c) ?? table.image(c))?.shape;
		return shape ? { position: stepPosition(model.get("position"), shape, shift) } : null;
	}
	if (shift) {
		// The first key chooses the first cell.
		if (!table.has(row, column))
			return { row: Math.max(shown.ranks.indexOf(0), 0), column: 0, compared: false };
		return { ...neighbor(table, [row, column], shift, shown), compared: false };
	}
	if (key === "Escape") return model.get("enlarged") ? { enlarged: false } : { pins: [], position: null };
	if (key === "c") return { colormap: next(["auto", ...COLORMAPS], model.get("colormap")) };
	if (key === "s") return nextSign(model);
	if (key === "l") return { scale: next(values(SCALES), model.get("scale")) };
	if (key === "m") return { measure: next(values(MEASURES), model.get("measure")) };
	if (key === "i") return nextInterpolation(model);
	if (key === "d" && pinsOf(model, table).length === 2) {
		const open = model.get("enlarged") && model.get("compared");
		return { enlarged: true, compared: !open };
	}
	if (!table.has(row, column)) return opacityByKey(key, model);
	if (key === "Enter") return { enlarged: !model.get("enlarged"), compared: false };
	if (key === "p") return pinned(model, row, column);
	return opacityByKey(key, model);
}
