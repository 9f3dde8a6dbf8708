import { afterEach, describe, expect, test } from "vitest";
import { userEvent } from "vitest/browser";
import gallery from "../src/gallery_view.js";
import { contour, resize } from "../src/lib/masks.js";
import widget from "../src/mask_view.js";
import { array, mount, painted } from "./model.js";

const HEIGHT = 2;
const WIDTH = 4;
const TOTAL = HEIGHT * WIDTH;
/** Three levels: gray, darker, and the image. */
const LEVELS = [
	Array.from({ length: TOTAL }, () => [120, 120, 120]),
	Array.from({ length: TOTAL }, (_, i) => [60, 10 * i, 200]),
	Array.from({ length: TOTAL }, (_, i) => [20 * i, 255 - 30 * i, 7]),
];
const AREAS = [0.05, 0.2, 0.5, 1];
const MASKS = [
	[255, 0, 0, 0, 0, 0, 0, 0],
	[255, 128, 64, 0, 0, 0, 0, 0],
	[255, 255, 200, 255, 31, 0, 0, 0],
	[255, 255, 255, 255, 255, 255, 255, 255],
];

const STATE = {
	levels: array("uint8", [3, HEIGHT, WIDTH, 3], LEVELS.flat(2)),
	masks: array("uint8", [4, HEIGHT, WIDTH], MASKS.flat()),
	areas: array("float32", [4], AREAS),
	area: 0.2,
	frame: -1,
	ready: [],
	best: null,
	display: "preserved",
	mode: "preserved",
	note: "",
	caption: "",
	interpolation: "pixelated",
	position: null,
	show_image: true,
	controls: true,
	width: 300,
	title: "",
};

/** @type {(() => Promise<void>)[]} */
const mounted = [];
afterEach(async () => {
	for (const unmount of mounted.splice(0)) await unmount();
});

/** @param {Record<string, unknown>} [state] @param {{width?: number}} [options] */
async function show(state = {}, options) {
	const view = await mount(widget, { ...STATE, ...state }, options);
	mounted.push(view.unmount);
	await painted();
	const $ = (/** @type {string} */ selector) => view.el.querySelector(selector);
	const imageCanvas = $(".xw-stage > canvas");
	/** The colors at the centers of all pixels of the image. */
	const pixels = () =>
		Array.from({ length: TOTAL }, (_, i) => {
			const x = Math.floor((((i % WIDTH) + 0.5) / WIDTH) * imageCanvas.width);
			const y = Math.floor(((Math.floor(i / WIDTH) + 0.5) / HEIGHT) * imageCanvas.height);
			return [...imageCanvas.getContext("2d").getImageData(x, y, 1, 1).data.subarray(0, 3)];
		});
	const set = async (/** @type {Record<string, unknown>} */ values) => {
		for (const [name, value] of Object.entries(values)) view.model.set(name, value);
		await painted();
	};
	return { ...view, $, pixels, set, stage: $(".xw-stage"), slider: $("input[type=range]") };
}

/** The definition: the levels at m (L - 1), linearly. @param {number[]} mask */
function expected(mask) {
	return mask.map((value, i) => {
		const position = (value / 255) * (LEVELS.length - 1);
		const low = Math.min(Math.floor(position), LEVELS.length - 2);
		return LEVELS[low][i].map((c, k) => Math.round(c + (position - low) * (LEVELS[low + 1][i][k] - c)));
	});
}

describe("the image", () => {
	test("preserved, deleted and the mask are their definitions at every area", async () => {
		const { pixels, set } = await show();
		for (const [index, area] of AREAS.entries()) {
			await set({ area, display: "preserved" });
			expect(pixels()).toEqual(expected(MASKS[index]));
			await set({ display: "deleted" });
			expect(pixels()).toEqual(expected(MASKS[index].map((value) => 255 - value)));
			await set({ display: "mask" });
			expect(pixels()).toEqual(MASKS[index].map((value) => [value, value, value]));
		}
	});

	test("the outline keeps the preserved part and dims the rest", async () => {
		const { pixels, set } = await show({ area: 1, display: "outline" });
		expect(pixels()).toEqual(LEVELS[2]);
		await set({ area: 0.05 });
		// The last pixel is far from the line.
		expect(pixels()[7]).toEqual(LEVELS[2][7].map((c) => Math.round(0.55 * c)));
	});

	test("the nearest area that is ready is shown, of two the smaller", async () => {
		const { pixels, set, $ } = await show({ area: 0.3, ready: [true, true, false, true] });
		expect(pixels()).toEqual(expected(MASKS[1]));
		await set({ area: 0.55 });
		expect(pixels()).toEqual(expected(MASKS[1]));
		expect($(".xw-amount").textContent).toBe("area 20 % preserved");
		await set({ area: 0.6 });
		expect(pixels()).toEqual(expected(MASKS[1]));
		await set({ area: 0.61 });
		expect(pixels()).toEqual(expected(MASKS[3]));
		await set({ ready: [] });
		expect(pixels()).toEqual(expected(MASKS[2]));
	});

	test("without masks the image is veiled, until they come", async () => {
		const { pixels, set, $, slider } = await show({ masks: null, ready: [] });
		expect(pixels()).toEqual(LEVELS[2]);
		expect($(".xw-amount").textContent).toBe("no mask yet");
		expect($(".xw-note.xw-veil").textContent).toBe("not computed yet");
		expect(slider.disabled).toBe(true);
		await set({ masks: STATE.masks, ready: [false, false, false, false] });
		expect(pixels()).toEqual(LEVELS[2]);
		await set({ ready: [false, true, false, false] });
		expect(pixels()).toEqual(expected(MASKS[1]));
		expect(slider.disabled).toBe(false);
	});

	test("no image: words; arrays that do not fit: an error, and the view recovers", async () => {
		const { set, $, pixels } = await show({ levels: null });
		expect($(".xw-message").textContent).toMatch(/No image yet/);
		await set({ levels: STATE.levels, masks: array("uint8", [1, 1, 1], [0]) });
		expect($("[role=alert]").textContent).toMatch(/masks .* shape \[1, 1, 1\], expected .*\[4, any, any\]/);
		await set({ masks: STATE.masks });
		expect($("[role=alert]")).toBeNull();
		expect(pixels()).toEqual(expected(MASKS[1]));
	});

	test("a coarse mask is enlarged bilinearly", async () => {
		const { pixels } = await show({
			masks: array("uint8", [1, 1, 2], [0, 200]),
			areas: array("float32", [1], [1]),
		});
		const row = [0, 50, 150, 200];
		expect(pixels()).toEqual(expected([...row, ...row]));
	});
});

describe("pointer and keys", () => {
	test("the slider stops at the areas that are ready", async () => {
		const { model, slider, $ } = await show({ ready: [true, true, false, true] });
		for (const [value, area] of [
			[0.01, 0.05],
			[0.15, 0.2],
			[0.5, 0.2],
			[0.8, 1],
		]) {
			slider.value = String(value);
			slider.dispatchEvent(new Event("input", { bubbles: true }));
			expect(model.get("area")).toBe(area);
			expect(slider.valueAsNumber).toBe(area);
		}
		expect($(".xw-area .xw-number").textContent).toBe("100 %");
		expect(model.saved).not.toHaveLength(0);
	});

	test("keys on the image and on the slider", async () => {
		const { model, stage, slider } = await show({ area: 0.06, ready: [true, true, false, true], best: 0.2 });
		for (const node of [stage, slider]) {
			node.focus();
			await userEvent.keyboard("{ArrowRight}");
			expect(model.get("area")).toBe(0.2);
			await userEvent.keyboard("{ArrowUp}{ArrowUp}");
			expect(model.get("area")).toBe(1);
			await userEvent.keyboard("{ArrowLeft}");
			expect(model.get("area")).toBe(0.2);
			await userEvent.keyboard("{End}");
			expect(model.get("area")).toBe(1);
			await userEvent.keyboard("{Home}{ArrowDown}");
			expect(model.get("area")).toBe(0.05);
		}
		stage.focus();
		await userEvent.keyboard("b");
		expect(model.get("area")).toBe(0.2);
		for (const display of ["deleted", "outline", "mask", "preserved"]) {
			await userEvent.keyboard("d");
			expect(model.get("display")).toBe(display);
		}
	});

	test("the star stands at the best area and leads to it", async () => {
		const { model, $, set, slider } = await show({ best: 0.5 });
		const star = $(".xw-best");
		await userEvent.click(star);
		expect(model.get("area")).toBe(0.5);
		const middle = (node) => node.getBoundingClientRect().left + node.getBoundingClientRect().width / 2;
		// The largest area is 1: a half is the middle of the slider.
		expect(middle(star)).toBeCloseTo(middle(slider), 0);
		await set({ best: null });
		expect(star.checkVisibility()).toBe(false);
	});

	test("a tick for each area, dimmed until its mask is there", async () => {
		const { el, set } = await show({ ready: [true, false, true, true] });
		const absent = () =>
			[...el.querySelectorAll(".xw-tick")].map((tick) => tick.classList.contains("xw-absent"));
		expect(absent()).toEqual([false, true, false, false]);
		await set({ ready: [] });
		expect(absent()).toEqual([false, false, false, false]);
	});

	test("the readout shows the mask at the mark; a screen reader announces the area", async () => {
		const { $, set, stage } = await show();
		expect(stage.getAttribute("aria-valuetext")).toBe("area 20 % preserved");
		await set({ position: [0.3, 0.1], area: 0.21 });
		expect($(".xw-position").textContent).toBe("row 0, col 1: 0.50");
		await set({ display: "deleted" });
		expect($(".xw-amount").textContent).toBe("area 20 % deleted");
	});
});

describe("words", () => {
	test("mode and display follow each other; outline and mask leave the mode", async () => {
		const { model, $, set, pixels } = await show({ display: "outline" });
		await set({ mode: "deleted" });
		expect(model.get("display")).toBe("outline");
		expect($(".xw-amount").textContent).toBe("area 20 % deleted");
		await set({ display: "preserved" });
		expect(model.get("mode")).toBe("preserved");
		await set({ mode: "deleted" });
		expect(model.get("display")).toBe("deleted");
		expect(pixels()).toEqual(expected(MASKS[1].map((value) => 255 - value)));
		await set({ display: "mask" });
		expect([model.get("mode"), $(".xw-amount").textContent]).toEqual(["deleted", "area 20 % deleted"]);
	});

	test("a note lies at the border of the image, and on the veil where there is no mask", async () => {
		const { $, set, stage } = await show({ note: "the map is constant" });
		const [note, image] = [$(".xw-note"), stage].map((node) => node.getBoundingClientRect());
		expect($(".xw-note").textContent).toBe("the map is constant");
		expect(note.bottom).toBeCloseTo(image.bottom, 0);
		await set({ masks: null });
		expect($(".xw-note").getBoundingClientRect().height).toBeCloseTo(image.height, 0);
		await set({ masks: STATE.masks, note: "" });
		expect($(".xw-note").checkVisibility()).toBe(false);
		await set({ levels: null, note: "words" });
		expect($(".xw-note").checkVisibility()).toBe(false);
	});

	test("a caption stands below the slider", async () => {
		const { $, set } = await show();
		expect($(".xw-caption").checkVisibility()).toBe(false);
		await set({ caption: "★ smallest sufficient area (a*)" });
		expect($(".xw-caption").getBoundingClientRect().top).toBeGreaterThanOrEqual(
			$(".xw-area").getBoundingClientRect().bottom,
		);
	});

	test.each([200, 240, 280, 400])("at %i px the buttons stand in full rows", async (width) => {
		const { el } = await show({ width: 0 }, { width });
		const tops = [...el.querySelectorAll(".xw-segments > button")].map((node) =>
			Math.round(node.getBoundingClientRect().top),
		);
		expect(tops).toHaveLength(4);
		const rows = [...new Set(tops)].map((top) => tops.filter((each) => each === top).length);
		expect(new Set(rows).size).toBe(1);
		expect(el.scrollWidth).toBeLessThanOrEqual(width);
	});
});

describe("the line", () => {
	/** Whether a position, in pixels of the mask, is on the line. */
	const on = (path, x, y) => {
		const context = new OffscreenCanvas(1, 1).getContext("2d");
		context.lineWidth = 0.02;
		return context.isPointInStroke(path, x, y);
	};

	test("it lies where the mask is a half between the centers of pixels", () => {
		// 255 in the first two columns, 0 in the other two, and a ramp in the last row.
		const data = Uint8Array.from([255, 255, 0, 0, 255, 255, 0, 0, 255, 255, 51, 0]);
		const path = contour({ shape: [3, 4], data });
		expect(on(path, 2, 1)).toBe(true);
		expect(on(path, 1.5 + 127.5 / 204, 2.5)).toBe(true);
		expect(on(path, 1, 1)).toBe(false);
		// It closes at the border.
		expect(on(path, 0, 1.5)).toBe(true);
		expect(on(path, 1, 0)).toBe(true);
	});

	test("a mask without a half has none", () => {
		const empty = contour({ shape: [3, 3], data: new Uint8Array(9) });
		expect(on(empty, 0, 1.5)).toBe(false);
	});
});

test("a mask of the size of the image is not copied", () => {
	const mask = { shape: [2, 2], data: new Uint8Array(4) };
	expect(resize(mask, 2, 2)).toBe(mask);
});

test("nothing overflows a column of 280 px, and controls can be left out", async () => {
	const { el, model, $ } = await show({ width: 0, position: [0.5, 0.5], best: 1 }, { width: 280 });
	expect(el.scrollWidth).toBeLessThanOrEqual(280);
	for (const node of el.querySelectorAll("button, input, canvas")) {
		expect(node.getBoundingClientRect().right).toBeLessThanOrEqual(el.getBoundingClientRect().right + 0.5);
	}
	model.set("controls", false);
	await painted();
	expect($(".xw-tools").checkVisibility()).toBe(false);
});

test("in a column of 146 px it still shows its description", async () => {
	const { $ } = await show(
		{ width: 260, area: 0.05, areas: array("float32", [4], [0.025, 0.2, 0.5, 1]) },
		{ width: 146 },
	);
	const [row, words] = [$(".xw-readout"), $(".xw-amount")].map((node) => node.getBoundingClientRect());
	expect($(".xw-amount").textContent).toBe("area 2.5 % preserved");
	expect(words.right).toBeLessThanOrEqual(row.right);
});

test("controls stand alone, in a row where there is room, and move the linked views", async () => {
	const _channels = { area: "areas", display: "displays" };
	const lane = await show({ _channels, controls: false });
	const bar = await show({ _channels, levels: null, show_image: false, width: 0 });
	expect(bar.stage.checkVisibility()).toBe(false);
	expect(bar.$(".xw-readout").checkVisibility()).toBe(false);
	const [area, displays] = [bar.$(".xw-area"), bar.$(".xw-segments")].map((node) =>
		node.getBoundingClientRect(),
	);
	expect(area.right).toBeLessThanOrEqual(displays.left);
	expect(area.bottom).toBeGreaterThan(displays.top);
	bar.slider.focus();
	await userEvent.keyboard("{ArrowRight}");
	expect(lane.model.get("area")).toBe(0.5);
	const deleted = [...bar.el.querySelectorAll("button")].find((node) => node.textContent === "Deleted");
	await userEvent.click(deleted);
	await painted();
	expect(lane.pixels()).toEqual(expected(MASKS[2].map((value) => 255 - value)));
	await bar.set({ show_image: true, levels: STATE.levels });
	expect(bar.pixels()).toEqual(lane.pixels());
});

test("the cleanup leaves no listener and no element behind", async () => {
	const { model, el, unmount } = await show();
	expect(model.listeners).toBeGreaterThan(0);
	await unmount();
	expect(model.listeners).toBe(0);
	expect(el.childElementCount).toBe(0);
});

describe("the frame", () => {
	test("is the index of the mask that is drawn, and -1 where there is none", async () => {
		const { model, set } = await show();
		expect(model.get("frame")).toBe(1);
		await set({ area: 0.45 });
		expect([model.get("frame"), model.get("area")]).toEqual([2, 0.45]);
		await set({ ready: [true, true, false, true] });
		expect(model.get("frame")).toBe(1);
		await set({ masks: null });
		expect([model.get("frame"), model.get("area")]).toEqual([-1, 0.45]);
	});

	test("set from outside it chooses the area of its mask", async () => {
		const { model, pixels, set } = await show();
		await set({ frame: 3 });
		expect(model.get("area")).toBe(1);
		expect(pixels()).toEqual(expected(MASKS[3]));
	});

	test.each([-1, 2, 4])(
		"frame %i, where no mask is ready, goes back to the one that is drawn",
		async (frame) => {
			const { model, pixels, set } = await show({ ready: [true, true, false, true] });
			await set({ frame });
			expect([model.get("frame"), model.get("area")]).toEqual([1, 0.2]);
			expect(pixels()).toEqual(expected(MASKS[1]));
			await set({ area: 0.05 });
			expect(model.get("frame")).toBe(0);
		},
	);

	test("is -1 as long as nothing is drawn", async () => {
		const { model, set } = await show({ masks: null });
		await set({ frame: 2 });
		expect([model.get("frame"), model.get("area")]).toEqual([-1, 0.2]);
		await set({ masks: STATE.masks });
		expect(model.get("frame")).toBe(1);
	});
});

describe("the frame joined to others", () => {
	const _channels = { frame: "strip" };

	test("Escape in a gallery leaves the mask that is drawn chosen there too", async () => {
		const mask = await show({ _channels });
		const images = array("uint8", [4, 1, 1, 3], new Uint8Array(12));
		const state = {
			labels: [],
			columns: 0,
			row_labels: [],
			frame: 1,
			marked: -1,
			values: null,
			value_limits: [0, 1],
		};
		const look = { size: 64, interpolation: "pixelated", width: 0, title: "" };
		const strip = await mount(gallery, { images, ...state, ...look, _channels });
		mounted.push(strip.unmount);
		await painted();
		const chosen = () =>
			[...strip.el.querySelectorAll("[role=option]")].map((node) => node.ariaSelected).indexOf("true");
		strip.el.querySelector("[role=listbox]").focus();
		await userEvent.keyboard("{ArrowRight}");
		expect([mask.model.get("area"), mask.model.get("frame"), chosen()]).toEqual([0.5, 2, 2]);
		await userEvent.keyboard("{Escape}");
		await painted();
		expect([mask.model.get("area"), mask.model.get("frame"), chosen()]).toEqual([0.5, 2, 2]);
		expect(strip.model.get("frame")).toBe(2);
		expect(mask.pixels()).toEqual(expected(MASKS[2]));
		await mask.set({ masks: null });
		expect([strip.model.get("frame"), chosen()]).toEqual([-1, -1]);
	});

	test("two views that have no mask in common come to rest", async () => {
		const first = await show({ _channels, ready: [true, false, false, false] });
		const second = await show({ _channels, ready: [false, true, false, false] });
		await first.set({ frame: 3 });
		expect([first.model.get("frame"), second.model.get("frame")]).toEqual([0, 1]);
		expect(first.pixels()).toEqual(expected(MASKS[0]));
		expect(second.pixels()).toEqual(expected(MASKS[1]));
	});
});
