/**
 * Views that hold several maps and show one, chosen by the trait `frame`.
 *
 * @typedef {import("@anywidget/types").AnyModel} Model
 */
import { element } from "./dom.js";
import { clamp } from "./numbers.js";
import { createSelect } from "./select.js";

/** The nearest of `count` maps that exists. @param {Model} model @param {number} count */
export const frameOf = (model, count) => clamp(model.get("frame"), 0, count - 1);

/**
 * The title, and the name of the map or a list to choose it from.
 *
 * @param {import("./figure.js").Figure} figure
 * @param {() => number} count
 */
export function createHead({ model, title, set, signal }, count) {
	const name = element("span", { class: "xw-name xw-muted" });
	const { button, list, show } = createSelect((value) => set({ frame: Number(value) }), signal);
	button.setAttribute("aria-label", "Map");
	button.title = "The map that is shown";
	return {
		node: element("div", { class: "xw-head" }, [title, name, button, list]),
		show() {
			const given = model.get("labels");
			const names = Array.from({ length: count() }, (_, index) => given[index] || `map ${index + 1}`);
			const frame = frameOf(model, names.length);
			show(
				names.map((text, index) => ({ value: String(index), text })),
				String(frame),
			);
			// Without names there is nothing to choose by; another view may hold the list.
			button.hidden = !given.length || names.length < 2 || !model.get("controls");
			name.textContent = given.length ? (names[frame] ?? "") : "";
			name.hidden = !name.textContent || !button.hidden;
		},
	};
}
