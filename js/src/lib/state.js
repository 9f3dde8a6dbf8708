/**
 * Calls `callback` whenever one of the traits changes, until the signal aborts.
 *
 * @param {import("@anywidget/types").AnyModel} model
 * @param {string[]} names
 * @param {() => void} callback
 * @param {AbortSignal} signal
 */
export function observe(model, names, callback, signal) {
	for (const name of names) model.on(`change:${name}`, callback);
	signal.addEventListener("abort", () => {
		for (const name of names) model.off(`change:${name}`, callback);
	});
}

/**
 * Sets traits and sends them, if there is a kernel to send them to; linked views follow in any case.
 *
 * @param {import("@anywidget/types").AnyModel} model
 * @param {Record<string, unknown>} values
 */
export function update(model, values) {
	for (const [name, value] of Object.entries(values)) model.set(name, value);
	model.save_changes();
}

/**
 * A function that asks for `draw` on the next animation frame, however often it is called before.
 *
 * @param {() => void} draw
 * @param {AbortSignal} signal
 * @returns {() => void}
 */
export function onFrame(draw, signal) {
	let pending = 0;
	signal.addEventListener("abort", () => cancelAnimationFrame(pending));
	return () => {
		if (pending || signal.aborted) return;
		pending = requestAnimationFrame(() => {
			pending = 0;
			draw();
		});
	};
}

/** The kernel hears of a drag so often, in ms: each message costs the page about as much as a frame. */
const SAVE_INTERVAL = 150;

/**
 * A setter for what is dragged: linked views follow at once, the kernel hears of the first value, then now and then,
 * and always of the last one.
 *
 * @param {import("@anywidget/types").AnyModel} model
 * @param {AbortSignal} signal
 * @returns {(values: Record<string, unknown>) => void}
 */
export function updater(model, signal) {
	let saved = Number.NEGATIVE_INFINITY;
	let timer = 0;
	const save = () => {
		clearTimeout(timer);
		timer = 0;
		saved = performance.now();
		model.save_changes();
	};
	signal.addEventListener("abort", () => timer && save());
	return (values) => {
		for (const [name, value] of Object.entries(values)) model.set(name, value);
		const wait = saved + SAVE_INTERVAL - performance.now();
		if (wait <= 0) save();
		else if (!timer) timer = setTimeout(save, wait);
	};
}
