import "./lib/theme.css";
import "./check_view.css";
import { element } from "./lib/dom.js";
import { view } from "./lib/figure.js";
import { update } from "./lib/state.js";

export default view("xw-check-view", ({ model, root, title, signal }) => {
	const box = element("input", { type: "checkbox" });
	box.addEventListener("change", () => update(model, { value: box.checked }), { signal });
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
