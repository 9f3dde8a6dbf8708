import { afterEach, describe, expect, test } from "vitest";
import gallery from "../src/gallery_view.js";
import heatmap from "../src/heatmap_view.js";
import { limited, MAX_ZOOM, panned, placed, toFrame, toImage, WHOLE, zoomed } from "../src/lib/viewport.js";
import mapGrid from "../src/map_grid_view.js";
import { array, mount, painted } from "./model.js";

/** @type {(() => Promise<void>)[]} */
const mounted = [];
afterEach(async () => {
	for (const unmount of mounted.splice(0)) await unmount();
});

describe("positions", () => {
	const viewport = [0.7, 0.3, 4];

	test("the frame shows a part of the image, and both ways agree", () => {
		expect(toImage(viewport, [0.5, 0.5])).toEqual([0.7, 0.3]);
		expect(toImage(viewport, [0, 1])).toEqual([0.575, 0.425]);
		const [x, y] = toFrame(viewport, toImage(viewport, [0.2, 0.9]));
		expect(x).toBeCloseTo(0.2, 12);
		expect(y).toBeCloseTo(0.9, 12);
	});

	test("what is under the pointer stays there while it is magnified", () => {
		const at = [0.8, 0.4];
		const before = toImage(viewport, at);
		const after = toImage(zoomed(viewport, 2, at), at);
		expect(after[0]).toBeCloseTo(before[0], 12);
		expect(after[1]).toBeCloseTo(before[1], 12);
	});

	test("the part never reaches beyond the image", () => {
		expect(limited([0, 1, 2])).toEqual([0.25, 0.75, 2]);
		expect(panned([0.5, 0.5, 2], [9, -9])).toEqual([0.25, 0.75, 2]);
		expect(panned([0.5, 0.5, 2], [0.1, 0])).toEqual([0.45, 0.5, 2]);
		expect(zoomed([0.9, 0.9, 10], 1 / 5, [0, 0])).toEqual([0.75, 0.75, 2]);
		expect(zoomed([0.9, 0.9, 2], 1 / 3, [1, 1])).toBe(WHOLE);
		expect(zoomed([0.5, 0.5, 20], 9, [0.5, 0.5])[2]).toBe(MAX_ZOOM);
	});

	test("the image is drawn larger than the canvas, shifted", () => {
		expect(placed([0.5, 0.25, 2], 100, 60)).toEqual({ left: -50, top: 0, width: 200, height: 120 });
	});
});

const STATE = {
	image: null,
	images: null,
	maps: array("float32", [1, 2, 2], [-2, 1, 0, 2]),
	...{
		labels: [],
		frame: 0,
		groups: 1,
		group: 0,
		colormap: "blue_orange",
		opacity: 1,
		fade: false,
		gray: false,
	},
	...{ sign: "both", percentile: 100, limit: null, interpolation: "pixelated", position: null },
	...{ viewport: [0.5, 0.5, 1], controls: true, width: 300, title: "" },
};

/** @param {Record<string, unknown>} [state] */
async function show(state = {}) {
	const view = await mount(heatmap, { ...STATE, ...state });
	mounted.push(view.unmount);
	await painted();
	const stage = /** @type {HTMLElement} */ (view.el.querySelector(".xw-stage"));
	// Synthetic pointers cannot be captured.
	stage.setPointerCapture = () => {};
	const [canvas] = view.el.querySelectorAll("canvas");
	const pixel = (/** @type {number} */ x, /** @type {number} */ y) => [
		...canvas.getContext("2d").getImageData(Math.floor(x * canvas.width), Math.floor(y * canvas.height), 1, 1)
			.data,
	];
	const badge = /** @type {HTMLElement} */ (view.el.querySelector(".xw-zoom"));
	return { ...view, stage, pixel, badge, viewport: () => view.model.get("viewport") };
}

/** @param {Element} node @param {string} type @param {number} x @param {number} y @param {object} [init] */
function point(node, type, x, y, init) {
	const { left, top, width, height } = node.getBoundingClientRect();
	const at = { clientX: left + x * width, clientY: top + y * height };
	const Kind = type === "wheel" ? WheelEvent : type.includes("click") ? MouseEvent : PointerEvent;
	const event = new Kind(type, {
		...{ bubbles: true, cancelable: true, pointerType: "mouse", pointerId: 1 },
		...at,
		...init,
	});
	node.dispatchEvent(event);
	return event;
}

/** @param {Element} node @param {number[]} from @param {number[]} to @param {object} [init] */
function drag(node, from, to, init = {}) {
	point(node, "pointerdown", from[0], from[1], { buttons: 1, ...init });
	point(node, "pointermove", (from[0] + to[0]) / 2, (from[1] + to[1]) / 2, { buttons: 1, ...init });
	point(node, "pointermove", to[0], to[1], { buttons: 1, ...init });
	point(node, "pointerup", to[0], to[1], init);
}

describe("a heat map", () => {
	test("shows the part, with edges between its cells as sharp as before", async () => {
		const whole = await show();
		const lowerRight = whole.pixel(0.75, 0.75);
		const { pixel } = await show({ viewport: [0.75, 0.75, 2] });
		for (const [x, y] of [
			[0.02, 0.02],
			[0.5, 0.5],
			[0.98, 0.98],
		]) {
			expect(pixel(x, y)).toEqual(lowerRight);
		}
		const middle = await show({ viewport: [0.5, 0.5, 8] });
		expect(middle.pixel(0.49, 0.49)).toEqual(whole.pixel(0.25, 0.25));
		expect(middle.pixel(0.51, 0.51)).toEqual(lowerRight);
	});

	test("Ctrl and the wheel zoom where the pointer is; the wheel alone scrolls the page until then", async () => {
		const { stage, viewport } = await show();
		expect(point(stage, "wheel", 1, 1, { deltaY: -100 }).defaultPrevented).toBe(false);
		expect(viewport()).toEqual(WHOLE);
		expect(point(stage, "wheel", 1, 1, { deltaY: -100, ctrlKey: true }).defaultPrevented).toBe(true);
		const [x, y, zoom] = viewport();
		expect(zoom).toBeCloseTo(Math.SQRT2, 6);
		expect([x, y]).toEqual([1 - 0.5 / zoom, 1 - 0.5 / zoom]);
		expect(point(stage, "wheel", 0.5, 0.5, { deltaY: -100 }).defaultPrevented).toBe(true);
		expect(viewport()[2]).toBeGreaterThan(zoom);
	});

	test("a page that is scrolled over a zoomed image goes on", async () => {
		const { stage, viewport } = await show({ viewport: [0.5, 0.5, 3] });
		point(document.body, "wheel", 0, 0, { deltaY: 100 });
		expect(point(stage, "wheel", 0.5, 0.5, { deltaY: 100 }).defaultPrevented).toBe(false);
		expect(viewport()).toEqual([0.5, 0.5, 3]);
	});

	test("a drag moves the zoomed image and leaves the mark; a click marks what is there", async () => {
		const { stage, model, viewport } = await show({ viewport: [0.5, 0.5, 2] });
		drag(stage, [0.3, 0.3], [0.5, 0.4]);
		expect(viewport()[0]).toBeCloseTo(0.4, 6);
		expect(viewport()[1]).toBeCloseTo(0.45, 6);
		expect(model.get("position")).toBe(null);
		point(stage, "pointerdown", 1, 0.5, { buttons: 1 });
		point(stage, "pointerup", 1, 0.5);
		expect(model.get("position")[0]).toBeCloseTo(0.65, 6);
		expect(model.get("position")[1]).toBeCloseTo(0.45, 6);
		await painted();
	});

	test("two fingers zoom", async () => {
		const { stage, viewport, model } = await show();
		const touch = { pointerType: "touch", buttons: 1 };
		point(stage, "pointerdown", 0.4, 0.5, { ...touch, pointerId: 1 });
		point(stage, "pointerdown", 0.6, 0.5, { ...touch, pointerId: 2 });
		point(stage, "pointermove", 0.2, 0.5, { ...touch, pointerId: 1 });
		point(stage, "pointermove", 0.8, 0.5, { ...touch, pointerId: 2 });
		expect(viewport()[2]).toBeCloseTo(3, 4);
		expect(viewport()[0]).toBeCloseTo(0.5, 4);
		expect(model.get("position")).toBe(null);
	});

	test("keys and the badge", async () => {
		const { stage, viewport, badge } = await show({ position: [0.75, 0.75] });
		const press = (/** @type {string} */ key, init = {}) =>
			stage.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...init }));
		expect(badge.hidden).toBe(true);
		press("z");
		expect(viewport()[2]).toBe(1.5);
		// The mark stays where it was.
		expect(toFrame(viewport(), [0.75, 0.75])[0]).toBeCloseTo(0.75, 12);
		expect(badge.textContent).toBe("1.5×");
		const [x] = viewport();
		press("ArrowLeft", { altKey: true });
		expect(viewport()[0]).toBeLessThan(x);
		press("Z", { shiftKey: true });
		expect(viewport()).toEqual(WHOLE);
		press("z");
		press("0");
		expect(viewport()).toEqual(WHOLE);
		press("z");
		badge.click();
		expect(viewport()).toEqual(WHOLE);
		expect(badge.hidden).toBe(true);
		press("z");
		point(stage, "dblclick", 0.5, 0.5);
		expect(viewport()).toEqual(WHOLE);
	});

	test("a view that goes listens no more", async () => {
		const { unmount, model, stage } = await show({ viewport: [0.5, 0.5, 2] });
		await unmount();
		mounted.length = 0;
		expect(model.listeners).toBe(0);
		point(stage, "wheel", 0.5, 0.5, { deltaY: -100 });
		expect(model.get("viewport")).toEqual([0.5, 0.5, 2]);
	});
});

test("the cells of a table zoom together, and a drag enlarges none", async () => {
	const view = await mount(mapGrid, {
		...{ images: null, row_labels: [], column_labels: [], column_captions: [], states: [["done", "done"]] },
		...{
			notes: [["", ""]],
			row: -1,
			column: -1,
			enlarged: false,
			position: null,
			pins: [],
			measure: "pearson",
		},
		...{
			scale: "cell",
			percentile: 100,
			sign: "both",
			colormap: "auto",
			opacity: 1,
			fade: false,
			gray: true,
		},
		...{
			interpolation: "pixelated",
			viewport: [0.75, 0.75, 2],
			size: 160,
			controls: true,
			width: 0,
			title: "",
		},
		_visible_rows: [],
		_map_0_0: array("float32", [2, 2], [1, 2, 3, 4]),
		_map_0_1: array("float32", [2, 2], [4, 3, 2, 1]),
	});
	mounted.push(view.unmount);
	await painted();
	const [first, second] = view.el.querySelectorAll(".xw-map-stage");
	const grid = /** @type {HTMLElement} */ (view.el.querySelector(".xw-map-grid"));
	grid.setPointerCapture = () => {};
	for (const stage of [first, second]) {
		const box = stage.getBoundingClientRect();
		const canvas = /** @type {Element} */ (stage.querySelector(".xw-map")).getBoundingClientRect();
		expect(canvas.width).toBeCloseTo(2 * box.width, 3);
		expect(canvas.right).toBeCloseTo(box.right, 3);
		expect(canvas.bottom).toBeCloseTo(box.bottom, 3);
	}
	point(second, "pointermove", 0, 0);
	expect(view.model.get("position").map((/** @type {number} */ part) => Math.round(100 * part))).toEqual([
		50, 50,
	]);
	drag(second, [0.2, 0.2], [0.7, 0.7]);
	point(second, "click", 0.7, 0.7);
	expect(view.model.get("enlarged")).toBe(false);
	expect(view.model.get("viewport")).toEqual([0.5, 0.5, 2]);
});

test("the images of a gallery zoom together; a drag moves them and chooses none", async () => {
	const view = await mount(gallery, {
		...{ images: array("uint8", [2, 2, 2, 3], Array(24).fill(90)), labels: [], columns: 0, row_labels: [] },
		...{ frame: -1, marked: -1, values: null, value_limits: [0, 1], active: null, present: null },
		...{ compact: false, step: 0, size: 80, interpolation: "pixelated", viewport: [0.75, 0.75, 2] },
		...{ width: 0, title: "" },
	});
	mounted.push(view.unmount);
	await painted();
	const list = /** @type {HTMLElement} */ (view.el.querySelector("[role=listbox]"));
	list.setPointerCapture = () => {};
	const frames = [...view.el.querySelectorAll(".xw-gallery-frame")];
	expect(frames.length).toBe(2);
	for (const frame of frames) {
		const [box, image] = [frame, frame.firstElementChild].map((node) => node.getBoundingClientRect());
		expect(box.width).toBeCloseTo(80, 3);
		expect(box.height).toBeCloseTo(80, 3);
		expect(image.width).toBeCloseTo(160, 3);
		expect([image.right, image.bottom]).toEqual([box.right, box.bottom]);
	}
	drag(frames[1], [0.2, 0.2], [0.7, 0.7]);
	point(frames[1], "click", 0.7, 0.7);
	expect(view.model.get("viewport")).toEqual([0.5, 0.5, 2]);
	expect(view.model.get("frame")).toBe(-1);
	point(frames[0], "click", 0.5, 0.5);
	expect(view.model.get("frame")).toBe(0);
	point(frames[0], "wheel", 0.5, 0.5, { deltaY: -100, ctrlKey: true });
	expect(view.model.get("viewport")[2]).toBeGreaterThan(2);
	list.dispatchEvent(new KeyboardEvent("keydown", { key: "0", bubbles: true }));
	expect(view.model.get("viewport")).toEqual(WHOLE);
	expect(frames[0].firstElementChild.getBoundingClientRect().width).toBeCloseTo(80, 3);
});

describe("the value at the pointer", () => {
	test("stands beside the position, on the side with room, and follows the zoom", async () => {
		const { el, model, stage } = await show({ position: [0.25, 0.25] });
		const tip = /** @type {HTMLElement} */ (el.querySelector(".xw-tip"));
		expect(tip.textContent).toContain("−2");
		const place = () => [stage, tip].map((node) => node.getBoundingClientRect());
		let [frame, box] = place();
		expect(box.left).toBeGreaterThan(frame.left + 0.25 * frame.width);
		expect(box.top).toBeGreaterThan(frame.top + 0.25 * frame.height);
		model.set("viewport", [0.25, 0.25, 2]);
		await painted();
		[frame, box] = place();
		expect(box.left).toBeGreaterThan(frame.left + 0.5 * frame.width);
		model.set("position", [0.49, 0.49]);
		await painted();
		[frame, box] = place();
		expect(box.right).toBeLessThan(frame.left + 0.98 * frame.width);
		expect(box.bottom).toBeLessThan(frame.top + 0.98 * frame.height);
		// A mark out of sight has no tip.
		model.set("position", [0.9, 0.9]);
		await painted();
		expect(tip.hidden).toBe(true);
	});
});

describe("sentences over the image", () => {
	test("a note of the shown map, and a veil over one without values", async () => {
		const maps = array("float32", [2, 1, 2], [1, 2, Number.NaN, Number.NaN]);
		const { el, model } = await show({ maps, notes: ["The map does not depend on the image."], veil: "" });
		const note = /** @type {HTMLElement} */ (el.querySelector(".xw-note"));
		expect(note.textContent).toBe("The map does not depend on the image.");
		expect(note.classList.contains("xw-veil")).toBe(false);
		model.set("frame", 1);
		await painted();
		expect(note.textContent).toBe("not computed yet");
		expect(note.classList.contains("xw-veil")).toBe(true);
		model.set("frame", 0);
		model.set("notes", []);
		await painted();
		expect(note.hidden).toBe(true);
	});
});
