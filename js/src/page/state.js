/**
 * The content of an exported page: a header in JSON, and behind it the bytes of the arrays.
 *
 * @typedef {{model_name: string, model_module: string, model_module_version: string, state: Record<string, any>}} Saved
 * @typedef {{
 *   shown: string[],
 *   disabled: string[],
 *   frozen?: string[],
 *   models: Record<string, Saved>,
 *   texts: string[],
 *   blobs: number[],
 *   positions: [model: string, path: (string | number)[], blob: number][],
 *   long_texts: [model: string, name: string, text: number][],
 *   picker?: string,
 *   captions?: string[],
 *   variants?: Record<string, Record<string, any>>[],
 *   network?: import("./live.js").Network,
 *   variant_positions?: [image: number, model: string, path: (string | number)[], blob: number][],
 * }} Header  `variants` are the traits of models for each image that `picker` chooses; `blobs` are lengths, `positions` where they belong, `long_texts` texts that several models share
 */

/** The header begins behind its length, four bytes with the lowest first. */
const START = 4;

/**
 * Unpacks what `xai_widgets.export` packed.
 *
 * @param {ArrayBuffer} packed
 * @returns {Header}  with arrays and texts in their positions
 */
export function unpack(packed) {
	const length = new DataView(packed).getUint32(0, true);
	/** @type {Header} */
	const header = JSON.parse(new TextDecoder().decode(new Uint8Array(packed, START, length)));
	let at = START + length;
	const blobs = header.blobs.map((size) => {
		const view = new DataView(packed, at, size);
		at += size;
		return view;
	});
	for (const [model, path, blob] of header.positions) put(header.models[model]?.state, path, blobs[blob]);
	for (const [image, model, path, blob] of header.variant_positions ?? []) {
		put(header.variants?.[image]?.[model], path, blobs[blob]);
	}
	for (const [model, name, text] of header.long_texts) {
		const state = header.models[model]?.state;
		if (state) state[name] = header.texts[text];
	}
	return header;
}

/** @param {any} holder @param {(string | number)[]} path @param {DataView | undefined} blob */
function put(holder, path, blob) {
	for (const key of path.slice(0, -1)) holder = holder[key];
	holder[path[path.length - 1] ?? ""] = blob;
}
