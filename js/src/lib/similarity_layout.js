/**
 * The columns and the size of the cells of a table of images by layers.
 *
 * @typedef {{columns: number, cell: number, table: boolean}} Arrangement  `table`: a column for each layer
 */

/** CSS px between two cells, of a caption with its gap, and of the name of a layer. */
const [GAP, CAPTION, HEAD] = [6, 27, 24];
/** Smaller cells scroll instead. */
const LEAST = 112;
/** Room for a scroll bar. */
const BAR = 16;

/**
 * The arrangement with the largest cells that fits the room; one that scrolls if the cells would be too small.
 *
 * @param {{
 *   frames: number, layers: number, ratio: number, width: number, height: number, size: number, columns: number,
 * }} options  `ratio` is the height of an image over its width; `size` the maximum width of a cell; `columns` a fixed
 *     number if there is one layer or one image, else 0
 * @returns {Arrangement}
 */
export function fitCells({ frames, layers, ratio, width, height, size, columns }) {
	const every = candidates(frames, layers, columns);
	/** @param {number} count @param {number} room */
	const wide = (count, room) => Math.min(size, Math.floor((room - GAP * (count - 1)) / count));
	const fitting = every.map(({ columns: count, rows, heads, table }) => {
		const high = Math.floor(((height - HEAD * heads) / rows - CAPTION) / ratio);
		return { columns: count, table, rows, cell: Math.min(wide(count, width), high) };
	});
	// Among arrangements of equal cells, take the one with fewer rows.
	const best = fitting.reduce((a, b) => (b.cell > a.cell || (b.cell === a.cell && b.rows < a.rows) ? b : a));
	const { rows: _, ...arrangement } = best;
	if (best.cell >= Math.min(LEAST, size)) return arrangement;
	const scrolling = every
		.map(({ columns: count, table }) => ({ columns: count, table, cell: wide(count, width - BAR) }))
		.filter(({ table }) => !table || frames === 1 || layers === 1 || columns > 0);
	const enough = scrolling.filter(({ cell }) => cell >= LEAST);
	return enough.at(-1) ?? scrolling[Math.min(1, scrolling.length - 1)];
}

/**
 * The possible numbers of columns, ascending.
 *
 * @param {number} frames
 * @param {number} layers
 * @param {number} columns
 */
function candidates(frames, layers, columns) {
	const several = frames > 1 && layers > 1;
	const across = several ? frames : frames * layers;
	const counts =
		!several && columns > 0 ? [columns] : Array.from({ length: across }, (_, index) => index + 1);
	const wrapped = counts.map((count) => ({
		columns: count,
		rows: (several ? layers : 1) * Math.ceil(across / count),
		heads: several ? layers : 0,
		table: false,
	}));
	return several ? [{ columns: layers, rows: frames, heads: 1, table: true }, ...wrapped] : wrapped;
}
