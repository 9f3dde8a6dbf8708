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
 * Lets plain keys act while a node has the focus.
 *
 * @param {HTMLElement} node
 * @param {(event: KeyboardEvent) => Record<string, unknown> | null} act  the traits to set; null if the key has no effect
 * @param {(values: Record<string, unknown>) => void} set
 * @param {AbortSignal} signal
 */
export function actOnKeys(node, act, set, signal) {
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

/** The step to the right and down of an arrow key. */
export const ARROWS = /** @type {Record<string, number[]>} */ ({
	ArrowLeft: [-1, 0],
	ArrowRight: [1, 0],
	ArrowUp: [0, -1],
	ArrowDown: [0, 1],
});
