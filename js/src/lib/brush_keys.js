import { ARROWS } from "./keys.js";
import { clamp, next } from "./numbers.js";

/**
 * @typedef {import("./painting.js").Point} Point
 * @typedef {object} Hand
 * @property {import("@anywidget/types").AnyModel} model
 * @property {(name: string) => void} act  undoes or redoes
 * @property {import("./painting.js").Painting} painting
 * @property {() => boolean} isDown  whether it is painting
 * @property {() => void} begin  paints where the brush is
 * @property {() => void} end
 * @property {() => Point | null} get  where the brush is, in pixels
 * @property {(at: Point | null) => void} move
 * @property {() => number} fills  how many there are
 * @property {AbortSignal} signal
 */

const DISPLAYS = ["result", "tint", "outline"];

/** Undo or redo, by the chords that every editor has. @param {KeyboardEvent} event @returns {string | null} */
function chordOf({ key, ctrlKey, metaKey, altKey, shiftKey }) {
	if (altKey || !(ctrlKey || metaKey)) return null;
	const letter = key.toLowerCase();
	if (letter === "z") return shiftKey ? "redo" : "undo";
	return letter === "y" && !shiftKey ? "redo" : null;
}

/** Whether a chord belongs to the view. @param {KeyboardEvent} event */
export const isChord = (event) => chordOf(event) !== null;

/**
 * Painting by keys.
 *
 * @param {HTMLElement} root
 * @param {HTMLElement} node  the image
 * @param {Hand} hand
 * @returns {(event: KeyboardEvent) => Record<string, unknown> | null} the traits that a plain key sets
 */
export function bindBrushKeys(root, node, hand) {
	const { signal } = hand;
	root.addEventListener(
		"keydown",
		(event) => {
			const name = chordOf(event);
			if (!name) return;
			event.preventDefault();
			hand.act(name);
		},
		{ signal },
	);
	node.addEventListener("keyup", ({ key }) => key === " " && hand.end(), { signal });
	node.addEventListener("blur", () => hand.isDown() && hand.end(), { signal });
	return (event) => onKey(event, hand);
}

/**
 * @param {KeyboardEvent} event
 * @param {Hand} hand
 * @returns {Record<string, unknown> | null} the traits to set; null for a key that does nothing
 */
function onKey({ key, shiftKey, repeat }, hand) {
	const { model, painting } = hand;
	// The first key puts the brush in the middle.
	const at = hand.get() ?? { x: painting.width / 2, y: painting.height / 2 };
	if (key in ARROWS) {
		const by = shiftKey ? 10 : 1;
		const [dx, dy] = ARROWS[key];
		hand.move({
			x: clamp(at.x + by * dx, 0, painting.width),
			y: clamp(at.y + by * dy, 0, painting.height),
		});
		return {};
	}
	if (key === " ") {
		hand.move(at);
		if (!repeat && !hand.isDown()) hand.begin();
		return {};
	}
	if (key === "Escape") {
		hand.move(null);
		return {};
	}
	if (key === "[" || key === "]") {
		const size = model.get("brush_size") * (key === "]" ? 1.2 : 1 / 1.2);
		return { brush_size: Math.round(clamp(size, 0.01) * 1e4) / 1e4 };
	}
	if (key === "x") return { tool: model.get("tool") === "paint" ? "erase" : "paint" };
	if (key === "b") return { shape: model.get("shape") === "box" ? "brush" : "box" };
	if (key === "d") return { display: next(DISPLAYS, model.get("display")) };
	const count = hand.fills();
	if (key === "f" && count > 1) return { fill: (Math.min(model.get("fill"), count - 1) + 1) % count };
	return null;
}
