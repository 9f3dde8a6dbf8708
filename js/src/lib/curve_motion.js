import { nearest, positionOf, shareBetween, stepAt, stopsOf } from "./curves.js";
import { clamp } from "./numbers.js";

/** A change of the fraction by another view that is at least this large leaves the stop where it is. */
const MOVE = 0.005;

/**
 * Where the cursor of curves may stand: anywhere, at the steps that are given, or at the values of x.
 *
 * @param {import("@anywidget/types").AnyModel} model
 * @param {(values: Record<string, unknown>) => void} set
 * @param {() => import("./curves.js").Curves} read  the curves as they are drawn
 */
export function createMotion(model, set, read) {
	/** The fraction at which the cursor came to rest. */
	let rested = model.get("fraction");

	const snaps = () => read().steps.length === 0 && model.get("snap") && read().x.length > 1;

	/** @param {Float32Array} stops  ascending @param {number} fraction @param {boolean} away  whether to leave the stop */
	function snapTo(stops, fraction, away) {
		const { x } = read();
		const from = away ? nearest(stops, positionOf(x, rested)) : -1;
		rested = clamp(shareBetween(x, stops[stepAt(stops, positionOf(x, fraction), from)]));
		if (rested !== model.get("fraction")) set({ fraction: rested });
	}

	/** Puts the cursor at the step, if there is one. */
	function chooseStep() {
		const { x, steps } = read();
		const position = steps[model.get("step")];
		const fraction = position === undefined ? model.get("fraction") : clamp(shareBetween(x, position));
		if (fraction !== model.get("fraction")) set({ fraction });
	}

	return {
		chooseStep,
		/** Sets the step nearest to the fraction; of several at one position the one that was set stays. */
		followFraction() {
			const { x, steps } = read();
			const fraction = model.get("fraction");
			if (snaps()) {
				const by = Math.abs(fraction - rested);
				if (by > 1e-9) snapTo(stopsOf(read()), fraction, by >= MOVE);
				return;
			}
			const step = stepAt(steps, positionOf(x, fraction));
			if (steps[step] !== steps[model.get("step")]) set({ step });
			else chooseStep();
		},
		/** Puts the cursor at its step, or one that snaps at the nearest x, where it stays while values come. */
		settle() {
			chooseStep();
			if (snaps()) snapTo(read().x, model.get("fraction"), false);
		},
		/** @param {number} fraction @param {boolean} [away]  whether to leave the step, if only for the next one */
		moveTo(fraction, away = false) {
			const { x, steps } = read();
			if (snaps()) {
				rested = model.get("fraction");
				snapTo(stopsOf(read()), fraction, away);
				return;
			}
			const from = away ? model.get("step") : -1;
			set(steps.length ? { step: stepAt(steps, positionOf(x, fraction), from) } : { fraction });
		},
	};
}
