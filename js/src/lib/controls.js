import { element, setText } from "./dom.js";
import { helpOf } from "./help.js";
import { createSelect } from "./select.js";
import { observe } from "./state.js";

/**
 * Controls that show a trait and set it.
 *
 * @typedef {{
 *   model: import("@anywidget/types").AnyModel,
 *   trait: string,
 *   label: string,
 *   set: (values: Record<string, unknown>) => void,
 *   signal: AbortSignal,
 * }} Binding
 */

/**
 * @param {Binding} binding
 * @param {() => {value: string, text: string}[]} options
 * @param {string[]} [depends]  the other traits that the options depend on
 */
export function selectControl({ model, trait, label, set, signal }, options, depends = []) {
	const { button, list, show } = createSelect(
		(value) => set({ [trait]: typeof model.get(trait) === "number" ? Number(value) : value }),
		signal,
	);
	button.setAttribute("aria-label", label);
	const sync = () => show(options(), String(model.get(trait)));
	observe(model, [trait, ...depends], sync, signal);
	sync();
	return element("label", { class: "xw-control", title: helpOf(trait) }, [
		element("span", {}, [label]),
		button,
		list,
	]);
}

/**
 * @param {Binding} binding
 * @param {{min: number, max: number, step: number, text: (value: number) => string}} range
 */
export function rangeControl({ model, trait, label, set, signal }, { min, max, step, text }) {
	const input = element("input", { type: "range", min, max, step });
	const output = element("span", { class: "xw-number" });
	const sync = () => {
		const value = model.get(trait);
		input.value = String(value);
		setText(output, text(value));
		input.setAttribute("aria-valuetext", text(value));
	};
	input.addEventListener("input", () => set({ [trait]: input.valueAsNumber }), { signal });
	observe(model, [trait], sync, signal);
	sync();
	return element("label", { class: "xw-control", title: helpOf(trait) }, [
		element("span", {}, [label]),
		input,
		output,
	]);
}

/**
 * @param {Binding} binding
 * @param {{on: unknown, off: unknown}} values  what the trait is when checked and when not
 */
export function checkControl({ model, trait, label, set, signal }, { on, off }) {
	const input = element("input", { type: "checkbox" });
	const sync = () => {
		input.checked = model.get(trait) === on;
	};
	input.addEventListener("change", () => set({ [trait]: input.checked ? on : off }), { signal });
	observe(model, [trait], sync, signal);
	sync();
	return element("label", { class: "xw-control", title: helpOf(trait) }, [
		input,
		element("span", {}, [label]),
	]);
}

/**
 * Buttons of which one is pressed.
 *
 * @param {Binding} binding
 * @param {{value: string, text: string}[]} choices
 */
export function toggleControl({ model, trait, label, set, signal }, choices) {
	const buttons = choices.map(({ value, text }) => {
		const button = element("button", { type: "button", title: helpOf(trait, value) }, [text]);
		button.addEventListener("click", () => set({ [trait]: value }), { signal });
		return button;
	});
	const sync = () => {
		for (const [index, { value }] of choices.entries()) {
			buttons[index].setAttribute("aria-pressed", String(value === model.get(trait)));
		}
	};
	observe(model, [trait], sync, signal);
	sync();
	return element("div", { role: "group", "aria-label": label }, buttons);
}

/**
 * The keys of a view, folded away.
 *
 * @param {[keys: string, what: string][]} keys
 */
export function keyHelp(keys) {
	return element("details", { class: "xw-keys" }, [
		element("summary", { title: "Keys that act while the view has the focus" }, ["Keys"]),
		element(
			"dl",
			{},
			keys.flatMap(([key, what]) => [element("dt", {}, [key]), element("dd", {}, [what])]),
		),
	]);
}

/**
 * Reads words out to a screen reader once they stay for half a second, so that a drag is not a flood.
 *
 * @param {AbortSignal} signal
 */
export function createAnnouncer(signal) {
	const node = element("div", { class: "xw-spoken", role: "status", "aria-live": "polite" });
	/** @type {ReturnType<typeof setTimeout> | undefined} */
	let timer;
	signal.addEventListener("abort", () => clearTimeout(timer));
	return {
		node,
		/** @param {string} text */
		say(text) {
			clearTimeout(timer);
			timer = setTimeout(() => {
				node.textContent = text;
			}, 500);
		},
	};
}
