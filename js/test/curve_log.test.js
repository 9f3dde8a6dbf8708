import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { userEvent } from "vitest/browser";
import { logText, logTicks } from "../src/lib/curve_ticks.js";
import { decimalsOf, fractionAt, shareOf } from "../src/lib/curves.js";
import { all, find, ink, named, pointer, show, texts, view } from "./curve.js";
import { array, painted } from "./model.js";

beforeEach(() => document.body.style.setProperty("--jp-layout-color0", "white"));
afterEach(() => view?.unmount());

/** From 1 to 1000, evenly on a logarithmic axis; y is the part of the axis. */
const STEPS = 61;
const SHARES = Array.from({ length: STEPS }, (_, step) => step / (STEPS - 1));
const LOG = {
	x: array(
		"float32",
		[STEPS],
		SHARES.map((share) => 1000 ** share),
	),
	y: array("float32", [1, STEPS], SHARES),
	series: [{ label: "a" }],
	x_scale: "log",
	fraction: 0,
};
/** The fraction of a position on x. */
const of = (/** @type {number} */ x) => (x - 1) / 999;
/** Where the cursor is drawn, as a part of the plotting area. */
const drawn = () => {
	const line = find(".xw-cursor").getBoundingClientRect();
	const over = find(".u-over").getBoundingClientRect();
	return (line.left + line.width / 2 - over.left) / over.width;
};

describe("a logarithmic axis", () => {
	test("draws curves where the logarithm of x is, and changes over without a new view", async () => {
		await show(LOG);
		expect(ink(0.3, 0.3)).toBeGreaterThan(60);
		expect(ink(0.7, 0.7)).toBeGreaterThan(60);
		view.model.set("x_scale", "linear");
		// At x = 500 the axis of the logarithms is at 0.9.
		await vi.waitUntil(() => ink(0.5, 0.9) > 60 && ink(0.3, 0.3) < 10);
		expect(all(".u-over")).toHaveLength(1);
		view.model.set("x_scale", "log");
		await vi.waitUntil(() => ink(0.3, 0.3) > 60);
	});

	test("the fraction stays linear in x: the cursor is drawn at its logarithm, and reads x", async () => {
		await show({ ...LOG, fraction: of(10) });
		expect(drawn()).toBeCloseTo(1 / 3, 2);
		expect(find(".xw-cursor-handle").textContent).toBe("10.00");
		expect(texts(".xw-legend-value")).toEqual(["0.333"]);
		view.model.set("fraction", of(500.5));
		await painted();
		expect(drawn()).toBeCloseTo(Math.log10(500.5) / 3, 2);
		expect(find(".xw-cursor-handle").textContent).toBe("500.5");
	});

	test("a drag sets the fraction of the x under the pointer, with the same resolution for small and large x", async () => {
		await show(LOG);
		find(".u-over").setPointerCapture = () => {};
		const width = find(".u-over").clientWidth;
		pointer("pointerdown", 0.1, 0.5);
		for (const share of [0.02, 1 / 3, 2 / 3, 0.9]) {
			pointer("pointermove", share, 0.5);
			const x = 1 + 999 * view.model.get("fraction");
			// Within half a px.
			expect(Math.abs(Math.log10(x) / 3 - share)).toBeLessThan(1 / width);
		}
		pointer("pointermove", -0.3, 0.5);
		expect(view.model.get("fraction")).toBe(0);
		pointer("pointermove", 1.3, 0.5);
		expect(view.model.get("fraction")).toBe(1);
		pointer("pointerup", 1.3, 0.5);
	});

	test("keys move by equal steps of the axis", async () => {
		await show(LOG);
		find(".xw-cursor-handle").focus();
		const press = async (/** @type {string} */ keys) => {
			await userEvent.keyboard(keys);
			return 1 + 999 * view.model.get("fraction");
		};
		expect(await press("{ArrowRight}")).toBeCloseTo(1000 ** 0.01, 3);
		expect(await press("{PageUp}")).toBeCloseTo(1000 ** 0.11, 3);
		expect(await press("{ArrowLeft}")).toBeCloseTo(1000 ** 0.1, 3);
		expect(await press("{End}")).toBe(1000);
		expect(await press("{PageDown}{PageDown}")).toBeCloseTo(1000 ** 0.8, 0);
		expect(await press("{Home}")).toBe(1);
	});

	test("marks stand at their x and lead there; one that no such axis can show is left out", async () => {
		await show({
			...LOG,
			marks: [
				{ x: 12, label: "a* = 12" },
				{ x: -1, label: "below" },
			],
		});
		await painted();
		const [mark, below] = all(".xw-mark");
		const over = find(".u-over").getBoundingClientRect();
		const { left, width } = mark.getBoundingClientRect();
		expect((left + width / 2 - over.left) / over.width).toBeCloseTo(Math.log10(12) / 3, 1);
		expect(below.hidden).toBe(true);
		mark.click();
		expect(1 + 999 * view.model.get("fraction")).toBeCloseTo(12, 3);
		await painted();
		expect(find(".xw-cursor-handle").textContent).toBe("12.00");
	});

	test("a box and the wheel zoom, the cursor stays where its x is, and Reset shows all", async () => {
		await show({ ...LOG, fraction: of(31.6228) });
		pointer("pointerdown", 1 / 3, 0.5, { shiftKey: true });
		pointer("pointermove", 2 / 3, 0.5, { shiftKey: true });
		pointer("pointerup", 2 / 3, 0.5, { shiftKey: true });
		// From 10 to 100 now.
		await vi.waitUntil(() => ink(0.5, 0.5) > 60 && ink(0.02, 0.34) > 60);
		expect(drawn()).toBeCloseTo(0.5, 1);
		named("Reset").click();
		await vi.waitUntil(() => ink(0.1, 0.1) > 60);
		find(".xw-cursor-handle").focus();
		for (let i = 0; i < 3; i++) pointer("wheel", 0.5, 0.5, { deltaY: -200 });
		await vi.waitUntil(() => !named("Reset").disabled);
		await painted();
		// The wheel keeps the x under the pointer fixed, and the range widens evenly on both sides.
		expect(drawn()).toBeCloseTo(0.5, 1);
		const seen = 1.0015 ** -600;
		expect(ink(0.02, 0.5 - 0.48 * seen)).toBeGreaterThan(60);
		expect(ink(0.98, 0.5 + 0.48 * seen)).toBeGreaterThan(60);
		for (let i = 0; i < 6; i++) pointer("wheel", 0.3, 0.5, { deltaY: 200 });
		await vi.waitUntil(() => named("Reset").disabled);
		expect(ink(0.1, 0.1)).toBeGreaterThan(60);
	});

	test("an invalid x shows an error, until x is valid", async () => {
		await show({ ...LOG, x: array("float32", [STEPS], SHARES) });
		expect(find(".xw-message").textContent).toBe(
			"This view cannot be drawn: x goes down to 0: a logarithmic axis needs values above 0.",
		);
		view.model.set("x", LOG.x);
		await vi.waitUntil(() => find(".xw-message").textContent === "" && ink(0.3, 0.3) > 60);
	});

	test("a single x is in the middle", async () => {
		await show({
			...LOG,
			x: array("float32", [1], [8]),
			y: array("float32", [1, 1], [0.5]),
		});
		expect(ink(0.5, 0.5)).toBeGreaterThan(60);
	});

	test("after its cleanup nothing listens, whatever it was drawn on", async () => {
		await show(LOG);
		view.model.set("x_scale", "linear");
		await painted();
		await view.unmount();
		expect([view.model.listeners, view.el.childElementCount]).toEqual([0, 0]);
	});
});

test("the part of the axis and the fraction are each other's inverse", () => {
	for (const x of [
		[1, 2, 512],
		[1e-6, 1e-3, 0.1],
		[20, 24],
	]) {
		for (const scale of ["log", "sqrt", "linear"]) {
			const data = { x, scale };
			for (const share of [0, 0.003, 0.25, 0.5, 1]) {
				const fraction = fractionAt(data, share);
				expect(shareOf(data, fraction)).toBeCloseTo(share, 9);
				const rounded = Number(fraction.toFixed(decimalsOf(data)));
				expect(shareOf(data, rounded)).toBeCloseTo(share, 3);
			}
		}
	}
	expect(fractionAt({ x: [1, 10, 100], scale: "log" }, 0.5)).toBeCloseTo(9 / 99, 12);
});

describe("ticks", () => {
	test.each([
		[1, 1000, 250, [1, 10, 100, 1000]],
		[1, 1000, 400, [1, 3, 10, 30, 100, 300, 1000]],
		[1, 1000, 700, [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]],
		[1, 6, 600, [1, 2, 3, 4, 5, 6]],
		[20, 41, 500, [20, 25, 30, 35, 40]],
		[1e-12, 1, 250, [1e-12, 1e-9, 1e-6, 1e-3, 1]],
		[Math.fround(0.1), 10, 150, [0.1, 1, 10]],
	])("from %d to %d on %d px", (low, high, width, expected) => {
		expect(logTicks(low, high, width, 46)).toEqual(expected);
	});

	test("never nearer than they may be, never none", () => {
		for (const low of [1e-5, 0.3, 1, 7]) {
			for (const factor of [1.01, 1.5, 2.9, 3.1, 8, 17, 64, 1000, 1e7]) {
				for (const width of [90, 200, 640]) {
					const high = low * factor;
					const ticks = logTicks(low, high, width, 46);
					expect(ticks.length).toBeGreaterThan(0);
					const px = ticks.map((tick) => (Math.log(tick / low) / Math.log(factor)) * width);
					for (let i = 1; i < px.length; i++) expect(px[i] - px[i - 1]).toBeGreaterThan(45.9);
				}
			}
		}
	});

	test.each([
		[0.0001, "0.0001"],
		[0.02, "0.02"],
		[1, "1"],
		[50000, "50000"],
		[1e5, "10⁵"],
		[2e-6, "2·10⁻⁶"],
		[1e-12, "10⁻¹²"],
	])("%d reads %s", (value, words) => {
		expect(logText(value)).toBe(words);
	});
});
