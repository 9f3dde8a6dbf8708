import { describe, expect, test } from "vitest";
import {
	colorTable,
	DIVERGING_NAMES,
	resolveColormap,
	SEQUENTIAL_NAMES,
	STEPS,
} from "../src/lib/colormaps.js";

const MIDDLE = (STEPS - 1) / 2;

/** @param {number} word */
const rgba = (word) => [word & 255, (word >> 8) & 255, (word >> 16) & 255, word >>> 24];

/** CIE lightness of a color, 0 to 100. @param {number} word */
function lightness(word) {
	const [r, g, b] = rgba(word).map((byte) => {
		const c = byte / 255;
		return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
	});
	return 116 * Math.cbrt(0.2126 * r + 0.7152 * g + 0.0722 * b) - 16;
}

describe("sequential maps", () => {
	test.each(SEQUENTIAL_NAMES)("%s grows lighter at every step", (name) => {
		const table = [...colorTable(name, "positive")].map(lightness);
		for (let i = 8; i < STEPS; i += 8) expect(table[i]).toBeGreaterThan(table[i - 8]);
	});

	test("viridis and inferno have matplotlib's colors at their ends and knots", () => {
		const viridis = colorTable("viridis", "absolute");
		expect(rgba(viridis[0])).toEqual([68, 1, 84, 255]);
		expect(rgba(viridis[STEPS - 1])).toEqual([253, 231, 37, 255]);
		const inferno = colorTable("inferno", "positive");
		expect(rgba(inferno[0])).toEqual([0, 0, 4, 255]);
		expect(rgba(inferno[STEPS - 1])).toEqual([252, 255, 164, 255]);
	});
});

describe("diverging maps", () => {
	test.each(DIVERGING_NAMES)("%s is neutral at zero and as light on one side as on the other", (name) => {
		const table = colorTable(name, "both");
		const [r, g, b] = rgba(table[MIDDLE]);
		expect([g, b]).toEqual([r, r]);
		const light = [...table].map(lightness);
		for (let i = 8; i <= MIDDLE; i += 8) {
			expect(light[MIDDLE + i]).toBeLessThan(light[MIDDLE + i - 8]);
			expect(Math.abs(light[MIDDLE + i] - light[MIDDLE - i])).toBeLessThan(8);
		}
	});

	test("blue is negative in blue_orange and red_blue, purple in purple_green", () => {
		for (const name of DIVERGING_NAMES) {
			const [low, high] = [0, STEPS - 1].map((step) => rgba(colorTable(name, "both")[step]));
			expect(low[2]).toBeGreaterThan(high[2]);
		}
		expect(rgba(colorTable("red_blue", "both")[STEPS - 1])[0]).toBeGreaterThan(150);
	});

	test("one sign is shown by its own half", () => {
		const both = colorTable("blue_orange", "both");
		const positive = colorTable("blue_orange", "positive");
		const negative = colorTable("blue_orange", "negative");
		expect([positive[0], negative[0]]).toEqual([both[MIDDLE], both[MIDDLE]]);
		expect(positive[STEPS - 1]).toBe(both[STEPS - 1]);
		expect(negative[STEPS - 1]).toBe(both[0]);
		expect(colorTable("blue_orange", "absolute")).toEqual(positive);
	});
});

test("auto is diverging for both signs and sequential for one", () => {
	expect(DIVERGING_NAMES).toContain(resolveColormap("auto", "both"));
	for (const sign of ["positive", "negative", "absolute"]) {
		expect(SEQUENTIAL_NAMES).toContain(resolveColormap("auto", sign));
	}
	expect(resolveColormap("gray", "positive")).toBe("gray");
	// Zero would look like a value.
	expect(resolveColormap("gray", "both")).toBe("blue_orange");
});

test("fading makes zero transparent and the ends opaque", () => {
	const alpha = (name, sign) => [...colorTable(name, sign, true)].map((word) => word >>> 24);
	const both = alpha("blue_orange", "both");
	expect([both[0], both[MIDDLE], both[STEPS - 1]]).toEqual([255, 0, 255]);
	expect(both[MIDDLE / 2]).toBe(128);
	const one = alpha("viridis", "positive");
	expect([one[0], one[MIDDLE], one[STEPS - 1]]).toEqual([0, 128, 255]);
});

test("similarities are neutral at zero, and grow lighter above it with a color of their own", () => {
	const table = colorTable("similarity", "both");
	const rgb = (/** @type {number} */ step) => [0, 8, 16].map((shift) => (table[step] >> shift) & 255);
	expect(rgb((STEPS - 1) / 2)).toEqual([128, 128, 128]);
	for (const step of [STEPS - 1, (3 * STEPS) >> 2, 0, STEPS >> 2]) {
		expect(Math.max(...rgb(step)) - Math.min(...rgb(step))).toBeGreaterThan(60);
	}
	const light = (/** @type {number[]} */ [r, g, b]) => 0.2126 * r + 0.7152 * g + 0.0722 * b;
	for (let step = STEPS >> 1; step + 32 < STEPS; step += 32) {
		expect(light(rgb(step + 32))).toBeGreaterThan(light(rgb(step)));
	}
});
