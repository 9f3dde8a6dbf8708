import "./palette.css";

/** How many colors there are before they repeat. */
export const PALETTE_SIZE = 8;

/**
 * The CSS color of method, map or frame `index`: the one palette of curves, chips and bars.
 *
 * @param {number} index
 * @returns {string}
 */
export function seriesColor(index) {
	const slot = ((Math.trunc(index) % PALETTE_SIZE) + PALETTE_SIZE) % PALETTE_SIZE;
	return `var(--xw-series-${slot})`;
}

/** @typedef {"" | "circle" | "triangle" | "square" | "diamond"} Marker */
/** @type {Marker[]} */
const MARKERS = ["", "circle", "triangle", "square", "diamond"];

/**
 * The marker that distinguishes `index` from others of its color; none for those that come first.
 *
 * @param {number} index
 * @returns {Marker}
 */
export function markerOf(index) {
	const round = Math.floor(Math.trunc(index) / PALETTE_SIZE) % MARKERS.length;
	return MARKERS[(round + MARKERS.length) % MARKERS.length];
}

/**
 * The CSS color of a class, the same in all views.
 *
 * @param {number} index
 * @returns {string}
 */
export function classColor(index) {
	return seriesColor(index);
}

/** The dash pattern of a curve, CSS px. @param {{dashed: boolean}} curve @returns {number[]} */
export const dashOf = ({ dashed }) => (dashed ? [6, 4] : []);
