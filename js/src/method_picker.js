import "./lib/theme.css";
import "./method_picker.css";
import { element } from "./lib/dom.js";
import { view } from "./lib/figure.js";
import { seriesColor } from "./lib/palette.js";
import { update } from "./lib/state.js";

export default view("xw-method-picker", ({ model, title }) => {
	const chips = element("div", { class: "xw-chips" });
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
	return {
		head: title,
		content: [chips],
		label: "methods",
		traits: ["options", "labels", "selected", "notes"],
		refresh() {
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
			const selected = new Set(model.get("selected"));
			for (const { name, draw } of shown) {
				draw(selected.has(name), model.get("labels")?.[name] ?? name, model.get("notes")?.[name] ?? "");
			}
		},
	};
});

/**
 * A check box in the shape of a chip, with the color of its curves.
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
		/** @param {boolean} chosen @param {string} label @param {string} note  why it has no map, if it has none */
		draw(chosen, label, note) {
			box.checked = chosen;
			text.textContent = label;
			root.title = note;
			root.classList.toggle("xw-chip-noted", note !== "");
			if (note) box.setAttribute("aria-description", note);
			else box.removeAttribute("aria-description");
		},
	};
}
