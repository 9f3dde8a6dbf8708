/**
 * The controls of a table of maps, its keys and its readout.
 *
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {(values: Record<string, unknown>) => void} Setter
 * @typedef {ReturnType<typeof import("./map_grid_state.js").createTable>} Table
 */
import { MEASURES } from "./agreement.js";
import { DIVERGING_NAMES, SEQUENTIAL_NAMES } from "./colormaps.js";
import { checkControl, createAnnouncer, keyHelp, rangeControl, selectControl } from "./controls.js";
import { element } from "./dom.js";
import { setText } from "./similarity_cells.js";
import { cellAt } from "./stage.js";

const COLORMAPS = [...DIVERGING_NAMES, ...SEQUENTIAL_NAMES];
const SIGNS = [
	{ value: "auto", text: "auto" },
	{ value: "both", text: "both signs" },
	{ value: "positive", text: "positive" },
	{ value: "negative", text: "negative" },
	{ value: "absolute", text: "absolute" },
];
const SCALES = [
	{ value: "cell", text: "each its own" },
	{ value: "row", text: "one a row" },
	{ value: "all", text: "one for all" },
];
const PERCENTILES = [100, 99.9, 99.5, 99, 98, 95, 90];
/** @type {[string, string][]} */
export const KEYS = [
	["← ↑ ↓ →", "next cell; with Shift the place moves"],
	["Enter or click", "enlarge the cell"],
	["Esc", "back to the table; then pins and mark away"],
	["p", "pin the cell, or take its pin away: A, then B"],
	["m", "next measure of agreement"],
	["− + or [ ]", "opacity"],
	["c", "next colours"],
	["s", "next sign"],
	["l", "next scale"],
	["i", "smooth or pixelated"],
];

/** @param {Model} model @param {Setter} set @param {AbortSignal} signal */
export function createTools(model, set, signal) {
	/** @param {string} trait @param {string} label */
	const bind = (trait, label) => ({ model, trait, label, set, signal });
	const colormaps = () => ["auto", ...COLORMAPS].map((value) => ({ value, text: value.replace("_", " – ") }));
	const percentiles = () =>
		[...new Set([...PERCENTILES, model.get("percentile")])]
			.sort((a, b) => b - a)
			.map((value) => ({ value: String(value), text: value === 100 ? "none" : `${value} %` }));
	return element("div", { class: "xw-tools" }, [
		rangeControl(bind("opacity", "Opacity"), {
			min: 0,
			max: 1,
			step: 0.01,
			text: (value) => `${Math.round(100 * value)} %`,
		}),
		selectControl(bind("scale", "Scale"), () => SCALES),
		selectControl(bind("sign", "Sign"), () => SIGNS),
		selectControl(bind("colormap", "Colours"), colormaps),
		selectControl(bind("percentile", "Clip"), percentiles),
		selectControl(bind("measure", "Agreement"), () => MEASURES),
		checkControl(bind("fade", "Fade small values"), { on: true, off: false }),
		checkControl(bind("gray", "Grey pictures"), { on: true, off: false }),
		checkControl(bind("interpolation", "Smooth"), { on: "smooth", off: "pixelated" }),
		keyHelp(KEYS),
	]);
}

/** What is under the hand, in words, and how far the pinned cells agree. @param {AbortSignal} signal */
export function createReadout(signal) {
	const place = element("span", { class: "xw-cell" });
	const value = element("span", { class: "xw-value" });
	const pinned = element("div", { class: "xw-agreement", hidden: true });
	const spoken = createAnnouncer(signal);
	return {
		node: element("div", { class: "xw-report" }, [
			element("div", { class: "xw-readout" }, [place, value]),
			pinned,
			spoken.node,
		]),
		/** @param {string} where @param {string} number @param {string} agreement */
		show(where, number, agreement) {
			setText(place, where);
			setText(value, number);
			setText(pinned, agreement);
			pinned.hidden = !agreement;
			spoken.say([where, number, agreement].filter(Boolean).join(": "));
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

/** @template T @param {T[]} list @param {T} now */
const next = (list, now) => list[(list.indexOf(now) + 1) % list.length];
/** @param {number} value @param {number} least @param {number} most */
const clamp = (value, least, most) => Math.min(Math.max(value, least), most);
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
	const shift = /** @type {Record<string, number[]>} */ ({
		ArrowLeft: [-1, 0],
		ArrowRight: [1, 0],
		ArrowUp: [0, -1],
		ArrowDown: [0, 1],
	})[key];
	if (shift && shiftKey) return movePlace(shift, model, table);
	if (shift) {
		// The first key chooses the first cell.
		if (!table.has(row, column)) return { row: 0, column: 0 };
		return {
			row: clamp(row + shift[1], 0, table.height() - 1),
			column: clamp(column + shift[0], 0, table.width() - 1),
		};
	}
	if (key === "Escape") return model.get("enlarged") ? { enlarged: false } : { pins: [], position: null };
	const opacity = /** @type {Record<string, number>} */ ({ "+": 1, "=": 1, "]": 1, "-": -1, "[": -1 })[key];
	if (opacity) return { opacity: clamp(Math.round(100 * model.get("opacity") + 5 * opacity) / 100, 0, 1) };
	if (key === "c") return { colormap: next(["auto", ...COLORMAPS], model.get("colormap")) };
	if (key === "s") return { sign: next(values(SIGNS), model.get("sign")) };
	if (key === "l") return { scale: next(values(SCALES), model.get("scale")) };
	if (key === "m") return { measure: next(values(MEASURES), model.get("measure")) };
	if (key === "i") return { interpolation: next(["smooth", "pixelated"], model.get("interpolation")) };
	if (!table.has(row, column)) return null;
	if (key === "Enter") return { enlarged: !model.get("enlarged") };
	if (key === "p") return pinned(model, row, column);
	return null;
}

/** @param {number[]} shift @param {Model} model @param {Table} table */
function movePlace([right, down], model, table) {
	const [row, column] = [Math.max(model.get("row"), 0), Math.max(model.get("column"), 0)];
	const shape = (table.map(row, column) ?? table.image(column))?.shape;
	if (!shape) return null;
	const [rows, columns] = shape;
	const at = cellAt(model.get("position"), shape);
	// The first key puts the mark in the middle.
	const [x, y] = at ? [at.column + right, at.row + down] : [columns >> 1, rows >> 1];
	return {
		position: [(clamp(x, 0, columns - 1) + 0.5) / columns, (clamp(y, 0, rows - 1) + 0.5) / rows],
	};
}
