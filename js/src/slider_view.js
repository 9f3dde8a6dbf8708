import { widget } from "./lib/widget.js";
import "./slider_view.css";
import { cached } from "./lib/cached.js";
import { element } from "./lib/dom.js";
import { keepKeys } from "./lib/keys.js";
import { createSlider, nearestReady } from "./lib/slider.js";
import { fitWidth } from "./lib/stage.js";
import { observe, updater } from "./lib/state.js";

/**
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {import("./lib/slider.js").Stop & {fraction: number}} Stop
 * @typedef {import("./lib/slider.js").Star} Star
 */

const TRAITS = [
	"values",
	"labels",
	"ready",
	"marked",
	"mark_label",
	"spacing",
	"unit",
	"label",
	"title",
	"width",
];
const KEYS = "← →, ↑ ↓: next stop; Page Up, Page Down: farther; Home, End: first, last; b: the marked stop";
/** Words longer than this stand above the rail, in characters. */
const LONG = 12;

/** @param {number} value */
function numberText(value) {
	return String(Number(value.toPrecision(6))).replaceAll("-", "−");
}

/**
 * What the traits say the stops are; the very same as long as they do.
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
					place: spacing === "even" ? index : value,
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
			return { place: stop.place, ready: stop.ready, name, title: name };
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

/** @type {import("@anywidget/types").Render} */
function render({ model, el }) {
	const controller = new AbortController();
	const { signal } = controller;
	const set = updater(model, signal);
	const stops = createStops(model);
	const slider = createSlider({
		choose: (frame) => set({ frame }),
		chooseStar: () => set({ frame: model.get("marked") }),
		signal,
	});
	slider.input.setAttribute("aria-description", KEYS);
	const title = element("span", { class: "xw-title" });
	const root = element("div", { class: "xw xw-figure xw-slider-view", role: "group" }, [
		element("div", { class: "xw-head" }, [title]),
		slider.node,
	]);
	keepKeys(root, signal);

	const show = () => {
		const frame = model.get("frame");
		const all = stops.all();
		slider.show({
			label: model.get("label"),
			stops: all,
			start: all[0]?.place ?? 0,
			end: all.at(-1)?.place ?? 1,
			at: stops.has(frame) ? frame : stops.nearest(),
			star: stops.star(),
		});
	};
	let correcting = false;
	const follow = () => {
		const frame = model.get("frame");
		const nearest = stops.nearest();
		if (stops.has(frame)) {
			// A fraction beside the stop's own, as of a cursor that may be anywhere, is left where it is.
			if (frame !== nearest) set({ fraction: stops.all()[frame].fraction });
		} else if (frame !== nearest && !correcting) {
			// Whoever chose what is not there is told what is; once, as two views may disagree.
			correcting = true;
			set({ frame: nearest });
			correcting = false;
		}
		show();
	};
	const refresh = () => {
		title.textContent = model.get("title");
		title.hidden = !title.textContent;
		fitWidth(root, model.get("width"));
		const label = model.get("label") || model.get("title") || "Stops";
		root.setAttribute("aria-label", model.get("title") || label);
		slider.input.setAttribute("aria-label", label);
		const longest = Math.max(1, ...stops.all().map(({ text }) => text.length));
		slider.node.style.setProperty("--xw-longest", String(longest));
		slider.node.classList.toggle("xw-long", longest > LONG);
		show();
	};
	observe(model, TRAITS, refresh, signal);
	observe(model, ["values", "frame"], follow, signal);
	const keep = () => {
		if (!stops.has(model.get("frame"))) follow();
	};
	const choose = () => {
		if (stops.nearest() !== model.get("frame")) set({ frame: stops.nearest() });
	};
	observe(model, ["ready"], keep, signal);
	observe(model, ["fraction"], choose, signal);

	refresh();
	follow();
	el.append(root);
	return () => {
		controller.abort();
		root.remove();
	};
}

export default widget(render);
