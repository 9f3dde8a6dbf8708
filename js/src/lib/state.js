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

/** Dragged values are sent at most once in this time, ms: each message costs the page about as much as a frame. */
const SAVE_INTERVAL = 150;
/** Hovered values are sent when nothing has changed for this time, ms. */
const REST = 120;

/**
 * Saves a model later, and at the latest when the signal aborts.
 *
 * @param {import("@anywidget/types").AnyModel} model
 * @param {AbortSignal} signal
 */
function saver(model, signal) {
	let timer = 0;
	const save = () => {
		clearTimeout(timer);
		timer = 0;
		model.save_changes();
	};
	signal.addEventListener("abort", () => timer && save());
	return {
		save,
		pending: () => timer > 0,
		/** @param {number} wait  ms @param {() => void} [then] */
		later(wait, then = save) {
			clearTimeout(timer);
			timer = setTimeout(then, wait);
		},
	};
}

/**
 * A setter for dragged values: linked views follow at once, the kernel gets the first value, some of those that
 * follow, and always the last one.
 *
 * @param {import("@anywidget/types").AnyModel} model
 * @param {AbortSignal} signal
 * @returns {(values: Record<string, unknown>) => void}
 */
export function updater(model, signal) {
	const { save, pending, later } = saver(model, signal);
	let saved = Number.NEGATIVE_INFINITY;
	const send = () => {
		saved = performance.now();
		save();
	};
	return (values) => {
		for (const [name, value] of Object.entries(values)) model.set(name, value);
		const wait = saved + SAVE_INTERVAL - performance.now();
		if (wait <= 0) send();
		else if (!pending()) later(wait, send);
	};
}

/**
 * A setter for hovered values: linked views follow at once, the kernel gets the last value when the pointer rests,
 * because its answers to those before would hold up the page.
 *
 * @param {import("@anywidget/types").AnyModel} model
 * @param {AbortSignal} signal
 * @returns {(values: Record<string, unknown>) => void}
 */
export function hoverer(model, signal) {
	const { later } = saver(model, signal);
	return (values) => {
		for (const [name, value] of Object.entries(values)) model.set(name, value);
		later(REST);
	};
}
