import { element } from "./dom.js";

/**
 * One stop of the slider.
 * @typedef {{area: number, ready: boolean}} Stop
 */

/** Two numbers under the slider are at least this part of its length apart. */
const APART = 0.16;
/** And so far from the star. */
const BESIDE = 0.11;

/** A share in percent, with one decimal only where it says something. @param {number} share */
export function percentOf(share) {
	return `${Number((100 * share).toFixed(1))} %`;
}

/**
 * The stop that is ready and nearest to an area; the smaller one of two.
 *
 * @param {Stop[]} stops  ascending
 * @param {number} area
 * @returns {number} -1 for none
 */
export function nearestReady(stops, area) {
	let found = -1;
	for (const [index, stop] of stops.entries()) {
		if (!stop.ready) continue;
		if (found < 0 || Math.abs(stop.area - area) < Math.abs(stops[found].area - area)) found = index;
	}
	return found;
}

/**
 * The area that a key leads to.
 *
 * @param {KeyboardEvent} event
 * @param {Stop[]} stops
 * @param {number} area  now
 * @returns {number | null} null for a key that leads nowhere
 */
export function areaByKey({ key }, stops, area) {
	const there = stops.filter(({ ready }) => ready);
	if (there.length === 0) return null;
	const at = nearestReady(there, area);
	const by = /** @type {Record<string, number>} */ ({
		ArrowRight: 1,
		ArrowUp: 1,
		PageUp: 1,
		ArrowLeft: -1,
		ArrowDown: -1,
		PageDown: -1,
		Home: -there.length,
		End: there.length,
	})[key];
	return by ? there[Math.min(Math.max(at + by, 0), there.length - 1)].area : null;
}

/**
 * A slider from 0 to the largest area that stops at those which are there: a tick for each, and a star at the best.
 *
 * @param {{set: (area: number) => void, signal: AbortSignal}} options
 */
export function createAreaSlider({ set, signal }) {
	const input = element("input", { type: "range", min: 0, max: 1, step: "any", "aria-label": "Area" });
	const output = element("span", { class: "xw-number" });
	const ticks = element("div", { class: "xw-ticks", "aria-hidden": "true" });
	const star = element("button", { type: "button", class: "xw-best", hidden: true }, ["★"]);
	const rail = element("div", { class: "xw-rail" }, [input, ticks, star]);
	/** @type {Stop[]} */
	let stops = [];
	let shown = -1;
	/** @type {number | null} */
	let starred = null;
	/** What the ticks were made of. */
	let drawn = "";

	const sync = () => {
		// Where the hand has the knob it stays only if a mask is there.
		if (shown >= 0) input.value = String(stops[shown].area);
	};
	input.addEventListener(
		"input",
		() => {
			const at = nearestReady(stops, input.valueAsNumber);
			if (at >= 0) set(stops[at].area);
			sync();
		},
		{ signal },
	);
	input.addEventListener(
		"keydown",
		(event) => {
			if (event.ctrlKey || event.metaKey || event.altKey) return;
			const area = areaByKey(event, stops, stops[shown]?.area ?? 0);
			if (area === null) return;
			event.preventDefault();
			set(area);
		},
		{ signal },
	);
	star.addEventListener("click", () => starred !== null && set(starred), { signal });

	return {
		node: element("div", { class: "xw-control xw-area" }, [element("span", {}, ["Area"]), rail, output]),
		/**
		 * @param {Stop[]} given
		 * @param {number} at  the stop that is shown, -1 for none
		 * @param {number | null} best
		 */
		show(given, at, best) {
			stops = given;
			shown = at;
			starred = best;
			const end = Math.max(stops.at(-1)?.area ?? 1, best ?? 0);
			input.max = String(end);
			input.disabled = at < 0;
			sync();
			const text = at < 0 ? "—" : percentOf(stops[at].area);
			output.textContent = text;
			input.setAttribute("aria-valuetext", text);
			star.hidden = best === null;
			if (best !== null) {
				star.style.setProperty("--xw-at", String(best / end));
				star.title = `a* = ${percentOf(best)}: the best area`;
				star.setAttribute("aria-label", `Best area, ${percentOf(best)}`);
			}
			const key = JSON.stringify([stops, end, best]);
			if (key !== drawn) ticks.replaceChildren(...marks(stops, end, best));
			drawn = key;
		},
	};
}

/**
 * A tick for each stop, and numbers where there is room.
 *
 * @param {Stop[]} stops
 * @param {number} end
 * @param {number | null} best
 */
function marks(stops, end, best) {
	let last = Number.NEGATIVE_INFINITY;
	return stops.map(({ area, ready }) => {
		const place = area / end;
		const tick = element("span", { class: ready ? "xw-tick" : "xw-tick xw-absent" });
		tick.style.setProperty("--xw-at", String(place));
		const free = best === null || Math.abs(place - best / end) >= BESIDE;
		if (free && place - last >= APART) {
			last = place;
			tick.append(element("span", {}, [String(Number((100 * area).toFixed(1)))]));
		}
		return tick;
	});
}
