import { ascending, clamp } from "./numbers.js";

/**
 * A mask of bytes that is painted: strokes, steps to undo, and the part that has changed since it was last drawn.
 *
 * @typedef {{left: number, top: number, right: number, bottom: number}} Rect  right and bottom are outside
 * @typedef {{x: number, y: number}} Point  in pixels, from the top left corner of the image
 * @typedef {{radius: number, softness: number, erase: boolean}} Brush  radius in pixels, softness in [0, 1]
 * @typedef {{rect: Rect, before: Uint8Array, after: Uint8Array, group: number}} Step
 */

/** So many steps can be undone. */
const STEPS = 200;

/** The steps of a mask, which all paintings of it share; its event "change" is a new one. */
export class History extends EventTarget {
	/** @type {Step[]} */
	undo = [];
	/** @type {Step[]} */
	redo = [];
	/** The message of the mask that the steps lead to. @type {unknown} */
	latest;
	#size = "";

	/** Masks of another size have steps of their own. @param {number} height @param {number} width */
	resize(height, width) {
		const size = `${height} x ${width}`;
		if (size !== this.#size) this.clear();
		this.#size = size;
	}

	clear() {
		this.undo = [];
		this.redo = [];
	}

	/** @param {Step} step */
	push(step) {
		this.undo.push(step);
		if (this.undo.length > STEPS) this.undo.shift();
		this.redo = [];
		this.dispatchEvent(new Event("change"));
	}
}

/**
 * How much of a brush there is at a distance from its middle: 1 inside, 0 outside, and between them a soft border
 * that ends at the radius and takes `softness` of it; at least one pixel, so that no edge is jagged.
 *
 * @param {number} distance
 * @param {Brush} brush
 */
export function brushAt(distance, { radius, softness }) {
	const border = Math.max(radius * softness, 1);
	const t = clamp((radius + 0.5 - distance) / border);
	return t * t * (3 - 2 * t);
}

export class Painting {
	height = 0;
	width = 0;
	mask = new Uint8Array(0);
	/** @type {Rect | null} */
	#dirty = null;
	/** @type {Uint8Array | null} the mask when the stroke began */
	#before = null;
	/** The last box of this stroke. @type {Rect | null} */
	#box = null;
	#history;

	/** @param {History} history */
	constructor(history) {
		this.#history = history;
	}

	get canUndo() {
		return this.#history.undo.length > 0;
	}

	get canRedo() {
		return this.#history.redo.length > 0;
	}

	/** The painted share, the mean of the mask. */
	get share() {
		let sum = 0;
		for (let i = 0; i < this.mask.length; i++) sum += this.mask[i];
		return this.mask.length ? sum / (255 * this.mask.length) : 0;
	}

	/** An image of another size: nothing is painted, nothing can be undone. @param {number} height @param {number} width */
	resize(height, width) {
		if (height === this.height && width === this.width) return;
		this.height = height;
		this.width = width;
		this.mask = new Uint8Array(height * width);
		this.#before = null;
		this.#history.resize(height, width);
		this.touch();
	}

	/** All is to be drawn again. */
	touch() {
		this.#dirty = { left: 0, top: 0, right: this.width, bottom: this.height };
	}

	/** The part that has changed since the last call. @returns {Rect | null} */
	takeDirty() {
		const dirty = this.#dirty;
		this.#dirty = null;
		return dirty;
	}

	/** Until `end`, all changes are one step. */
	begin() {
		this.#box = null;
		this.#before ??= this.mask.slice();
	}

	/** @param {number} [group]  steps of one group, but 0, belong together @returns {boolean} whether anything is another than when it began */
	end(group = 0) {
		const before = this.#before;
		this.#before = null;
		const rect = before && difference(before, this.mask, this.width);
		if (!before || !rect) return false;
		this.#history.push({
			rect,
			before: this.#cut(before, rect),
			after: this.#cut(this.mask, rect),
			group,
		});
		return true;
	}

	/**
	 * Paints from one point to another: the mask becomes at least, erasing at most, what the brush is there; to go
	 * over a position twice changes nothing more.
	 *
	 * @param {Point} from
	 * @param {Point} to
	 * @param {Brush} brush
	 */
	stroke(from, to, brush) {
		const reach = brush.radius + 1;
		const left = Math.max(Math.floor(Math.min(from.x, to.x) - reach), 0);
		const top = Math.max(Math.floor(Math.min(from.y, to.y) - reach), 0);
		const right = Math.min(Math.ceil(Math.max(from.x, to.x) + reach), this.width);
		const bottom = Math.min(Math.ceil(Math.max(from.y, to.y) + reach), this.height);
		if (left >= right || top >= bottom) return;
		const [dx, dy] = [to.x - from.x, to.y - from.y];
		const length = dx * dx + dy * dy || 1;
		for (let row = top; row < bottom; row++) {
			for (let column = left; column < right; column++) {
				const [x, y] = [column + 0.5 - from.x, row + 0.5 - from.y];
				const t = clamp((x * dx + y * dy) / length);
				const paint = Math.round(255 * brushAt(Math.hypot(x - t * dx, y - t * dy), brush));
				const at = row * this.width + column;
				if (brush.erase) this.mask[at] = Math.min(this.mask[at], 255 - paint);
				else this.mask[at] = Math.max(this.mask[at], paint);
			}
		}
		this.#soil({ left, top, right, bottom });
	}

	/**
	 * Fills the box between two corners, or erases it, in place of the box before it in this stroke: all pixels that it
	 * touches, within the image.
	 *
	 * @param {Point} from
	 * @param {Point} to
	 * @param {boolean} erase
	 */
	box(from, to, erase) {
		if (this.#box && this.#before) {
			for (const at of this.#within(this.#box)) this.mask[at] = this.#before[at];
			this.#soil(this.#box);
		}
		const [xs, ys] = [[from.x, to.x].sort(ascending), [from.y, to.y].sort(ascending)];
		this.#box = {
			left: clamp(Math.floor(xs[0]), 0, this.width - 1),
			top: clamp(Math.floor(ys[0]), 0, this.height - 1),
			right: clamp(Math.ceil(xs[1]), 1, this.width),
			bottom: clamp(Math.ceil(ys[1]), 1, this.height),
		};
		for (const at of this.#within(this.#box)) this.mask[at] = erase ? 0 : 255;
		this.#soil(this.#box);
	}

	/** The indices of the pixels of a box. @param {Rect} rect */
	*#within({ left, top, right, bottom }) {
		for (let row = top; row < bottom; row++) {
			for (let column = left; column < right; column++) yield row * this.width + column;
		}
	}

	/**
	 * One step that changes the whole mask.
	 *
	 * @param {(value: number, index: number) => number} change
	 * @param {number} [group]  if the last step is of this group, and not 0, the two become one
	 * @returns {boolean}
	 */
	change(change, group = 0) {
		const after = this.mask.map(change);
		const { undo } = this.#history;
		if (group && undo.at(-1)?.group === group) {
			const { before, rect } = /** @type {Step} */ (undo.pop());
			this.#paste(before, rect);
		}
		this.begin();
		this.mask = after;
		this.touch();
		return this.end(group);
	}

	/** Another painting of the mask has changed it: its step is there already. @param {(value: number, index: number) => number} change */
	follow(change) {
		this.mask = this.mask.map(change);
		this.touch();
	}

	/** @returns {boolean} whether there was a step */
	undo() {
		const step = this.#history.undo.pop();
		if (!step) return false;
		this.#paste(step.before, step.rect);
		this.#history.redo.push(step);
		return true;
	}

	/** @returns {boolean} whether there was a step */
	redo() {
		const step = this.#history.redo.pop();
		if (!step) return false;
		this.#paste(step.after, step.rect);
		this.#history.undo.push(step);
		return true;
	}

	/** @param {Uint8Array} from @param {Rect} rect @returns {Uint8Array} */
	#cut(from, { left, top, right, bottom }) {
		const part = new Uint8Array((right - left) * (bottom - top));
		for (let row = top; row < bottom; row++) {
			part.set(
				from.subarray(row * this.width + left, row * this.width + right),
				(row - top) * (right - left),
			);
		}
		return part;
	}

	/** @param {Uint8Array} part @param {Rect} rect */
	#paste(part, rect) {
		const { left, top, right, bottom } = rect;
		const width = right - left;
		for (let row = top; row < bottom; row++) {
			const at = (row - top) * width;
			this.mask.set(part.subarray(at, at + width), row * this.width + left);
		}
		this.#soil(rect);
	}

	/** @param {Rect} rect */
	#soil(rect) {
		const old = this.#dirty ?? rect;
		this.#dirty = {
			left: Math.min(old.left, rect.left),
			top: Math.min(old.top, rect.top),
			right: Math.max(old.right, rect.right),
			bottom: Math.max(old.bottom, rect.bottom),
		};
	}
}

/** The smallest box in which two masks differ. @param {Uint8Array} a @param {Uint8Array} b @param {number} width @returns {Rect | null} */
function difference(a, b, width) {
	let [left, top, right, bottom] = [width, -1, 0, 0];
	for (let i = 0; i < a.length; i++) {
		if (a[i] === b[i]) continue;
		const [row, column] = [Math.floor(i / width), i % width];
		if (top < 0) top = row;
		bottom = row + 1;
		left = Math.min(left, column);
		right = Math.max(right, column + 1);
	}
	return top < 0 ? null : { left, top, right, bottom };
}

/**
 * The image and, where it is painted, another: a + m (b − a), inside a box.
 *
 * @param {Uint32Array} image  RGBA words
 * @param {Uint32Array} other
 * @param {Painting} painting
 * @param {number} strength  of the other where the mask is 255
 * @param {Rect} rect
 * @param {Uint32Array} out
 */
export function blend(image, other, { mask, width }, strength, { left, top, right, bottom }, out) {
	for (let row = top; row < bottom; row++) {
		for (let i = row * width + left; i < row * width + right; i++) {
			const [a, b] = [image[i], other[i]];
			const w = (mask[i] / 255) * strength;
			const red = (a & 255) + w * ((b & 255) - (a & 255)) + 0.5;
			const green = ((a >> 8) & 255) + w * (((b >> 8) & 255) - ((a >> 8) & 255)) + 0.5;
			const blue = ((a >> 16) & 255) + w * (((b >> 16) & 255) - ((a >> 16) & 255)) + 0.5;
			out[i] = red | (green << 8) | (blue << 16) | 0xff000000;
		}
	}
}
