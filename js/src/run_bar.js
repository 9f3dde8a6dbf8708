import { widget } from "./lib/widget.js";
import "./lib/theme.css";
import "./run_bar.css";
import { element } from "./lib/dom.js";
import { keepKeys } from "./lib/keys.js";
import { observe, onFrame, update } from "./lib/state.js";

/** @typedef {import("@anywidget/types").AnyModel} AnyModel */

/** How long a kernel may take to say that it heard a click, ms. */
const PATIENCE = 5000;
const SILENCE = "No kernel answered: run the cell again, or wait if it is busy with another one.";
const WORDS = /** @type {Record<string, string>} */ ({
	done: "done",
	cancelled: "cancelled",
	error: "stopped",
});

class View {
	#button = element("button", { type: "button", class: "xw-run" });
	#title = element("span", { class: "xw-title" });
	#fill = element("div", { class: "xw-progress-fill" });
	#progress = element(
		"div",
		{
			class: "xw-progress",
			role: "progressbar",
			"aria-valuemin": 0,
			"aria-valuemax": 100,
			"aria-label": "progress",
		},
		[this.#fill],
	);
	#message = element("span", { class: "xw-run-message xw-muted", "aria-live": "polite" });
	#alertText = element("span");
	#dismiss = element("button", { type: "button", "aria-label": "dismiss the error" }, ["×"]);
	#alert = element("div", { class: "xw-alert", role: "alert", hidden: true }, [
		this.#alertText,
		this.#dismiss,
	]);
	root = element("div", { class: "xw xw-run-bar", role: "group" }, [
		element("div", { class: "xw-bar" }, [this.#title, this.#button, this.#progress, this.#message]),
		this.#alert,
	]);
	/** @type {number | null} number of the click that no kernel has acknowledged yet */
	#waiting = null;
	#silent = false;
	#timer = 0;
	#model;

	/** @param {AnyModel} model @param {AbortSignal} signal */
	constructor(model, signal) {
		this.#model = model;
		this.draw = onFrame(() => this.#draw(), signal);
		this.#button.addEventListener("click", (event) => this.#click(event), { signal });
		this.#dismiss.addEventListener("click", () => this.#forgive(), { signal });
		signal.addEventListener("abort", () => clearTimeout(this.#timer));
	}

	/** @param {MouseEvent} event */
	#click(event) {
		// The second half of a double click would cancel what the first one began.
		if (this.#waiting !== null || event.detail > 1) return;
		const type = this.#model.get("status") === "running" ? "cancel" : "run";
		const id = this.#model.get("acknowledged") + 1;
		this.#waiting = id;
		this.#silent = false;
		this.#timer = setTimeout(() => {
			this.#waiting = null;
			this.#silent = true;
			this.draw();
		}, PATIENCE);
		this.#model.send({ type, id });
		this.draw();
	}

	/** The kernel has heard. */
	heard() {
		clearTimeout(this.#timer);
		this.#waiting = null;
		this.#silent = false;
		this.draw();
	}

	#forgive() {
		this.#silent = false;
		update(this.#model, { error: "" });
		this.#button.focus();
		this.draw();
	}

	#draw() {
		const model = this.#model;
		const status = model.get("status");
		const running = status === "running";
		const percent = Math.round(model.get("progress") * 100);
		const title = model.get("title");
		const width = model.get("width");
		this.root.setAttribute("aria-label", title || model.get("label"));
		this.root.style.maxWidth = width ? `${width}px` : "";
		this.root.dataset.status = status;
		this.#title.textContent = title;
		this.#title.hidden = !title;
		this.#button.textContent = running ? "Cancel" : model.get("label");
		// aria-disabled, not disabled: the focus stays on the button.
		this.#button.setAttribute("aria-disabled", String(this.#waiting !== null));
		this.#fill.style.transform = `scaleX(${percent / 100})`;
		this.#progress.setAttribute("aria-valuenow", String(percent));
		const words = model.get("message") || (running ? `${percent} %` : (WORDS[status] ?? ""));
		if (this.#message.textContent !== words) this.#message.textContent = words;
		const error = this.#silent ? SILENCE : model.get("error");
		if (this.#alertText.textContent !== error) this.#alertText.textContent = error;
		this.#alert.hidden = !error;
	}
}

/** @param {{model: AnyModel, el: HTMLElement}} context @returns {() => void} */
function render({ model, el }) {
	const controller = new AbortController();
	const { signal } = controller;
	const view = new View(model, signal);
	el.append(view.root);
	observe(model, ["status", "progress", "message", "error", "label", "title", "width"], view.draw, signal);
	observe(model, ["acknowledged"], () => view.heard(), signal);
	keepKeys(view.root, signal);
	view.draw();
	return () => {
		controller.abort();
		view.root.remove();
	};
}

export default widget(render);
