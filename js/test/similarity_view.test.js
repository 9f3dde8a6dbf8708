import { afterEach, expect, test } from "vitest";
import { colorTable } from "../src/lib/colormaps.js";
import { array, optionsOf, painted } from "./model.js";
import {
	color,
	grid,
	point,
	press,
	STATE,
	set,
	shares,
	show,
	stages,
	texts,
	view,
	words,
} from "./similarity.js";

afterEach(async () => {
	await view.unmount();
});

test("the position under the pointer is compared with all positions of all images", async () => {
	await show();
	expect(stages().every((stage) => stage.querySelector(".xw-overlay").checkVisibility())).toBe(false);
	point("pointermove", 0, 0.17, 0.75);
	await painted();
	expect(view.model.get("position").map((part) => Math.round(part * 100))).toEqual([17, 75]);
	// (3, 4) / 5 with (1, 0), (0, 1), (-1, 0), itself, (0, 5), (1, 1).
	expect(words(0)).toEqual([0.6, 0.8, -0.6, 1, 0.8, 7 / Math.sqrt(50)].map((value) => color(value)));
	// The zero vector is like nothing.
	expect(words(1)).toEqual([0.6, 0, -0.8, 0.6, 0, 0.8].map((value) => color(value)));
	expect(texts(".xw-patch-value")).toEqual(["1.00", "0.600"]);
	expect(texts(".xw-patch-name")).toEqual(["cat", "dog"]);
	expect(texts(".xw-cell")).toEqual(["cat, row 1, col 0"]);
	// Back at the border of a cell: the next one begins there.
	point("pointermove", 1, 0.34, 0.25);
	await painted();
	expect(view.model.get("frame")).toBe(1);
	expect(words(0)).toEqual(new Array(6).fill(color(0)));
	const { data, shape } = view.model.get("_profile");
	expect(shape).toEqual([1, 2]);
	expect([data.getFloat32(0, true), data.getFloat32(4, true)]).toEqual([0, 0]);
});

test("each image may be compared with its own vector", async () => {
	await show({ scope: "within", position: [0.1, 0.1] });
	expect(words(0)).toEqual([1, 0, -1, 0.6, 0, 1 / Math.SQRT2].map((value) => color(value)));
	expect(words(1)).toEqual([1, 0, 0, 1, -0.8, 0].map((value) => color(value)));
});

test("the hovered position stays when the pointer leaves, and its image is marked", async () => {
	await show();
	point("pointermove", 1, 0.1, 0.1);
	await painted();
	grid().dispatchEvent(new PointerEvent("pointerleave", { pointerType: "mouse" }));
	await press("ArrowRight");
	expect(view.model.get("position")).toEqual([0.5, 0.25]);
	const marked = () =>
		[...view.el.querySelectorAll(".xw-patch")].map((box) => box.classList.contains("xw-marked"));
	expect(marked()).toEqual([false, true]);
	// Set by a linked plot, the position stays.
	await set({ marked: 0 });
	expect([marked(), view.model.get("frame")]).toEqual([[true, false], 1]);
	await press("PageUp");
	expect([view.model.get("marked"), view.model.get("frame")]).toEqual([0, 0]);
});

test("a click pins, a second one compares, a click on a pin takes it away", async () => {
	await show();
	point("click", 0, 0.1, 0.1);
	await painted();
	expect(view.model.get("pins")).toEqual([{ frame: 0, layer: 0, position: view.model.get("position") }]);
	point("pointermove", 0, 0.1, 0.9);
	await painted();
	// The images stay with the pin: (1, 0); under the pointer is (3, 4).
	expect(words(0)[0]).toBe(color(1));
	expect(texts(".xw-value")).toEqual(["0.600"]);
	point("click", 1, 0.5, 0.9);
	await painted();
	expect(view.model.get("pins")).toHaveLength(2);
	// Less how alike they are to (-4, 3) / 5.
	expect(words(0)).toEqual(
		[1.8, -0.6, -1.8, 0.6, -0.6, 1 / Math.SQRT2 + 1 / Math.sqrt(50)].map((value) => color(value)),
	);
	expect(texts(".xw-more")[0]).toContain("A and B: −0.800");
	expect(texts(".xw-value")).toEqual(["−0.800 − 1.00 = −1.80"]);
	expect(
		stages().map((stage) => [...stage.querySelectorAll(".xw-pin")].filter((pin) => !pin.hidden).length),
	).toEqual([1, 1]);
	point("click", 0, 0.1, 0.1);
	await painted();
	expect(view.model.get("pins").map(({ frame }) => frame)).toEqual([1]);
	await press("Escape");
	expect([view.model.get("pins"), view.model.get("position")]).toEqual([[], null]);
});

test("a third pin replaces the second", async () => {
	await show();
	for (const x of [0.1, 0.5, 0.9]) point("click", 0, x, 0.1);
	expect(view.model.get("pins").map(({ position }) => Math.floor(position[0] * 3))).toEqual([0, 2]);
});

test("keys move, pin and change the look", async () => {
	await show({ activations: [STATE.activations[0], array("float32", [2, 4, 2, 1], new Array(16).fill(1))] });
	await press("ArrowUp");
	expect(view.model.get("position")).toEqual([0.5, 0.75]);
	await press("ArrowUp", "ArrowUp", "ArrowLeft", "PageDown", ".");
	expect([view.model.get("position"), view.model.get("frame"), view.model.get("layer")]).toEqual([
		[1 / 6, 0.25],
		1,
		1,
	]);
	await press("ArrowRight", "Enter");
	// In the other column the grid is another one.
	expect(view.model.get("position")).toEqual([0.75, 0.375]);
	expect(view.model.get("pins")).toEqual([{ frame: 1, layer: 1, position: [0.75, 0.375] }]);
	await press("k", "w", "s", "c", "t", "t", "T", "-");
	const names = ["kind", "scope", "interpolation", "colormap", "threshold", "opacity"];
	expect(names.map((name) => view.model.get(name))).toEqual([
		...["dot", "within", "bicubic", "red_blue", 0.05, 0.95],
	]);
	await press("PageUp", "PageUp", ",", ",");
	expect([view.model.get("frame"), view.model.get("layer")]).toEqual([0, 0]);
});

test("another layer shows the same position by the middle of the cell", async () => {
	const other = array(
		"float32",
		[2, 4, 6, 1],
		Array.from({ length: 48 }, (_, i) => (i % 24 === 15 ? 1 : 0)),
	);
	await show({
		activations: [STATE.activations[0], other],
		layer_labels: ["conv1", "conv2"],
		position: [0.4, 0.9],
	});
	// Row 1 of 2 is row 3 of 4, column 1 of 3 is column 3 of 6: there the vector is zero, at row 2 it is not.
	expect(words(1)).toEqual(new Array(24).fill(color(0)));
	await set({ position: [0.4, 0.2] });
	expect(words(1)).toEqual(new Array(24).fill(color(0)));
	await set({ layer: 1, position: [3.5 / 6, 2.5 / 4] });
	expect(words(1).map((word) => word === color(1))).toEqual(Array.from({ length: 24 }, (_, i) => i === 15));
	// The other way round: column 3 of 6 is column 1 of 3, row 2 of 4 is row 1 of 2: (0, 5).
	expect(words(0)).toEqual([0, 1, 0, 0.8, 1, 1 / Math.SQRT2].map((value) => color(value)));
	expect(texts(".xw-patch-head")).toEqual(["conv1", "conv2"]);
});

test("dot product and Euclidean kernel", async () => {
	await show({ kind: "dot", position: [0.1, 0.9], sigmas: [2] });
	const dots = [3, 4, -3, 25, 20, 7];
	expect(words(0)).toEqual(dots.map((value) => color(value, 25)));
	expect(texts(".xw-ends > span")).toEqual(["−25.0", "0", "25.0"]);
	await set({ kind: "euclidean" });
	const table = colorTable("similarity", "positive");
	const distances = [20, 18, 32, 0, 10, 13];
	expect(words(0)).toEqual(distances.map((square) => table[(256 * Math.exp(-square / 8) + 0.5) | 0]));
	expect(texts(".xw-ends > span")).toEqual(["0", "1.00"]);
});

test("small magnitudes are left out below the threshold", async () => {
	await show({ position: [0.1, 0.9], threshold: 0.7 });
	expect(words(0).map((word) => word !== 0)).toEqual([false, true, false, true, true, true]);
	await set({ interpolation: "smooth" });
	expect(words(0).length).toBeGreaterThan(6);
});

test("positions outside of an image are gaps", async () => {
	const large = [2, 0, -0.5, 0, 2, -0.5];
	await show({
		transforms: array("float32", [2, 2, 3], [1, 0, 0, 0, 1, 0, ...large]),
		position: [0.1, 0.1],
		scope: "within",
	});
	expect(texts(".xw-patch-value")).toEqual(["1.00", "—"]);
	expect(words(1)).toEqual(new Array(6).fill(0));
	expect(view.model.get("_profile").data.getFloat32(4, true)).toBe(Number.NaN);
	await set({ scope: "across" });
	expect(words(1)[0]).toBe(color(1));
	expect(texts(".xw-patch-value")).toEqual(["1.00", "—"]);
	// The middle of the row 0 and column 1 is at (0.5, 0): twice as large, at (0.5, 0) too.
	await set({ position: [0.5, 0.3] });
	expect(texts(".xw-patch-value")[1]).toBe("0");
	const marks = stages().map((stage) => stage.querySelector(".xw-mark"));
	expect(marks.map((mark) => [mark.hidden, ...shares(mark, ["left", "top"])])).toEqual([
		[false, 33, 0],
		[false, 33, 0],
	]);
});

test("components are mixed by their weights, hidden ones left out", async () => {
	const weights = [255, 0, 0, 255, 100, 100, 0, 0, 255, 255, 51, 0];
	await show({
		components: array("uint8", [2, 2, 3, 2], [...weights, ...weights]),
		component_colors: ["#ff0000", "#0000ff"],
	});
	const [red, blue] = [0xff0000ff, 0xffff0000].map((word) => word >>> 0);
	const made = words(0, "components");
	expect([made[0], made[1], made[3]]).toEqual([red, blue, 0]);
	expect(made[4]).toBe(0xff800080);
	expect(made[2] >>> 24).toBe(100);
	const boxes = /** @type {HTMLInputElement[]} */ ([
		...view.el.querySelectorAll(".xw-chip > [type=checkbox]"),
	]);
	boxes[0].click();
	await painted();
	expect(view.model.get("hidden")).toEqual([0]);
	expect([words(0, "components")[0], words(0, "components")[1]]).toEqual([0, blue]);
	const picker = /** @type {HTMLInputElement} */ (view.el.querySelectorAll(".xw-chip > [type=color]")[1]);
	picker.value = "#00ff00";
	picker.dispatchEvent(new Event("input"));
	await painted();
	expect(view.model.get("component_colors")).toEqual(["#ff0000", "#00ff00"]);
	expect(words(0, "components")[1]).toBe(0xff00ff00);
});

test("a token of the hovered image may be the source, in layers that have it", async () => {
	await show({
		// The class token of the first image is (0, 2), that of the second (-1, 0).
		tokens: [array("float32", [2, 1, 2], [0, 2, -1, 0])],
		token_names: [["class token"]],
		position: [0.1, 0.9],
	});
	expect(optionsOf(view.el, "Source")).toEqual(["hovered patch", "class token"]);
	await press("p");
	expect(view.model.get("source")).toBe("class token");
	const withFirst = [0, 1, 0, 0.8, 1, 1 / Math.SQRT2];
	expect(words(0)).toEqual(withFirst.map((value) => color(value)));
	// A value is read at the hovered position: (3, 4) / 5.
	expect(texts(".xw-value")).toEqual(["0.800"]);
	expect(texts(".xw-more")[0]).toContain("class token of cat");
	await set({ frame: 1 });
	expect(words(0)).toEqual([-1, 0, 1, -0.6, 0, -1 / Math.SQRT2].map((value) => color(value)));
	await set({ frame: 0, scope: "within" });
	expect(words(0)).toEqual(withFirst.map((value) => color(value)));
	expect(words(1)).toEqual([-1, 0, 0, -1, 0.8, 0].map((value) => color(value)));
	await set({ kind: "dot", scope: "across" });
	expect(words(0)).toEqual([0, 2, 0, 8, 10, 2].map((value) => color(value, 10)));
	// Without tokens, positions are compared again.
	await set({ kind: "cosine", tokens: [], token_names: [] });
	expect(words(0)[3]).toBe(color(1));
	expect(view.el.querySelector(".xw-tools label").hidden).toBe(true);
});

test("three components may be red, green and blue", async () => {
	const values = Array.from({ length: 18 }, (_, index) => 10 * index);
	await show({
		components: array("uint8", [2, 2, 3, 3], [...values, ...values]),
		component_mode: "rgb",
		component_names: ["1", "2", "3"],
	});
	const made = words(0, "components");
	expect(made[1]).toBe(((255 << 24) | (50 << 16) | (40 << 8) | 30) >>> 0);
	expect(view.el.querySelector(".xw-chips").hidden).toBe(true);
});

test("the receptive fields of a position are drawn around it, within the image", async () => {
	await show({
		position: [0.5, 0.1],
		fields: [
			[
				[0.1, 0, 0.5, 2],
				[0, 0, 0.2, 0.1],
			],
		],
	});
	/** @param {number} imageIndex @param {number} index */
	const field = (imageIndex, index) => {
		const node = stages()[imageIndex].querySelector(`.xw-receptive-${index}`);
		const seen = node.checkVisibility({ visibilityProperty: true });
		return !seen ? null : shares(node, ["left", "top", "width", "height"]);
	};
	// The middle of row 0 and column 1 is at (0.5, 0.25).
	expect(field(0, 0).map(Math.round)).toEqual([35, 0, 50, 100]);
	expect(field(0, 1).map(Math.round)).toEqual([40, 20, 20, 10]);
	expect([field(1, 0), field(1, 1)]).toEqual([null, null]);
	// A field of the whole image has no frame.
	await set({
		fields: [
			[
				[0, 0, 2, 2],
				[0, 0, 0.2, 0.1],
			],
		],
	});
	expect(field(0, 0)).toBe(null);
	expect(field(0, 1).map(Math.round)).toEqual([40, 20, 20, 10]);
	await set({ fields: [] });
	expect(field(0, 0)).toBe(null);
});

test("arrays that do not fit together show an error, and the view recovers", async () => {
	await show({ activations: [array("float32", [3, 1, 1, 1], [1, 2, 3])] });
	expect(view.el.querySelector("[role=alert]").textContent).toContain(
		"activations[0] are of 3 images, expected 2",
	);
	await set({ activations: [array("uint8", [2, 1, 1, 1], [1, 2])] });
	expect(view.el.querySelector("[role=alert]").textContent).toContain("expected int8 or floats");
	await set({ activations: STATE.activations, scales: [array("float32", [2, 2, 2], new Array(8).fill(1))] });
	expect(view.el.querySelector("[role=alert]").textContent).toContain("scales[0]");
	await set({ scales: [], position: [0.1, 0.9] });
	expect(view.el.querySelector("[role=alert]")).toBe(null);
	expect(words(0)[3]).toBe(color(1));
});

test("an empty view shows a text, and a removed one leaves nothing behind", async () => {
	await show({ images: null, activations: [] });
	expect(view.el.textContent).toContain("No images and no activations yet");
	await view.unmount();
	expect(view.model.listeners).toBe(0);
});
