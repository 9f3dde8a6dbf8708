import { describe, expect, test } from "vitest";
import { STEPS } from "../src/lib/colormaps.js";
import { digits } from "../src/lib/digits.js";
import { enlarge, magnitudeLimit, shade } from "../src/lib/heat.js";

/** A fixed sequence of numbers in [0, 1). @param {number} seed */
function randoms(seed) {
	let state = seed;
	return () => {
		state = (state * 1664525 + 1013904223) % 2 ** 32;
		return state / 2 ** 32;
	};
}

/** The default percentile of numpy, by sorting. @param {number[]} values @param {number} percentile */
function sortedPercentile(values, percentile) {
	const sorted = values.map((value) => Math.fround(Math.abs(value))).sort((a, b) => a - b);
	const position = (percentile / 100) * (sorted.length - 1);
	const low = Math.floor(position);
	const high = Math.min(low + 1, sorted.length - 1);
	return sorted[low] + (position - low) * (sorted[high] - sorted[low]);
}

describe("magnitudeLimit", () => {
	test("is the percentile of the magnitudes, with ties and in any order", () => {
		const random = randoms(1);
		for (const size of [1, 2, 3, 10, 101, 1000]) {
			const values = Array.from({ length: size }, () => Math.round(40 * (random() - 0.4)) / 8 + 0.01);
			for (const percentile of [0.5, 50, 90, 99, 99.9, 100]) {
				expect(magnitudeLimit(Float32Array.from(values), percentile)).toBeCloseTo(
					sortedPercentile(values, percentile),
					6,
				);
			}
		}
	});

	test("leaves its argument as it is, and NaN and infinities out", () => {
		const values = Float32Array.from([
			3,
			Number.NaN,
			-4,
			Number.POSITIVE_INFINITY,
			1,
			Number.NEGATIVE_INFINITY,
		]);
		const before = [...values];
		expect(magnitudeLimit(values, 100)).toBe(4);
		expect(magnitudeLimit(values, 50)).toBe(3);
		expect([...values]).toEqual(before);
	});

	test("is the largest where the percentile is zero, and zero only for nothing but zeros", () => {
		const sparse = new Float32Array(1000);
		sparse[7] = -2;
		expect(magnitudeLimit(sparse, 99)).toBe(2);
		expect(magnitudeLimit(new Float32Array(10), 99)).toBe(0);
		expect(magnitudeLimit(Float32Array.from([Number.NaN]), 99)).toBe(0);
	});
});

describe("shade", () => {
	// A table whose color is its step, so that steps can be read off.
	const table = Uint32Array.from({ length: STEPS }, (_, step) => step);
	const values = Float32Array.from([-4, -2, -1, 0, 1, 2, 4]);
	const top = STEPS - 1;

	test.each([
		["both", [0, 0, top / 4, top / 2, (3 * top) / 4, top, top]],
		["positive", [0, 0, 0, 0, top / 2, top, top]],
		["negative", [top, top, top / 2, 0, 0, 0, 0]],
		["absolute", [top, top, top / 2, 0, top / 2, top, top]],
	])("%s", (sign, steps) => {
		const out = new Uint32Array(values.length);
		shade(values, 2, sign, table, out);
		expect([...out]).toEqual(steps);
	});

	test("values that are not finite are transparent, also at limit 0, where the rest has the color of zero", () => {
		const out = new Uint32Array(4).fill(99);
		const holes = Float32Array.from([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0]);
		shade(holes, 0, "both", table, out);
		expect([...out]).toEqual([0, 0, 0, top / 2]);
	});
});

test("values far beyond the scale have its last colors", () => {
	const table = Uint32Array.from({ length: STEPS }, (_, step) => step);
	const out = new Uint32Array(2);
	shade(Float32Array.from([-3e38, 3e38]), 1e-30, "both", table, out);
	expect([...out]).toEqual([0, STEPS - 1]);
});

describe("enlarge", () => {
	test("interpolates between the centers of cells (torch: bilinear, align_corners=False)", () => {
		const { shape, data } = enlarge({ shape: [1, 2], data: Float32Array.from([0, 1]) }, 2);
		expect(shape).toEqual([2, 4]);
		expect([...data]).toEqual([0, 0.25, 0.75, 1, 0, 0.25, 0.75, 1]);
	});

	test("interpolates along both axes", () => {
		const { data } = enlarge({ shape: [2, 2], data: Float32Array.from([0, 4, 8, 12]) }, 2);
		expect([...data]).toEqual([0, 1, 3, 4, 2, 3, 5, 6, 6, 7, 9, 10, 8, 9, 11, 12]);
	});

	test("next to NaN the nearest cell stands", () => {
		const { data } = enlarge({ shape: [1, 2], data: Float32Array.from([5, Number.NaN]) }, 2);
		expect([...data.subarray(0, 4)]).toEqual([5, 5, Number.NaN, Number.NaN]);
	});
});

test.each([
	[0, "0"],
	[-0, "0"],
	[0.0123456, "0.0123"],
	[-45.649, "−45.6"],
	[999.4, "999"],
	[999.6, "1000"],
	[-12345.6, "−12300"],
	[1.2e-7, "1.20e−7"],
	[-3.456e9, "−3.46e9"],
	[Number.NaN, "NaN"],
	[Number.NEGATIVE_INFINITY, "−∞"],
])("digits(%s) is %s", (value, text) => {
	expect(digits(value)).toBe(text);
});
