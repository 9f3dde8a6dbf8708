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

/** The dash pattern of a curve, CSS px. @param {{dashed: boolean}} curve @returns {number[]} */
export const dashOf = ({ dashed }) => (dashed ? [6, 4] : []);
