/**
 * Reports to Python whether a view is on the screen, so that the computation that is seen goes first.
 */

/** An exported page has no kernel. @type {{xaiWidgetsPage?: boolean}} */
const page = /** @type {any} */ (globalThis);
/** Time between two looks for the element in the document, ms. */
const ATTACHED = 200;

/**
 * Sends `{type: "view", id, state}` whenever the explorer around a node comes into sight ("visible"), leaves it or is on
 * a hidden page ("unseen"), or is removed ("gone").
 *
 * @param {import("@anywidget/types").AnyModel} model
 * @param {HTMLElement} node
 * @param {AbortSignal} signal
 */
export function reportVisibility(model, node, signal) {
	if (page.xaiWidgetsPage) return;
	const id = Math.random().toString(36).slice(2);
	let seen = false;
	let last = "";
	/** @param {string} state */
	const report = (state) => {
		if (state === last) return;
		last = state;
		try {
			model.send({ type: "view", id, state });
		} catch {
			// The connection to the kernel is closed: nothing is computed.
		}
	};
	const look = () => report(seen && !document.hidden ? "visible" : "unseen");
	const observer = new IntersectionObserver((entries) => {
		seen = entries[entries.length - 1].isIntersecting;
		look();
	});
	/** @type {ReturnType<typeof setTimeout> | undefined} */
	let timer;
	const attach = () => {
		// The views of a box are made before they are in the document.
		if (node.isConnected) observer.observe(node.closest(".xw-explorer") ?? node);
		else timer = setTimeout(attach, ATTACHED);
	};
	attach();
	document.addEventListener("visibilitychange", look, { signal });
	// A computation goes on without its page.
	addEventListener("pagehide", () => report("unseen"), { signal });
	signal.addEventListener("abort", () => {
		clearTimeout(timer);
		observer.disconnect();
		report("gone");
	});
}
