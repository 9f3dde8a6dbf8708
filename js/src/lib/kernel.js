/**
 * Asking a kernel that may be gone or busy: a message is acknowledged by the trait `_acknowledged`, and without an answer
 * the control returns to its old value and shows a notice.
 *
 * @typedef {import("@anywidget/types").AnyModel} Model
 */
import { element, setText } from "./dom.js";
import { popup } from "./popup.js";
import { observe, update } from "./state.js";

/** A kernel must acknowledge a message within this time, ms. */
export const PATIENCE = 5000;
export const SILENCE = "No kernel answered: run the cell again, or wait if it is busy with another one.";

/** An exported page has no kernel to wait for. @type {{xaiWidgetsPage?: boolean}} */
const page = /** @type {any} */ (globalThis);

/**
 * Sends messages that the kernel acknowledges.
 *
 * @param {Model} model  has a trait `_acknowledged`, the number of the last message that reached Python
 * @param {AbortSignal} signal
 * @param {(state: "silent" | "heard") => void} changed  called when no answer came in time, and when one comes, however late
 */
export function createQuestions(model, signal, changed) {
	/** @type {number | null} number of the last message that has no answer yet */
	let waiting = null;
	let last = 0;
	/** @type {ReturnType<typeof setTimeout> | undefined} */
	let timer;
	const fall = () => {
		waiting = null;
		changed("silent");
	};
	observe(
		model,
		["_acknowledged"],
		() => {
			if (model.get("_acknowledged") < last) return;
			clearTimeout(timer);
			waiting = null;
			changed("heard");
		},
		signal,
	);
	signal.addEventListener("abort", () => clearTimeout(timer));
	return {
		/** @param {string} type  of the message */
		ask(type) {
			last = Math.max(last, model.get("_acknowledged")) + 1;
			waiting = last;
			clearTimeout(timer);
			timer = setTimeout(fall, PATIENCE);
			try {
				model.send({ type, id: last });
			} catch {
				// The connection to the kernel is closed: nobody will answer.
				clearTimeout(timer);
				timer = setTimeout(fall);
			}
		},
		waiting: () => waiting !== null,
	};
}

/** The functions to call when another view has set a trait of a model. @type {WeakMap<Model, Set<(trait: string, before: unknown) => void>>} */
const watchers = new WeakMap();

/**
 * Notes that a linked view has set a trait of this model.
 *
 * @param {Model} model
 * @param {string} trait
 * @param {unknown} before  the value that it had
 */
export function setByLink(model, trait, before) {
	for (const watch of watchers.get(model) ?? []) watch(trait, before);
}

/**
 * A setter of a trait whose changes need Python, if the trait `_needs_kernel` is set: without an answer the old value
 * returns and a notice is shown below the control; a late answer brings the new value back.
 *
 * @param {import("./figure.js").Figure} figure
 * @param {string} trait
 * @param {() => void} [returned]  called when the old value is back
 */
export function keptUnlessAnswered({ model, root, signal }, trait, returned = () => {}) {
	const notice = element("div", { class: "xw-popup xw-silence", role: "alert", popover: "manual" });
	const { open, close } = popup(notice, root, signal, { width: "content" });
	/** The value before the first change without an answer, and the one after the last. @type {{before: unknown, after: unknown} | null} */
	let change = null;
	const questions = createQuestions(model, signal, (state) => {
		if (state === "heard") {
			close();
			if (change && model.get(trait) === change.before) model.set(trait, change.after);
			change = null;
		} else if (change) {
			// A view with several of these traits has one notice, unless several are without an answer.
			if (!notice.isConnected) root.append(notice);
			setText(notice, SILENCE);
			open();
			// Not saved: Python has the new value if it is only busy, and answers later.
			model.set(trait, change.before);
			returned();
		}
	});
	const asked = (/** @type {unknown} */ before) => {
		if (!model.get("_needs_kernel") || page.xaiWidgetsPage) return;
		close();
		change = { before: change && questions.waiting() ? change.before : before, after: model.get(trait) };
		questions.ask("ping");
	};
	const watch = (/** @type {string} */ name, /** @type {unknown} */ before) => {
		if (name === trait) asked(before);
	};
	watchers.set(model, (watchers.get(model) ?? new Set()).add(watch));
	signal.addEventListener("abort", () => watchers.get(model)?.delete(watch));
	return (/** @type {unknown} */ value) => {
		const before = model.get(trait);
		update(model, { [trait]: value });
		asked(before);
	};
}

/**
 * A setter of a trait that is often dragged: as `keptUnlessAnswered` if its changes need Python, else as that of the figure.
 *
 * @param {import("./figure.js").Figure} figure
 * @param {string} trait
 */
export function draggedOrAsked(figure, trait) {
	const take = keptUnlessAnswered(figure, trait);
	return (/** @type {unknown} */ value) =>
		figure.model.get("_needs_kernel") ? take(value) : figure.set({ [trait]: value });
}
