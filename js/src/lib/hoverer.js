/** A hand rests that has moved nothing for so long, in ms. */
const REST = 120;

/**
 * A setter for what is hovered: linked views follow at once, the kernel hears of it when the hand rests, as its answers
 * to the places on the way would hold up the page.
 *
 * @param {import("@anywidget/types").AnyModel} model
 * @param {AbortSignal} signal
 * @returns {(values: Record<string, unknown>) => void}
 */
export function hoverer(model, signal) {
	let timer = 0;
	const save = () => {
		clearTimeout(timer);
		timer = 0;
		model.save_changes();
	};
	signal.addEventListener("abort", () => timer && save());
	return (values) => {
		for (const [name, value] of Object.entries(values)) model.set(name, value);
		clearTimeout(timer);
		timer = setTimeout(save, REST);
	};
}
