/**
 * The content of an exported page: a header in JSON, and behind it the bytes of the arrays.
 *
 * @typedef {{model_name: string, model_module: string, model_module_version: string, state: Record<string, any>}} Saved
 * @typedef {{
 *   shown: string[],
 *   disabled: string[],
 *   models: Record<string, Saved>,
 *   texts: string[],
 *   blobs: number[],
 *   positions: [model: string, path: (string | number)[], blob: number][],
 *   long_texts: [model: string, name: string, text: number][],
 * }} Header  `blobs` are lengths, `positions` where they belong, `long_texts` texts that several models share
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
	for (const [model, path, blob] of header.positions) {
		/** @type {any} */
		let holder = header.models[model]?.state;
		for (const key of path.slice(0, -1)) holder = holder[key];
		holder[path[path.length - 1] ?? ""] = blobs[blob];
	}
	for (const [model, name, text] of header.long_texts) {
		const state = header.models[model]?.state;
		if (state) state[name] = header.texts[text];
	}
	return header;
}
