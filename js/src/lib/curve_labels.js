/**
 * Where a name on a plot hides no curve.
 *
 * @typedef {{left: number, right: number, top: number, bottom: number}} Box  px of the canvas
 * @typedef {[left: number, top: number][]} Path  a line through points, from left to right, px of the canvas
 */

/**
 * Whether a line runs through a box.
 *
 * @param {Path} path
 * @param {Box} box
 */
export function crosses(path, { left, right, top, bottom }) {
	for (let i = 1; i < path.length; i++) {
		const [[x0, y0], [x1, y1]] = [path[i - 1], path[i]];
		if (x1 < left || x0 > right) continue;
		/** @param {number} x */
		const at = (x) => y0 + ((y1 - y0) * (x - x0)) / Math.max(x1 - x0, 1e-6);
		const [a, b] = [at(Math.max(x0, left)), at(Math.min(x1, right))];
		if (Math.max(a, b) >= top && Math.min(a, b) <= bottom) return true;
	}
	return false;
}

/** @param {Box} a @param {Box} b */
function overlap(a, b) {
	return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

/**
 * The first of some positions that hides no curve and no other name; failing that, no other name; failing that, the first;
 * undefined where a low plot has no position.
 *
 * @param {Box[]} boxes
 * @param {Path[]} paths
 * @param {Box[]} taken
 * @returns {Box | undefined}
 */
export function freeBox(boxes, paths, taken) {
	const apart = boxes.filter((box) => !taken.some((other) => overlap(box, other)));
	return apart.find((box) => !paths.some((path) => crosses(path, box))) ?? apart[0] ?? boxes[0];
}
