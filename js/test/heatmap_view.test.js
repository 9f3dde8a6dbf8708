import { afterEach, describe, expect, test, vi } from "vitest";
import { userEvent } from "vitest/browser";
import widget from "../src/heatmap_view.js";
import { colorTable, STEPS } from "../src/lib/colormaps.js";
import { array, choose, mount, optionsOf, painted } from "./model.js";

const RED = [200, 0, 0];
/** @type {(() => Promise<void>)[]} */
const mounted = [];
afterEach(async () => {
	for (const unmount of mounted.splice(0)) await unmount();
});

/** An image of one color. @param {number} height @param {number} width @param {number[]} color */
function plain(height, width, color) {
	return array("uint8", [height, width, 3], Array.from({ length: height * width }, () => color).flat());
}

// One cell each of the most negative value, half, zero, and the most positive one.
const MAP = array("float32", [1, 2, 2], [-2, 1, 0, 2]);
const STATE = {
	image: plain(4, 4, RED),
	images: null,
	maps: MAP,
	labels: [],
	frame: 0,
	groups: 1,
	group: 0,
	colormap: "blue_orange",
	opacity: 1,
	fade: false,
	gray: false,
	sign: "both",
	percentile: 100,
	limit: null,
	interpolation: "pixelated",
	position: null,
	controls: true,
	width: 300,
	title: "",
};

/** @param {Record<string, unknown>} [state] @param {{width?: number}} [options] */
async function show(state = {}, options) {
	const view = await mount(widget, { ...STATE, ...state }, options);
	mounted.push(view.unmount);
	await painted();
	const $ = (/** @type {string} */ selector) => view.el.querySelector(selector);
	const [imageCanvas, marks] = view.el.querySelectorAll(".xw-stage > canvas");
	/** The color at [x, y] in [0, 1]. @param {number} x @param {number} y @param {HTMLCanvasElement} [canvas] */
	const pixel = (x, y, canvas = imageCanvas) => {
		const position = [Math.floor(x * canvas.width), Math.floor(y * canvas.height)];
		return [...canvas.getContext("2d").getImageData(...position, 1, 1).data];
	};
	const marked = () =>
		marks.getContext("2d").getImageData(0, 0, marks.width, marks.height).data.some(Boolean);
	return { ...view, $, imageCanvas, marks, pixel, marked, stage: $(".xw-stage") };
}

/** @param {string} name @param {"both" | "positive" | "negative" | "absolute"} sign @param {number} t  0 to 1 */
function color(name, sign, t) {
	const word = colorTable(name, sign)[t * (STEPS - 1)];
	return [word & 255, (word >> 8) & 255, (word >> 16) & 255, 255];
}

/** @param {Element} node @param {string} type @param {number} x @param {number} y @param {PointerEventInit} [init] */
function point(node, type, x, y, init) {
	const { left, top, width, height } = node.getBoundingClientRect();
	const clientX = left + x * width;
	const clientY = top + y * height;
	node.dispatchEvent(
		new PointerEvent(type, { bubbles: true, pointerType: "mouse", clientX, clientY, ...init }),
	);
}

describe("the image", () => {
	test("each cell has the color of its value", async () => {
		const { pixel } = await show();
		expect(pixel(0.25, 0.25)).toEqual(color("blue_orange", "both", 0));
		expect(pixel(0.75, 0.25)).toEqual(color("blue_orange", "both", 0.75));
		expect(pixel(0.25, 0.75)).toEqual(color("blue_orange", "both", 0.5));
		expect(pixel(0.75, 0.75)).toEqual(color("blue_orange", "both", 1));
	});

	test("the automatic sign is that of its method, or of all maps", async () => {
		const maps = array("float32", [2, 1, 2], [-1, 2, 1, 2]);
		const { $, model, pixel } = await show({ maps, sign: "auto", colormap: "auto" });
		expect(pixel(0.75, 0.5)).toEqual(color("blue_orange", "both", 1));
		expect($(".xw-ends").textContent).toContain("−2");
		model.set("frame", 1);
		await painted();
		expect($(".xw-ends").textContent).toContain("−2");
		// A sequential map shows magnitudes.
		model.set("colormap", "magma");
		await painted();
		expect($(".xw-ends").textContent).toBe("02.00");
		model.set("colormap", "auto");
		model.set("signs", ["both", "positive"]);
		await painted();
		expect(pixel(0.75, 0.5)).toEqual(color("inferno", "positive", 1));
		expect($(".xw-ends").textContent).toBe("02.00");
	});

	test("sign, color map and percentile change it", async () => {
		const { model, pixel } = await show();
		model.set("sign", "negative");
		model.set("colormap", "viridis");
		await painted();
		expect(pixel(0.25, 0.25)).toEqual(color("viridis", "negative", 1));
		expect(pixel(0.75, 0.75)).toEqual(color("viridis", "negative", 0));
		model.set("sign", "positive");
		model.set("percentile", 100 / 3);
		await painted();
		// The magnitudes are 0, 1, 2, 2: a third of the way lies 1.
		expect(pixel(0.75, 0.25)).toEqual(color("viridis", "positive", 1));
	});

	test("a limit ends the scale whatever the values are", async () => {
		const { model, pixel, $ } = await show({ limit: 4 });
		expect(pixel(0.75, 0.75)).toEqual(color("blue_orange", "both", 0.75));
		expect($(".xw-ends").textContent).toBe("−4.0004.00");
		expect($(".xw-scale").title).toContain("that was set");
		model.set("limit", 1);
		await painted();
		expect(pixel(0.75, 0.75)).toEqual(color("blue_orange", "both", 1));
		expect(pixel(0.75, 0.25)).toEqual(color("blue_orange", "both", 1));
		model.set("limit", null);
		await painted();
		expect($(".xw-ends").textContent).toContain("2.00");
		expect($(".xw-scale").title).toContain("percentile");
	});

	test("opacity mixes map and image; at 0 the image is as it was", async () => {
		const { model, pixel } = await show({ opacity: 0.5 });
		const top = color("blue_orange", "both", 1);
		const mixed = pixel(0.75, 0.75);
		for (let i = 0; i < 3; i++) expect(Math.abs(mixed[i] - (top[i] + RED[i]) / 2)).toBeLessThanOrEqual(1.5);
		model.set("opacity", 0);
		await painted();
		expect(pixel(0.75, 0.75)).toEqual([...RED, 255]);
	});

	test("fading leaves the image where the map is zero, in gray on request", async () => {
		const { model, pixel } = await show({ fade: true });
		expect(pixel(0.25, 0.75)).toEqual([...RED, 255]);
		expect(pixel(0.75, 0.75)).toEqual(color("blue_orange", "both", 1));
		model.set("gray", true);
		await painted();
		const luma = Math.round(0.299 * 200);
		expect(pixel(0.25, 0.75)).toEqual([luma, luma, luma, 255]);
	});

	test("cells that are not finite show the image, and all zeros the neutral color", async () => {
		const { model, pixel } = await show({ maps: array("float32", [1, 1, 2], [Number.NaN, 1]) });
		expect(pixel(0.25, 0.5)).toEqual([...RED, 255]);
		model.set("maps", array("float32", [1, 1, 2], [0, 0]));
		await painted();
		expect(pixel(0.25, 0.5)).toEqual(color("blue_orange", "both", 0.5));
	});

	test("smooth interpolates values, not colors", async () => {
		const maps = array("float32", [1, 1, 2], [-1, 1]);
		const { pixel } = await show({ maps, interpolation: "smooth", colormap: "red_blue" });
		const middle = pixel(0.5, 0.5);
		const neutral = color("red_blue", "both", 0.5);
		for (let i = 0; i < 3; i++) expect(Math.abs(middle[i] - neutral[i])).toBeLessThan(6);
		expect(pixel(0.02, 0.5)).toEqual(color("red_blue", "both", 0));
	});

	test("frame chooses the map, and beyond the last shows the last", async () => {
		const maps = array("float32", [2, 1, 2], [1, 0, 0, 1]);
		const { model, pixel } = await show({ maps, labels: ["first"] });
		expect(pixel(0.25, 0.5)).toEqual(color("blue_orange", "both", 1));
		model.set("frame", 7);
		await painted();
		expect(pixel(0.25, 0.5)).toEqual(color("blue_orange", "both", 0.5));
		expect(pixel(0.75, 0.5)).toEqual(color("blue_orange", "both", 1));
	});

	test("is as sharp as the screen and keeps the shape of the image", async () => {
		const { imageCanvas, stage } = await show({ image: plain(2, 6, RED) });
		const { width, height } = stage.getBoundingClientRect();
		expect(width / height).toBeCloseTo(3, 1);
		expect(Math.abs(imageCanvas.width - width * devicePixelRatio)).toBeLessThanOrEqual(1);
		expect(Math.abs(imageCanvas.height - height * devicePixelRatio)).toBeLessThanOrEqual(1);
	});
});

describe("late or invalid values", () => {
	test("an empty view shows a text until an image arrives, then a map of another size", async () => {
		const { model, $, pixel } = await show({ image: null, maps: null });
		expect($(".xw-message").textContent).toMatch(/No image and no map/);
		expect($(".xw-scale").hidden).toBe(true);
		model.set("image", plain(3, 5, RED));
		await painted();
		expect($(".xw-message").hidden).toBe(true);
		expect(pixel(0.5, 0.5)).toEqual([...RED, 255]);
		model.set("maps", array("float32", [1, 7, 2], new Float32Array(14).fill(3)));
		await painted();
		expect(pixel(0.5, 0.5)).toEqual(color("blue_orange", "both", 1));
		expect($(".xw-scale").hidden).toBe(false);
	});

	test("a map alone is drawn opaque", async () => {
		const { pixel } = await show({ image: null, opacity: 0.2 });
		expect(pixel(0.75, 0.75)).toEqual(color("blue_orange", "both", 1));
	});

	test("an empty stack of maps shows no map", async () => {
		const { pixel, $ } = await show({ maps: array("float32", [0, 4, 4], []) });
		expect(pixel(0.5, 0.5)).toEqual([...RED, 255]);
		expect($(".xw-error")).toBeNull();
	});

	test("a broken array is an error in words, and the view recovers", async () => {
		const { model, $, pixel } = await show();
		model.set("maps", array("float32", [2, 2], [1, 2, 3, 4]));
		await painted();
		expect($("[role=alert]").textContent).toMatch(/maps is a Float32Array of shape \[2, 2\], expected/);
		await userEvent.click($(".xw-stage"));
		await userEvent.keyboard("{ArrowLeft}c");
		model.set("maps", MAP);
		model.set("position", null);
		await painted();
		expect($("[role=alert]")).toBeNull();
		expect(pixel(0.75, 0.75)).toEqual(color("blue_orange", "both", 1));
	});

	test("a broken array at the start does not keep the view from appearing", async () => {
		const { model, $ } = await show({ image: { dtype: "uint8", shape: [1, 1, 3], data: "text" } });
		expect($("[role=alert]").textContent).toMatch(/expected a DataView/);
		model.set("image", STATE.image);
		await painted();
		expect($("[role=alert]")).toBeNull();
	});
});

describe("pointer and keys", () => {
	test("hovering reads the exact value and the image; leaving takes the mark back", async () => {
		const { model, $, stage, marked } = await show();
		point(stage, "pointerenter", 0.75, 0.25);
		point(stage, "pointermove", 0.75, 0.25);
		await painted();
		expect(model.get("position")[0]).toBeCloseTo(0.75, 2);
		expect($(".xw-cell").textContent).toBe("row 0, col 1");
		expect($(".xw-value").textContent).toBe("1.00");
		expect($(".xw-rgb").textContent).toBe("200 0 0");
		expect(marked()).toBe(true);
		point(stage, "pointerleave", 1.1, 0.25);
		await painted();
		expect(model.get("position")).toBeNull();
		await expect.poll(() => $(".xw-readout").textContent).toBe("");
		expect(marked()).toBe(false);
	});

	test("a click keeps the position when the pointer leaves, Escape clears it", async () => {
		const { model, stage } = await show();
		point(stage, "pointerenter", 0.5, 0.5);
		point(stage, "pointerdown", 0.2, 0.2, { buttons: 1 });
		point(stage, "pointermove", 0.9, 0.9);
		point(stage, "pointerleave", 1.1, 0.9);
		expect(model.get("position")[0]).toBeCloseTo(0.2, 1);
		stage.focus();
		await userEvent.keyboard("{Escape}");
		expect(model.get("position")).toBeNull();
	});

	test("a hover draws marks only, and sends its first and last position to the kernel", async () => {
		const { model, stage, imageCanvas } = await show();
		const draw = vi.spyOn(imageCanvas.getContext("2d"), "drawImage");
		for (let i = 0; i < 20; i++) point(stage, "pointermove", i / 20, 0.5);
		await painted();
		expect(draw).not.toHaveBeenCalled();
		expect(model.saved).toHaveLength(1);
		expect(model.saved[0].position[0]).toBeCloseTo(0, 2);
		await vi.waitFor(() => expect(model.saved).toHaveLength(2));
		expect(model.saved[1].position[0]).toBeCloseTo(0.95, 2);
	});

	test("the readout never moves what is below it", async () => {
		const { model, $ } = await show({}, { width: 290 });
		const top = () => $(".xw-scale").getBoundingClientRect().top;
		const before = top();
		model.set("maps", array("float32", [1, 1, 1], [-1.23456e-12]));
		model.set("position", [0.999, 0.999]);
		await painted();
		expect($(".xw-value").textContent).toBe("−1.23e−12");
		expect(top()).toBe(before);
	});

	test("a position from elsewhere is shown, at the very edge too", async () => {
		const { model, $, marked } = await show();
		model.set("position", [1, 1]);
		await painted();
		expect($(".xw-cell").textContent).toBe("row 1, col 1");
		expect($(".xw-value").textContent).toBe("2.00");
		expect(marked()).toBe(true);
	});
});

describe("keys", () => {
	test("arrows move by one cell, with Shift by ten, and stop at the edge", async () => {
		const { model, stage } = await show({ maps: array("float32", [1, 20, 20], new Float32Array(400)) });
		stage.focus();
		await userEvent.keyboard("{ArrowRight}");
		expect(model.get("position")).toEqual([10.5 / 20, 10.5 / 20]);
		await userEvent.keyboard("{ArrowRight}{ArrowUp}{ArrowUp}");
		expect(model.get("position")).toEqual([11.5 / 20, 8.5 / 20]);
		await userEvent.keyboard("{Shift>}{ArrowRight}{ArrowDown}{/Shift}");
		expect(model.get("position")).toEqual([19.5 / 20, 18.5 / 20]);
	});

	test("opacity, color map, sign and map", async () => {
		const maps = array("float32", [2, 1, 1], [1, 2]);
		const { model, stage } = await show({ maps, colormap: "auto", opacity: 0.7 });
		stage.focus();
		await userEvent.keyboard("-[[");
		// "[[" types one bracket.
		expect(model.get("opacity")).toBe(0.6);
		await userEvent.keyboard("+]]");
		expect(model.get("opacity")).toBe(0.75);
		await userEvent.keyboard("=========");
		expect(model.get("opacity")).toBe(1);
		await userEvent.keyboard("c");
		expect(model.get("colormap")).toBe("red_blue");
		await userEvent.keyboard("sc");
		expect([model.get("sign"), model.get("colormap")]).toEqual(["positive", "viridis"]);
		await userEvent.keyboard("ssss");
		expect(model.get("sign")).toBe("both");
		await userEvent.keyboard("m");
		expect(model.get("frame")).toBe(1);
		await userEvent.keyboard("m");
		expect(model.get("frame")).toBe(0);
		// Saves wait for each other; the last one holds the last value.
		await expect.poll(() => Object.assign({}, ...model.saved).sign).toBe("both");
	});
});

describe("controls", () => {
	/** @param {Element} el @param {string} label */
	const control = (el, label) =>
		[...el.querySelectorAll("label")].find((node) => node.textContent.includes(label)).querySelector("input");

	test("set their trait and follow it", async () => {
		const { model, el } = await show();
		choose(el, "Sign", "absolute");
		choose(el, "Colors", "magma");
		choose(el, "Clip", "95 %");
		await userEvent.click(control(el, "Fade"));
		choose(el, "Enlarge", "bicubic");
		await userEvent.click(control(el, "Gray"));
		const names = ["sign", "colormap", "percentile", "fade", "interpolation", "gray"];
		expect(names.map((name) => model.get(name))).toEqual(["absolute", "magma", 95, true, "bicubic", true]);
		control(el, "Opacity").focus();
		await userEvent.keyboard("{ArrowLeft}");
		expect(model.get("opacity")).toBe(0.99);
		model.set("percentile", 97.5);
		model.set("opacity", 0.25);
		expect(el.querySelector("[aria-label=Clip]").textContent).toBe("97.5 %");
		expect(control(el, "Opacity").value).toBe("0.25");
		expect(control(el, "Opacity").getAttribute("aria-valuetext")).toBe("25 %");
	});

	test("several maps can be chosen by name; without controls the name is text", async () => {
		const maps = array("float32", [3, 1, 1], [1, 2, 3]);
		const { model, $, el } = await show({ maps, labels: ["one", "two"], title: "Maps" });
		expect(optionsOf(el, "Map")).toEqual(["one", "two", "map 3"]);
		choose(el, "Map", "map 3");
		expect(model.get("frame")).toBe(2);
		model.set("frame", 1);
		await painted();
		expect($("[aria-label=Map]").textContent).toBe("two");
		model.set("controls", false);
		await painted();
		expect($("[aria-label=Map]").checkVisibility()).toBe(false);
		expect([$(".xw-title"), $(".xw-name")].map((node) => node.textContent)).toEqual(["Maps", "two"]);
		expect($(".xw-name").checkVisibility()).toBe(true);
		expect($(".xw-tools").checkVisibility()).toBe(false);
	});

	test("the color bar names the ends of the scale", async () => {
		const { model, $ } = await show();
		const ends = () => [...$(".xw-ends").children].map((node) => node.textContent);
		expect(ends()).toEqual(["−2.00", "0", "2.00"]);
		model.set("sign", "negative");
		await painted();
		expect(ends()).toEqual(["0", "−2.00"]);
		model.set("sign", "absolute");
		await painted();
		expect(ends()).toEqual(["0", "2.00"]);
		model.set("maps", array("float32", [1, 1, 1], [0]));
		await painted();
		expect(ends()).toEqual(["all zero"]);
	});

	test.each([280, 180])("nothing overflows a column of %i px", async (column) => {
		const { el, model } = await show(
			{ title: "A title that is long ".repeat(4), width: 900 },
			{ width: column },
		);
		model.set("position", [0.5, 0.5]);
		await painted();
		expect(el.scrollWidth).toBeLessThanOrEqual(column);
		for (const node of el.querySelectorAll("button, input, canvas")) {
			expect(node.getBoundingClientRect().right).toBeLessThanOrEqual(el.getBoundingClientRect().right + 0.5);
		}
	});
});

test("has names for assistive technology, and announces the value when the pointer rests", async () => {
	const { $, stage, model, el } = await show({ title: "Relevance" });
	expect(stage.getAttribute("aria-label")).toBe("Relevance");
	expect(stage.getAttribute("aria-description")).toMatch(/Shift by ten/);
	for (const node of el.querySelectorAll("[role=combobox], input")) {
		expect(node.ariaLabel || node.labels[0]?.textContent).toBeTruthy();
	}
	model.set("position", [0.1, 0.1]);
	await expect.poll(() => $("[role=status]").textContent).toBe("row 0, column 0: −2.00");
});

test("the cleanup leaves no listener and no element behind", async () => {
	const { model, el, stage, unmount } = await show();
	expect(model.listeners).toBeGreaterThan(0);
	await unmount();
	expect(model.listeners).toBe(0);
	expect(el.childElementCount).toBe(0);
	point(stage, "pointermove", 0.5, 0.5);
	model.set("opacity", 0.1);
	await painted();
	expect(model.get("position")).toBeNull();
});
