// Helpers of the brush tests: a small image and pointer events.
import brushView from "../src/brush_view.js";
import { array, mount, painted } from "./model.js";

export const HEIGHT = 12;
export const WIDTH = 16;
const TOTAL = HEIGHT * WIDTH;
export const IMAGE = Array.from({ length: TOTAL }, (_, i) => [i % 256, 200 - i, 90]);
export const FILLS = [
	Array.from({ length: TOTAL }, () => [10, 250, 128]),
	Array.from({ length: TOTAL }, (_, i) => [255 - i, 0, i]),
];

export const STATE = {
	image: array("uint8", [HEIGHT, WIDTH, 3], IMAGE.flat()),
	fills: array("uint8", [2, HEIGHT, WIDTH, 3], FILLS.flat(2)),
	fill_labels: ["gray", "noise"],
	fill: 0,
	mask: null,
	tool: "paint",
	shape: "brush",
	brush_size: 0.5,
	softness: 0.5,
	display: "result",
	opacity: 0.5,
	_step: 0,
	_stroke: 0,
	_seen: 0,
	interpolation: "pixelated",
	controls: true,
	width: 320,
	title: "",
};

/** The view shown last.
 * @type {{model: import("./model.js").Model, el: HTMLElement, unmount: () => Promise<void>}} */
export let view;
export async function show(state = {}, options = {}) {
	view = await mount(brushView, { ...STATE, ...state }, options);
	await painted();
	// Synthetic pointers cannot be captured.
	find(".xw-stage").setPointerCapture = () => {};
	return view;
}
export const find = (/** @type {string} */ selector) => view.el.querySelector(selector);
export const named = (/** @type {string} */ text) =>
	[...view.el.querySelectorAll("button")].find((node) => node.textContent === text);
export const set = async (/** @type {Record<string, unknown>} */ values) => {
	for (const [name, value] of Object.entries(values)) view.model.set(name, value);
	await painted();
};

/** A pointer event at a position in pixels of the image. */
export function pointer(type, x, y, options = {}) {
	const node = find(".xw-stage");
	const rect = node.getBoundingClientRect();
	const event = new PointerEvent(type, {
		clientX: rect.left + (x / WIDTH) * rect.width,
		clientY: rect.top + (y / HEIGHT) * rect.height,
		bubbles: true,
		cancelable: true,
		isPrimary: true,
		pointerId: 1,
		pointerType: "mouse",
		...options,
	});
	node.dispatchEvent(event);
	return event;
}
export function drag(points, options = {}) {
	pointer("pointerdown", ...points[0], options);
	for (const point of points.slice(1)) pointer("pointermove", ...point, options);
	pointer("pointerup", ...points.at(-1), options);
}

/** The mask that the model holds now. */
export function mask() {
	const { shape, data } = view.model.get("mask");
	if (String(shape) !== String([HEIGHT, WIDTH])) throw new Error(`shape ${shape}`);
	return [...new Uint8Array(data.buffer, data.byteOffset, data.byteLength)];
}

/** The colors at the centers of all pixels of the image. */
export function pixels() {
	const canvas = find(".xw-stage > canvas");
	return Array.from({ length: TOTAL }, (_, i) => {
		const x = Math.floor((((i % WIDTH) + 0.5) / WIDTH) * canvas.width);
		const y = Math.floor(((Math.floor(i / WIDTH) + 0.5) / HEIGHT) * canvas.height);
		return [...canvas.getContext("2d").getImageData(x, y, 1, 1).data.subarray(0, 3)];
	});
}

/** The mask of a stroke along points on an empty mask: the brush at the distance from the nearest of its segments. */
export function strokeOf(points, { size = 0.5, softness = 0.5 } = {}) {
	const radius = (size * Math.min(WIDTH, HEIGHT)) / 2;
	const border = Math.max(radius * softness, 1);
	const segments =
		points.length > 1 ? points.slice(1).map((to, k) => [points[k], to]) : [[points[0], points[0]]];
	return Array.from({ length: TOTAL }, (_, i) => {
		const [x, y] = [(i % WIDTH) + 0.5, Math.floor(i / WIDTH) + 0.5];
		const distances = segments.map(([[ax, ay], [bx, by]]) => {
			const length = (bx - ax) ** 2 + (by - ay) ** 2;
			const t = length && Math.min(Math.max(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length, 0), 1);
			return Math.hypot(x - ax - t * (bx - ax), y - ay - t * (by - ay));
		});
		const t = Math.min(Math.max((radius + 0.5 - Math.min(...distances)) / border, 0), 1);
		return Math.round(255 * t * t * (3 - 2 * t));
	});
}

/** The image with its fill where the mask is. */
export function result(values, fill = 0, strength = 1, other = FILLS[fill]) {
	return values.map((value, i) =>
		IMAGE[i].map((c, k) => Math.round(c + (value / 255) * strength * (other[i][k] - c))),
	);
}
