import "./lib/theme.css";
import "./lib/field.css";
import "./check_view.css";
import { element } from "./lib/dom.js";
import { view } from "./lib/figure.js";
import { keptUnlessAnswered } from "./lib/kernel.js";

export default view("xw-check-view", (figure) => {
	const { model, root, title, signal, refresh } = figure;
	const choose = keptUnlessAnswered(figure, "value", refresh);
	const box = element("input", { type: "checkbox" });
	box.addEventListener("change", () => choose(box.checked), { signal });
	return {
		head: element("label", {}, [box, title]),
		content: [],
		label: "check box",
		traits: ["value", "help"],
		refresh() {
			box.checked = model.get("value");
			box.setAttribute("aria-label", model.get("title") || "check box");
			root.title = model.get("help") ?? "";
		},
	};
});
