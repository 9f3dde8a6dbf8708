import { describe, expect, test } from "vitest";
import { createSpace, followCell, overlay, sameCell, similarities } from "../src/lib/similarity_math.js";

/** The same numbers on every run. @param {number} seed */
function random(seed) {
	let state = seed >>> 0 || 1;
	return () => {
		state = (state * 1664525 + 1013904223) >>> 0;
		return state / 2 ** 32;
	};
}

/** @param {number} seed @param {number[]} shape @param {boolean} int8 */
function make(seed, shape, int8) {
	const next = random(seed);
	const size = shape.reduce((a, b) => a * b, 1);
	const values = Array.from({ length: size }, () => (next() < 0.3 ? 0 : (next() - 0.4) * 200));
	const data = int8 ? Int8Array.from(values, Math.round) : Float32Array.from(values);
	// The first vector is zero.
	data.fill(0, 0, shape[3]);
	return { shape, data };
}

/** The formulas, one number after the other. */
function plain({ shape: [, rows, columns, channels], data }, a, b, kind, sigma) {
	const at = (index) => [...data.subarray(index * channels, (index + 1) * channels)];
	const [u, v] = [at(a), at(b)];
	const dot = u.reduce((sum, x, c) => sum + x * v[c], 0);
	const length = (w) => Math.sqrt(w.reduce((sum, x) => sum + x * x, 0));
	expect(rows * columns).toBeGreaterThan(0);
	if (kind === "dot") return dot;
	if (kind === "cosine") return length(u) && length(v) ? dot / (length(u) * length(v)) : 0;
	const distance = u.reduce((sum, x, c) => sum + (x - v[c]) ** 2, 0);
	return Math.exp(-distance / (2 * sigma * sigma));
}

describe.each([true, false])("int8: %s", (int8) => {
	test.each([
		[1, 1],
		[2, 3],
		[3, 4],
		[4, 7],
		[5, 33],
	])("every kind is its formula (seed %d, %d channels)", (seed, channels) => {
		const array = make(seed, [2, 3, 4, channels], int8);
		const space = createSpace(array, null, null, 90);
		for (const kind of /** @type {const} */ (["cosine", "dot", "euclidean"])) {
			for (const source of [0, 5, 23]) {
				const out = new Float32Array(15);
				similarities(space, source, kind, 9, out);
				for (const [index, value] of out.entries()) {
					const expected = plain(array, source, 9 + index, kind, 90);
					expect(Math.abs(value - expected)).toBeLessThanOrEqual(2e-6 * Math.max(1, Math.abs(expected)));
				}
			}
		}
	});
});

test("scales and lengths come from beside the codes where they are given", () => {
	const array = { shape: [1, 1, 2, 2], data: Int8Array.of(127, 0, 127, 127) };
	const space = createSpace(array, Float32Array.of(1 / 127, 0.005), Float32Array.of(3, 2), 1);
	const out = new Float32Array(2);
	similarities(space, 0, "cosine", 0, out);
	expect(out[0]).toBeCloseTo(1, 6);
	expect(out[1]).toBeCloseTo(0.635, 6);
	similarities(space, 0, "dot", 0, out);
	expect(out[1]).toBeCloseTo(3 * 2 * 0.635, 5);
	similarities(space, 0, "euclidean", 0, out);
	expect(out[1]).toBeCloseTo(Math.exp(-(9 + 4 - 2 * 3.81) / 2), 5);
});

test("very small and very large vectors have a length", () => {
	const tiny = createSpace({ shape: [1, 1, 1, 2], data: Float32Array.of(3e-30, 4e-30) }, null, null, 1);
	expect(tiny.norms[0] / 5e-30).toBeCloseTo(1, 5);
	const huge = createSpace({ shape: [1, 1, 1, 2], data: Float32Array.of(3e30, 4e30) }, null, null, 1);
	const out = new Float32Array(1);
	similarities(huge, 0, "cosine", 0, out);
	expect(Number.isNaN(out[0])).toBe(false);
});

test("the same cell is where the middle lies, in whole numbers", () => {
	for (let from = 1; from <= 30; from++) {
		for (let to = 1; to <= 30; to++) {
			for (let i = 0; i < from; i++) {
				const grids = [
					{ rows: from, columns: to },
					{ rows: to, columns: from },
				];
				const { row, column } = sameCell({ row: i, column: to - 1 }, grids[0], grids[1]);
				// floor((2 i + 1) to / (2 from)) by whole numbers alone.
				expect(row).toBe(Number((BigInt(2 * i + 1) * BigInt(to)) / BigInt(2 * from)));
				expect(row).toBeLessThan(to);
				expect(column).toBeLessThan(from);
			}
		}
	}
});

test("a position is mapped from one image to another, and out of it", () => {
	const grid = { rows: 4, columns: 4 };
	const still = [1, 0, 0, 0, 1, 0];
	// A quarter turn against the clock about the middle: (x, y) goes to (y, 1 - x).
	const turned = [0, 1, 0, -1, 0, 1];
	const large = [2, 0, -0.5, 0, 2, -0.5];
	expect(followCell({ row: 0, column: 1 }, grid, grid, still, still)).toEqual({ row: 0, column: 1 });
	expect(followCell({ row: 0, column: 1 }, grid, grid, still, turned)).toEqual({ row: 2, column: 0 });
	expect(followCell({ row: 2, column: 0 }, grid, grid, turned, still)).toEqual({ row: 0, column: 1 });
	expect(followCell({ row: 0, column: 1 }, grid, grid, still, large)).toBe(null);
	expect(followCell({ row: 3, column: 0 }, grid, { rows: 8, columns: 2 }, large, still)).toEqual({
		row: 5,
		column: 0,
	});
});

test("an overlay compares with the source of each image, and with a second one by the difference", () => {
	const array = make(7, [3, 2, 2, 5], true);
	const space = createSpace(array, null, null, 1);
	const [a, b] = [
		[5, 5, -1],
		[2, 7, 9],
	];
	const one = overlay(space, "cosine", [a]);
	const two = overlay(space, "cosine", [a, b]);
	for (let index = 0; index < 12; index++) {
		const imageIndex = Math.floor(index / 4);
		if (imageIndex === 2) {
			expect([one[index], two[index]]).toEqual([Number.NaN, Number.NaN]);
			continue;
		}
		const first = plain(array, 5, index, "cosine", 1);
		const second = plain(array, b[imageIndex], index, "cosine", 1);
		expect(one[index]).toBeCloseTo(first, 5);
		expect(two[index]).toBeCloseTo(first - second, 5);
	}
});
