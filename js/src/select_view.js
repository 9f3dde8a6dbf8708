import "./lib/theme.css";
import "./select_view.css";
import { element } from "./lib/dom.js";
import { view } from "./lib/figure.js";
import { keptUnlessAnswered } from "./lib/kernel.js";
import { createSelect } from "./lib/select.js";

export default view("xw-select-view", (figure) => {
	const { model, title, signal } = figure;
	const { button, list, show } = createSelect(keptUnlessAnswered(figure, "value"), signal);
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
