import { element, setText } from "./dom.js";
import { clamp } from "./numbers.js";

/**
 * One stop of a slider: its position in any unit, whether it can be chosen, what stands under its tick if there is room,
 * and the text that is read out.
 * @typedef {{position: number, ready: boolean, tick: string, text: string}} Stop
 *
 * A star on the rail, which need not be at a stop.
 * @typedef {{position: number, ready: boolean, name: string, title: string}} Star
 *
 * @typedef {{label: string, stops: Stop[], start: number, end: number, at: number, star: Star | null}} Look
 *     `at` is the stop that is shown, -1 for none
 */

/** Half the width of the knob, CSS px: so far from the ends of the rail its middle stops. */
const KNOB = 8;
/** Between two labels, CSS px. */
const GAP = 7;
/** Half the width of the star, CSS px. */
const STAR = 9;
const FONT = "12px system-ui, sans-serif";

/**
 * The first of the items that are ready and nearest.
 *
 * @template {{ready: boolean}} T
 * @param {T[]} items
 * @param {(item: T) => number} distance
 * @returns {number} -1 for none
 */
export function nearestReady(items, distance) {
	let found = -1;
	for (const [index, item] of items.entries()) {
		if (item.ready && (found < 0 || distance(item) < distance(items[found]))) found = index;
	}
	return found;
}

/**
 * The stop that a key leads to.
 *
 * @param {KeyboardEvent} event
 * @param {{ready: boolean}[]} stops
 * @param {number} at  the stop now
 * @returns {number | null} null for a key that leads nowhere
 */
export function stopByKey({ key }, stops, at) {
	const there = stops.flatMap(({ ready }, index) => (ready ? [index] : []));
	if (there.length === 0) return null;
	const page = Math.max(1, Math.round(there.length / 10));
	const by = /** @type {Record<string, number>} */ ({
		ArrowRight: 1,
		ArrowUp: 1,
		PageUp: page,
		ArrowLeft: -1,
		ArrowDown: -1,
		PageDown: -page,
		Home: -there.length,
		End: there.length,
	})[key];
	return by ? there[clamp(there.indexOf(at) + by, 0, there.length - 1)] : null;
}

/**
 * A slider that stops where it may: a tick for each stop, labels where there is room, and perhaps a star.
 *
 * @param {{choose: (index: number) => void, chooseStar: () => void, signal: AbortSignal}} options
 */
export function createSlider({ choose, chooseStar, signal }) {
	const input = element("input", {
		...{ type: "range", min: 0, max: 1, step: "any" },
		title: "Drag, or use the arrow keys",
	});
	const name = element("span");
	const output = element("span", { class: "xw-number" });
	const ticks = element("div", { class: "xw-ticks", "aria-hidden": "true" });
	const star = element(
		"button",
		{ type: "button", class: "xw-best", title: "Go to the marked stop", hidden: true },
		["★"],
	);
	const rail = element("div", { class: "xw-rail" }, [input, ticks, star]);
	/** @type {Look} */
	let look = { label: "", stops: [], start: 0, end: 1, at: -1, star: null };
	let width = 0;

	const sync = () => {
		// Where the user drags the knob it stays only if there is a stop.
		input.value = String(look.at < 0 ? look.start : look.stops[look.at].position);
	};
	input.addEventListener(
		"input",
		() => {
			const position = input.valueAsNumber;
			const at = nearestReady(look.stops, (stop) => Math.abs(stop.position - position));
			if (at >= 0) choose(at);
			sync();
		},
		{ signal },
	);
	input.addEventListener(
		"keydown",
		(event) => {
			if (event.ctrlKey || event.metaKey || event.altKey) return;
			const starred = event.key === "b" && look.star?.ready;
			const at = stopByKey(event, look.stops, look.at);
			if (at === null && !starred) return;
			event.preventDefault();
			if (at !== null) choose(at);
			else chooseStar();
		},
		{ signal },
	);
	star.addEventListener("click", () => chooseStar(), { signal });

	const label = () => {
		const texts = [...ticks.children].map((tick) => /** @type {HTMLElement} */ (tick.firstElementChild));
		for (const [index, shift] of roomFor(look, width).entries()) {
			texts[index].hidden = shift === null;
			texts[index].style.setProperty("--xw-shift", `${shift ?? 0}px`);
		}
	};
	const observer = new ResizeObserver(([entry]) => {
		width = entry.contentRect.width;
		label();
	});
	observer.observe(rail);
	signal.addEventListener("abort", () => observer.disconnect());

	return {
		node: element("div", { class: "xw-slider" }, [name, rail, output]),
		input,
		/** Cheap where only `at` has changed: it runs at every step of a drag. @param {Look} next */
		show(next) {
			const { stops, start, end, at } = next;
			const moved = stops !== look.stops || end !== look.end || next.star !== look.star;
			look = next;
			input.min = String(start);
			input.max = String(end);
			input.disabled = !stops.some(({ ready }) => ready);
			sync();
			setText(name, look.label);
			name.hidden = !look.label;
			setText(output, stops[at]?.text ?? "—");
			input.setAttribute("aria-valuetext", output.textContent);
			if (!moved) return;
			ticks.replaceChildren(...stops.map((stop) => tickOf(stop, shareOf(look, stop.position))));
			star.hidden = !look.star;
			if (look.star) {
				star.disabled = !look.star.ready;
				star.style.setProperty("--xw-at", String(shareOf(look, look.star.position)));
				star.title = look.star.title;
				star.setAttribute("aria-label", look.star.name);
			}
			label();
		},
	};
}

/** How far along the rail a position is, from 0 to 1. @param {Look} look @param {number} position */
function shareOf({ start, end }, position) {
	return end > start ? (position - start) / (end - start) : 0;
}

/** @param {Stop} stop @param {number} share */
function tickOf({ ready, tick }, share) {
	const node = element("span", { class: ready ? "xw-tick" : "xw-tick xw-absent" }, [
		element("span", {}, [tick]),
	]);
	node.style.setProperty("--xw-at", String(share));
	return node;
}

/** Measures text without a layout of the page. @type {OffscreenCanvasRenderingContext2D | null} */
let ruler = null;

/** @param {string} text @returns {number} CSS px */
function widthOf(text) {
	ruler ??= new OffscreenCanvas(1, 1).getContext("2d");
	if (!ruler) return 7 * text.length;
	ruler.font = FONT;
	return ruler.measureText(text).width;
}

/**
 * The labels for which there is room: both ends, then the others from the left; each with how far it is shifted to
 * stay over the rail.
 *
 * @param {Look} look
 * @param {number} width  of the rail, CSS px
 * @returns {(number | null)[]} CSS px; null where there is no room
 */
export function roomFor(look, width) {
	/** @param {number} position */
	const leftOf = (position) => KNOB + shareOf(look, position) * (width - 2 * KNOB);
	const { stops, star } = look;
	/** @type {(number | null)[]} */
	const shifts = stops.map(() => null);
	/** @type {[left: number, right: number][]} */
	const taken = star ? [[leftOf(star.position) - STAR, leftOf(star.position) + STAR]] : [];
	const inner = Array.from({ length: Math.max(stops.length - 2, 0) }, (_, index) => index + 1);
	for (const index of new Set([0, stops.length - 1, ...inner])) {
		const stop = stops[index];
		const size = stop ? widthOf(stop.tick) : 0;
		if (size === 0 || size > width) continue;
		const middle = leftOf(stop.position);
		const left = clamp(middle - size / 2, 0, width - size);
		if (taken.some(([from, to]) => left < to + GAP && left + size > from - GAP)) continue;
		taken.push([left, left + size]);
		shifts[index] = left - (middle - size / 2);
	}
	return shifts;
}
