/**
 * The layout of a table of maps: how a single column wraps, and which cells without a map share one text.
 *
 * @typedef {{count: number, width: number, height: number, ratio: number, largest: number}} Room  `height` is 0 without
 *     a limit; `ratio` is the height of an image divided by its width
 */

/** The space between two cells, and that of the text below an image, CSS px. */
export const [GAP, CAPTION] = [8, 24];
/** The smallest cell, and the smallest one if the rest is reached by scrolling, CSS px. */
const [SMALLEST, SCROLLED] = [140, 180];

/**
 * How many cells of one column stand side by side: as many as make the cells largest while all of them are visible; if they
 * were too small, as many as can be read while the rest is reached by scrolling. Rows are as even as can be.
 *
 * @param {Room} room
 * @returns {{columns: number, size: number}} the width of a cell in CSS px
 */
export function fitGallery({ count, width, height, ratio, largest }) {
	const most = Math.max(count, 1);
	/** The width of a cell. @param {number} columns */
	const across = (columns) => Math.min(largest, Math.floor((width - (columns - 1) * GAP) / columns));
	if (!height) {
		const columns = even(most, Math.min(most, Math.max(1, Math.ceil((width + GAP) / (largest + GAP)))));
		return { columns, size: across(columns) };
	}
	/** The width of a cell with which all of them are visible. @param {number} columns */
	const visible = (columns) => {
		const rows = Math.ceil(most / columns);
		return Math.min(across(columns), Math.floor(((height + GAP) / rows - GAP - CAPTION) / ratio));
	};
	const sizes = Array.from({ length: most }, (_, index) => visible(index + 1));
	const size = Math.max(...sizes);
	if (size >= Math.min(SMALLEST, largest)) return { columns: even(most, sizes.lastIndexOf(size) + 1), size };
	const widest = Math.max(1, Math.min(most, Math.floor((width + GAP) / (Math.min(SCROLLED, largest) + GAP))));
	const columns = even(most, widest);
	return { columns, size: across(columns) };
}

/** The columns of as many rows that are as even as can be. @param {number} count @param {number} columns  at most */
const even = (count, columns) => Math.ceil(count / Math.ceil(count / columns));

/**
 * How many columns the text of each cell spans: neighbors of a row that have no map for one and the same reason share a
 * cell. 0 for a cell that is covered by the one before it.
 *
 * @param {string[]} states  of the cells of a row
 * @param {(column: number) => string} note
 * @returns {number[]}
 */
export function spans(states, note) {
	const out = states.map(() => 1);
	for (let start = 0; start < states.length; start++) {
		if (states[start] !== "failed" && states[start] !== "absent") continue;
		let end = start + 1;
		while (end < states.length && states[end] === states[start] && note(end) === note(start)) end++;
		out.fill(0, start, end);
		out[start] = end - start;
		start = end - 1;
	}
	return out;
}
