import { afterEach, expect, test } from "vitest";
import { colorTable } from "../src/lib/colormaps.js";
import { fitCells } from "../src/lib/similarity_layout.js";
import { array, painted } from "./model.js";
import { grid, point, press, STATE, set, show, stages, texts, view, words } from "./similarity.js";

afterEach(async () => {
	await view.unmount();
});

test("cells are as large as the room allows, and scroll rather than get too small", async () => {
	await show();
	const room = { ratio: 1, width: 640, height: 420, size: 360, columns: 0 };
	// Four images of one layer: two rows of two are larger than one row of four.
	expect(fitCells({ ...room, frames: 4, layers: 1 })).toEqual({ columns: 2, cell: 183, table: false });
	expect(fitCells({ ...room, frames: 1, layers: 3 })).toEqual({ columns: 3, cell: 209, table: false });
	expect(fitCells({ ...room, frames: 2, layers: 2 })).toEqual({ columns: 2, cell: 171, table: true });
	expect(fitCells({ ...room, frames: 4, layers: 2 })).toEqual({ columns: 4, cell: 155, table: false });
	expect(fitCells({ ...room, frames: 1, layers: 1, width: 1400, height: 700 }).cell).toBe(360);
	const many = fitCells({ ...room, frames: 24, layers: 2 });
	expect(many).toEqual({ columns: 5, cell: 120, table: false });
	// A fixed number of columns is kept.
	expect(fitCells({ ...room, frames: 4, layers: 1, columns: 4 }).columns).toBe(4);
	expect(fitCells({ ...room, frames: 6, layers: 2, width: 180 }).columns).toBe(1);
});

test("a hint stays until the user points at an image, and again after Escape", async () => {
	await show({ position: [0.5, 0.5] });
	const hint = () => view.el.querySelector(".xw-hint").checkVisibility();
	expect(texts(".xw-hint")).toEqual(["Hover over a patch to see what is similar to it"]);
	expect(hint()).toBe(true);
	point("pointermove", 0, 0.17, 0.75);
	await painted();
	expect(hint()).toBe(false);
	await press("Escape");
	expect(hint()).toBe(true);
	await press("ArrowRight");
	expect(hint()).toBe(false);
});

test("the legend names the boxes that occur", async () => {
	const seen = () =>
		[...view.el.querySelectorAll(".xw-legend-item")]
			.filter((node) => node.checkVisibility())
			.map((node) => node.textContent);
	await show();
	expect(seen()).toEqual(["hovered patch", "same position"]);
	// The theoretical field is the whole image: no box shows it.
	const whole = [0, 0, 1.5, 1.5];
	await set({ fields: [[whole, [0, 0, 0.3, 0.3]]] });
	expect(seen()).toEqual(["hovered patch", "same position", "pixels that it mostly looks at"]);
});

test("a relative range runs from the lowest to the highest value of a layer", async () => {
	// The lengths 1, 2 and 4 of vectors in one direction: their dot products with the first are 1, 2 and 4.
	const activations = [array("float32", [1, 1, 3, 1], [1, 2, 4])];
	const images = array("uint8", [1, 2, 3, 3], new Array(18).fill(128));
	await show({
		images,
		activations,
		labels: ["cat"],
		kind: "dot",
		position: [0.1, 0.5],
		color_range: "relative",
	});
	const table = colorTable("similarity", "positive");
	expect(words(0)).toEqual([0, 1 / 3, 1].map((share) => table[Math.min(0.5 + 256 * share, 256) | 0]));
	expect(texts(".xw-ends > span")).toEqual(["1.00", "4.00"]);
	// The caption is the value itself.
	expect(texts(".xw-patch-value")).toEqual(["1.00"]);
	await press("r");
	expect(view.model.get("color_range")).toBe("fixed");
	expect(texts(".xw-ends > span")).toEqual(["0", "4.00"]);
});

test("images have their final size before there are activations", async () => {
	await show({ activations: [], position: [0.5, 0.5] });
	expect(stages().length).toBe(2);
	expect(stages().some((stage) => stage.querySelector(".xw-overlay").checkVisibility())).toBe(false);
	const before = view.el.getBoundingClientRect().height;
	await set({ activations: STATE.activations });
	expect(stages().every((stage) => stage.querySelector(".xw-overlay").checkVisibility())).toBe(true);
	expect(view.el.getBoundingClientRect().height).toBe(before);
});

test("many images scroll inside of the view", async () => {
	const count = 40;
	const images = array("uint8", [count, 2, 2, 3], new Array(12 * count).fill(128));
	await show({
		images,
		activations: [array("float32", [count, 1, 1, 1], new Array(count).fill(1))],
		columns: 0,
	});
	const node = grid();
	expect(node.clientHeight).toBeLessThanOrEqual(Math.max(420, view.el.clientWidth / 2));
	expect(node.scrollHeight).toBeGreaterThan(node.clientHeight);
	expect(node.scrollWidth).toBe(node.clientWidth);
});
