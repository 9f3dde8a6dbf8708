import { describe, expect, test } from "vitest";
import { agreement } from "../src/lib/agreement.js";
import { resize } from "../src/lib/heat.js";

/** A fixed map with values in [-0.4, 0.6). @param {number} seed @param {number} h @param {number} w */
function map(seed, h, w, of = (/** @type {number} */ value) => value) {
	let state = seed;
	const data = Float32Array.from({ length: h * w }, () => {
		state = (state * 1664525 + 1013904223) % 2 ** 32;
		return of(state / 2 ** 32 - 0.4);
	});
	return { shape: [h, w], data };
}
/** @param {number} value */
const flat = (value) => map(0, 8, 8, () => value);
/** @param {ReturnType<typeof map>} a @param {ReturnType<typeof map>} b @param {(x: number, y: number) => number} of */
const mix = (a, b, of) => ({ shape: a.shape, data: a.data.map((value, i) => of(value, b.data[i])) });
/** @param {number} count */
const steps = (count) => (/** @type {number} */ value) => Math.floor(value * count) / count;

const ALL = /** @type {const} */ (["pearson", "spearman", "ssim"]);
const NAN = Number.NaN;

describe("the numbers of xai_widgets.metrics", () => {
	const noisy = mix(map(5, 13, 13), map(6, 13, 13), (x, y) => 3 * x - 1 + 0.2 * y);
	// From Python: the same maps, the smaller one brought to the size of the larger by `at_size`, whose rounding breaks
	// some ties.
	/** @type {[string, ReturnType<typeof map>, ReturnType<typeof map>, number[]][]} */
	const cases = [
		["random", map(1, 14, 17), map(2, 14, 17), [-0.064753, -0.063386, 0.037614]],
		["with ties", map(3, 9, 12, steps(4)), map(4, 9, 12, steps(3)), [-0.048113, -0.04087, 0.019803]],
		["alike", map(5, 13, 13), noisy, [0.997548, 0.99689, 0.996849]],
		["coarse and fine", map(7, 4, 5), map(8, 17, 23), [-0.021771, -0.032015, 0.011646]],
		["wide and tall", map(9, 6, 20), map(10, 15, 8), [0.017713, 0.016514, 0.07202]],
		["smaller than the window", map(11, 2, 2), map(12, 2, 2), [0.04199, -0.2, 0.48832]],
		["one constant", flat(0.7), map(13, 8, 8), [NAN, NAN, 0.000003]],
		["both constant", flat(0.7), flat(-2), [NAN, NAN, 1]],
		[
			"huge and small",
			map(14, 12, 12, (value) => Math.fround(value) * 1e30),
			map(15, 12, 12, (value) => Math.fround(value) * 1e-20),
			[0.020553, 0.007568, 0.112815],
		],
	];
	test.each(cases)("%s", (_name, a, b, expected) => {
		for (const [index, measure] of ALL.entries()) {
			const made = [agreement(measure, a, b), agreement(measure, b, a)];
			for (const value of made) {
				if (Number.isNaN(expected[index])) expect(value, measure).toBeNaN();
				else expect(value, measure).toBeCloseTo(expected[index], 3.5);
			}
		}
	});
});

test("a map agrees wholly with itself, and a correlation does not mind scale and shift", () => {
	const a = map(20, 12, 15);
	for (const measure of ALL) expect(agreement(measure, a, a)).toBeCloseTo(1, 12);
	const scaled = mix(a, a, (value) => 8 * value + 2);
	const turned = mix(a, a, (value) => -value);
	for (const measure of ALL) expect(agreement(measure, a, scaled)).toBeCloseTo(1, 4);
	expect(agreement("pearson", a, turned)).toBeCloseTo(-1, 12);
	expect(agreement("spearman", a, turned)).toBeCloseTo(-1, 12);
	const cubed = mix(a, a, (value) => value ** 3);
	expect(agreement("spearman", a, cubed)).toBeCloseTo(1, 12);
	expect(agreement("pearson", a, cubed)).toBeLessThan(0.95);
});

test("a map with a NaN agrees with none", () => {
	const a = map(21, 12, 12);
	const holed = { shape: [12, 12], data: a.data.with(30, NAN) };
	for (const measure of ALL) {
		expect(agreement(measure, a, holed)).toBeNaN();
		expect(agreement(measure, holed, a)).toBeNaN();
	}
});

test("a map is resized to any larger shape as by torch's interpolate", () => {
	const made = resize({ shape: [2, 2], data: Float32Array.of(0, 1, 2, 5) }, [2, 5]);
	expect(made.shape).toEqual([2, 5]);
	const expected = [0, 0.1, 0.5, 0.9, 1, 2, 2.3, 3.5, 4.7, 5];
	for (const [i, value] of expected.entries()) expect(made.data[i]).toBeCloseTo(value, 6);
});

test("ranks of negative values, zeros of both signs and infinities are in order", () => {
	const a = { shape: [1, 6], data: Float32Array.of(-0, 0, 1, -2, -Number.POSITIVE_INFINITY, 1e-30) };
	const b = { shape: [1, 6], data: Float32Array.of(3, 3, 9, 2, 1, 4) };
	expect(agreement("spearman", a, b)).toBeCloseTo(1, 12);
});
