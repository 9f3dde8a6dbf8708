import "./slider_view.css";
import { cached } from "./lib/cached.js";
import { view } from "./lib/figure.js";
import { draggedOrAsked } from "./lib/kernel.js";
import { createSlider, nearestReady } from "./lib/slider.js";
import { observe } from "./lib/state.js";

/**
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {import("./lib/slider.js").Stop & {fraction: number}} Stop
 * @typedef {import("./lib/slider.js").Star} Star
 */

const KEYS = "← →, ↑ ↓: next stop; Page Up, Page Down: farther; Home, End: first, last; b: the marked stop";
/** Words longer than this stand above the rail, in characters. */
const LONG = 12;

/** @param {number} value */
function numberText(value) {
	return String(Number(value.toPrecision(6))).replaceAll("-", "−");
}

/**
 * The stops; the same object as long as the traits are.
 *
 * @param {Model} model
 */
function createStops(model) {
	const stopsOf = cached(
		(
			/** @type {number[]} */ values,
			/** @type {string[]} */ labels,
			/** @type {boolean[]} */ ready,
			/** @type {string} */ spacing,
			/** @type {string} */ unit,
		) => {
			const first = values[0];
			const span = values[values.length - 1] - first;
			return values.map((value, index) => {
				const tick = labels[index] ?? numberText(value);
				return {
					position: spacing === "even" ? index : value,
					ready: ready[index] !== false,
					tick,
					text: unit ? `${tick} ${unit}` : tick,
					fraction: span > 0 ? (value - first) / span : 0,
				};
			});
		},
	);
	const starOf = cached(
		(/** @type {Stop[]} */ stops, /** @type {number} */ marked, /** @type {string} */ label) => {
			const stop = stops[marked];
			if (!stop) return null;
			const name = label || `${stop.text}, marked`;
			return { position: stop.position, ready: stop.ready, name, title: name };
		},
	);
	/** @returns {Stop[]} */
	const all = () =>
		stopsOf(
			model.get("values"),
			model.get("labels"),
			model.get("ready"),
			model.get("spacing"),
			model.get("unit"),
		);
	return {
		all,
		/** @returns {Star | null} */
		star: () => starOf(all(), model.get("marked"), model.get("mark_label")),
		/** The stop that belongs to the fraction; among all as long as none is ready. */
		nearest() {
			const stops = all();
			const waiting = !stops.some(({ ready }) => ready);
			const there = waiting ? stops.map((stop) => ({ ...stop, ready: true })) : stops;
			const fraction = model.get("fraction");
			return nearestReady(there, (stop) => Math.abs(stop.fraction - fraction));
		},
		/** Whether a frame is a stop that may be chosen. @param {number} frame */
		has(frame) {
			const stops = all();
			const stop = stops[frame];
			return stop !== undefined && (stop.ready || !stops.some(({ ready }) => ready));
		},
	};
}

export default view("xw-figure xw-slider-view", (figure) => {
	const { model, set, signal } = figure;
	const chooseFrame = draggedOrAsked(figure, "frame");
	const stops = createStops(model);
	const slider = createSlider({
		choose: chooseFrame,
		chooseStar: () => chooseFrame(model.get("marked")),
		signal,
	});
	slider.input.setAttribute("aria-description", KEYS);

	const show = () => {
		const frame = model.get("frame");
		const all = stops.all();
		slider.show({
			label: model.get("label"),
			stops: all,
			start: all[0]?.position ?? 0,
			end: all.at(-1)?.position ?? 1,
			at: stops.has(frame) ? frame : stops.nearest(),
			star: stops.star(),
		});
	};
	/** The frame is the stop nearest to the fraction. */
	const follow = () => {
		const frame = stops.nearest();
		if (frame !== model.get("frame")) set({ frame });
	};
	/** A frame that is set sets the fraction. */
	const choose = () => {
		const frame = model.get("frame");
		// The fraction may lie beside that of its stop, as the cursor of a curve may.
		if (stops.has(frame) && frame !== stops.nearest()) set({ fraction: stops.all()[frame].fraction });
		else follow();
		show();
	};
	observe(model, ["values", "frame"], choose, signal);
	observe(model, ["fraction"], follow, signal);
	// A stop that becomes ready does not move the choice.
	observe(model, ["ready"], () => stops.has(model.get("frame")) || follow(), signal);
	choose();
	return {
		content: [slider.node],
		label: () => model.get("label") || "Stops",
		traits: ["values", "labels", "ready", "marked", "mark_label", "spacing", "unit", "label"],
		refresh() {
			slider.input.setAttribute("aria-label", model.get("label") || model.get("title") || "Stops");
			const longest = Math.max(1, ...stops.all().map(({ text }) => text.length));
			slider.node.style.setProperty("--xw-longest", String(longest));
			slider.node.classList.toggle("xw-long", longest > LONG);
			show();
		},
	};
});
