import "./lib/theme.css";
import "./lib/field.css";
import "./display_menu.css";
import { createColorControls } from "./lib/color_tools.js";
import { element } from "./lib/dom.js";
import { view } from "./lib/figure.js";
import { panelOf } from "./lib/popup.js";
import { hoverer } from "./lib/state.js";

let menus = 0;

/** @param {import("./lib/figure.js").Figure} figure @returns {import("./lib/figure.js").Parts} */
function build(figure) {
	const { model, root, signal } = figure;
	const id = `xw-display-${++menus}-${Math.random().toString(36).slice(2, 8)}`;
	const button = element("button", { type: "button", class: "xw-field xw-opens", "aria-controls": id }, [
		figure.title,
	]);
	const colors = createColorControls(figure);
	const made = /** @type {Record<string, HTMLElement>} */ ({
		opacity: colors.share("opacity", "Opacity"),
		threshold: colors.share("threshold", "Threshold"),
		colormap: colors.colormap(),
		sign: colors.sign(),
		percentile: colors.percentile(),
		scale: colors.scale(),
		fade: colors.fade(),
		smoothing: colors.smoothing(),
		gray: colors.gray("Gray image"),
		interpolation: colors.smooth(),
	});
	const panel = element(
		"div",
		{ id, class: "xw-popup xw-display-panel", role: "group", popover: "manual" },
		Object.values(made),
	);
	const first = () => panel.querySelector(".xw-control:not([hidden]) :is(input, button)");
	panelOf(panel, button, root, signal, {
		width: 260,
		height: 420,
		opened: () => /** @type {HTMLElement | null} */ (first())?.focus(),
	});
	return {
		head: button,
		content: [panel],
		label: "Display",
		traits: ["shown", "help"],
		refresh() {
			const shown = model.get("shown");
			for (const [name, node] of Object.entries(made)) node.hidden = !shown.includes(name);
			panel.setAttribute("aria-label", model.get("title") || "Display");
			button.title = model.get("help") ?? "";
		},
	};
}

// The settings are looks: views in the page follow at once, and the kernel need not know before a drag is over.
export default view("xw-display-menu", build, hoverer);
