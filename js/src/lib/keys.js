const SUPPRESS = "data-lm-suppress-shortcuts";

/**
 * Keeps keys pressed inside a view from the host's shortcuts, where `c` copies a cell and the down arrow leaves it.
 * Chords (Ctrl, Alt, Meta), Shift+Enter, which runs the cell, and Tab remain the host's.
 *
 * JupyterLab and Notebook 7 read an attribute of the node that has the focus, and before anything inside the page sees
 * the key; so it is set key by key at the window. Other hosts listen further out: there the event ends at the view.
 *
 * @param {HTMLElement} root
 * @param {AbortSignal} signal
 * @param {(event: KeyboardEvent) => boolean} [chord]  chords that are the view's own
 */
export function keepKeys(root, signal, chord = () => false) {
	/** @type {Element | null} */
	let marked = null;
	/** @param {Element | null} node */
	const mark = (node) => {
		marked?.removeAttribute(SUPPRESS);
		marked = node;
		marked?.setAttribute(SUPPRESS, "true");
	};
	window.addEventListener(
		"keydown",
		(event) => {
			const [target] = event.composedPath();
			const kept = target instanceof Element && root.contains(target) && (isPlain(event) || chord(event));
			mark(kept ? target : null);
		},
		{ capture: true, signal },
	);
	signal.addEventListener("abort", () => mark(null));
	root.addEventListener(
		"keydown",
		(event) => {
			if (isPlain(event) || chord(event)) event.stopPropagation();
		},
		{ signal },
	);
}

/** @param {KeyboardEvent} event */
function isPlain({ key, ctrlKey, altKey, metaKey, shiftKey }) {
	return !(ctrlKey || altKey || metaKey || key === "Tab" || (key === "Enter" && shiftKey));
}

/**
 * `keepKeys`, and lets plain keys act while one node of the view has the focus.
 *
 * @param {HTMLElement} root
 * @param {HTMLElement} node
 * @param {{
 *   act: (event: KeyboardEvent) => Record<string, unknown> | null,
 *   set: (values: Record<string, unknown>) => void,
 *   signal: AbortSignal,
 *   chord?: (event: KeyboardEvent) => boolean,
 * }} options  `act` gives the traits to set, or null for a key that does nothing
 */
export function bindKeys(root, node, { act, set, signal, chord }) {
	keepKeys(root, signal, chord);
	node.addEventListener(
		"keydown",
		(event) => {
			const values = event.target === node && isPlain(event) ? act(event) : null;
			if (!values) return;
			event.preventDefault();
			set(values);
		},
		{ signal },
	);
}
