/**
 * RISE (Petsiuk et al. 2018) as `xai_widgets.perturbation.rise` computes it, with the same masks for the same seed:
 *
 *     map(u) = 1/((K-1) p) sum_k (s_k - s~) m_k(u) + s~,   s~ = mean of s_k
 *
 * A mask m_k is a grid of cells, each shown with probability p, enlarged bilinearly to one cell more than the image
 * and cropped at a random shift.
 *
 * @typedef {{count: number, cells: number, p: number, seed: number}} RiseSettings
 * @typedef {{first: number, last: number, weight: number}[]} Taps  for each pixel of the enlarged grid two cells and the weight of the last
 * @typedef {{height: number, width: number, cells: number, p: number, grids: Uint8Array, shifts: Int32Array, rows: Taps, columns: Taps}} Masks
 *   `grids` (count, cells, cells), `shifts` (count, 2): rows and columns that are cropped
 */
import { uniformNumbers } from "./random.js";

/** The pixels of a cell along an axis. @param {number} extent @param {number} cells */
const cellOf = (extent, cells) => Math.ceil(extent / cells);

/** Bilinear weights of cells that are enlarged by a whole factor and more. @param {number} extent @param {number} cells @returns {Taps} */
function tapsOf(extent, cells) {
	const enlarged = (cells + 1) * cellOf(extent, cells);
	return Array.from({ length: enlarged }, (_, i) => {
		const center = Math.max(0, ((i + 0.5) * cells) / enlarged - 0.5);
		const first = Math.min(Math.floor(center), cells - 1);
		return { first, last: Math.min(first + 1, cells - 1), weight: center - first };
	});
}

/**
 * @param {number} height
 * @param {number} width
 * @param {RiseSettings} settings
 * @returns {Masks}
 */
export function randomMasks(height, width, { count, cells, p, seed }) {
	const uniform = uniformNumbers(seed);
	const area = cells * cells;
	const grids = new Uint8Array(count * area);
	const shifts = new Int32Array(2 * count);
	const most = [cellOf(height, cells), cellOf(width, cells)];
	const limit = Math.fround(p);
	for (let k = 0; k < count; k++) {
		for (let axis = 0; axis < 2; axis++) shifts[2 * k + axis] = Math.fround(uniform() * most[axis]);
		for (let i = 0; i < area; i++) grids[k * area + i] = Number(uniform() < limit);
	}
	return {
		height,
		width,
		cells,
		p,
		grids,
		shifts,
		rows: tapsOf(height, cells),
		columns: tapsOf(width, cells),
	};
}

/**
 * Writes mask k, (H, W): 1 where the image is shown.
 *
 * @param {Masks} masks
 * @param {number} k
 * @param {Float32Array} out
 */
export function writeMask({ height, width, cells, grids, shifts, rows, columns }, k, out) {
	const [down, across] = [shifts[2 * k], shifts[2 * k + 1]];
	const line = new Float64Array(cells);
	for (let y = 0; y < height; y++) {
		const row = rows[y + down];
		const [from, to] = [(k * cells + row.first) * cells, (k * cells + row.last) * cells];
		for (let b = 0; b < cells; b++)
			line[b] = grids[from + b] + row.weight * (grids[to + b] - grids[from + b]);
		for (let x = 0; x < width; x++) {
			const { first, last, weight } = columns[x + across];
			out[y * width + x] = line[first] + weight * (line[last] - line[first]);
		}
	}
}

/**
 * The map of one class after some masks, (H, W).
 *
 * @param {Masks} masks
 * @param {ArrayLike<number>} values  of the class under the first masks
 * @returns {Float32Array}
 */
export function riseMap({ height, width, cells, p, grids, shifts, rows, columns }, values) {
	const count = values.length;
	let mean = 0;
	for (let k = 0; k < count; k++) mean += values[k] / count;
	// Grids of one shift are summed before they are enlarged, along one axis after the other.
	const area = cells * cells;
	const [high, wide] = [cellOf(height, cells), cellOf(width, cells)];
	const sums = new Float64Array(high * wide * area);
	for (let k = 0; k < count; k++) {
		const start = (shifts[2 * k] * wide + shifts[2 * k + 1]) * area;
		for (let i = 0; i < area; i++) sums[start + i] += (values[k] - mean) * grids[k * area + i];
	}
	const total = new Float64Array(height * width);
	const lines = new Float64Array(cells * width);
	for (let down = 0; down < high; down++) {
		lines.fill(0);
		for (let across = 0; across < wide; across++) {
			const start = (down * wide + across) * area;
			for (let x = 0; x < width; x++) {
				const { first, last, weight } = columns[x + across];
				for (let a = 0; a < cells; a++) {
					const at = start + a * cells;
					lines[a * width + x] += (1 - weight) * sums[at + first] + weight * sums[at + last];
				}
			}
		}
		for (let y = 0; y < height; y++) {
			const { first, last, weight } = rows[y + down];
			for (let x = 0; x < width; x++) {
				total[y * width + x] += (1 - weight) * lines[first * width + x] + weight * lines[last * width + x];
			}
		}
	}
	const scale = Math.max(1, count - 1) * p;
	return Float32Array.from(total, (sum) => sum / scale + mean);
}
