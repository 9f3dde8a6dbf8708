import { afterEach, expect, test } from "vitest";
import { agreement } from "../src/lib/agreement.js";
import { colorTable } from "../src/lib/colormaps.js";
import widget from "../src/map_grid_view.js";
import { array, mount, painted } from "./model.js";

/** @type {Awaited<ReturnType<typeof mount>>} */
let view;
afterEach(async () => {
	await view.unmount();
});

// Two methods by two images of 2 x 4 pixels: coarse and fine maps, of one sign and of both.
const MAPS = {
	_map_0_0: array("float32", [1, 2], [0, 2]),
	_map_0_1: array("float32", [2, 4], [1, 2, 3, 4, 5, 6, 7, 8]),
	_map_1_0: array("float32", [2, 2], [-1, 0.5, 0, 0.25]),
	_map_1_1: null,
};
const STATE = {
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
	enlarged: false,
	position: null,
	pins: [],
	measure: "pearson",
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
	controls: true,
	width: 0,
	title: "",
};

/** @param {Record<string, unknown>} [state] */
async function show(state = {}, options = {}) {
	view = await mount(widget, { ...STATE, ...state }, options);
	await painted();
}

/** @param {Record<string, unknown>} state */
async function set(state) {
	for (const [name, value] of Object.entries(state)) view.model.set(name, value);
	await painted();
}

const find = (selector) => /** @type {HTMLElement} */ (view.el.querySelector(selector));
const texts = (selector) => [...view.el.querySelectorAll(selector)].map((node) => node.textContent);
const grid = () => find(".xw-map-grid");
const cell = (row, column) => find(`.xw-map-cell[data-row="${row}"][data-column="${column}"]`);
const stage = (row, column) => cell(row, column).querySelector(".xw-map-stage");
const seen = (selector) =>
	[...view.el.querySelectorAll(selector)].filter((node) => node.checkVisibility()).length;
/** The text of a canvas of a cell. */
function words(row, column, name = "map") {
	const canvas = /** @type {HTMLCanvasElement} */ (cell(row, column).querySelector(`.xw-${name}`));
	const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
	return [...new Uint32Array(data.buffer)];
}
/** @param {number[]} values @param {number} limit @param {"both" | "positive"} sign */
const colors = (values, limit, sign) =>
	values.map((value) => {
		const [zero, gain] = sign === "both" ? [128, 128] : [0, 256];
		return colorTable("auto", sign)[Math.max(0, Math.min(zero + (gain * value) / limit + 0.5, 256)) | 0];
	});

/** @param {string} type @param {number} row @param {number} column @param {number} x @param {number} y */
async function point(type, row, column, x, y) {
	const { left, top, width, height } = stage(row, column).getBoundingClientRect();
	const init = { bubbles: true, clientX: left + x * width, clientY: top + y * height, pointerType: "mouse" };
	stage(row, column).dispatchEvent(
		type === "click" ? new MouseEvent(type, init) : new PointerEvent(type, init),
	);
	await painted();
}

/** @param {...(string | KeyboardEventInit)} keys */
async function press(...keys) {
	for (const key of keys) {
		const init = typeof key === "string" ? { key } : key;
		grid().dispatchEvent(new KeyboardEvent("keydown", { bubbles: true, cancelable: true, ...init }));
		await painted();
	}
}

const get = (...names) => names.map((name) => view.model.get(name));

test("each cell has its map in its own colors, on its image", async () => {
	await show();
	expect(words(0, 0)).toEqual(colors([0, 2], 2, "positive"));
	expect(words(0, 1)).toEqual(colors([1, 2, 3, 4, 5, 6, 7, 8], 8, "positive"));
	expect(words(1, 0)).toEqual(colors([-1, 0.5, 0, 0.25], 1, "both"));
	// The luma of (120, 125, 130).
	expect(words(0, 1, "base")[0] & 0xffffff).toBe(124 * 0x10101);
	expect(texts(".xw-row-head")).toEqual(["Grad-CAM", "LRP"]);
	expect(texts(".xw-column-head")).toEqual(["cattabby 90%", "dog"]);
	expect(getComputedStyle(cell(0, 0).querySelector(".xw-map")).opacity).toBe("0.5");
	await set({ gray: false, opacity: 0.25 });
	expect(getComputedStyle(cell(0, 0).querySelector(".xw-map")).opacity).toBe("0.25");
	expect(words(0, 1, "base")[0] & 0xffffff).toBe(120 | (125 << 8) | (130 << 16));
});

test("a row or the whole table may share a scale, and its sign", async () => {
	await show({ scale: "row" });
	expect(words(0, 0)).toEqual(colors([0, 2], 8, "positive"));
	expect(words(1, 0)).toEqual(colors([-1, 0.5, 0, 0.25], 1, "both"));
	await set({ scale: "all" });
	expect(words(0, 0)).toEqual(colors([0, 2], 8, "both"));
	expect(words(1, 0)).toEqual(colors([-1, 0.5, 0, 0.25], 8, "both"));
	expect(texts(".xw-ends > span")).toEqual(["−8.00", "0", "8.00"]);
	// With as many maps as before or fewer, the limits of removed groups are removed.
	await set({
		states: [["done"], ["done"]],
		column_labels: ["cat"],
		_map_0_1: null,
	});
	expect(words(0, 0)).toEqual(colors([0, 2], 2, "both"));
	await set({ scale: "row" });
	expect(words(0, 0)).toEqual(colors([0, 2], 2, "positive"));
});

test("a new map is drawn alone, without another state", async () => {
	await show();
	await set({ _map_0_0: array("float16", [1, 2], [0xc000, 0x3c00]) });
	expect(words(0, 0)).toEqual(colors([-2, 1], 2, "both"));
	expect(words(1, 0)).toEqual(colors([-1, 0.5, 0, 0.25], 1, "both"));
});

test("a cell without a map shows the reason, and one with a warning has a sign", async () => {
	await show({
		states: [
			["waiting", "computing"],
			["done", "failed"],
		],
		_map_0_0: null,
		_map_0_1: null,
	});
	expect(texts(".xw-words")).toEqual(["waiting", "computing …", "", "no rule for 'tan'"]);
	expect(seen(".xw-words")).toBe(3);
	expect(seen(".xw-map")).toBe(1);
	expect(seen(".xw-alert")).toBe(1);
	expect(find(".xw-alert:not([hidden])").title).toBe("sums to 1.4");
	await set({ enlarged: true, row: 1, column: 0 });
	expect(find(".xw-alone-bar").textContent).toContain("sums to 1.4");
});

test("the position under the pointer is shared, and is reset when the pointer leaves", async () => {
	await show({ position: [0.9, 0.9] });
	await point("pointermove", 0, 1, 0.3, 0.6);
	expect(get("row", "column")).toEqual([0, 1]);
	const [position] = get("position");
	expect(position.map((part) => Math.round(part * 10))).toEqual([3, 6]);
	expect(texts(".xw-map-value")).toEqual(["0", "6.00", "0", ""]);
	expect(texts(".xw-readout > .xw-cell")).toEqual(["Grad-CAM · dog at row 1, col 1"]);
	expect(texts(".xw-readout > .xw-value")).toEqual(["6.00"]);
	// Cells with a map show a cross at the position.
	expect(seen(".xw-cross")).toBe(3);
	expect(Number(grid().style.getPropertyValue("--xw-x"))).toBeCloseTo(0.3, 2);
	grid().dispatchEvent(new PointerEvent("pointerleave"));
	await painted();
	expect(get("position")).toEqual([[0.9, 0.9]]);
	await set({ position: null });
	expect(seen(".xw-cross")).toBe(0);
});

test("a click enlarges, the next marks the position, Escape goes back", async () => {
	await show();
	await point("click", 1, 0, 0.5, 0.5);
	expect(get("row", "column", "enlarged")).toEqual([1, 0, true]);
	expect([seen(".xw-map-cell"), seen(".xw-row-head"), seen(".xw-column-head")]).toEqual([1, 0, 0]);
	expect(texts(".xw-alone-name")).toEqual(["LRP · cat"]);
	await point("pointermove", 1, 0, 0.2, 0.2);
	await point("click", 1, 0, 0.2, 0.2);
	grid().dispatchEvent(new PointerEvent("pointerleave"));
	await painted();
	expect(get("position")[0].map((part) => Math.round(part * 10))).toEqual([2, 2]);
	await press("ArrowUp", "ArrowRight");
	expect(get("row", "column", "enlarged")).toEqual([0, 1, true]);
	expect(texts(".xw-alone-name")).toEqual(["Grad-CAM · dog"]);
	await press("Escape");
	expect([get("enlarged")[0], seen(".xw-map-cell")]).toEqual([false, 4]);
	await press("Enter");
	find(".xw-alone-bar > button").click();
	await painted();
	expect(seen(".xw-map-cell")).toBe(4);
});

test("an enlarged smooth map is painted finer than one among others, and coarse again afterwards", async () => {
	await show({ interpolation: "smooth" });
	const size = () => {
		const { width, height } = /** @type {HTMLCanvasElement} */ (cell(1, 0).querySelector(".xw-map"));
		return [width, height];
	};
	expect(size()).toEqual([160, 160]);
	await set({ row: 1, column: 0, enlarged: true });
	await painted();
	expect(size()).toEqual([448, 448]);
	await set({ enlarged: false });
	expect(size()).toEqual([160, 160]);
});

test("keys go from cell to cell, move the position and change the display", async () => {
	await show();
	await press("ArrowDown");
	expect(get("row", "column")).toEqual([0, 0]);
	await press("ArrowDown", "ArrowDown", "ArrowLeft");
	expect(get("row", "column")).toEqual([1, 0]);
	expect(texts(".xw-active .xw-map-value")).toEqual([""]);
	await press({ key: "ArrowRight", shiftKey: true });
	// The middle first, then cell by cell of the map.
	expect(get("position")).toEqual([[0.75, 0.75]]);
	await press({ key: "ArrowUp", shiftKey: true });
	expect(get("position")).toEqual([[0.75, 0.25]]);
	expect(texts(".xw-active .xw-map-value")).toEqual(["0.500"]);
	await press("-", "s", "l", "m", "i", "c");
	expect(get("opacity", "sign", "scale", "measure", "interpolation", "colormap")).toEqual([
		...[0.45, "both", "row", "spearman", "smooth", "blue_orange"],
	]);
	await press("Escape");
	expect(get("position", "pins")).toEqual([null, []]);
});

test("to a pinned cell all others show their agreement; of two all measures are read out", async () => {
	await show();
	/** @param {"pearson" | "spearman" | "ssim"} measure */
	const of = (measure) => {
		const maps = [
			{ shape: [1, 2], data: Float32Array.of(0, 2) },
			{ shape: [2, 4], data: Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8) },
		];
		return agreement(measure, maps[0], maps[1]).toFixed(2).replace("-", "−");
	};
	const badges = () => [...view.el.querySelectorAll(".xw-badge:not([hidden])")].map((n) => n.textContent);
	expect(badges()).toEqual([]);
	/** @type {HTMLElement} */ (cell(0, 0).querySelector(".xw-pin")).click();
	await painted();
	expect(get("pins", "enlarged")).toEqual([[[0, 0]], false]);
	expect(document.activeElement).toBe(grid());
	expect(badges()).toHaveLength(2);
	expect(cell(0, 1).querySelector(".xw-badge").textContent).toBe(of("pearson"));
	await set({ measure: "ssim" });
	expect(cell(0, 1).querySelector(".xw-badge").textContent).toBe(of("ssim"));
	expect(find(".xw-agreement").textContent).toContain("(SSIM)");
	await set({ row: 0, column: 1 });
	await press("p");
	expect(get("pins")).toEqual([
		[
			[0, 0],
			[0, 1],
		],
	]);
	expect(texts(".xw-pin")).toEqual(["A", "B", "pin", "pin"]);
	expect(find(".xw-agreement").textContent).toBe(
		`A Grad-CAM · cat, B Grad-CAM · dog: Pearson ${of("pearson")}, Spearman ${of("spearman")}, SSIM ${of("ssim")}`,
	);
	// A pin of a cell that is gone counts for nothing.
	await set({ states: [["done"]], column_labels: ["cat"], row_labels: ["Grad-CAM"] });
	expect(find(".xw-agreement").textContent).toContain("each map shows");
	await press("Escape");
	expect(get("pins")).toEqual([[]]);
	expect(seen(".xw-agreement")).toBe(0);
});

test("the visible rows are sent to Python", async () => {
	await show();
	await expect.poll(() => view.model.get("_visible_rows")).toEqual([0, 1]);
	await set({ states: [["done", "done"]], row_labels: ["Grad-CAM"] });
	await expect.poll(() => view.model.get("_visible_rows")).toEqual([0]);
});

test("an error is shown for invalid values, until they are valid", async () => {
	await show({ _map_0_0: array("float32", [4], [1, 2, 3, 4]) });
	expect(find(".xw-message").textContent).toContain("This view cannot be drawn: a map is");
	await set({ _map_0_0: MAPS._map_0_0 });
	expect(find(".xw-message").hidden).toBe(true);
	expect(words(0, 0)).toEqual(colors([0, 2], 2, "positive"));
	await set({ states: [] });
	expect(find(".xw-message").textContent).toBe("No maps yet.");
});

test("without a image the map alone is drawn, in its own proportions", async () => {
	await show({ images: null, opacity: 0.2 });
	expect(stage(0, 0).style.aspectRatio).toBe("2 / 1");
	expect(getComputedStyle(cell(0, 0).querySelector(".xw-map")).opacity).toBe("1");
});

test("one image is shown in every column", async () => {
	await show({ images: array("uint8", [1, 1, 1, 3], [10, 20, 30]), gray: false });
	for (const column of [0, 1])
		expect(words(0, column, "base")[0] & 0xffffff).toBe(10 | (20 << 8) | (30 << 16));
});

test("in a narrow column the names of rows stand above them", async () => {
	await show({}, { width: 300 });
	expect(getComputedStyle(find(".xw-row-head")).gridColumnEnd).toBe("-1");
	expect(grid().scrollWidth).toBeLessThanOrEqual(grid().clientWidth);
});

test("the cleanup leaves no handler behind", async () => {
	await show();
	const { model } = view;
	await view.unmount();
	expect(model.listeners).toBe(0);
	await show();
});
