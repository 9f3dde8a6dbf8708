import { placeText, positionOf } from "./curves.js";
import { element } from "./dom.js";
import { readable } from "./format.js";
import { actOnKeys } from "./keys.js";
import { clamp } from "./numbers.js";

const STEPS = /** @type {Record<string, number>} */ ({
	ArrowLeft: -0.01,
	ArrowDown: -0.01,
	ArrowRight: 0.01,
	ArrowUp: 0.01,
	PageDown: -0.1,
	PageUp: 0.1,
});

/** How far the handle may stand left of the plotting area, CSS px. */
const OVER_AXIS = 11;

/** The vertical line that is dragged, its handle (a slider for the keyboard), and a dot on the active curve. */
export class CurveCursor {
	#handle = element("div", {
		class: "xw-cursor-handle",
		role: "slider",
		tabindex: 0,
		"aria-label": "cursor",
		title: "Drag, or use the arrow keys",
		"aria-valuemin": 0,
		"aria-valuemax": 1,
	});
	#line = element("div", { class: "xw-cursor" }, [this.#handle]);
	#dot = element("div", { class: "xw-cursor-dot", hidden: true });

	/**
	 * @param {HTMLElement} over  the element over the plotting area
	 * @param {() => number} current  how far along the axis it is, from 0 to 1
	 * @param {(share: number) => void} move
	 * @param {AbortSignal} signal
	 */
	constructor(over, current, move, signal) {
		over.append(this.#line, this.#dot);
		const set = (/** @type {Record<string, unknown>} */ { share }) => move(Number(share));
		actOnKeys(this.#handle, (event) => step(event, current()), set, signal);
	}

	focus() {
		this.#handle.focus({ preventScroll: true });
	}

	/**
	 * Touches only transforms and text: this runs at every step of a drag.
	 *
	 * @param {import("./curve_plot.js").CurvePlot} plot
	 * @param {import("./curves.js").Curves} data
	 * @param {number} fraction
	 * @param {number} step  index of the nearest value on x, -1 for none
	 * @param {{xLabel: string, width: number}} look  `width` of the plotting area, CSS px
	 */
	place(plot, data, fraction, step, { xLabel, width }) {
		const { x, curves } = data;
		const left = plot.leftOf(x, fraction);
		const shown = clamp(left, 0, width);
		this.#line.style.transform = `translateX(${shown}px)`;
		this.#line.classList.toggle("xw-outside", Math.abs(shown - left) > 1);
		// In the middle under the line, unless the text would leave the plot or hide a number of y: of its size only CSS
		// knows.
		const before = shown + OVER_AXIS;
		this.#handle.style.transform = `translateX(clamp(${-before}px, -50%, ${plot.roomAfter(shown)}px - 100%))`;
		const text = placeText(data, positionOf(x, fraction));
		this.#handle.textContent = text;
		const active = curves.find((curve) => curve.active && !curve.hidden);
		const value = active && step >= 0 ? active.values[step] : Number.NaN;
		this.#handle.setAttribute("aria-valuenow", String(fraction));
		this.#handle.setAttribute(
			"aria-valuetext",
			`${xLabel || "x"} ${text}${active ? `, ${active.label} ${readable(value)}` : ""}`,
		);
		this.#placeDot(plot, x[step], value, active?.color ?? "", width);
	}

	/**
	 * @param {import("./curve_plot.js").CurvePlot} plot
	 * @param {number} x
	 * @param {number} y
	 * @param {string} color
	 * @param {number} width
	 */
	#placeDot(plot, x, y, color, width) {
		const left = plot.leftOf([x], 0);
		const top = plot.topOf(y);
		const inside = left >= -1 && left <= width + 1 && top >= -1 && top <= plot.plotHeight + 1;
		this.#dot.hidden = !inside;
		if (!inside) return;
		this.#dot.style.transform = `translate(${left}px, ${top}px)`;
		this.#dot.style.background = color;
	}
}

/**
 * Where a key moves the cursor.
 *
 * @param {KeyboardEvent} event
 * @param {number} share  of the axis, now
 * @returns {{share: number} | null} null for a key that does not move it
 */
function step(event, share) {
	if (event.key === "Home") return { share: 0 };
	if (event.key === "End") return { share: 1 };
	if (!(event.key in STEPS)) return null;
	const by = STEPS[event.key];
	return { share: tidy(share + (event.shiftKey ? Math.sign(by) * 0.1 : by)) };
}

/**
 * A fraction inside [0, 1], by default with four decimals: finer than a hand, and readable.
 *
 * @param {number} fraction
 * @param {number} [decimals]
 * @returns {number}
 */
export function tidy(fraction, decimals = 4) {
	const scale = 10 ** decimals;
	return Math.round(clamp(fraction) * scale) / scale;
}
