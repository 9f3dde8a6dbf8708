import { describe, expect, test } from "vitest";
import { enlargeCubic } from "../src/lib/cubic.js";
import { enlarge, magnitudeLimit } from "../src/lib/heat.js";
import { reduced, reductionFor, resampled, smoothed } from "../src/lib/resample.js";

/** @param {number[]} shape @param {Iterable<number>} values */
const map = (shape, values) => ({ shape, data: Float32Array.from(values) });
/** @param {number} size @param {(row: number, column: number) => number} value */
const grid = (size, value) =>
	map(
		[size, size],
		Array.from({ length: size * size }, (_, i) => value(Math.floor(i / size), i % size)),
	);

describe("a map that is finer than its drawing", () => {
	test("keeps a spike of one pixel", () => {
		const spike = grid(224, (row, column) => (row === 101 && column === 57 ? -8 : 0));
		expect(reductionFor([224, 224], [160, 160])).toBe(2);
		const { shape, data } = resampled(spike, "pixelated", 384, 2);
		expect(shape).toEqual([112, 112]);
		expect(data[50 * 112 + 28]).toBe(-2);
		expect(data.filter(Boolean)).toHaveLength(1);
	});

	test("shows magnitudes where signs alternate, with the sign that prevails", () => {
		const checks = grid(8, (row, column) => ((row + column) % 2 ? -1 : 1.5));
		expect([...reduced(checks, 2).data]).toEqual(new Array(16).fill(1.25));
	});

	test("has smaller blocks at its border and leaves out what is not finite", () => {
		const { shape, data } = reduced(map([3, 3], [1, 3, 5, 1, Number.NaN, 5, 7, 7, Number.NaN]), 2);
		expect(shape).toEqual([2, 2]);
		expect(data[0]).toBeCloseTo(5 / 3, 6);
		expect([...data.slice(1)]).toEqual([5, 7, Number.NaN]);
	});

	test("is as it is at about its own size", () => {
		expect(reductionFor([224, 224], [210, 210])).toBe(1);
		expect(reductionFor([7, 7], [160, 160])).toBe(1);
	});
});

describe("a coarse map, bicubic", () => {
	const peak = grid(7, (row, column) => (row === 3 && column === 3 ? 1 : 0));

	test("is rounder than bilinear, whose levels are stars", () => {
		// At one distance from the peak along an axis and along a diagonal: in a round hill both have the same height.
		/** @param {{data: Float32Array}} large */
		const ratio = ({ data }) => {
			const at = (/** @type {number} */ dx, /** @type {number} */ dy) => data[(87 + dy) * 175 + 87 + dx];
			return at(17, 0) / at(12, 12);
		};
		const [bilinear, bicubic] = [ratio(enlarge(peak, 25)), ratio(enlargeCubic(peak, 25))];
		expect(Math.abs(bicubic - 1)).toBeLessThan(Math.abs(bilinear - 1));
	});

	test("passes through the values at the centers of the cells, and has no values of the other sign", () => {
		const { data } = enlargeCubic(peak, 25);
		expect(data[87 * 175 + 87]).toBeCloseTo(1, 6);
		expect(Math.min(...data)).toBe(0);
	});

	test("follows a slope exactly inside", () => {
		const { data } = enlargeCubic(
			grid(6, (row, column) => row + 2 * column),
			3,
		);
		for (const [y, x] of [
			[6, 6],
			[10, 7],
		]) {
			expect(data[y * 18 + x]).toBeCloseTo((y + 0.5) / 3 - 0.5 + 2 * ((x + 0.5) / 3 - 0.5), 5);
		}
	});

	test("beside cells that are not finite is bilinear", () => {
		const holed = grid(4, (row, column) => (row === 0 && column === 0 ? Number.NaN : row));
		expect([...enlargeCubic(holed, 3).data]).toEqual([...enlarge(holed, 3).data]);
	});
});

describe("smoothing", () => {
	test("of sigma 0 gives the very same map", () => {
		const one = grid(3, (row) => row);
		expect(smoothed(one, 0)).toBe(one);
	});

	test("leaves a constant as it is, up to the border and beside gaps", () => {
		const { data } = smoothed(
			grid(9, (row, column) => (row === 4 && column > 5 ? Number.NaN : 3)),
			2,
		);
		for (const value of data) if (!Number.isNaN(value)) expect(value).toBeCloseTo(3, 5);
		expect(data.filter(Number.isNaN)).toHaveLength(3);
		for (const value of smoothed(
			grid(9, () => 3),
			2.5,
		).data)
			expect(value).toBeCloseTo(3, 5);
	});

	test("is a Gaussian, which keeps the sum inside", () => {
		const { data } = smoothed(
			grid(41, (row, column) => (row === 20 && column === 20 ? 1 : 0)),
			1.5,
		);
		expect(data.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 5);
		expect(data[20 * 41 + 23] / data[20 * 41 + 20]).toBeCloseTo(Math.exp(-0.5 * (3 / 1.5) ** 2), 5);
	});

	test("of magnitudes does not cancel", () => {
		const checks = grid(16, (row, column) => ((row + column) % 2 ? -1 : 1));
		expect(magnitudeLimit(smoothed(checks, 2).data, 100)).toBeLessThan(0.4);
		expect(smoothed(checks, 2, "absolute").data[100]).toBeCloseTo(1, 5);
	});
});
