import { expect, test } from "vitest";
import { cropped, occlusionMap, patchesOf } from "../src/page/occlusion.js";
import { uniformNumbers } from "../src/page/random.js";
import {
	areaUnder,
	coarseToFine,
	countsOf,
	endsOf,
	ranksOf,
	resizedMap,
	truncatedBlur,
} from "../src/page/replaced.js";
import { randomMasks, riseMap, writeMask } from "../src/page/rise.js";

const near = (values, expected, digits = 6) => {
	expect(values.length).toBe(expected.length);
	for (const [i, value] of [...values].entries()) expect(value).toBeCloseTo(expected[i], digits);
};

test("a seed gives the numbers of torch.rand, also above 32 bits and after the first round", () => {
	const uniform = uniformNumbers(123456789012);
	const drawn = Array.from({ length: 700 }, () => uniform() * 2 ** 24);
	expect([drawn[0], drawn[1], drawn[699]]).toEqual([3314845, 728186, 182633]);
});

// Numbers of xai_widgets.perturbation.rise.random_masks((13, 10), 5, cells=3, p=0.4, seed=7).
const settings = { count: 5, cells: 3, p: 0.4, seed: 7 };

test("masks of a seed are those of Python", () => {
	const masks = randomMasks(13, 10, settings);
	expect([...masks.shifts]).toEqual([2, 0, 2, 1, 3, 2, 2, 2, 4, 2]);
	expect([...masks.grids.subarray(0, 9)]).toEqual([0, 0, 1, 0, 1, 0, 1, 0, 0]);
	expect([...masks.grids.subarray(36)]).toEqual([0, 0, 0, 1, 1, 0, 0, 0, 1]);
	const mask = new Float32Array(130);
	writeMask(masks, 2, mask);
	near(mask.subarray(60, 70), [0, 0, 0, 0, 0, 0, 0.08671875, 0.26015627, 0.43359378, 0.60703129]);
});

test("the map of RISE is that of Python, and of its formula", () => {
	const masks = randomMasks(13, 10, settings);
	const values = [0.1, 0.5, 0.2, 0.9, 0.3];
	const map = riseMap(masks, values);
	near(map.subarray(40, 44), [0.53281248, 0.55844724, 0.58872068, 0.60498047]);
	const expected = new Float64Array(130).fill(0.4);
	const mask = new Float32Array(130);
	for (const [k, value] of values.entries()) {
		writeMask(masks, k, mask);
		for (let i = 0; i < 130; i++) expected[i] += ((value - 0.4) * mask[i]) / (4 * 0.4);
	}
	near(map, [...expected], 5);
});

test("patches cover the image, and the last ones are cropped", () => {
	const patches = patchesOf(5, 4, { side: 2, stride: 2 });
	expect(patches.length).toBe(6);
	expect(patches[5]).toEqual({ top: 4, left: 2, height: 1, width: 2 });
	expect(cropped(5, 4, { top: -1, left: 3, side: 3 })).toEqual({ top: 0, left: 3, height: 2, width: 1 });
});

test("a pixel of the map of occlusion has the mean drop of the patches that cover it", () => {
	const patches = patchesOf(1, 3, { side: 1, stride: 1 }).concat(patchesOf(1, 3, { side: 1, stride: 2 }));
	near(occlusionMap(1, 3, patches, [1, 2, 3, 5]), [3, 2, 3]);
	near(occlusionMap(1, 3, patches, [1]), [1, 0, 0]);
});

test("a map is enlarged bilinearly, and repeats its border", () => {
	const map = { shape: [1, 2], data: Float32Array.of(0, 1) };
	near(resizedMap(map, [2, 4]), [0, 0.25, 0.75, 1, 0, 0.25, 0.75, 1]);
	expect(resizedMap(map, [1, 2])).toBe(map.data);
});

test("pixels are ranked by their value, equal ones by their position", () => {
	expect([...ranksOf(Float32Array.of(0, 2, -1, 2))]).toEqual([2, 0, 3, 1]);
});

test("steps are equal, with halves rounded to the even number as in Python", () => {
	expect(countsOf(10, 4)).toEqual([0, 2, 5, 8, 10]);
});

test("steps begin with some of the whole curve and are all taken once", () => {
	expect(coarseToFine(7, 3)).toEqual([0, 3, 6, 1, 4, 2, 5]);
});

test("the truncated blur keeps a constant, and is a Gaussian around a point", () => {
	const size = { channels: 1, height: 1, width: 15 };
	near(truncatedBlur({ ...size, data: new Float32Array(15).fill(0.3) }).data, new Array(15).fill(0.3));
	const point = new Float32Array(15);
	point[7] = 1;
	const { data } = truncatedBlur({ ...size, data: point });
	expect(data[8] / data[7]).toBeCloseTo(Math.exp(-0.02), 5);
	expect([data[1], data[13]]).toEqual([0, 0]);
});

test("deletion ends with the mean color, insertion with the image", () => {
	const image = { channels: 2, height: 1, width: 2, data: Float32Array.of(0, 1, 1, 0) };
	const [start, end] = endsOf("deletion", image, [0.25, 0.5]);
	expect(start).toBe(image);
	expect([...end.data]).toEqual([0.25, 0.25, 0.5, 0.5]);
	expect(endsOf("insertion", image, [0, 0])[1]).toBe(image);
});

test("the area under a curve is that of its trapezoids", () => {
	expect(areaUnder([0, 0.5, 1], [1, 0, 1])).toBe(0.5);
});
