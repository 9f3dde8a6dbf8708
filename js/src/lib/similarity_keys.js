/**
 * What a key does in a similarity view.
 *
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {import("./similarity_state.js").Place} Place
 * @typedef {ReturnType<typeof import("./similarity_state.js").createSimilarity>} Similarity
 */
import { COLORMAPS, KINDS } from "./similarity_tools.js";
import { cellAt } from "./stage.js";

/** @template T @param {T[]} list @param {T} now */
const next = (list, now) => list[(list.indexOf(now) + 1) % list.length];

/** @param {number} value @param {number} least @param {number} most */
const clamp = (value, least, most) => Math.min(Math.max(value, least), most);

/** @param {Model} model @param {string} trait @param {number} by */
function nudge(model, trait, by) {
	return { [trait]: clamp(Math.round(100 * (model.get(trait) + by)) / 100, 0, 1) };
}

/**
 * @param {KeyboardEvent} event
 * @param {Model} model
 * @param {Similarity} similarity
 * @returns {Record<string, unknown> | null} the traits to set
 */
export function onKey({ key, shiftKey }, model, similarity) {
	const moved = moveOf(key, shiftKey, model, similarity);
	if (moved) return moved;
	if (key === "Enter" || key === " ") return pinned(model, similarity);
	if (key === "Escape") return { pins: [], position: null };
	const opacity = /** @type {Record<string, number>} */ ({ "+": 1, "=": 1, "]": 1, "-": -1, "[": -1 })[key];
	if (opacity) return nudge(model, "opacity", 0.05 * opacity);
	if (key === "t") return nudge(model, "threshold", 0.05);
	if (key === "T") return nudge(model, "threshold", -0.05);
	if (key === "k") {
		const kinds = KINDS.map(({ value }) => value);
		return { kind: next(kinds, model.get("kind")) };
	}
	if (key === "w") return { scope: next(["across", "within"], model.get("scope")) };
	if (key === "c") return { colormap: next(COLORMAPS, model.get("colormap").replace("auto", COLORMAPS[0])) };
	if (key === "s") return { interpolation: next(["smooth", "pixelated"], model.get("interpolation")) };
	return null;
}

/**
 * @param {string} key
 * @param {boolean} far
 * @param {Model} model
 * @param {Similarity} similarity
 */
function moveOf(key, far, model, similarity) {
	const spaces = similarity.spaces();
	const by = /** @type {Record<string, number>} */ ({ PageUp: -1, PageDown: 1, ",": -1, ".": 1 })[key];
	if (by) {
		const pages = key.startsWith("Page");
		const [trait, count] = pages ? ["frame", similarity.pictures()] : ["layer", spaces.length];
		const next = clamp(model.get(trait) + by, 0, Math.max(count - 1, 0));
		return pages ? { frame: next, marked: next } : { layer: next };
	}
	const shift = /** @type {Record<string, number[]>} */ ({
		ArrowLeft: [-1, 0],
		ArrowRight: [1, 0],
		ArrowUp: [0, -1],
		ArrowDown: [0, 1],
	})[key];
	const space = spaces[Math.min(model.get("layer"), spaces.length - 1)];
	if (!shift || !space) return null;
	const { rows, columns } = space;
	// The first key puts the mark in the middle.
	const at = cellAt(model.get("position"), [rows, columns]);
	/** @param {number} cell @param {number} step @param {number} count */
	const middle = (cell, step, count) =>
		(clamp(cell + (at ? step * (far ? 10 : 1) : 0), 0, count - 1) + 0.5) / count;
	return {
		position: [
			middle(at?.column ?? columns >> 1, shift[0], columns),
			middle(at?.row ?? rows >> 1, shift[1], rows),
		],
	};
}

/**
 * The pins after the hovered place was pinned: a pin in its cell is taken away, and of two the second is replaced.
 *
 * @param {Model} model
 * @param {Similarity} similarity
 */
export function pinned(model, similarity) {
	const place = similarity.hovered();
	if (!place) return null;
	const cell = similarity.cellOf(place);
	const pins = /** @type {Place[]} */ (model.get("pins"));
	const others = pins.filter((pin) => {
		const at = similarity.cellOf(pin);
		const same = at?.row === cell?.row && at?.column === cell?.column;
		return !(same && pin.frame === place.frame && pin.layer === place.layer);
	});
	return { pins: others.length < pins.length ? others : [...pins.slice(0, 1), place] };
}
