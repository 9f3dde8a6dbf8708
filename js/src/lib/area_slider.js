import { cached } from "./cached.js";
import { createSlider, nearestReady as nearest, stopByKey } from "./slider.js";

/**
 * One stop of the slider.
 * @typedef {{area: number, ready: boolean}} Stop
 */

/** A share in percent, with one decimal only where it is not zero. @param {number} share */
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
	return nearest(stops, (stop) => Math.abs(stop.area - area));
}

/**
 * The area that a key leads to.
 *
 * @param {KeyboardEvent} event
 * @param {Stop[]} stops
 * @param {number} area  now
 * @returns {number | null} null for a key that leads nowhere
 */
export function areaByKey(event, stops, area) {
	const at = stopByKey(event, stops, nearestReady(stops, area));
	return at === null ? null : stops[at].area;
}

/**
 * A slider from 0 to the largest area that stops at those which are there: a tick for each, and a star at the best.
 *
 * @param {{set: (area: number) => void, signal: AbortSignal}} options
 */
export function createAreaSlider({ set, signal }) {
	/** @type {Stop[]} */
	let areas = [];
	/** @type {number | null} */
	let starred = null;
	const slider = createSlider({
		choose: (index) => set(areas[index].area),
		chooseStar: () => starred !== null && set(starred),
		signal,
	});
	slider.input.setAttribute("aria-label", "Area");
	slider.node.classList.add("xw-control", "xw-area");
	const stopsOf = cached((/** @type {Stop[]} */ given) =>
		given.map(({ area, ready }) => {
			const text = percentOf(area);
			return { position: area, ready, tick: text.replace(" %", ""), text };
		}),
	);
	const starOf = cached((/** @type {number | null} */ best) => {
		if (best === null) return null;
		const text = percentOf(best);
		return {
			position: best,
			ready: true,
			name: `Smallest sufficient area (a*), ${text}`,
			title: `Smallest sufficient area (a*): ${text}`,
		};
	});

	return {
		node: slider.node,
		/**
		 * @param {Stop[]} given
		 * @param {number} at  the stop that is shown, -1 for none
		 * @param {number | null} best
		 */
		show(given, at, best) {
			areas = given;
			starred = best;
			const end = Math.max(given.at(-1)?.area ?? 1, best ?? 0);
			slider.show({ label: "Area", stops: stopsOf(given), start: 0, end, at, star: starOf(best) });
		},
	};
}
