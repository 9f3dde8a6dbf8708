import "./lib/theme.css";
import "./select_view.css";
import { element } from "./lib/dom.js";
import { view } from "./lib/figure.js";
import { createSelect } from "./lib/select.js";
import { update } from "./lib/state.js";

export default view("xw-select-view", ({ model, title, signal }) => {
	const { button, list, show } = createSelect((value) => update(model, { value }), signal);
	return {
		head: element("label", { for: button.id }, [title]),
		content: [button, list],
		label: "choice",
		traits: ["options", "labels", "value", "notes", "help"],
		refresh() {
			const labels = model.get("labels") ?? {};
			const notes = model.get("notes") ?? {};
			const options = model.get("options").map((/** @type {string} */ value) => ({
				value,
				text: labels[value] ?? value,
				note: notes[value],
			}));
			button.setAttribute("aria-label", model.get("title") || "choice");
			button.title = model.get("help") ?? "";
			show(options, model.get("value"));
		},
	};
});
