import { afterEach, expect, test } from "vitest";
import { cell, find, grid, MAPS, seen, set, show, stage, view } from "./map_grid.js";
import { array, painted } from "./model.js";

afterEach(async () => {
	await view.unmount();
});

const ONE_COLUMN = {
	images: array("uint8", [1, 4, 4, 3], new Array(48).fill(90)),
	states: [["done"], ["done"], ["failed"], ["done"], ["waiting"], ["done"], ["done"]],
	notes: [[""], [""], ["needs a ReLU"], [""], [""], [""], [""]],
	...Object.fromEntries(
		Array.from({ length: 7 }, (_, row) => [
			`_map_${row}_0`,
			row === 2 || row === 4 ? null : array("float32", [1, 2], [0, 1]),
		]),
	),
	row_labels: ["a", "b", "c", "d", "e", "f", "g"],
	column_labels: ["cat"],
	column_captions: ["tabby 90%"],
	size: 360,
};

test("the cells of one column wrap such that all are visible, a refused one is a line of text", async () => {
	await show({ ...ONE_COLUMN, height: 480 }, { width: 848 });
	const boxes = [0, 1, 3, 4, 5, 6].map((row) => cell(row, 0).getBoundingClientRect());
	expect(new Set(boxes.map(({ top }) => top)).size).toBe(2);
	expect(boxes.filter(({ top }) => top === boxes[0].top).length).toBe(3);
	expect(grid().scrollHeight).toBeLessThanOrEqual(grid().clientHeight);
	expect(grid().getBoundingClientRect().height).toBeLessThanOrEqual(480);
	expect([seen(".xw-row-head"), seen(".xw-map-grid .xw-cell-name")]).toEqual([0, 7]);
	const line = cell(2, 0).getBoundingClientRect();
	expect(line.height).toBeLessThan(30);
	expect(line.top).toBeGreaterThan(Math.max(...boxes.map(({ bottom }) => bottom)) - 1);
	expect(cell(2, 0).textContent).toContain("needs a ReLU");
	// Neither a narrower view nor a map that comes changes more than the size of the cells.
	const heights = () => [0, 1, 3].map((row) => cell(row, 0).getBoundingClientRect().height);
	const before = heights();
	await set({
		_map_4_0: array("float32", [2, 2], [0, 1, 2, 3]),
		states: ONE_COLUMN.states.map((row) => [row[0] === "waiting" ? "done" : row[0]]),
	});
	expect(heights()).toEqual(before);
	view.el.style.width = "400px";
	await painted();
	expect(grid().scrollWidth).toBeLessThanOrEqual(grid().clientWidth);
});

test("a table of several columns scrolls inside, its names stay in sight", async () => {
	const rows = Array.from({ length: 9 }, (_, row) => row);
	await show(
		{
			...Object.fromEntries(rows.flatMap((row) => [0, 1].map((c) => [`_map_${row}_${c}`, MAPS._map_1_0]))),
			states: rows.map(() => ["done", "done"]),
			notes: [],
			row_labels: rows.map((row) => `method ${row}`),
			size: 360,
			height: 400,
		},
		{ width: 848 },
	);
	expect(grid().getBoundingClientRect().height).toBeLessThanOrEqual(400);
	expect(stage(0, 0).clientWidth).toBe(240);
	grid().scrollTop = 700;
	await painted();
	const head = find(".xw-column-head").getBoundingClientRect();
	expect(Math.abs(head.top - grid().getBoundingClientRect().top)).toBeLessThan(2);
});

test("neighbors without a map for one reason share one text", async () => {
	await show({
		states: [
			["failed", "failed"],
			["done", "absent"],
		],
		notes: [
			["needs a ReLU", "needs a ReLU"],
			["", "not layer-wise"],
		],
	});
	expect(seen(".xw-words")).toBe(2);
	const line = cell(0, 0).getBoundingClientRect();
	expect(line.width).toBeGreaterThan(cell(1, 0).getBoundingClientRect().width * 1.8);
	expect(line.height).toBeLessThan(30);
});
