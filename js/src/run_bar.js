import "./lib/theme.css";
import "./run_bar.css";
import { element, setText } from "./lib/dom.js";
import { view } from "./lib/figure.js";
import { observe, update } from "./lib/state.js";

/** A kernel must acknowledge a click within this time, ms. */
const PATIENCE = 5000;
const SILENCE = "No kernel answered: run the cell again, or wait if it is busy with another one.";
const WORDS = /** @type {Record<string, string>} */ ({
	done: "done",
	cancelled: "cancelled",
	error: "stopped",
});

export default view("xw-run-bar", ({ model, root, title, refresh, signal }) => {
	const button = element("button", { type: "button", class: "xw-run" });
	const fill = element("div", { class: "xw-progress-fill" });
	const progress = element(
		"div",
		{
			class: "xw-progress",
			role: "progressbar",
			"aria-valuemin": 0,
			"aria-valuemax": 100,
			"aria-label": "progress",
		},
		[fill],
	);
	const message = element("span", { class: "xw-run-message xw-muted", "aria-live": "polite" });
	const alertText = element("span");
	const dismiss = element("button", { type: "button", "aria-label": "dismiss the error" }, ["×"]);
	const alert = element("div", { class: "xw-alert", role: "alert", hidden: true }, [alertText, dismiss]);
	/** @type {number | null} number of the click that no kernel has acknowledged yet */
	let waiting = null;
	let silent = false;
	let timer = 0;

	/** @param {MouseEvent} event */
	function click(event) {
		// The second half of a double click would stop the computation that the first half started.
		if (waiting !== null || event.detail > 1) return;
		const type = model.get("status") === "running" ? "cancel" : "run";
		const id = model.get("_acknowledged") + 1;
		waiting = id;
		silent = false;
		timer = setTimeout(() => {
			waiting = null;
			silent = true;
			refresh();
		}, PATIENCE);
		model.send({ type, id });
		refresh();
	}

	function heard() {
		clearTimeout(timer);
		waiting = null;
		silent = false;
		refresh();
	}

	function forgive() {
		silent = false;
		update(model, { error: "" });
		button.focus();
		refresh();
	}

	button.addEventListener("click", click, { signal });
	dismiss.addEventListener("click", forgive, { signal });
	signal.addEventListener("abort", () => clearTimeout(timer));
	observe(model, ["_acknowledged"], heard, signal);
	return {
		head: element("div", { class: "xw-bar" }, [title, button, progress, message]),
		content: [alert],
		label: () => model.get("label"),
		traits: ["status", "progress", "message", "error", "label"],
		refresh() {
			const status = model.get("status");
			const running = status === "running";
			const percent = Math.round(model.get("progress") * 100);
			root.dataset.status = status;
			button.textContent = running ? "Stop" : model.get("label");
			// aria-disabled, not disabled: the focus stays on the button.
			button.setAttribute("aria-disabled", String(waiting !== null));
			fill.style.transform = `scaleX(${percent / 100})`;
			progress.setAttribute("aria-valuenow", String(percent));
			setText(message, model.get("message") || (running ? `${percent} %` : (WORDS[status] ?? "")));
			const error = silent ? SILENCE : model.get("error");
			setText(alertText, error);
			alert.hidden = !error;
		},
	};
});
