/**
 * Vectors of concepts and their arithmetic.
 *
 * @typedef {import("./arrays.js").NDArray<Float32Array>} Matrix  (concepts, channels), rows of length 1 or NaN
 */

/** The signs of the terms of a - b + c. */
export const SIGNS = [1, -1, 1];

/** @param {Matrix} vectors @param {number} row */
export function rowOf({ shape, data }, row) {
	return data.subarray(row * shape[1], (row + 1) * shape[1]);
}

/** @param {ArrayLike<number>} a @param {ArrayLike<number>} b */
function dot(a, b) {
	let sum = 0;
	for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
	return sum;
}

/**
 * The nearest concepts of a vector by cosine, those left out excepted.
 *
 * @param {Matrix} vectors
 * @param {ArrayLike<number>} vector
 * @param {number[]} without
 * @param {number} [count]
 * @returns {{index: number, cosine: number}[]}
 */
export function nearest(vectors, vector, without, count = 5) {
	const length = Math.sqrt(dot(vector, vector)) || 1;
	return Array.from({ length: vectors.shape[0] }, (_, index) => ({
		index,
		cosine: dot(rowOf(vectors, index), vector) / length,
	}))
		.filter(({ index, cosine }) => !without.includes(index) && !Number.isNaN(cosine))
		.sort((one, other) => other.cosine - one.cosine || one.index - other.index)
		.slice(0, count);
}

/**
 * a - b + c of unit vectors; null unless a term is given.
 *
 * @param {Matrix} vectors
 * @param {number[]} terms  rows of a, b and c, -1 for none
 * @returns {Float64Array | null}
 */
export function combine(vectors, terms) {
	const given = terms.map((row, term) => ({ row, sign: SIGNS[term] })).filter(({ row }) => row >= 0);
	if (given.length < 2) return null;
	const sum = new Float64Array(vectors.shape[1]);
	for (const { row, sign } of given) {
		const vector = rowOf(vectors, row);
		for (let i = 0; i < sum.length; i++) sum[i] += sign * vector[i];
	}
	return sum.some(Number.isNaN) ? null : sum;
}

/**
 * Positions of labels beside points so that no two overlap; those without room are left out.
 *
 * @param {{x: number, y: number, text: string, first: boolean}[]} points  CSS px
 * @param {{width: number, height: number}} size
 * @returns {({x: number, y: number, anchor: string} | null)[]}
 */
export function placeLabels(points, { width, height }) {
	/** @type {number[][]} */
	const taken = points.map(({ x, y }) => [x - 5, y - 5, x + 5, y + 5]);
	const order = points
		.map((_, index) => index)
		.sort((a, b) => Number(points[b].first) - Number(points[a].first));
	/** @type {({x: number, y: number, anchor: string} | null)[]} */
	const placed = points.map(() => null);
	for (const index of order) {
		const { x, y, text } = points[index];
		const wide = 6.1 * text.length + 2;
		const choices = [
			{ x: x + 8, y: y + 4, anchor: "start", left: x + 8 },
			{ x: x - 8, y: y + 4, anchor: "end", left: x - 8 - wide },
			{ x, y: y - 8, anchor: "middle", left: x - wide / 2 },
			{ x, y: y + 16, anchor: "middle", left: x - wide / 2 },
			{ x: x + 6, y: y - 6, anchor: "start", left: x + 6 },
			{ x: x + 6, y: y + 14, anchor: "start", left: x + 6 },
			{ x: x - 6, y: y - 6, anchor: "end", left: x - 6 - wide },
			{ x: x - 6, y: y + 14, anchor: "end", left: x - 6 - wide },
		].map((choice) => ({ choice, box: [choice.left, choice.y - 10, choice.left + wide, choice.y + 2] }));
		const inside = choices.filter(
			({ box }) => box[0] >= 0 && box[2] <= width && box[1] >= 0 && box[3] <= height,
		);
		const free = inside.find(({ box }) =>
			taken.every(
				(other, own) =>
					own === index || box[0] > other[2] || box[2] < other[0] || box[1] > other[3] || box[3] < other[1],
			),
		);
		const chosen = free ?? (points[index].first ? inside[0] : undefined);
		if (!chosen) continue;
		placed[index] = chosen.choice;
		taken.push(chosen.box);
	}
	return placed;
}
