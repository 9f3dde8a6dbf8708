/**
 * The controls of a table of maps, its keys and its readout.
 *
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {import("./figure.js").Figure} Figure
 * @typedef {ReturnType<typeof import("./map_grid_state.js").createTable>} Table
 */
import { MEASURES } from "./agreement.js";
import { COLORMAPS, createColorControls, nextInterpolation, nextSign, opacityByKey } from "./color_tools.js";
import { selectControl } from "./controls.js";
import { element, setText } from "./dom.js";
import { ARROWS } from "./keys.js";
import { clamp, next } from "./numbers.js";
import { stepPosition } from "./stage.js";
import { ZOOM_KEYS } from "./viewport.js";

const SCALES = [
	{ value: "cell", text: "each its own" },
	{ value: "row", text: "one a row" },
	{ value: "all", text: "one for all" },
];
/** @type {import("./figure.js").Keys} */
export const KEYS = [
	["← ↑ ↓ →", "next cell; with Shift, the position moves"],
	["Enter or click", "enlarge the cell"],
	["Esc", "back to the table; then remove pins and mark"],
	["p", "pin the cell, or remove its pin: A, then B"],
	["m", "next measure of agreement"],
	["− + or [ ]", "opacity"],
	["c", "next colors"],
	["s", "next sign"],
	["l", "next scale"],
	["i", "smooth or pixelated"],
	...ZOOM_KEYS,
];

/** @param {Figure} figure */
export function createTools(figure) {
	const controls = createColorControls(figure);
	return element("div", { class: "xw-tools" }, [
		controls.share("opacity", "Opacity"),
		selectControl(figure.bind("scale", "Scale"), () => SCALES),
		controls.sign(),
		controls.colormap(),
		controls.percentile(),
		selectControl(figure.bind("measure", "Agreement"), () => MEASURES),
		controls.fade(),
		controls.gray("Gray images"),
		controls.smooth(),
	]);
}

/** The value at the pointer, and how far the pinned cells agree. @param {Figure} figure */
export function createReadout({ announce }) {
	const place = element("span", { class: "xw-cell" });
	const value = element("span", { class: "xw-value" });
	const pinned = element("div", { class: "xw-agreement", hidden: true });
	return {
		node: element("div", { class: "xw-report" }, [
			element("div", { class: "xw-readout" }, [place, value]),
			pinned,
		]),
		/** @param {string} where @param {string} number @param {string} agreement */
		show(where, number, agreement) {
			setText(place, where);
			setText(value, number);
			setText(pinned, agreement);
			pinned.hidden = !agreement;
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
 * @param {KeyboardEvent} event
 * @param {Model} model
 * @param {Table} table
 * @returns {Record<string, unknown> | null} the traits to set
 */
export function onKey({ key, shiftKey }, model, table) {
	const [row, column] = [model.get("row"), model.get("column")];
	const shift = ARROWS[key];
	if (shift && shiftKey) {
		const [r, c] = [Math.max(row, 0), Math.max(column, 0)];
		const shape = (table.map(r, c) ?? table.image(c))?.shape;
		return shape ? { position: stepPosition(model.get("position"), shape, shift) } : null;
	}
	if (shift) {
		// The first key chooses the first cell.
		if (!table.has(row, column)) return { row: 0, column: 0 };
		return {
			row: clamp(row + shift[1], 0, table.height() - 1),
			column: clamp(column + shift[0], 0, table.width() - 1),
		};
	}
	if (key === "Escape") return model.get("enlarged") ? { enlarged: false } : { pins: [], position: null };
	if (key === "c") return { colormap: next(["auto", ...COLORMAPS], model.get("colormap")) };
	if (key === "s") return nextSign(model);
	if (key === "l") return { scale: next(values(SCALES), model.get("scale")) };
	if (key === "m") return { measure: next(values(MEASURES), model.get("measure")) };
	if (key === "i") return nextInterpolation(model);
	if (!table.has(row, column)) return opacityByKey(key, model);
	if (key === "Enter") return { enlarged: !model.get("enlarged") };
	if (key === "p") return pinned(model, row, column);
	return opacityByKey(key, model);
}
