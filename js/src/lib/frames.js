/**
 * Views that hold several maps and show one, by the trait `frame`.
 *
 * @typedef {import("@anywidget/types").AnyModel} Model
 */
import { element } from "./dom.js";

/** Which of `count` maps is shown: the nearest that exists. @param {Model} model @param {number} count */
export function frameOf(model, count) {
	return Math.min(Math.max(model.get("frame"), 0), count - 1);
}

/** @param {Model} model @param {number} index */
export function nameOf(model, index) {
	return model.get("names")[index] || `map ${index + 1}`;
}

/**
 * The title, and the name of the map or a list to choose one from.
 *
 * @param {Model} model
 * @param {() => number} count
 * @param {(values: Record<string, unknown>) => void} set
 * @param {AbortSignal} signal
 */
export function createHead(model, count, set, signal) {
	const title = element("span", { class: "xw-title" });
	const name = element("span", { class: "xw-name xw-muted" });
	const select = element("select", { "aria-label": "Map", hidden: true });
	select.addEventListener("change", () => set({ frame: select.selectedIndex }), { signal });
	return {
		node: element("div", { class: "xw-head" }, [title, name, select]),
		show() {
			const names = Array.from({ length: count() }, (_, index) => nameOf(model, index));
			const frame = frameOf(model, names.length);
			title.textContent = model.get("title");
			title.hidden = !title.textContent;
			// Options are made anew only for other names: a list that is open stays open.
			if (names.join("\n") !== [...select.options].map((option) => option.text).join("\n")) {
				select.replaceChildren(...names.map((text) => element("option", {}, [text])));
			}
			select.selectedIndex = frame;
			// Without any name there is nothing to choose by; another view may hold the list.
			const named = model.get("names").length > 0;
			select.hidden = !named || names.length < 2 || !model.get("controls");
			name.textContent = named ? (names[frame] ?? "") : "";
			name.hidden = !name.textContent || !select.hidden;
		},
	};
}
