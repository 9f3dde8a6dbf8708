// Helpers of the tests of the similarity view: two images, their pixels, and pointer events.
import { colorTable } from "../src/lib/colormaps.js";
import widget from "../src/similarity_view.js";
import { array, mount, painted } from "./model.js";

/** @type {Awaited<ReturnType<typeof mount>>} */
export let view;

// Two images of 2 x 3 vectors: in the first they are along the axes, in the second one of them is zero.
export const FIRST = [
	...[1, 0, 0, 1, -1, 0],
	...[3, 4, 0, 5, 1, 1],
	...[2, 0, 0, 0, 0, -3],
	...[1, 0, -4, 3, 0, 2],
];
export const STATE = {
	images: array("uint8", [2, 2, 3, 3], new Array(36).fill(128)),
	labels: ["cat", "dog"],
	layer_labels: ["conv1"],
	activations: [array("float32", [2, 2, 3, 2], FIRST)],
	scales: [],
	norms: [],
	sigmas: [],
	errors: [],
	transforms: null,
	frame: 0,
	layer: 0,
	position: null,
	pins: [],
	marked: -1,
	scope: "across",
	kind: "cosine",
	colormap: "auto",
	opacity: 1,
	threshold: 0,
	fade: false,
	gray: true,
	interpolation: "pixelated",
	components: null,
	component_layer: 0,
	component_colors: [],
	component_opacity: 0.6,
	component_names: [],
	component_mode: "mix",
	tokens: [],
	token_scales: [],
	token_norms: [],
	token_names: [],
	source: "position",
	hidden: [],
	fields: [],
	_profile: null,
	columns: 2,
	size: 200,
	height: 0,
	color_range: "fixed",
	controls: true,
	width: 0,
	title: "",
};

/** @param {Record<string, unknown>} [state] */
export async function show(state = {}) {
	view = await mount(widget, { ...STATE, ...state });
	await painted();
}

/** @param {Record<string, unknown>} state */
export async function set(state) {
	for (const [name, value] of Object.entries(state)) view.model.set(name, value);
	await painted();
}

/** The images, by frame and layer, however they are arranged. */
export const stages = () => {
	/** @param {Element} stage */
	const order = (stage) => {
		const { frame, layer } = /** @type {HTMLElement} */ (stage.parentElement).dataset;
		return 100 * Number(frame) + Number(layer);
	};
	return [...view.el.querySelectorAll(".xw-patch-stage")].sort((a, b) => order(a) - order(b));
};
export const grid = () => /** @type {HTMLElement} */ (view.el.querySelector(".xw-patches"));
export const texts = (selector) => [...view.el.querySelectorAll(selector)].map((node) => node.textContent);
/** The text of a canvas of a image. @param {number} index @param {string} [name] */
export function words(index, name = "overlay") {
	const canvas = /** @type {HTMLCanvasElement} */ (stages()[index].querySelector(`.xw-${name}`));
	const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
	return [...new Uint32Array(data.buffer)];
}
/** @param {number} value @param {number} [limit] */
export const color = (value, limit = 1) =>
	colorTable("similarity", "both")[Math.max(0, Math.min(128.5 + (128 * value) / limit, 256)) | 0];

/** @param {string} type @param {number} index @param {number} x @param {number} y @param {PointerEventInit} [more] */
export function point(type, index, x, y, more = {}) {
	const { left, top, width, height } = stages()[index].getBoundingClientRect();
	const init = {
		bubbles: true,
		clientX: left + x * width,
		clientY: top + y * height,
		pointerType: "mouse",
		...more,
	};
	stages()[index].dispatchEvent(type === "click" ? new MouseEvent(type, init) : new PointerEvent(type, init));
}

/** @param {...string} keys */
export async function press(...keys) {
	for (const key of keys) {
		grid().dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
		await painted();
	}
}

/** Where a mark lies, in percent of its image. @param {HTMLElement} node @param {("left" | "top" | "width" | "height")[]} sides */
export function shares(node, sides) {
	const image = node.closest(".xw-patch-stage").getBoundingClientRect();
	const box = node.getBoundingClientRect();
	const at = {
		left: (box.left - image.left) / image.width,
		top: (box.top - image.top) / image.height,
		width: box.width / image.width,
		height: box.height / image.height,
	};
	return sides.map((side) => Math.round(100 * at[side]));
}
