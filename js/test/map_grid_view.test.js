import { afterEach, expect, test } from "vitest";
import { agreement } from "../src/lib/agreement.js";
import {
	cell,
	colors,
	find,
	get,
	grid,
	MAPS,
	point,
	press,
	seen,
	set,
	show,
	stage,
	texts,
	view,
	words,
} from "./map_grid.js";
import { array, painted } from "./model.js";

afterEach(async () => {
	await view.unmount();
});

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
	// A warning is read on the image itself.
	expect(seen(".xw-warning")).toBe(1);
	expect(cell(1, 0).querySelector(".xw-warning").textContent).toBe("⚠ sums to 1.4");
	// No image is seen through the state: it would look like a result.
	expect(seen(".xw-map-grid .xw-base")).toBe(1);
	await point("click", 0, 0, 0.5, 0.5);
	await set({ row: 1, column: 0 });
	expect(find(".xw-lightbox-note").textContent).toBe("⚠ sums to 1.4");
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
	expect(Number(getComputedStyle(grid()).getPropertyValue("--xw-x"))).toBeCloseTo(0.3, 2);
	grid().dispatchEvent(new PointerEvent("pointerleave"));
	await painted();
	expect(get("position")).toEqual([[0.9, 0.9]]);
	await set({ position: null });
	expect(seen(".xw-cross")).toBe(0);
});

test("rows are sorted by their agreement with the pinned cell, and keys follow the order", async () => {
	const maps = [
		[1, 2],
		[2, 1],
		[1, 3],
		[1, 1],
	];
	await show({
		states: [["done"], ["done"], ["done"], ["done"]],
		...Object.fromEntries(
			maps.map((values, row) => [`_map_${row}_0`, array("float32", [1, 4], [...values, 5, 4])]),
		),
		row_labels: ["a", "b", "c", "d"],
		column_labels: ["cat"],
		column_captions: [],
		notes: [],
		pins: [[0, 0]],
		sort: "agreement",
	});
	const numbers = maps.map((values) =>
		agreement(
			"pearson",
			{ shape: [1, 4], data: Float32Array.of(1, 2, 5, 4) },
			{ shape: [1, 4], data: Float32Array.of(...values, 5, 4) },
		),
	);
	const expected = [0, 1, 2, 3].sort((r, s) => ((r ? numbers[r] : 2) < (s ? numbers[s] : 2) ? 1 : -1));
	expect(expected).not.toEqual([0, 1, 2, 3]);
	const order = () =>
		[0, 1, 2, 3].sort((r, s) => Number(cell(r, 0).style.order) - Number(cell(s, 0).style.order));
	expect(order()).toEqual(expected);
	await press("ArrowRight", "ArrowRight");
	expect(get("row")).toEqual([expected[1]]);
	await set({ sort: "given" });
	expect(order()).toEqual([0, 1, 2, 3]);
});

test("the sign of a row is that of its method, or of all its maps", async () => {
	await show({
		row_signs: ["both"],
		states: [
			["done", "done"],
			["done", "done"],
		],
		_map_1_1: array("float32", [1, 2], [1, 2]),
	});
	expect(words(0, 0)).toEqual(colors([0, 2], 2, "both"));
	// One map of LRP has negative values, so both have the diverging colors.
	expect(words(1, 1)).toEqual(colors([1, 2], 2, "both"));
	await set({ row_signs: ["positive", "positive"] });
	expect(words(1, 0)).toEqual(colors([-1, 0.5, 0, 0.25], 1, "positive"));
	await set({ sign: "both" });
	expect(words(1, 0)).toEqual(colors([-1, 0.5, 0, 0.25], 1, "both"));
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
		...[0.45, "both", "row", "spearman", "bicubic", "blue_orange"],
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
		`Pearson ${of("pearson")}, Spearman ${of("spearman")}, SSIM ${of("ssim")} of A Grad-CAM · cat, B Grad-CAM · dog`,
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
	expect(getComputedStyle(stage(0, 0)).aspectRatio).toBe("2 / 1");
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
