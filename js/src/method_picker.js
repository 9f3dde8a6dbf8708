import { widget } from "./lib/widget.js";
import "./lib/theme.css";
import "./method_picker.css";
import { element } from "./lib/dom.js";
import { keepKeys } from "./lib/keys.js";
import { seriesColor } from "./lib/palette.js";
import { observe, onFrame, update } from "./lib/state.js";

/** @typedef {import("@anywidget/types").AnyModel} AnyModel */

/** @param {AnyModel} model @param {AbortSignal} signal */
function picker(model, signal) {
	const title = element("span", { class: "xw-title" });
	const chips = element("div", { class: "xw-chips" });
	const root = element("div", { class: "xw xw-method-picker", role: "group" }, [title, chips]);
	/** @type {ReturnType<typeof chip>[]} */
	let shown = [];
	let options = "";

	/** @param {string} option @param {boolean} chosen */
	const choose = (option, chosen) => {
		const selected = new Set(model.get("selected"));
		if (chosen) selected.add(option);
		else selected.delete(option);
		const inOrder = model.get("options").filter((/** @type {string} */ name) => selected.has(name));
		update(model, { selected: inOrder });
	};
	const draw = onFrame(() => {
		const width = model.get("width");
		const now = JSON.stringify(model.get("options"));
		if (now !== options) {
			options = now;
			shown = model
				.get("options")
				.map((/** @type {string} */ name, /** @type {number} */ i) => chip(name, i, choose));
			chips.replaceChildren(...shown.map(({ element }) => element));
			if (shown.length === 0)
				chips.append(element("span", { class: "xw-muted" }, ["nothing to choose from"]));
		}
		root.setAttribute("aria-label", model.get("title") || "methods");
		root.style.maxWidth = width ? `${width}px` : "";
		title.textContent = model.get("title");
		title.hidden = !model.get("title");
		const selected = new Set(model.get("selected"));
		for (const one of shown) one.draw(selected.has(one.name), model.get("labels")?.[one.name] ?? one.name);
	}, signal);
	return { root, draw };
}

/**
 * A check box in the shape of a chip, with the colour of its curves.
 *
 * @param {string} name
 * @param {number} index  among the options
 * @param {(name: string, chosen: boolean) => void} choose
 */
function chip(name, index, choose) {
	const box = element("input", { type: "checkbox" });
	const text = element("span");
	const root = element("label", { class: "xw-chip" }, [
		box,
		element("span", { class: "xw-chip-color" }),
		text,
	]);
	root.style.setProperty("--xw-chip", seriesColor(index));
	box.addEventListener("change", () => choose(name, box.checked));
	return {
		name,
		element: root,
		/** @param {boolean} chosen @param {string} label */
		draw(chosen, label) {
			box.checked = chosen;
			text.textContent = label;
		},
	};
}

/** @param {{model: AnyModel, el: HTMLElement}} context @returns {() => void} */
function render({ model, el }) {
	const controller = new AbortController();
	const { signal } = controller;
	const { root, draw } = picker(model, signal);
	el.append(root);
	observe(model, ["options", "labels", "selected", "title", "width"], draw, signal);
	keepKeys(root, signal);
	draw();
	return () => {
		controller.abort();
		root.remove();
	};
}

export default widget(render);
