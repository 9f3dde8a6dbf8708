import "./lib/theme.css";
import "./run_bar.css";
import { element, setText } from "./lib/dom.js";
import { view } from "./lib/figure.js";
import { createQuestions, SILENCE } from "./lib/kernel.js";
import { update } from "./lib/state.js";
import { reportVisibility } from "./lib/visibility.js";

const WORDS = /** @type {Record<string, string>} */ ({
	done: "done",
	cancelled: "stopped",
	error: "failed",
});
const HINTS = /** @type {Record<string, string>} */ ({
	Run: "Compute what is chosen",
	Stop: "Stop; what is computed so far stays",
	Resume: "Continue from the results so far",
});
const COMPLETE = "All that is chosen is computed";
/** An arrow around a circle. */
const ARROW = "M12.9 5.2A5.5 5.5 0 1 0 13.5 8M13.2 2v3.4H9.8";

export default view("xw-run-bar", ({ model, root, title, refresh, signal }) => {
	const button = element("button", { type: "button", class: "xw-run" });
	const restart = element("button", { type: "button", class: "xw-restart", "aria-label": "Restart" }, [
		icon(ARROW),
	]);
	const step = element("button", { type: "button", class: "xw-step" }, ["Step"]);
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
	const message = element("span", { class: "xw-run-message", "aria-live": "polite" });
	const remaining = element("span", { class: "xw-run-remaining" });
	const track = element("div", { class: "xw-track" }, [message, remaining, progress]);
	const alertText = element("span");
	const dismiss = element("button", { type: "button", "aria-label": "dismiss the error", title: "Dismiss" }, [
		"×",
	]);
	const alert = element("div", { class: "xw-alert", role: "alert", hidden: true }, [alertText, dismiss]);
	let silent = false;
	const questions = createQuestions(model, signal, (state) => {
		silent = state === "silent";
		refresh();
	});

	/** @param {"run" | "cancel" | "restart" | "step"} type @param {MouseEvent} event */
	function send(type, event) {
		// The second half of a double click would stop the computation that the first half started.
		if (questions.waiting() || event.detail > 1) return;
		silent = false;
		questions.ask(type);
		refresh();
	}

	/** @param {MouseEvent} event */
	function click(event) {
		if (model.get("status") === "running") send("cancel", event);
		else if (model.get("runnable")) send("run", event);
	}

	function forgive() {
		silent = false;
		update(model, { error: "" });
		button.focus();
		refresh();
	}

	button.addEventListener("click", click, { signal });
	restart.addEventListener("click", (event) => send("restart", event), { signal });
	step.addEventListener("click", (event) => send("step", event), { signal });
	dismiss.addEventListener("click", forgive, { signal });
	reportVisibility(model, root, signal);
	return {
		head: element("div", { class: "xw-bar" }, [title, button, step, restart, track]),
		content: [alert],
		label: () => model.get("label"),
		traits: [
			...["status", "progress", "message", "error", "label", "runnable", "restart", "step"],
			...["queued", "remaining"],
		],
		refresh() {
			const status = model.get("status");
			const running = status === "running";
			const able = running || model.get("runnable");
			const percent = Math.round(model.get("progress") * 100);
			const label = running ? "Stop" : model.get("label");
			root.dataset.status = status;
			button.textContent = label;
			button.title = able ? (HINTS[label] ?? "Start the computation") : COMPLETE;
			// aria-disabled, not disabled: the focus stays on the button.
			button.setAttribute("aria-disabled", String(questions.waiting() || !able));
			button.toggleAttribute("data-waiting", questions.waiting());
			step.hidden = !model.get("step");
			step.title = model.get("step") || "Step";
			restart.hidden = !model.get("restart");
			restart.title = model.get("restart") || "Restart";
			fill.style.transform = `scaleX(${model.get("progress")})`;
			progress.setAttribute("aria-valuenow", String(percent));
			const text = running && model.get("queued") ? "waiting for another explorer" : model.get("message");
			setText(message, text || (running ? `${percent} %` : (WORDS[status] ?? "")));
			message.title = message.textContent ?? "";
			setText(remaining, running ? inWords(model.get("remaining")) : "");
			const error = silent ? SILENCE : model.get("error");
			setText(alertText, error);
			alert.hidden = !error;
		},
	};
});

/** @param {number | null} seconds @returns {string} */
function inWords(seconds) {
	if (seconds === null || seconds === undefined) return "";
	if (seconds < 3) return "a few seconds left";
	if (seconds < 55) return `about ${Math.ceil(seconds / 5) * 5} s left`;
	if (seconds < 5400) return `about ${Math.round(seconds / 60)} min left`;
	return `about ${Math.round(seconds / 3600)} h left`;
}

/** @param {string} path */
function icon(path) {
	const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
	svg.setAttribute("viewBox", "0 0 16 16");
	svg.setAttribute("aria-hidden", "true");
	const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
	line.setAttribute("d", path);
	svg.append(line);
	return svg;
}
