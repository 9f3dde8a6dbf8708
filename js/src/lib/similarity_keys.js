/**
 * The keys of a similarity view.
 *
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {import("./similarity_state.js").Location} Location
 * @typedef {ReturnType<typeof import("./similarity_state.js").createSimilarity>} Similarity
 */
import { COLORMAPS, nextInterpolation, opacityByKey } from "./color_tools.js";
import { ARROWS } from "./keys.js";
import { clamp, next } from "./numbers.js";
import { KINDS, POSITION } from "./similarity_tools.js";
import { stepPosition } from "./stage.js";

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
	if (key === "t" || key === "T") {
		const by = key === "t" ? 5 : -5;
		return { threshold: clamp(Math.round(100 * model.get("threshold") + by) / 100) };
	}
	if (key === "k") {
		const kinds = KINDS.map(({ value }) => value);
		return { kind: next(kinds, model.get("kind")) };
	}
	if (key === "w") return { scope: next(["across", "within"], model.get("scope")) };
	if (key === "r") return { color_range: next(["fixed", "relative"], model.get("color_range")) };
	if (key === "c") return { colormap: next(COLORMAPS, model.get("colormap").replace("auto", COLORMAPS[0])) };
	if (key === "s") return nextInterpolation(model);
	if (key === "p") return { source: next([POSITION, ...similarity.tokenNames()], model.get("source")) };
	return opacityByKey(key, model);
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
		const [trait, count] = pages ? ["frame", similarity.frameCount()] : ["layer", spaces.length];
		const index = clamp(model.get(trait) + by, 0, Math.max(count - 1, 0));
		return pages ? { frame: index, marked: index } : { layer: index };
	}
	const space = spaces[Math.min(model.get("layer"), spaces.length - 1)];
	if (!(key in ARROWS) || !space) return null;
	const shift = ARROWS[key].map((cells) => cells * (far ? 10 : 1));
	return { position: stepPosition(model.get("position"), [space.rows, space.columns], shift) };
}

/**
 * The pins after the hovered position was pinned: a pin in its cell is taken away, and of two the second is replaced.
 *
 * @param {Model} model
 * @param {Similarity} similarity
 */
export function pinned(model, similarity) {
	const location = similarity.hovered();
	if (!location) return null;
	const cell = similarity.cellOf(location);
	const pins = /** @type {Location[]} */ (model.get("pins"));
	const others = pins.filter((pin) => {
		const at = similarity.cellOf(pin);
		const same = at?.row === cell?.row && at?.column === cell?.column;
		return !(same && pin.frame === location.frame && pin.layer === location.layer);
	});
	return { pins: others.length < pins.length ? others : [...pins.slice(0, 1), location] };
}
