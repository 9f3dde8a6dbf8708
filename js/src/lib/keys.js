/**
 * Lets keys act on a view while its stage has the focus, and keeps keys meant for the view from the host's shortcuts,
 * where `c` copies a cell and the down arrow leaves it. Chords (Ctrl, Alt, Meta), Shift+Enter and Tab are the host's,
 * and so is Escape outside of the stage.
 *
 * JupyterLab and Notebook 7 read an attribute, and before anything inside the page sees the key; so it is set key by
 * key at the window. Other hosts listen further out: there the event ends at the view.
 *
 * @param {HTMLElement} root
 * @param {HTMLElement} stage
 * @param {{
 *   act: (event: KeyboardEvent) => Record<string, unknown> | null,
 *   set: (values: Record<string, unknown>) => void,
 *   signal: AbortSignal,
 * }} options  `act` gives the traits to set, or null for a key that does nothing
 */
export function bindKeys(root, stage, { act, set, signal }) {
	/** @param {KeyboardEvent} event */
	const isOurs = (event) => {
		if (event.ctrlKey || event.altKey || event.metaKey || event.key === "Tab") return false;
		const path = event.composedPath();
		if (event.key === "Escape") return path.includes(stage);
		return path.includes(root) && !(event.key === "Enter" && event.shiftKey);
	};
	window.addEventListener(
		"keydown",
		(event) => {
			if (isOurs(event)) root.setAttribute("data-lm-suppress-shortcuts", "true");
			else root.removeAttribute("data-lm-suppress-shortcuts");
		},
		{ capture: true, signal },
	);
	root.addEventListener(
		"keydown",
		(event) => {
			if (!isOurs(event)) return;
			event.stopPropagation();
			const values = event.composedPath()[0] === stage ? act(event) : null;
			if (!values) return;
			event.preventDefault();
			set(values);
		},
		{ signal },
	);
}
