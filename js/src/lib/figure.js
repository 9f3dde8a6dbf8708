/**
 * The parts that every view has: its life, title, width, accessible name, message, announcer, key help and guarded refresh.
 * A view is a function that builds its stage and its tools.
 */
import "./menu.css";
import { joinChannels } from "./channels.js";
import { createAnnouncer, keyHelp } from "./controls.js";
import { element, setText } from "./dom.js";
import { actOnKeys, keepKeys } from "./keys.js";
import { observe, onFrame, updater } from "./state.js";
import { viewMenu } from "./take_away.js";

/**
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {(values: Record<string, unknown>) => void} Setter
 * @typedef {[keys: string, action: string][]} Keys
 */

/**
 * The argument of the function that builds a view.
 *
 * @typedef {object} Figure
 * @property {Model} model
 * @property {AbortSignal} signal  aborts when the view is removed
 * @property {HTMLElement} root
 * @property {HTMLElement} title
 * @property {HTMLElement} message  a sentence shown in place of a drawing; below the title unless the view moves it
 * @property {Setter} set  sets traits, and sends them now and then
 * @property {(trait: string, label: string) => import("./controls.js").Binding} bind
 * @property {() => boolean} failed  whether an error is shown
 * @property {(text: string) => void} announce  reads a text out to a screen reader
 * @property {() => void} refresh  draws everything in the next animation frame
 * @property {(draw: () => string | void) => void} guard  calls `draw`; shows the sentence it returns, or its error
 */

/**
 * The result of the function that builds a view.
 *
 * @typedef {object} Parts
 * @property {Node[]} content  from top to bottom; tools excluded
 * @property {Node} [head]  holds the title; a line of its own by default
 * @property {HTMLElement} [tools]  the controls, hidden unless the trait `controls` is set; below the content unless
 *     they are part of it
 * @property {string | (() => string)} label  accessible name of a view without a title
 * @property {HTMLElement} [stage]  has the accessible name, too, and takes the keys
 * @property {HTMLElement[]} [drawing]  hidden while there is a message
 * @property {string[]} traits  those that `refresh` depends on, besides `title`, `width` and `controls`
 * @property {() => string | void} refresh  draws everything; returns a sentence if there is nothing to draw
 * @property {() => void} [fail]  called after an error in `refresh`
 * @property {Keys} [keys]  described to screen readers and listed below the tools
 * @property {(event: KeyboardEvent) => Record<string, unknown> | null} [onKey]  the traits that a key sets
 * @property {(event: KeyboardEvent) => boolean} [chord]  chords that belong to the view
 * @property {boolean} [saves]  whether there is a menu to save the view; by default if it has a stage
 * @property {() => string[]} [arrays]  names of the traits that hold its arrays, `traits` by default
 * @property {() => string} [svg]  returns the view as a vector image
 * @property {() => import("./menu.js").Item[]} [items]  further lines of the menu
 * @property {() => void} [close]  called before the view is removed
 */

/**
 * Makes the default export of a view.
 *
 * @param {string} classes  of the root
 * @param {(figure: Figure) => Parts} build
 * @param {(model: Model, signal: AbortSignal) => Setter} [setter]  for dragged values by default
 */
export function view(classes, build, setter = updater) {
	return {
		/** The model joins its channels as soon as it exists, shown or not. @type {import("@anywidget/types").Initialize} */
		initialize({ model }) {
			const controller = new AbortController();
			joinChannels(model, controller.signal);
			return () => controller.abort();
		},
		/** @type {import("@anywidget/types").Render} */
		render: ({ model, el }) => show(model, el, classes, build, setter),
	};
}

/**
 * @param {Model} model
 * @param {HTMLElement} el
 * @param {string} classes
 * @param {(figure: Figure) => Parts} build
 * @param {(model: Model, signal: AbortSignal) => Setter} setter
 */
function show(model, el, classes, build, setter) {
	const controller = new AbortController();
	const { signal } = controller;
	const root = element("div", { class: `xw ${classes}`, role: "group" });
	const title = element("span", { class: "xw-title" });
	const message = element("div", { class: "xw-message", hidden: true });
	const spoken = createAnnouncer(signal);
	const set = setter(model, signal);
	let failed = false;

	/** @param {() => string | void} draw */
	const guard = (draw) => {
		let text = "";
		try {
			text = draw() ?? "";
			failed = false;
		} catch (error) {
			text = `This view cannot be drawn: ${/** @type {Error} */ (error).message}.`;
			failed = true;
			parts.fail?.();
		}
		setText(message, text);
		message.hidden = !text;
		message.classList.toggle("xw-error", failed);
		if (failed) message.setAttribute("role", "alert");
		else message.removeAttribute("role");
		for (const node of parts.drawing ?? []) node.hidden = Boolean(text);
	};
	const draw = () => {
		setText(title, model.get("title"));
		title.hidden = !model.get("title");
		const label = typeof parts.label === "string" ? parts.label : parts.label();
		for (const node of [root, parts.stage]) node?.setAttribute("aria-label", model.get("title") || label);
		const width = model.get("width");
		root.style.setProperty("--xw-width", width ? `${width}px` : "100%");
		root.classList.toggle("xw-fluid", !width);
		if (parts.tools) parts.tools.hidden = !model.get("controls");
		guard(parts.refresh);
	};
	const refresh = onFrame(draw, signal);
	const parts = build({
		model,
		signal,
		root,
		title,
		message,
		set,
		bind: (trait, label) => ({ model, trait, label, set, signal }),
		failed: () => failed,
		announce: spoken.say,
		refresh,
		guard,
	});

	const { content, head = element("div", { class: "xw-head" }, [title]), tools, stage, keys, onKey } = parts;
	root.append(
		head,
		...(message.parentNode ? [] : [message]),
		...content,
		...(tools && !tools.parentNode ? [tools] : []),
		spoken.node,
	);
	if (parts.saves ?? stage) {
		const label = () => (typeof parts.label === "string" ? parts.label : parts.label());
		const arrays = parts.arrays ?? (() => parts.traits);
		root.classList.add("xw-has-menu");
		if (head instanceof HTMLElement) head.classList.add("xw-beside-menu");
		root.append(viewMenu({ model, root, signal, label, arrays, svg: parts.svg, more: parts.items }).node);
	}
	keepKeys(root, signal, parts.chord);
	if (keys) {
		stage?.setAttribute("aria-description", keys.map(([key, action]) => `${key}: ${action}`).join("; "));
		tools?.append(keyHelp(keys));
	}
	if (stage && onKey) actOnKeys(stage, (event) => (failed ? null : onKey(event)), set, signal);
	observe(model, [...parts.traits, "title", "width", "controls"], refresh, signal);
	el.append(root);
	draw();
	return () => {
		parts.close?.();
		controller.abort();
		root.remove();
	};
}
