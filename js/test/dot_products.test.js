import { afterEach, describe, expect, test, vi } from "vitest";
import { byteProducts } from "../src/lib/dot_products.js";

afterEach(() => vi.restoreAllMocks());

/** Bytes of every size, the extreme ones too. @param {number} count @param {number} channels */
function bytes(count, channels) {
	return Int8Array.from({ length: count * channels }, (_, i) => (i * i * 37 + i * 11) % 256);
}

/** @param {Int8Array} codes @param {number} channels @param {number} a @param {number} b */
function plain(codes, channels, a, b) {
	let sum = 0;
	for (let c = 0; c < channels; c++) sum += codes[a * channels + c] * codes[b * channels + c];
	return sum;
}

describe.each(["WebAssembly", "JavaScript"])("%s", (by) => {
	test.each([1, 15, 16, 17, 64, 129])("products of %d channels", (channels) => {
		const compiled = vi.spyOn(WebAssembly, "Module");
		if (by === "JavaScript") {
			// Like a page whose policy forbids it.
			compiled.mockImplementation(function refuse() {
				throw new WebAssembly.CompileError("refused");
			});
		}
		const codes = bytes(9, channels);
		const products = byteProducts(codes, 9, channels);
		expect(compiled).toHaveBeenCalledTimes(1);
		expect(compiled.mock.results[0].type).toBe(by === "JavaScript" ? "throw" : "return");
		for (const [source, first, room] of [
			[0, 0, 9],
			[8, 3, 4],
			[2, 8, 1],
		]) {
			const out = new Float32Array(room);
			products(source, first, out);
			expect([...out]).toEqual(
				Array.from({ length: room }, (_, i) => plain(codes, channels, source, first + i)),
			);
		}
	});
});

test("the largest products of many channels fit", () => {
	const codes = new Int8Array(2 * 4096).fill(-128);
	const out = new Float32Array(2);
	byteProducts(codes, 2, 4096)(0, 0, out);
	expect([...out]).toEqual([4096 * 16384, 4096 * 16384]);
});
