import { element } from "./dom.js";

/**
 * @typedef {import("./leaderboard.js").Difference} Difference
 */

/** Height of the bars, CSS px. */
const HEIGHT = 44;
/** Widest bar, CSS px. */
const WIDEST = 24;

/**
 * Sorted bars of differences, above the line where A is better and below where B is; some of them stand out.
 *
 * @param {(item: number) => void} choose
 * @param {(difference: Difference) => string} describe
 * @param {(color: string) => string} resolve  a CSS color as the canvas reads it
 * @param {AbortSignal} signal
 */
export function createBars(choose, describe, resolve, signal) {
	const canvas = element("canvas", { class: "xw-pair-bars", role: "img" });
	/** @type {Difference[]} */
	let shown = [];
	let [left, step] = [0, 1];

	/** @param {MouseEvent} event */
	const at = (event) =>
		shown[Math.floor((event.clientX - canvas.getBoundingClientRect().left - left) / step)];
	canvas.addEventListener(
		"pointermove",
		(event) => {
			const one = at(event);
			canvas.title = one ? describe(one) : "";
			canvas.style.cursor = one ? "pointer" : "";
		},
		{ signal },
	);
	canvas.addEventListener(
		"click",
		(event) => {
			const one = at(event);
			if (one) choose(one.item);
		},
		{ signal },
	);

	return {
		node: canvas,
		/** @param {Difference[]} differences  sorted @param {Set<number>} bright  items that stand out @param {string} label */
		draw(differences, bright, label) {
			shown = differences;
			canvas.setAttribute("aria-label", label);
			const width = canvas.clientWidth;
			const ratio = devicePixelRatio;
			canvas.width = Math.round(width * ratio);
			canvas.height = Math.round(HEIGHT * ratio);
			const context = canvas.getContext("2d");
			if (!context || !width || !differences.length) return;
			context.scale(ratio, ratio);
			step = Math.min(WIDEST, width / differences.length);
			left = 0;
			const largest = Math.max(...differences.map(({ gain }) => Math.abs(gain))) || 1;
			const up = Math.max(0, ...differences.map(({ gain }) => gain)) / largest;
			const down = Math.max(0, ...differences.map(({ gain }) => -gain)) / largest;
			const unit = (HEIGHT - 2) / (up + down || 1);
			const zero = 1 + up * unit;
			for (const [index, { item, gain }] of differences.entries()) {
				const size = Math.max(1, (Math.abs(gain) / largest) * unit);
				context.globalAlpha = bright.has(item) ? 1 : 0.4;
				context.fillStyle = resolve(gain >= 0 ? "var(--xw-series-0)" : "var(--xw-series-1)");
				context.fillRect(
					left + index * step,
					gain >= 0 ? zero - size : zero,
					Math.max(0.5, step - Math.min(2, step / 4)),
					size,
				);
			}
			context.globalAlpha = 1;
			context.fillStyle = resolve("var(--xw-muted)");
			context.fillRect(0, zero - 0.5, differences.length * step, 1);
		},
	};
}
