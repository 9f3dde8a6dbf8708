import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { MARK_ROOM } from "./curve_guides.js";
import { drawBands, drawMarks } from "./curve_marks.js";
import { scaleOf } from "./curve_scale.js";
import { logText, logTicks, sqrtTicks } from "./curve_ticks.js";
import { countsOnly, positionOf } from "./curves.js";
import { dashOf } from "./palette.js";

/** @typedef {import("./curves.js").Curves} Curves */
/** @typedef {[min: number, max: number]} Range */

/** Rounding of float32 that still counts as inside [0, 1]. */
const SLACK = 1e-4;
/** Room for the label of an axis, CSS px. */
const LABEL = 18;
/** Width of a digit of a tick, CSS px. */
const DIGIT = 6.5;
/** Between two ticks of x, CSS px. */
const TICKS = 46;
/** Up to this many values a curve shows its points, so that the first ones are seen at all. */
const FEW = 3;
/** Diameter of a point of a curve, and of a value that has no neighbors, CSS px. */
const POINT = 5;
const LONE = 9;
/** A curve of so few samples shows its points throughout: what lies between them is not computed. */
const SPARSE = 30;

/**
 * A uPlot that is made once and then only changed: data, styles, labels, size and zoom are set in one
 * batch, so that a curve may grow under the pointer.
 */
export class CurvePlot {
	/** @type {{x: Range | null, y: Range | null}} what the person has zoomed to */
	zoom = { x: null, y: null };
	/** @type {uPlot} */
	#plot;
	/** @type {(color: string) => string} */
	#resolve;
	/** @type {[x: string, y: string]} */
	#labels = ["", ""];
	/** Whether the names of marks need room above the plotting area. */
	#marked = false;
	#guides;
	/** @type {import("./curves.js").Curve[]} */
	#curves = [];
	#percent = false;
	#whole = false;

	/**
	 * @param {HTMLElement} host
	 * @param {number} width  CSS px
	 * @param {number} height  CSS px
	 * @param {(color: string) => string} resolve  turns a CSS color into one for the canvas
	 * @param {import("./curve_guides.js").CurveGuides} guides
	 * @param {string} scale  how x is drawn; another needs another plot
	 */
	constructor(host, width, height, resolve, guides, scale) {
		this.scale = scale;
		this.#resolve = resolve;
		this.#guides = guides;
		const axis = {
			stroke: () => resolve("var(--xw-muted)"),
			grid: { stroke: () => resolve("var(--xw-line)"), width: 1 },
			ticks: { stroke: () => resolve("var(--xw-line)"), width: 1, size: 4 },
			font: "11px system-ui, sans-serif",
			labelFont: "12px system-ui, sans-serif",
			labelSize: LABEL,
			labelGap: 0,
			gap: 4,
			/** @type {uPlot.Axis.DynamicValues} */
			values: (_plot, splits, _axis, _space, step) => splits.map((value) => tick(value, step)),
		};
		/** The last number of x stands half beyond the plotting area. @type {uPlot.PaddingSide} */
		const right = (plot) => {
			const last = /** @type {any} */ (plot.axes[0])._values?.at(-1) ?? "";
			return Math.max(20, (String(last).length * DIGIT) / 2 + 2);
		};
		this.#plot = new uPlot(
			{
				width,
				height,
				padding: [() => (this.#marked ? MARK_ROOM : 10), right, 2, 2],
				hooks: {
					drawAxes: [(plot) => drawBands(plot, this.#curves, resolve)],
					draw: [(plot) => drawMarks(plot, this.#curves, resolve), (plot) => guides.draw(plot)],
				},
				legend: { show: false },
				// Moving uPlot's own cursor costs more than one line, and it cannot be dragged.
				cursor: { show: false },
				scales: { x: xScale(scale), y: { auto: false, range: (_plot, min, max) => [min ?? 0, max ?? 1] } },
				axes: [
					{
						...axis,
						...xAxis(
							scale,
							() => this.#percent,
							() => this.#whole,
						),
						size: () => this.#room(0, 24),
						label: () => this.#labels[0],
						space: TICKS,
					},
					{ ...axis, size: () => this.#room(1, 40), label: () => this.#labels[1], space: 28 },
				],
				series: [{}],
			},
			[[1, 2]],
			host,
		);
		this.over.append(guides.element);
	}

	/** The element over the plotting area. */
	get over() {
		return this.#plot.over;
	}

	/** CSS px of the plotting area. */
	get plotWidth() {
		return this.#plot.bbox.width / uPlot.pxRatio;
	}

	/** CSS px of the plotting area, known without a layout of the page. */
	get plotHeight() {
		return this.#plot.bbox.height / uPlot.pxRatio;
	}

	/**
	 * The room in the whole plot right of a position.
	 *
	 * @param {number} left  CSS px from the left of the plotting area
	 * @returns {number} CSS px
	 */
	roomAfter(left) {
		return this.#plot.width - this.#plot.bbox.left / uPlot.pxRatio - left;
	}

	/** The shown part of x and y. @returns {{x: Range, y: Range}} */
	get ranges() {
		const [x, y] = ["x", "y"].map((name) => {
			const { min, max } = this.#plot.scales[name];
			return /** @type {Range} */ ([min ?? 0, max ?? 1]);
		});
		return { x, y };
	}

	get canvas() {
		return this.#plot.ctx.canvas;
	}

	destroy() {
		this.#plot.destroy();
	}

	/**
	 * @param {Curves} data
	 * @param {{width: number, height: number, xLabel: string, yLabel: string, fit: boolean}} look  `fit`: whether y
	 *     ends at the highest curve
	 */
	draw(data, look) {
		const plot = this.#plot;
		const [x, y] = this.#ranges(data, look.fit);
		this.#curves = data.curves;
		this.#percent = data.percent;
		this.#whole = countsOnly(data);
		plot.batch(() => {
			this.#guides.set(data);
			this.#arrange(look, data.marks.length > 0);
			this.#restyle(data, null);
			const columns = data.curves.map(({ values }) => Array.from(values, orNull));
			plot.setData([Array.from(data.x), ...columns], false);
			// Setting x redraws all, changed or not; `redraw` would bring the old x back.
			plot.setScale("y", { min: y[0], max: y[1] });
			plot.setScale("x", { min: x[0], max: x[1] });
		});
	}

	/** @param {{width: number, height: number, xLabel: string, yLabel: string}} look @param {boolean} marked */
	#arrange({ width, height, xLabel, yLabel }, marked) {
		const plot = this.#plot;
		if (width !== plot.width || height !== plot.height) plot.setSize({ width, height });
		if (xLabel === this.#labels[0] && yLabel === this.#labels[1] && marked === this.#marked) return;
		this.#labels = [xLabel, yLabel];
		this.#marked = marked;
		plot.redraw(false, true);
	}

	/**
	 * Room for the numbers of an axis. uPlot adds that of the label whether there is one or not, and asks only
	 * here again.
	 *
	 * @param {number} axis
	 * @param {number} size  CSS px
	 */
	#room(axis, size) {
		return this.#labels[axis] ? size : size - LABEL;
	}

	/** Draws the curves of a frame thicker than the others. @param {Curves} data @param {number | null} frame */
	highlight(data, frame) {
		this.#restyle(data, frame);
		this.#plot.redraw(false, false);
	}

	/** @param {Curves} data @param {number | null} highlighted  a frame */
	#restyle({ x, curves }, highlighted) {
		const plot = this.#plot;
		while (plot.series.length - 1 > curves.length) plot.delSeries(plot.series.length - 1);
		while (plot.series.length - 1 < curves.length) {
			plot.addSeries({ scale: "y", spanGaps: true, points: { size: POINT } });
		}
		const someActive = curves.some(({ active, hidden }) => active && !hidden);
		/** @param {import("./curves.js").Curve} curve */
		const faded = ({ active, frame }) =>
			highlighted === null ? someActive && !active : frame !== highlighted;
		curves.forEach((curve, row) => {
			const series = plot.series[row + 1];
			const color = this.#resolve(curve.color);
			series.show = !curve.hidden;
			series.stroke = () => this.#resolve(curve.color);
			series.width = curve.active || curve.frame === highlighted ? 2.75 : 1.5;
			series.dash = dashOf(curve);
			series.alpha = !faded(curve) ? 1 : highlighted === null ? 0.75 : 0.3;
			const points = /** @type {uPlot.Series.Points} */ (series.points);
			// A single value must be visible among the curves.
			points.size = curve.computed === 1 ? LONE : POINT;
			points.show = () => curve.computed <= FEW || x.length <= SPARSE;
			points.stroke = () => color;
			points.fill = () => color;
		});
	}

	/**
	 * The ranges of the axes: the zoom, else all x, and [0, 1] for y unless a visible curve or a line leaves it.
	 *
	 * @param {Curves} data
	 * @param {boolean} fit  whether y ends at a round number above the highest curve, not at 1
	 * @returns {[Range, Range]}
	 */
	#ranges({ x, curves, lines }, fit) {
		const all = extent(x) ?? [0, 1];
		// A zoom into another x would show an empty plot.
		if (this.zoom.x && (this.zoom.x[1] <= all[0] || this.zoom.x[0] >= all[1]))
			this.zoom = { x: null, y: null };
		let low = 0;
		let high = 1;
		const visible = curves.filter(({ hidden }) => !hidden).map(({ values }) => extent(values));
		const found = [...visible, extent(lines.map(({ y }) => y))].filter((range) => range !== null);
		if (found.length > 0) {
			low = Math.min(...found.map((range) => range[0]));
			high = Math.max(...found.map((range) => range[1]));
		}
		const inside = low >= -SLACK && high <= 1 + SLACK;
		const top = fit && found.length > 0 ? roundUp(high) : 1;
		const y = /** @type {Range} */ (inside ? [0, top] : uPlot.rangeNum(low, high, 0.1, true));
		const around = /** @type {Range} */ (
			this.scale === "log" ? [all[0] / 2, all[0] * 2] : [all[0] - 0.5, all[0] + 0.5]
		);
		return [this.zoom.x ?? (all[0] < all[1] ? all : around), this.zoom.y ?? y];
	}

	/**
	 * CSS px from the left of the plotting area, of a fraction of x.
	 *
	 * @param {ArrayLike<number>} x
	 * @param {number} fraction
	 * @returns {number}
	 */
	leftOf(x, fraction) {
		return this.#plot.valToPos(positionOf(x, fraction), "x");
	}

	/**
	 * CSS px from the top of the plotting area.
	 *
	 * @param {number} value
	 * @returns {number}
	 */
	topOf(value) {
		return this.#plot.valToPos(value, "y");
	}

	/**
	 * @param {number} left  CSS px
	 * @returns {number} on x
	 */
	xAt(left) {
		return this.#plot.posToVal(left, "x");
	}

	/**
	 * @param {number} top  CSS px
	 * @returns {number} on y
	 */
	yAt(top) {
		return this.#plot.posToVal(top, "y");
	}
}

/** The end of an axis of shares that changes only now and then as a curve grows. @param {number} value */
function roundUp(value) {
	if (!(value > 1e-6)) return value > 0 ? 1e-6 : 1;
	const unit = 10 ** Math.floor(Math.log10(value));
	// A little room, so that a curve does not lie on the frame.
	const round = [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((number) => number * unit >= value * 1.02) ?? 10;
	return Math.min(round * unit, 1);
}

/** @param {string} scale @returns {uPlot.Scale} */
function xScale(scale) {
	if (scale === "linear") return { time: false };
	/** The range as it is set: by itself uPlot shows whole decades. @type {uPlot.Scale.Range} */
	const range = (_plot, min, max) => [min, max];
	if (scale === "log") return { time: false, distr: 3, range };
	const { drawn, back } = scaleOf(scale);
	return { time: false, distr: 100, fwd: drawn, bwd: back, range };
}

/**
 * The options of the x axis.
 *
 * @param {string} scale
 * @param {() => boolean} percent  whether x is a share
 * @param {() => boolean} whole  whether only whole numbers have ticks
 * @returns {uPlot.Axis}
 */
function xAxis(scale, percent, whole) {
	const ticksOf = scale === "log" ? logTicks : sqrtTicks;
	/** @type {(value: number, step: number) => string} */
	const text = (value, step) => {
		if (percent()) return `${tick(100 * value, 100 * (scale === "linear" ? step : decade(value)))} %`;
		if (scale === "linear") return tick(value, whole() ? 1 : step);
		return scale === "log" ? logText(value) : tick(value, decade(value));
	};
	/** @type {uPlot.Axis} */
	const axis = {
		// The filter below leaves null for a tick that is not drawn.
		values: (_plot, splits, _axis, _space, step) =>
			splits.map((value) => (Number.isFinite(value) ? text(value, step) : "")),
	};
	if (scale === "linear") {
		// uPlot draws nothing at a tick that is null.
		return {
			...axis,
			filter: (_plot, splits) => splits.map((value) => (whole() && !Number.isInteger(value) ? null : value)),
		};
	}
	return {
		...axis,
		// The width that equal steps would have.
		splits: (_plot, _axis, low, high, step, space) =>
			ticksOf(low, high, (space * (high - low)) / step, TICKS),
		filter: (_plot, splits) => splits,
	};
}

/** The largest step of which a number has one digit or two. @param {number} value */
function decade(value) {
	if (value === 0) return 1;
	const rounded = Number(value.toPrecision(4));
	let step = 10 ** Math.ceil(Math.log10(Math.abs(rounded)));
	while (Math.abs(rounded / step - Math.round(rounded / step)) > 1e-6) step /= 10;
	return step;
}

/** @param {number} value @returns {number | null} */
function orNull(value) {
	return Number.isNaN(value) ? null : value;
}

/** @param {ArrayLike<number>} values @returns {Range | null} null without a finite value */
function extent(values) {
	let low = Number.POSITIVE_INFINITY;
	let high = Number.NEGATIVE_INFINITY;
	for (let i = 0; i < values.length; i++) {
		if (!Number.isFinite(values[i])) continue;
		if (values[i] < low) low = values[i];
		if (values[i] > high) high = values[i];
	}
	return low <= high ? [low, high] : null;
}

/** @param {number} value @param {number} step  between two ticks @returns {string} */
function tick(value, step) {
	let decimals = 0;
	// Steps of 0.25 need two decimals, those of 0.2 one.
	while (decimals < 12 && Math.abs(step * 10 ** decimals - Math.round(step * 10 ** decimals)) > 1e-6)
		decimals++;
	return value.toFixed(decimals).replace("-", "−");
}
