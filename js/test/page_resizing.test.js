import { expect, test } from "vitest";
import { bytesOf, fitted, pixelsOf } from "../src/page/resizing.js";

const gray = (height, width, value) => ({
	channels: 1,
	height,
	width,
	data: Float32Array.from({ length: height * width }, (_, i) => value(Math.floor(i / width), i % width)),
});
const resizing = (size, more = {}) => ({
	size,
	resize: null,
	interpolation: "bilinear",
	rounding: "even",
	...more,
});
const near = (values, expected, digits = 6) => {
	expect(values.length).toBe(expected.length);
	for (const [i, value] of [...values].entries()) expect(value).toBeCloseTo(expected[i], digits);
};

test("an image of the size of the network stays as it is", () => {
	const image = gray(2, 3, (_, x) => x / 3);
	expect(fitted(image, resizing([2, 3]))).toBe(image);
});

test("bilinear reduction is a mean by triangles as wide as two output pixels", () => {
	// Weights of 0.75, 0.75 and 0.25 within the image.
	const { data } = fitted(
		gray(4, 4, (_, x) => [0.1, 0.2, 0.7, 1][x]),
		resizing([2, 2], { resize: [2, 2] }),
	);
	const [left, right] = [
		(0.75 * 0.1 + 0.75 * 0.2 + 0.25 * 0.7) / 1.75,
		(0.25 * 0.2 + 0.75 * 0.7 + 0.75) / 1.75,
	];
	near(data, [left, right, left, right]);
});

test("cubic enlargement follows the curve through a ramp", () => {
	const { data } = fitted(
		gray(8, 8, (_, x) => x / 10),
		resizing([16, 16], { interpolation: "bicubic" }),
	);
	// In the middle, where no neighbor is missing.
	for (let x = 4; x < 12; x++) expect(data[8 * 16 + x]).toBeCloseTo(((x + 0.5) / 2 - 0.5) / 10, 6);
});

test("the nearest pixel is that at the center", () => {
	const { data } = fitted(
		gray(1, 5, (_, x) => x / 10),
		resizing([1, 2], { resize: [1, 2], interpolation: "nearest" }),
	);
	near(data, [0.1, 0.3]);
});

test("the crop is rounded to the even pixel, or down", () => {
	const ramp = gray(4, 7, (_, x) => x / 10);
	const [even, down] = ["even", "down"].map((rounding) =>
		fitted(ramp, resizing([4, 4], { resize: 4, rounding })),
	);
	// Half of 7 - 4 is 1.5.
	near(even.data.slice(0, 4), [0.2, 0.3, 0.4, 0.5]);
	near(down.data.slice(0, 4), [0.1, 0.2, 0.3, 0.4]);
});

test("of a very long image the middle is used", () => {
	const { data } = fitted(
		gray(4, 400, (_, x) => (x >= 198 && x < 202 ? 1 : 0)),
		resizing([4, 4]),
	);
	near(data, Array(16).fill(1));
});

test("large images have 8 bits", () => {
	const { data } = fitted(
		gray(1500, 1500, (_, x) => x / 1500),
		resizing([10, 10]),
	);
	for (const value of data) expect(255 * value).toBeCloseTo(Math.round(255 * value), 4);
});

test("pixels become planes or luminance, and bytes again", () => {
	const source = new ImageData(new Uint8ClampedArray([255, 0, 51, 255, 10, 20, 30, 255]), 2, 1);
	const color = pixelsOf(source, 3);
	near(color.data, [1, 10 / 255, 0, 20 / 255, 0.2, 30 / 255]);
	expect([...bytesOf(color)]).toEqual([255, 0, 51, 10, 20, 30]);
	near(pixelsOf(source, 1).data, [0.299 + 0.114 * 0.2, (0.299 * 10 + 0.587 * 20 + 0.114 * 30) / 255]);
});
