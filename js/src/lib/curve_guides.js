import uPlot from "uplot";
import { freeBox } from "./curve_labels.js";
import { element } from "./dom.js";

/**
 * @typedef {{y: number, label: string, color?: string}} Line  a horizontal line to compare with
 * @typedef {{x: number, label: string}} Mark  a marked position on x
 * @typedef {{lines: Line[], marks: Mark[]}} Guides
 */

/** Height of a label, CSS px. */
const LABEL = 14;
/** Room above the plotting area for the names of marks, CSS px. */
export const MARK_ROOM = 24;
/** Between two labels, CSS px. */
const GAP = 6;

/** Lines and marks on a plot: drawn on its canvas, so that a image holds them too; a mark is a button as well. */
export class CurveGuides {
	/** @type {Guides} */
	#guides = { lines: [], marks: [] };
	#buttons = element("div", { class: "xw-marks" });
	#jump;
	#resolve;

	/**
	 * @param {(x: number) => void} jump  called with the x of a mark that is clicked
	 * @param {(color: string) => string} resolve
	 */
	constructor(jump, resolve) {
		this.#jump = jump;
		this.#resolve = resolve;
		// A press on a mark must not reach the plot.
		for (const type of ["pointerdown", "mousedown", "dblclick"]) {
			this.#buttons.addEventListener(type, (event) => event.stopPropagation());
		}
	}

	get element() {
		return this.#buttons;
	}

	/** @param {Guides} guides */
	set(guides) {
		this.#guides = guides;
		const { marks } = guides;
		const buttons = this.#buttons.children;
		while (buttons.length > marks.length) buttons[buttons.length - 1].remove();
		while (buttons.length < marks.length) {
			const index = buttons.length;
			const button = element("button", { type: "button", class: "xw-mark" });
			button.addEventListener("click", () => this.#jump(this.#guides.marks[index].x));
			this.#buttons.append(button);
		}
	}

	/** @param {uPlot} plot */
	draw(plot) {
		const { ctx } = plot;
		ctx.save();
		ctx.font = `${11 * uPlot.pxRatio}px system-ui, sans-serif`;
		ctx.lineWidth = uPlot.pxRatio;
		ctx.lineJoin = "round";
		ctx.textBaseline = "middle";
		this.#drawLines(plot);
		this.#drawMarks(plot);
		ctx.restore();
	}

	/** Each with its name, at the right end and above it if that hides no curve. @param {uPlot} plot */
	#drawLines(plot) {
		const { ctx, bbox } = plot;
		const ratio = uPlot.pxRatio;
		const right = bbox.left + bbox.width;
		const placed = this.#guides.lines
			.map(({ y, label, color }) => ({
				label,
				ink: this.#resolve(color || "var(--xw-muted)"),
				top: Math.round(plot.valToPos(y, "y", true)) + ratio / 2,
			}))
			.filter(({ top }) => top >= bbox.top && top <= bbox.top + bbox.height)
			.sort((a, b) => a.top - b.top);
		for (const { ink, top } of placed) {
			ctx.strokeStyle = ink;
			ctx.setLineDash([2 * ratio, 3 * ratio]);
			ctx.beginPath();
			ctx.moveTo(bbox.left, top);
			ctx.lineTo(right, top);
			ctx.stroke();
		}
		const named = placed.filter(({ label }) => label);
		const curves = named.length ? pathsOf(plot) : [];
		/** @type {import("./curve_labels.js").Box[]} */
		const taken = [];
		ctx.textAlign = "right";
		for (const { label, ink, top } of named) {
			const others = placed.filter((line) => line.top !== top);
			const lines = others.map((line) => pathAlong(line.top, bbox.left, right));
			const places = placesAlong(top, ctx.measureText(label).width, bbox);
			const place = freeBox(places, [...curves, ...lines], taken);
			if (!place) continue;
			taken.push(place);
			this.#write(plot, label, place.right, (place.top + place.bottom) / 2, ink);
		}
	}

	/** A line over the whole height, its name above the plotting area, and the button over the name. @param {uPlot} plot */
	#drawMarks(plot) {
		const { ctx, bbox } = plot;
		const ratio = uPlot.pxRatio;
		const right = bbox.left + bbox.width;
		const ink = this.#resolve("var(--xw-fg)");
		let free = 0;
		for (const [index, { x, label }] of this.#guides.marks.entries()) {
			const button = /** @type {HTMLElement} */ (this.#buttons.children[index]);
			const left = Math.round(plot.valToPos(x, "x", true)) + ratio / 2;
			button.hidden = left < bbox.left - ratio || left > right + ratio;
			if (button.hidden) continue;
			ctx.strokeStyle = ink;
			ctx.setLineDash([]);
			ctx.globalAlpha = 0.5;
			ctx.beginPath();
			ctx.moveTo(left, bbox.top - 5 * ratio);
			ctx.lineTo(left, bbox.top + bbox.height);
			ctx.stroke();
			ctx.globalAlpha = 1;
			const width = ctx.measureText(label).width + 2 * GAP * ratio;
			const wanted = Math.min(Math.max(left - width / 2, free), bbox.left + bbox.width + GAP * ratio - width);
			const start = Math.max(wanted, 0);
			free = start + width;
			ctx.textAlign = "left";
			const middle = bbox.top - (5 + LABEL / 2) * ratio;
			this.#write(plot, label, start + GAP * ratio, middle, ink);
			this.#cover(button, label, (start - bbox.left) / ratio, width / ratio);
		}
	}

	/** Text that is legible over curves. @param {uPlot} plot @param {string} text @param {number} x @param {number} y @param {string} ink */
	#write({ ctx }, text, x, y, ink) {
		ctx.setLineDash([]);
		ctx.save();
		ctx.strokeStyle = this.#resolve("var(--xw-bg)");
		ctx.lineWidth = 4 * uPlot.pxRatio;
		ctx.strokeText(text, x, y);
		ctx.restore();
		ctx.fillStyle = ink;
		ctx.fillText(text, x, y);
	}

	/** @param {HTMLElement} button @param {string} label @param {number} left  CSS px @param {number} width */
	#cover(button, label, left, width) {
		button.setAttribute("aria-label", label);
		button.title = `${label}: go there`;
		button.style.width = `${width}px`;
		button.style.transform = `translateX(${left}px)`;
	}
}

/** @param {number} top @param {number} left @param {number} right @returns {import("./curve_labels.js").Path} */
function pathAlong(top, left, right) {
	return [
		[left, top],
		[right, top],
	];
}

/** The curves that are shown, as they are drawn. @param {uPlot} plot @returns {import("./curve_labels.js").Path[]} */
function pathsOf(plot) {
	const [x, ...columns] = plot.data;
	return columns
		.filter((_, index) => plot.series[index + 1].show)
		.map((column) => {
			/** @type {import("./curve_labels.js").Path} */
			const path = [];
			for (const [index, value] of column.entries()) {
				if (value === null || value === undefined) continue;
				path.push([plot.valToPos(x[index], "x", true), plot.valToPos(value, "y", true)]);
			}
			return path;
		});
}

/**
 * Positions for the name of a line, from the right end to the left, above it and below.
 *
 * @param {number} line  px from the top
 * @param {number} width  of the name
 * @param {uPlot.BBox} bbox
 */
function placesAlong(line, width, { left, top, width: across, height }) {
	const ratio = uPlot.pxRatio;
	const end = left + across - 4 * ratio;
	const places = [];
	for (let right = end; right - width >= left || right === end; right -= across / 20) {
		for (const begin of [line - LABEL * ratio, line + ratio]) {
			if (begin < top || begin + (LABEL - 1) * ratio > top + height) continue;
			places.push({ left: right - width, right, top: begin, bottom: begin + (LABEL - 1) * ratio });
		}
	}
	return places;
}
