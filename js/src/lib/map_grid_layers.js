/**
 * A map on its image: two canvases, which have the pixels of the map and of the image and are stretched by the browser, and
 * the cross at the position.
 *
 * @typedef {import("./image.js").FloatMap} FloatMap
 * @typedef {import("./map_grid_state.js").Look} Look
 */
import { element } from "./dom.js";
import { shade } from "./heat.js";
import { Raster } from "./image.js";
import { reductionFor, resampled } from "./resample.js";

/** Smooth maps are enlarged to about one of these sizes, in pixels, before they are colored. */
const EXTENTS = [160, 256, 384, 512, 768];

/** The size that a smooth map is enlarged to if it is shown with so many device pixels. @param {number} pixels */
const extentOf = (pixels) => EXTENTS.find((extent) => extent >= pixels) ?? EXTENTS.at(-1) ?? 768;

export function createLayers() {
	const [base, map] = [new Raster(), new Raster()];
	base.canvas.className = "xw-base";
	map.canvas.className = "xw-map";
	const cross = element("div", { class: "xw-cross" });
	const stage = element("div", { class: "xw-map-stage" }, [base.canvas, map.canvas, cross]);
	/** The arguments that the canvases were painted from. @type {{base: unknown, map: unknown[]}} */
	const painted = { base: null, map: [] };
	return {
		stage,
		map,
		base,
		/**
		 * @param {{shape: number[], words: Uint32Array} | null} image
		 * @param {number[]} shape  rows and columns of the visible image
		 */
		paintBase(image, [height, width]) {
			stage.style.setProperty("--xw-aspect", `${width} / ${height}`);
			// Without an image there is nothing to see through to.
			stage.classList.toggle("xw-bare", !image);
			base.canvas.hidden = !image;
			if (!image || painted.base === image) return;
			painted.base = image;
			base.resize(image.shape[1], image.shape[0]);
			base.words.set(image.words);
			base.flush();
		},
		/**
		 * @param {FloatMap | null} values
		 * @param {Look} look
		 * @param {{interpolation: import("./resample.js").Interpolation, pixels: number}} how  `pixels` is the width, in device
		 *     pixels, at which the whole map is drawn
		 */
		paintMap(values, { limit, sign, table }, { interpolation, pixels }) {
			const { canvas } = map;
			canvas.hidden = !values;
			const reduction = values ? reductionFor(values.shape, [pixels, pixels]) : 1;
			canvas.style.imageRendering = interpolation === "pixelated" ? "pixelated" : "auto";
			const extent = interpolation === "pixelated" ? 0 : extentOf(pixels);
			const from = [values, limit, sign, table, interpolation, extent, reduction];
			if (!values || from.every((value, index) => value === painted.map[index])) return;
			painted.map = from;
			const { shape, data } = resampled(values, interpolation, extent, reduction);
			map.resize(shape[1], shape[0]);
			shade(data, limit, sign, table, map.words);
			map.flush();
		},
	};
}

/** @typedef {ReturnType<typeof createLayers>} Layers */
