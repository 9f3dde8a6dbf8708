import "./lib/theme.css";
import "./intro_view.css";
import { element, setText } from "./lib/dom.js";
import { view } from "./lib/figure.js";

/** A pointer that moves over a view for this time, ms, has used it. */
const HOVER = 2000;
/** Views whose use is not that of an explorer. */
const CONTROLS = [
	...[".xw-intro-view", ".xw-run-bar", ".xw-class-picker", ".xw-method-picker"],
	...[".xw-select-view", ".xw-check-view", ".xw-display-menu", ".xw-explorer-menu", ".xw-network-view"],
].join(", ");

export default view("xw-intro-view", ({ model, root, signal }) => {
	const question = element("span", { class: "xw-question" });
	const hint = element("span", { class: "xw-hint xw-muted" });
	let timer = 0;
	const used = new AbortController();

	const finish = () => {
		hint.classList.add("xw-used");
		hint.setAttribute("aria-hidden", "true");
		used.abort();
	};
	signal.addEventListener("abort", () => {
		clearTimeout(timer);
		used.abort();
	});

	/** Whether an event is in a view of this explorer other than its controls. @param {Event} event */
	const isHere = (event) => {
		const [target] = event.composedPath();
		const view = target instanceof Element ? target.closest(".xw") : null;
		return view !== null && !view.matches(CONTROLS) && root.closest(".xw-explorer")?.contains(view) === true;
	};
	const onUse = (/** @type {Event} */ event) => isHere(event) && finish();
	const onMove = (/** @type {Event} */ event) => {
		if (model.get("gesture") === "hover" && !timer && isHere(event)) timer = setTimeout(finish, HOVER);
	};
	for (const type of ["pointerdown", "keydown"]) {
		document.addEventListener(type, onUse, { capture: true, signal: used.signal });
	}
	document.addEventListener("pointermove", onMove, { capture: true, signal: used.signal, passive: true });
	return {
		content: [question, hint],
		label: "introduction",
		traits: ["question", "hint"],
		refresh() {
			setText(question, model.get("question"));
			setText(hint, model.get("hint"));
		},
	};
});
