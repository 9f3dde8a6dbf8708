import { describe, expect, test } from "vitest";
import { decode, slice } from "../src/lib/arrays.js";
import { array } from "./model.js";

describe("decode", () => {
	test("null and undefined are null", () => {
		expect(decode(null)).toBeNull();
		expect(decode(undefined)).toBeNull();
	});

	test.each([
		["uint8", Uint8Array, [0, 7, 255]],
		["int8", Int8Array, [-128, -1, 127]],
		["int32", Int32Array, [-(2 ** 31), 0, 2 ** 31 - 1]],
		["float32", Float32Array, [-1.5, 0, Number.POSITIVE_INFINITY]],
	])("%s keeps its type and values", (dtype, type, values) => {
		const decoded = decode(array(dtype, [3, 1], values));
		expect(decoded.shape).toEqual([3, 1]);
		expect(decoded.data).toBeInstanceOf(type);
		expect([...decoded.data]).toEqual(values);
	});

	test("float16 is widened exactly: zeros, subnormals, normals, infinities, NaN", () => {
		const bits = [
			0x0000, 0x8000, 0x0001, 0x03ff, 0x0400, 0x3c00, 0xc000, 0x3555, 0x7bff, 0x7c00, 0xfc00, 0x7e00,
		];
		const { data } = decode(array("float16", [12], bits));
		expect(data).toBeInstanceOf(Float32Array);
		expect([...data]).toEqual([
			0,
			-0,
			2 ** -24,
			1023 * 2 ** -24,
			2 ** -14,
			1,
			-2,
			0.333251953125,
			65504,
			Number.POSITIVE_INFINITY,
			Number.NEGATIVE_INFINITY,
			Number.NaN,
		]);
	});

	test("a view in the middle of a larger buffer is read at its offset, aligned or not", () => {
		for (const offset of [4, 5]) {
			const buffer = new ArrayBuffer(20);
			new DataView(buffer).setFloat32(offset, 0.25, true);
			new DataView(buffer).setFloat32(offset + 4, -8, true);
			const { data } = decode({ dtype: "float32", shape: [2], data: new DataView(buffer, offset, 8) });
			expect([...data]).toEqual([0.25, -8]);
			expect(data.buffer === buffer).toBe(offset === 4);
		}
	});

	test("an empty array has no values", () => {
		expect(decode(array("float32", [0, 3], [])).data).toHaveLength(0);
	});

	test("a message that is not an array is refused in one sentence", () => {
		const data = new DataView(new ArrayBuffer(8));
		expect(() => decode({ dtype: "uint8", shape: [8], data: new ArrayBuffer(8) })).toThrow(
			/expected a DataView/,
		);
		expect(() => decode({ dtype: "float64", shape: [1], data })).toThrow(/float64, expected one of uint8/);
		expect(() => decode({ dtype: "float32", shape: [3], data })).toThrow(/has 8 bytes, expected 12/);
	});
});

describe("slice", () => {
	test("is a view on the same memory", () => {
		const whole = decode(array("int32", [2, 1, 3], [0, 1, 2, 3, 4, 5]));
		const part = slice(whole, 1);
		expect(part.shape).toEqual([1, 3]);
		expect([...part.data]).toEqual([3, 4, 5]);
		expect(part.data.buffer).toBe(whole.data.buffer);
	});
});
