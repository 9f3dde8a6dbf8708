import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { userEvent } from "vitest/browser";
import {
	all,
	canvasBytes,
	FALL,
	FLAT,
	find,
	ink,
	pointer,
	RISE,
	SERIES,
	show,
	state,
	T,
	texts,
	view,
	X,
} from "./curve.js";
import { array, painted } from "./model.js";

beforeEach(() => document.body.style.setProperty("--jp-layout-color0", "white"));
afterEach(() => view.unmount());

describe("drawing", () => {
	test("curves are where their values are", async () => {
		await show();
		expect(ink(0.3, 0.3)).toBeGreaterThan(60);
		expect(ink(0.85, 0.15)).toBeGreaterThan(60);
		expect(ink(0.85, 0.5)).toBeLessThan(10);
	});

	test("nothing is drawn for NaN, and values appear as they arrive, on the same canvas", async () => {
		const half = RISE.map((value, step) => (step < 50 ? value : Number.NaN));
		await show({ y: array("float32", [1, T], half), series: SERIES.slice(1, 2), mode: "insertion" });
		const canvas = find("canvas");
		expect(ink(0.3, 0.3)).toBeGreaterThan(60);
		expect(ink(0.75, 0.75)).toBeLessThan(10);
		view.model.set("y", array("float32", [1, T], RISE));
		await vi.waitUntil(() => ink(0.75, 0.75) > 60);
		expect(find("canvas")).toBe(canvas);
	});

	test("a single value is seen", async () => {
		const one = X.map((_, step) => (step === 40 ? 0.5 : Number.NaN));
		await show({ y: array("float32", [1, T], one), series: [{ label: "one" }] });
		expect(ink(0.4, 0.5)).toBeGreaterThan(60);
	});

	test("a curve is solid or dashed", async () => {
		const gaps = async (style) => {
			const level = X.map(() => 0.55);
			await show({ y: array("float32", [1, T], level), series: [{ label: "a", style }], frame: 9 });
			let empty = 0;
			for (let x = 0.1; x < 0.9; x += 0.002) if (ink(x, 0.55, 1) < 30) empty++;
			return empty / 400;
		};
		expect(await gaps("solid")).toBe(0);
		await view.unmount();
		// 4 of each 10 px are empty, minus the soft ends and the size of the probe.
		expect(await gaps("dashed")).toBeGreaterThan(0.08);
	});

	test("one frame has one color, other frames another", async () => {
		await show();
		const strokes = all(".xw-swatch path").map((path) => getComputedStyle(path).stroke);
		expect(strokes[0]).toBe(strokes[1]);
		expect(strokes[2]).not.toBe(strokes[0]);
	});

	test("values outside [0, 1] widen the axis", async () => {
		await show({
			y: array(
				"float32",
				[1, T],
				X.map((x) => 10 * x - 5),
			),
			series: [{ label: "a" }],
		});
		expect(ink(0.5, 0.5)).toBeGreaterThan(60);
	});

	test("curves come and go", async () => {
		await show();
		view.model.set("y", array("float32", [1, T], RISE));
		view.model.set("series", [SERIES[1]]);
		await vi.waitUntil(() => all(".xw-legend li").length === 1);
		expect(ink(0.3, 0.7)).toBeLessThan(10);
		view.model.set("y", array("float32", [3, T], [...RISE, ...FLAT, ...FALL]));
		await vi.waitUntil(() => all(".xw-legend li").length === 3 && ink(0.3, 0.7) > 60);
		expect(texts(".xw-legend-label")).toEqual(["gradient insertion", "series 2", "series 3"]);
	});
});

describe("without data", () => {
	test("empty, then late arrays in any order", async () => {
		await show({ x: null, y: null });
		expect(find(".xw-message").textContent).toBe("No curve yet");
		view.model.set("y", state().y);
		await painted();
		expect(find(".xw-message").textContent).toBe("No curve yet");
		view.model.set("x", state().x);
		await vi.waitUntil(() => find(".xw-message").textContent === "" && ink(0.3, 0.3) > 60);
	});

	test("arrays that do not fit together show an error, until they do", async () => {
		await show({ x: array("float32", [3], [0, 0.5, 1]) });
		expect(find(".xw-message").textContent).toBe(
			"This view cannot be drawn: y has 101 steps, x has 3: expected as many.",
		);
		view.model.set("x", state().x);
		await vi.waitUntil(() => find(".xw-message").textContent === "");
		expect(all(".xw-legend li")).toHaveLength(3);
	});

	test("a broken message shows an error", async () => {
		await show({ y: { dtype: "float64", shape: [1], data: new DataView(new ArrayBuffer(8)) } });
		expect(find(".xw-message").textContent).toMatch(/array dtype is float64/);
	});
});

describe("cursor", () => {
	test("a drag anywhere in the plot sets fraction and the values of the legend, and redraws nothing", async () => {
		await show();
		const before = canvasBytes();
		pointer("pointerdown", 0.5, 0.9);
		pointer("pointermove", 0.6, 0.2);
		expect(view.model.get("fraction")).toBeCloseTo(0.6, 2);
		pointer("pointermove", 0.7, 0.2);
		pointer("pointerup", 0.7, 0.2);
		pointer("pointermove", 0.2, 0.2);
		expect(view.model.get("fraction")).toBeCloseTo(0.7, 2);
		await painted();
		expect(texts(".xw-legend-value")).toEqual(["0.300", "0.700", "0.100"]);
		const line = find(".xw-cursor").getBoundingClientRect();
		const over = find(".u-over").getBoundingClientRect();
		expect((line.left + line.width / 2 - over.left) / over.width).toBeCloseTo(0.7, 2);
		expect(canvasBytes()).toEqual(before);
		expect(view.model.saved.length).toBeGreaterThan(0);
		expect(view.model.saved.length).toBeLessThan(4);
	});

	test("a drag beyond the edges stops at 0 and 1", async () => {
		await show();
		pointer("pointerdown", 0.5, 0.5);
		pointer("pointermove", 1.2, 0.5);
		expect(view.model.get("fraction")).toBe(1);
		pointer("pointermove", -0.2, 0.5);
		expect(view.model.get("fraction")).toBe(0);
		pointer("pointerup", -0.2, 0.5);
	});

	test("keys", async () => {
		await show();
		const handle = find("[role=slider]");
		handle.focus();
		const press = async (/** @type {string} */ keys) => {
			await userEvent.keyboard(keys);
			return view.model.get("fraction");
		};
		expect(await press("{ArrowRight}")).toBe(0.26);
		expect(await press("{Shift>}{ArrowRight}{/Shift}")).toBe(0.36);
		expect(await press("{ArrowLeft}")).toBe(0.35);
		expect(await press("{End}")).toBe(1);
		expect(await press("{ArrowRight}")).toBe(1);
		expect(await press("{Home}")).toBe(0);
		await painted();
		expect(handle.getAttribute("aria-valuenow")).toBe("0");
		expect(handle.getAttribute("aria-valuetext")).toBe("fraction 0.000, gradient deletion 1.000");
	});

	test("a linked change of fraction moves it; a value that is not computed is a dash", async () => {
		await show({
			y: array(
				"float32",
				[1, T],
				RISE.map((v, i) => (i < 50 ? v : Number.NaN)),
			),
		});
		view.model.set("fraction", 0.8);
		await painted();
		expect(texts(".xw-legend-value")).toEqual(["—"]);
		expect(find(".xw-cursor-dot").hidden).toBe(true);
		expect(find("[role=slider]").textContent).toBe("0.800");
	});

	test("fractions of another x are mapped linearly", async () => {
		await show({
			x: array(
				"float32",
				[T],
				X.map((x) => 100 + 200 * x),
			),
		});
		expect(find("[role=slider]").textContent).toBe("150");
		pointer("pointerdown", 0.75, 0.5);
		pointer("pointerup", 0.75, 0.5);
		expect(view.model.get("fraction")).toBeCloseTo(0.75, 2);
	});
});

describe("active and hidden curves", () => {
	test("a click on a name makes it active and thicker", async () => {
		await show({ frame: 1, mode: "insertion" });
		/** How far up from the rising curve there is ink, CSS px. */
		const thickness = () => {
			const height = find(".u-over").clientHeight;
			let up = 0;
			while (up < 9 && ink(0.4, 0.4 + up / height, 0) > 40) up += 0.25;
			return up;
		};
		const thin = thickness();
		all(".xw-legend-name")[1].click();
		expect([view.model.get("frame"), view.model.get("mode")]).toEqual([0, "insertion"]);
		await painted();
		expect(thickness()).toBeGreaterThan(thin);
		expect(all(".xw-legend-name").map((node) => node.getAttribute("aria-pressed"))).toEqual([
			"false",
			"true",
			"false",
		]);
	});

	test("a click near a curve makes it active, one far from all none", async () => {
		await show();
		pointer("pointerdown", 0.8, 0.12);
		pointer("pointerup", 0.8, 0.12);
		expect([view.model.get("frame"), view.model.get("mode")]).toEqual([1, "insertion"]);
		pointer("pointerdown", 0.8, 0.5);
		pointer("pointerup", 0.8, 0.5);
		expect([view.model.get("frame"), view.model.get("mode")]).toEqual([1, "insertion"]);
	});

	test("a check box hides its curve and shows it again", async () => {
		await show();
		const box = all(".xw-legend input")[2];
		expect(box.getAttribute("aria-label")).toBe("show Grad-CAM insertion");
		box.click();
		expect(view.model.get("hidden")).toEqual([2]);
		await vi.waitUntil(() => ink(0.4, 0.1) < 10);
		pointer("pointerdown", 0.8, 0.1);
		pointer("pointerup", 0.8, 0.1);
		expect(view.model.get("frame")).toBe(0);
		box.click();
		expect(view.model.get("hidden")).toEqual([]);
		await vi.waitUntil(() => ink(0.4, 0.1) > 60);
	});
});
