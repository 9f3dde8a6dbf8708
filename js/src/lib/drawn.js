/**
 * Confirms frames to Python, which sends the next one when the last was drawn.
 */

/** An exported page has no kernel. @type {{xaiWidgetsPage?: boolean}} */
const page = /** @type {any} */ (globalThis);

/**
 * Returns a function to call after each drawing: it reports the number of a frame that is new.
 *
 * @param {import("@anywidget/types").AnyModel} model  has a trait `_sent`, the number of the last frame
 */
export function confirmDrawn(model) {
	let last = 0;
	return () => {
		const frame = model.get("_sent") ?? 0;
		if (frame <= last || page.xaiWidgetsPage) return;
		last = frame;
		try {
			model.send({ type: "drawn", frame });
		} catch {
			// The connection to the kernel is closed: no frame will come.
		}
	};
}
