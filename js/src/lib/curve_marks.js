import uPlot from "uplot";
import { shape } from "./swatch.js";

/**
 * Bands, markers and flips of curves, drawn on the canvas of a plot.
 *
 * @typedef {import("./curves.js").Curve} Curve
 * @typedef {(color: string) => string} Resolve
 */

/** Between two markers of a curve, CSS px. */
const APART = 56;
/** Half the size of a marker, CSS px. */
const HALF = 4;
/** Half the size of the mark of a flip, CSS px. */
const FLIP = 5.5;

/** Opacity of a band, and of one of a mode that is not the active one. */
const [BAND, PALE] = [0.18, 0.07];

/** The bands of curves, those of the active mode more strongly. @param {uPlot} plot @param {Curve[]} curves @param {Resolve} resolve */
export function drawBands(plot, curves, resolve) {
	const { ctx } = plot;
	inside(plot, () => {
		const mode = curves.find(({ active, hidden }) => active && !hidden)?.mode ?? "";
		for (const { hidden, band, color, mode: own } of curves) {
			if (hidden || !band) continue;
			const [low, high] = band.map((values) => pointsOf(plot, values));
			if (low.length < 2) continue;
			ctx.fillStyle = resolve(color);
			ctx.globalAlpha = mode && own && mode !== own ? PALE : BAND;
			ctx.beginPath();
			for (const [left, top] of [...high, ...low.reverse()]) ctx.lineTo(left, top);
			ctx.fill();
		}
	});
}

/** The markers that distinguish curves of one color, and where a predicted class changes. @param {uPlot} plot @param {Curve[]} curves @param {Resolve} resolve */
export function drawMarks(plot, curves, resolve) {
	const { ctx } = plot;
	inside(plot, () => {
		ctx.lineWidth = 1.75 * uPlot.pxRatio;
		for (const curve of curves) {
			if (curve.hidden) continue;
			ctx.globalAlpha = plot.series[curve.row + 1]?.alpha ?? 1;
			ctx.strokeStyle = resolve(curve.color);
			ctx.fillStyle = ctx.strokeStyle;
			if (curve.marker) drawMarkers(plot, curve);
			ctx.fillStyle = resolve("var(--xw-bg)");
			drawFlip(plot, curve);
		}
	});
}

/** @param {uPlot} plot @param {Curve} curve */
function drawMarkers(plot, { values, marker, row }) {
	const ratio = uPlot.pxRatio;
	// Shifted for each curve, so that those of neighbors do not lie on each other.
	let next = plot.bbox.left + (APART / 2 + ((row * 17) % APART)) * ratio;
	for (const [left, top] of pointsOf(plot, values)) {
		if (left < next) continue;
		next = left + APART * ratio;
		plot.ctx.fill(new Path2D(shape(marker, left, top, HALF * ratio)));
	}
}

/** @param {uPlot} plot @param {Curve} curve */
function drawFlip(plot, { flip, values }) {
	const step = /** @type {number[]} */ (plot.data[0]).indexOf(flip);
	if (step < 0 || Number.isNaN(values[step])) return;
	const left = plot.valToPos(flip, "x", true);
	const path = new Path2D(
		shape("diamond", left, plot.valToPos(values[step], "y", true), FLIP * uPlot.pxRatio),
	);
	plot.ctx.fill(path);
	plot.ctx.stroke(path);
}

/** The known values, px of the canvas. @param {uPlot} plot @param {Float32Array} values @returns {[number, number][]} */
function pointsOf(plot, values) {
	/** @type {[number, number][]} */
	const points = [];
	for (const [step, value] of values.entries()) {
		if (Number.isNaN(value)) continue;
		points.push([plot.valToPos(plot.data[0][step], "x", true), plot.valToPos(value, "y", true)]);
	}
	return points;
}

/** Draws within the plotting area, with room for a mark at its edge. @param {uPlot} plot @param {() => void} draw */
function inside({ ctx, bbox }, draw) {
	const room = FLIP * uPlot.pxRatio;
	ctx.save();
	ctx.setLineDash([]);
	ctx.beginPath();
	ctx.rect(bbox.left - room, bbox.top - room, bbox.width + 2 * room, bbox.height + 2 * room);
	ctx.clip();
	draw();
	ctx.restore();
}
