import { expect, test } from "vitest";
import { unpack } from "../src/page/state.js";

function packed(header, bytes) {
	const head = new TextEncoder().encode(JSON.stringify(header));
	const made = new Uint8Array(4 + head.length + bytes.length);
	new DataView(made.buffer).setUint32(0, head.length, true);
	made.set(head, 4);
	made.set(bytes, 4 + head.length);
	return made.buffer;
}

test("arrays and texts are restored, shared ones in each model", () => {
	const models = {
		a: { state: { maps: { shape: [2] }, nested: [{}, { deep: {} }] } },
		b: { state: { maps: { shape: [2] } } },
	};
	const { models: made } = unpack(
		packed(
			{
				models,
				blobs: [2, 3],
				positions: [
					["a", ["maps", "data"], 0],
					["b", ["maps", "data"], 0],
					["a", ["nested", 1, "deep", "data"], 1],
				],
				texts: ["programme ü"],
				long_texts: [
					["a", "_esm", 0],
					["b", "_esm", 0],
				],
			},
			[1, 2, 3, 4, 5],
		),
	);
	const bytes = (view) => [...new Uint8Array(view.buffer, view.byteOffset, view.byteLength)];
	expect(made.a.state.maps.data).toBeInstanceOf(DataView);
	expect(bytes(made.a.state.maps.data)).toEqual([1, 2]);
	expect(bytes(made.b.state.maps.data)).toEqual([1, 2]);
	expect(bytes(made.a.state.nested[1].deep.data)).toEqual([3, 4, 5]);
	expect([made.a.state._esm, made.b.state._esm]).toEqual(["programme ü", "programme ü"]);
});

test("truncated data raises an error", () => {
	const header = {
		models: { a: { state: {} } },
		blobs: [4],
		positions: [["a", ["x"], 0]],
		texts: [],
		long_texts: [],
	};
	expect(() => unpack(packed(header, [1, 2]))).toThrow();
});
