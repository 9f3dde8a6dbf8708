import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { userEvent } from "vitest/browser";
import { all, canvasBytes, find, ink, pointer, RISE, show, T, view, X } from "./curve.js";
import { array, painted } from "./model.js";

beforeEach(() => document.body.style.setProperty("--jp-layout-color0", "white"));
afterEach(() => view.unmount());

const set = async (/** @type {Record<string, unknown>} */ values) => {
	for (const [name, value] of Object.entries(values)) view.model.set(name, value);
	await painted();
	await painted();
};
/** Whether a red line of dots runs through this height, where no curve is. */
const redAt = (y) => Math.max(...[0.5, 0.51, 0.52, 0.53].map((x) => ink(x, y, 1))) > 100;
const RED = { color: "rgb(255, 0, 0)", label: "" };

describe("lines", () => {
	test("they are where their values are", async () => {
		await show({ lines: [{ y: 0.83, ...RED }] });
		expect(redAt(0.83)).toBe(true);
		expect(redAt(0.73)).toBe(false);
		await set({ lines: [{ y: 0.73, ...RED }] });
		expect(redAt(0.83)).toBe(false);
		expect(redAt(0.73)).toBe(true);
	});

	test("the axis makes room for them, and they follow a zoom", async () => {
		const level = X.map(() => 0.95);
		await show({ y: array("float32", [1, T], level), lines: [{ y: -1, ...RED }] });
		// Somewhere in the lowest third: the axis goes down below −1.
		const places = Array.from({ length: 70 }, (_, i) => i / 210);
		expect(places.some((y) => redAt(y))).toBe(true);
		await set({ lines: [{ y: 0.4, ...RED }] });
		expect(redAt(0.4)).toBe(true);
		pointer("pointerdown", 0.3, 0.9, { shiftKey: true });
		pointer("pointermove", 0.7, 0.5);
		pointer("pointerup", 0.7, 0.5);
		await painted();
		// 0.4 is below the present range.
		for (let y = 0; y < 1; y += 0.05) expect(redAt(y)).toBe(false);
	});

	test("their names are drawn at the right end", async () => {
		await show({
			y: array("float32", [1, T], RISE),
			series: [{ label: "a" }],
			frame: 9,
			lines: [{ y: 0.5, ...RED }],
		});
		expect(ink(0.93, 0.53, 6)).toBeLessThan(30);
		await set({ lines: [{ y: 0.5, ...RED, label: "MMMMMM" }] });
		expect(ink(0.93, 0.53, 6)).toBeGreaterThan(100);
	});

	/** A curve without a color, so that all ink is of the line and its name. */
	const beside = async (curve, options = {}) =>
		await show({
			y: array("float32", [1, T], X.map(curve)),
			series: [{ label: "a", color: "rgb(128, 128, 128)" }],
			lines: [{ y: 0.5, ...RED, label: "MMMMMM" }],
			...options,
		});
	/** Above and below the line, from the right to the left: whether a name stands there. */
	const names = (x) => [0.54, 0.46].map((y) => ink(x, y, 4) > 100);

	test("a name goes below its line where a curve runs above", async () => {
		await beside(() => 0.2);
		expect(names(0.95)).toEqual([true, false]);
		view.model.set(
			"y",
			array(
				"float32",
				[1, T],
				X.map(() => 0.53),
			),
		);
		await painted();
		await painted();
		expect(names(0.95)).toEqual([false, true]);
	});

	test("a name goes to the left where curves run on both sides, but not of hidden ones", async () => {
		const zigzag = (x) => (x < 0.7 ? 0.9 : Math.round(x * 100) % 2);
		await beside(zigzag);
		expect(names(0.95)).toEqual([false, false]);
		expect(names(0.62)).toEqual([true, false]);
		await set({ hidden: [0] });
		expect(names(0.95)).toEqual([true, false]);
	});

	test("names of lines close together are apart", async () => {
		const line = (y) => ({ y, ...RED, label: "MMMMMM" });
		await beside(() => 0.58, { lines: [line(0.55), line(0.44)] });
		// The upper name is below its line, where the lower name would stand but for it.
		expect([0.58, 0.51, 0.4].map((y) => ink(0.95, y, 3) > 100)).toEqual([false, true, true]);
		await set({ lines: [line(0.52), line(0.5)], hidden: [0] });
		expect([0.56, 0.46].map((y) => ink(0.95, y, 3) > 100)).toEqual([true, true]);
	});

	test("where curves are everywhere the name stays at the right end", async () => {
		await beside((x) => Math.round(x * 100) % 2);
		expect(names(0.95)).toEqual([true, false]);
	});

	test("a screen reader announces them", async () => {
		await show({ lines: [{ y: 0.5, label: "Φ₀" }] });
		expect(find(".xw").getAttribute("aria-description")).toBe("Φ₀: 0.500");
	});
});

describe("marks", () => {
	const MARKS = [
		{ x: 0.1, label: "a* = 10 %" },
		{ x: 0.75, label: "b" },
	];

	test("a click or Enter on one moves the cursor there, and nowhere else", async () => {
		await show({ marks: MARKS });
		const [first, second] = all(".xw-mark");
		await userEvent.click(second);
		expect(view.model.get("fraction")).toBe(0.75);
		first.focus();
		await userEvent.keyboard("{Enter}");
		expect(view.model.get("fraction")).toBe(0.1);
		expect(all(".xw-mark").map((mark) => mark.ariaLabel)).toEqual(["a* = 10 %", "b"]);
	});

	test("they stand over their x, and go away where a zoom leaves them out", async () => {
		await show({ marks: MARKS });
		const over = find(".u-over").getBoundingClientRect();
		for (const [at, mark] of all(".xw-mark").entries()) {
			const { left, width, bottom } = mark.getBoundingClientRect();
			expect((left + width / 2 - over.left) / over.width).toBeCloseTo(MARKS[at].x, 1);
			expect(bottom).toBeLessThanOrEqual(over.top);
		}
		pointer("pointerdown", 0.5, 0.5, { shiftKey: true });
		pointer("pointermove", 0.9, 0.5);
		pointer("pointerup", 0.9, 0.5);
		await painted();
		expect(all(".xw-mark").map((mark) => mark.checkVisibility())).toEqual([false, true]);
	});

	test("x need not begin at 0", async () => {
		const x = X.map((value) => 2 + 4 * value);
		await show({ x: array("float32", [T], x), marks: [{ x: 3, label: "c" }] });
		await userEvent.click(find(".xw-mark"));
		expect(view.model.get("fraction")).toBe(0.25);
	});

	test("they come and go, and none is left", async () => {
		await show({ marks: MARKS });
		const before = canvasBytes();
		await set({ marks: [] });
		expect(all(".xw-mark")).toHaveLength(0);
		expect(canvasBytes()).not.toEqual(before);
		await set({ marks: MARKS });
		await vi.waitUntil(() => all(".xw-mark").length === 2);
	});
});

describe("few samples", () => {
	/** How wide the ink is just beside the sample at the middle: a point is wider than the line. */
	const dotted = async (count) => {
		const x = Array.from({ length: count }, (_, i) => i / (count - 1));
		const level = x.map(() => 0.5);
		await show({
			x: array("float32", [count], x),
			y: array("float32", [1, count], level),
			series: [{ label: "a" }],
			frame: 9,
			fraction: 0,
		});
		const rect = find(".u-over").getBoundingClientRect();
		return ink(0.5, 0.5 + 2 / rect.height, 0) > 60;
	};

	test("each is a point, many are a line", async () => {
		expect(await dotted(11)).toBe(true);
		await view.unmount();
		expect(await dotted(41)).toBe(false);
	});
});
