/**
 * Occlusion (Zeiler and Fergus 2014) as `xai_widgets.perturbation.occlusion` computes it, with patches w_i:
 *
 *     d_i = S_c(x) - S_c(x with w_i filled),   map(u) = sum_i w_i(u) d_i / sum_i w_i(u)
 *
 * @typedef {{top: number, left: number, height: number, width: number}} Patch
 */

/**
 * The patches that slide over an image, row by row; those at the right and lower border are cropped.
 *
 * @param {number} height
 * @param {number} width
 * @param {{side: number, stride: number}} settings  in pixels
 * @returns {Patch[]}
 */
export function patchesOf(height, width, { side, stride }) {
	const starts = (/** @type {number} */ extent) =>
		Array.from({ length: Math.ceil((extent - side) / stride) + 1 }, (_, k) => k * stride);
	return starts(height).flatMap((top) =>
		starts(width).map((left) => cropped(height, width, { top, left, side })),
	);
}

/**
 * A square patch as far as it lies in the image.
 *
 * @param {number} height
 * @param {number} width
 * @param {{top: number, left: number, side: number}} patch
 * @returns {Patch}
 */
export function cropped(height, width, { top, left, side }) {
	const [first, begin] = [Math.max(0, top), Math.max(0, left)];
	return {
		top: first,
		left: begin,
		height: Math.min(height, top + side) - first,
		width: Math.min(width, left + side) - begin,
	};
}

/** Calls back with the index of each pixel of a patch. @param {Patch} patch @param {number} width @param {(i: number) => void} visit */
export function eachPixel(patch, width, visit) {
	for (let y = patch.top; y < patch.top + patch.height; y++) {
		for (let x = patch.left; x < patch.left + patch.width; x++) visit(y * width + x);
	}
}

/**
 * The mean drop over the patches that cover a pixel, (H, W); 0 where none is computed.
 *
 * @param {number} height
 * @param {number} width
 * @param {Patch[]} patches
 * @param {ArrayLike<number>} drops  of the first patches
 * @returns {Float32Array}
 */
export function occlusionMap(height, width, patches, drops) {
	const [total, cover] = [new Float64Array(height * width), new Float64Array(height * width)];
	for (let k = 0; k < drops.length; k++) {
		eachPixel(patches[k], width, (i) => {
			total[i] += drops[k];
			cover[i] += 1;
		});
	}
	return Float32Array.from(total, (sum, i) => (cover[i] > 0 ? sum / cover[i] : 0));
}
