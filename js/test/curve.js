// Helpers of the curve tests: a view of three curves, its pixels and pointer events.
import { vi } from "vitest";
import curveView from "../src/curve_view.js";
import { array, mount, painted } from "./model.js";

export const T = 101;
export const X = Array.from({ length: T }, (_, step) => step / (T - 1));
export const FALL = X.map((x) => 1 - x);
export const RISE = X;
export const SERIES = [
	{ label: "gradient deletion", note: "AUC 0.500", frame: 0, mode: "deletion", style: "dashed" },
	{ label: "gradient insertion", note: "AUC 0.500", frame: 0, mode: "insertion" },
	{ label: "Grad-CAM insertion", note: "", frame: 1, mode: "insertion" },
];
export const FLAT = X.map(() => 0.1);

export function state(over = {}) {
	return {
		x: array("float32", [T], X),
		y: array("float32", [3, T], [...FALL, ...RISE, ...FLAT]),
		series: SERIES,
		lines: [],
		marks: [],
		steps: null,
		step: -1,
		hidden: [],
		fraction: 0.25,
		frame: 0,
		mode: "deletion",
		x_scale: "linear",
		x_label: "fraction",
		y_label: "score",
		height: 260,
		width: 0,
		controls: true,
		title: "Curves",
		...over,
	};
}

/** The view shown last.
 * @type {{model: import("./model.js").Model, el: HTMLElement, unmount: () => Promise<void>}} */
export let view;
export async function show(over, options) {
	view = await mount(curveView, state(over), options);
	await vi.waitUntil(() => find("canvas"));
	await painted();
	// Synthetic pointers cannot be captured.
	find(".u-over").setPointerCapture = () => {};
}
export const find = (/** @type {string} */ selector) => view.el.querySelector(selector);
export const all = (/** @type {string} */ selector) => [...view.el.querySelectorAll(selector)];
export const texts = (/** @type {string} */ selector) => all(selector).map((node) => node.textContent);
export const named = (/** @type {string} */ text) => all("button").find((node) => node.textContent === text);

/** A pointer event at a position in the plotting area, in shares of its size from the bottom left. */
export function pointer(type, x, y, options = {}) {
	const over = find(".u-over");
	const rect = over.getBoundingClientRect();
	const position = { clientX: rect.left + x * rect.width, clientY: rect.bottom - y * rect.height };
	const Type = type === "wheel" ? WheelEvent : type.startsWith("pointer") ? PointerEvent : MouseEvent;
	const event = new Type(type, {
		...position,
		bubbles: true,
		cancelable: true,
		isPrimary: true,
		pointerId: 1,
		...options,
	});
	over.dispatchEvent(event);
	return event;
}

/** Color distance of a spot from the background: how much ink is there. */
export function ink(x, y, reach = 3) {
	const canvas = find("canvas");
	const frame = canvas.getBoundingClientRect();
	const rect = find(".u-over").getBoundingClientRect();
	const scale = canvas.width / frame.width;
	const left = (rect.left - frame.left + x * rect.width) * scale;
	const top = (rect.bottom - frame.top - y * rect.height) * scale;
	const { data } = canvas
		.getContext("2d")
		.getImageData(left - reach, top - reach, 2 * reach + 1, 2 * reach + 1);
	let most = 0;
	for (let i = 0; i < data.length; i += 4) {
		// Grid lines are gray; only curves have a color.
		const spread = Math.max(data[i], data[i + 1], data[i + 2]) - Math.min(data[i], data[i + 1], data[i + 2]);
		most = Math.max(most, (spread * data[i + 3]) / 255);
	}
	return most;
}
export const canvasBytes = () => {
	const canvas = find("canvas");
	return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
};
