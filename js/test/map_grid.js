/** A table of maps for its tests, and helpers that read the view. */
import { colorTable } from "../src/lib/colormaps.js";
import widget from "../src/map_grid_view.js";
import { array, mount, painted } from "./model.js";

/** @type {Awaited<ReturnType<typeof mount>>} */
export let view;

// Two methods by two images of 2 x 4 pixels: coarse and fine maps, of one sign and of both.
export const MAPS = {
	_map_0_0: array("float32", [1, 2], [0, 2]),
	_map_0_1: array("float32", [2, 4], [1, 2, 3, 4, 5, 6, 7, 8]),
	_map_1_0: array("float32", [2, 2], [-1, 0.5, 0, 0.25]),
	_map_1_1: null,
};
export const STATE = {
	...MAPS,
	images: array(
		"uint8",
		[2, 2, 4, 3],
		Array.from({ length: 48 }, (_, i) => 5 * i),
	),
	row_labels: ["Grad-CAM", "LRP"],
	column_labels: ["cat", "dog"],
	column_captions: ["tabby 90%", ""],
	states: [
		["done", "done"],
		["done", "failed"],
	],
	notes: [
		["", ""],
		["sums to 1.4", "no rule for 'tan'"],
	],
	row: -1,
	column: -1,
	row_signs: [],
	enlarged: false,
	compared: false,
	position: null,
	viewport: [0.5, 0.5, 1],
	pins: [],
	measure: "pearson",
	sort: "given",
	scale: "cell",
	percentile: 100,
	sign: "auto",
	colormap: "auto",
	opacity: 0.5,
	fade: false,
	gray: true,
	interpolation: "pixelated",
	_visible_rows: [],
	size: 160,
	height: 0,
	controls: true,
	width: 0,
	title: "",
};

/** @param {Record<string, unknown>} [state] */
export async function show(state = {}, options = {}) {
	view = await mount(widget, { ...STATE, ...state }, options);
	await painted();
}

/** @param {Record<string, unknown>} state */
export async function set(state) {
	for (const [name, value] of Object.entries(state)) view.model.set(name, value);
	await painted();
}

export const find = (selector) => /** @type {HTMLElement} */ (view.el.querySelector(selector));
export const texts = (selector) => [...view.el.querySelectorAll(selector)].map((node) => node.textContent);
export const grid = () => find(".xw-map-grid");
export const cell = (row, column) => find(`.xw-map-cell[data-row="${row}"][data-column="${column}"]`);
export const stage = (row, column) => cell(row, column).querySelector(".xw-map-stage");
export const seen = (selector) =>
	[...view.el.querySelectorAll(selector)].filter((node) => node.checkVisibility()).length;
/** The text of a canvas of a cell. */
export function words(row, column, name = "map") {
	const canvas = /** @type {HTMLCanvasElement} */ (cell(row, column).querySelector(`.xw-${name}`));
	const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
	return [...new Uint32Array(data.buffer)];
}
/** @param {number[]} values @param {number} limit @param {"both" | "positive"} sign */
export const colors = (values, limit, sign) =>
	values.map((value) => {
		const [zero, gain] = sign === "both" ? [128, 128] : [0, 256];
		return colorTable("auto", sign)[Math.max(0, Math.min(zero + (gain * value) / limit + 0.5, 256)) | 0];
	});

/** @param {string} type @param {number} row @param {number} column @param {number} x @param {number} y */
export async function point(type, row, column, x, y) {
	const { left, top, width, height } = stage(row, column).getBoundingClientRect();
	const init = { bubbles: true, clientX: left + x * width, clientY: top + y * height, pointerType: "mouse" };
	stage(row, column).dispatchEvent(
		type === "click" ? new MouseEvent(type, init) : new PointerEvent(type, init),
	);
	await painted();
}

/** @param {...(string | KeyboardEventInit)} keys */
export async function press(...keys) {
	for (const key of keys) {
		const init = typeof key === "string" ? { key } : key;
		grid().dispatchEvent(new KeyboardEvent("keydown", { bubbles: true, cancelable: true, ...init }));
		await painted();
	}
}

export const get = (...names) => names.map((name) => view.model.get(name));
