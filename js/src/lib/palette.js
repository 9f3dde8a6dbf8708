import "./palette.css";

/** How many colors there are before they repeat. */
export const PALETTE_SIZE = 8;

/**
 * The CSS color of `index`: the one palette of curves, methods and classes.
 *
 * @param {number} index
 * @returns {string}
 */
export function seriesColor(index) {
	const slot = ((Math.trunc(index) % PALETTE_SIZE) + PALETTE_SIZE) % PALETTE_SIZE;
	return `var(--xw-series-${slot})`;
}

/** @typedef {"" | "circle" | "triangle" | "square" | "diamond" | "down" | "plus" | "cross"} Marker */
/** @type {Marker[]} */
const MARKERS = ["", "circle", "triangle", "square", "diamond", "down", "plus", "cross"];

/** How many looks there are before they repeat. */
export const LOOKS = PALETTE_SIZE * MARKERS.length;

/**
 * The look of method `index` in curves, legends, lists and titles: of `LOOKS` successive ones, no two are alike.
 *
 * @param {number} index
 * @returns {{color: string, marker: Marker}}
 */
export const lookOf = (index) => ({ color: seriesColor(index), marker: markerOf(index) });

/**
 * The marker that distinguishes `index` from others of its color; none for those that come first.
 *
 * @param {number} index
 * @returns {Marker}
 */
function markerOf(index) {
	const round = Math.floor(Math.trunc(index) / PALETTE_SIZE) % MARKERS.length;
	return MARKERS[(round + MARKERS.length) % MARKERS.length];
}

/**
 * The CSS color of a class, the same in all views and explorers.
 *
 * @param {number} index
 * @returns {string}
 */
export const classColor = (index) => seriesColor(index);

/** The dash pattern of a curve, CSS px. @param {{dashed: boolean}} curve @returns {number[]} */
export const dashOf = ({ dashed }) => (dashed ? [6, 4] : []);
