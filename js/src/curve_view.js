import "./lib/theme.css";
import "./curve_view.css";
import { CurveCursor, tidy } from "./lib/curve_cursor.js";
import { listen } from "./lib/curve_gestures.js";
import { CurveGuides } from "./lib/curve_guides.js";
import { curveImage } from "./lib/curve_image.js";
import { CurveLegend } from "./lib/curve_legend.js";
import { CurvePlot } from "./lib/curve_plot.js";
import {
	decimalsOf,
	fractionAt,
	NO_CURVES,
	nearest,
	placeText,
	positionOf,
	readCurves,
	shareOf,
	stepAt,
	toCsv,
} from "./lib/curves.js";
import { download, element } from "./lib/dom.js";
import { view } from "./lib/figure.js";
import { readable, slug } from "./lib/format.js";
import { ascending, clamp } from "./lib/numbers.js";
import { observe, onFrame, update } from "./lib/state.js";
import { colorResolver, onThemeChange } from "./lib/theme.js";

/** Clicks farther than this from every curve activate none, CSS px. */
const REACH = 14;
/** The plot does not zoom to less than this part of x. */
const FINEST = 1e-3;

export default view("xw-curve-view", ({ model, root, title, message, set, refresh, signal }) => {
	const host = element("div", { class: "xw-plot" });
	/** @param {string} text @param {string} tip @param {() => void} act */
	const button = (text, tip, act) => {
		const node = element("button", { type: "button", title: tip }, [text]);
		node.addEventListener("click", act, { signal });
		return node;
	};
	const zoomButton = button(
		"Zoom",
		"Drag a box to zoom (also Shift and drag, or the wheel once the plot has the focus)",
		toggleZoom,
	);
	zoomButton.setAttribute("aria-pressed", "false");
	const resetButton = button("Reset", "Show everything (also a double click on the plot)", () =>
		zoomTo(null, null),
	);
	resetButton.disabled = true;
	const bar = element("div", { class: "xw-bar", role: "toolbar", "aria-label": "plot" }, [
		zoomButton,
		resetButton,
		button("CSV", "Download the values", downloadCsv),
		button("PNG", "Download the image", downloadPng),
	]);
	const legend = new CurveLegend(activate, hide);
	const colors = colorResolver(root);
	/** Made when there is room for it. @type {CurvePlot | null} */
	let plot = null;
	/** Ends what listens to the plot. */
	let plotLife = new AbortController();
	/** @type {CurveCursor | null} */
	let cursor = null;
	/** The drawn curves. @type {import("./lib/curves.js").Curves} */
	let data = NO_CURVES;
	let zooming = false;
	let width = 0;

	function drawPlot() {
		const height = model.get("height");
		if (plot && plot.log !== data.log) dropPlot();
		plot ??= makePlot(height);
		plot.draw(data, {
			width,
			height,
			xLabel: model.get("x_label"),
			yLabel: model.get("y_label"),
		});
		resetButton.disabled = plot.zoom.x === null && plot.zoom.y === null;
	}

	function dropPlot() {
		plotLife.abort();
		plot?.destroy();
		plot = null;
	}

	/** @param {number} height @returns {CurvePlot} */
	function makePlot(height) {
		plotLife = new AbortController();
		const { signal } = plotLife;
		const { resolve } = colors;
		const guides = new CurveGuides((x) => moveTo(fractionOf(x)), resolve);
		const made = new CurvePlot(host, width, height, resolve, guides, data.log);
		const handle = new CurveCursor(
			made.over,
			() => shareOf(data, model.get("fraction")),
			(share) => moveTo(tidied(fractionAt(data, share)), model.get("step")),
			signal,
		);
		cursor = handle;
		listen(
			made.over,
			{
				drag: (left) => {
					handle.focus();
					moveTo(fractionUnder(made, left));
				},
				click: (left, top) => activateNearest(made, left, top),
				zoom: (x, y) => {
					const [x0, x1] = x.map((left) => made.xAt(left)).sort(ascending);
					const rows = y?.map((top) => made.yAt(top)).sort(ascending);
					zoomTo([x0, x1], rows ? [rows[0], rows[1]] : null);
				},
				wheel: (left, factor) => zoomAbout(made, left, factor),
				reset: () => zoomTo(null, null),
				zooming: () => zooming,
			},
			signal,
		);
		return made;
	}

	/** Moves a line and changes texts, and draws nothing: it runs at every step of a drag. */
	function place() {
		const { x, curves } = data;
		const fraction = model.get("fraction");
		const step = nearest(x, positionOf(x, fraction));
		legend.read(curves, step);
		if (!plot || !cursor) return;
		const xLabel = model.get("x_label");
		cursor.place(plot, data, fraction, step, { xLabel, width: plot.plotWidth });
	}

	/** Puts the cursor at the step, if there is one. */
	function chooseStep() {
		const { x, steps } = data;
		const position = steps[model.get("step")];
		const fraction = position === undefined ? model.get("fraction") : clamp(shareBetween(x, position));
		if (fraction !== model.get("fraction")) set({ fraction });
	}

	/** Sets the step nearest to the fraction; of several at one position the one that was set stays. */
	function followFraction() {
		const { x, steps } = data;
		const step = stepAt(steps, positionOf(x, model.get("fraction")));
		if (steps[step] !== steps[model.get("step")]) set({ step });
		else chooseStep();
	}

	/** @param {number} fraction @param {number} [from]  the step to leave, if only for the next one */
	function moveTo(fraction, from) {
		const { x, steps } = data;
		set(steps.length ? { step: stepAt(steps, positionOf(x, fraction), from) } : { fraction });
	}

	/** @param {CurvePlot} plot @param {number} left @returns {number} */
	function fractionUnder(plot, left) {
		return fractionOf(plot.xAt(clamp(left, 0, plot.plotWidth)));
	}

	/** @param {number} position  on x @returns {number} */
	function fractionOf(position) {
		return tidied(shareBetween(data.x, position));
	}

	/** @param {number} fraction @returns {number} */
	function tidied(fraction) {
		return tidy(fraction, decimalsOf(data));
	}

	/** @param {number} row */
	function activate(row) {
		const { frame, mode } = data.curves[row];
		update(model, mode ? { frame, mode } : { frame });
	}

	/** @param {number} row @param {boolean} hidden */
	function hide(row, hidden) {
		const others = model.get("hidden").filter((/** @type {number} */ other) => other !== row);
		update(model, { hidden: hidden ? [...others, row].sort(ascending) : others });
	}

	/** @param {CurvePlot} plot @param {number} left @param {number} top */
	function activateNearest(plot, left, top) {
		const { x, curves } = data;
		const step = nearest(x, plot.xAt(left));
		let best = REACH;
		let found = -1;
		for (const curve of curves) {
			const distance = Math.abs(plot.topOf(curve.values[step]) - top);
			if (curve.hidden || !(distance < best)) continue;
			best = distance;
			found = curve.row;
		}
		if (found >= 0) activate(found);
	}

	function toggleZoom() {
		zooming = !zooming;
		zoomButton.setAttribute("aria-pressed", String(zooming));
		root.classList.toggle("xw-zooming", zooming);
	}

	/** @param {[number, number] | null} x @param {[number, number] | null} y null: all */
	function zoomTo(x, y) {
		if (!plot) return;
		plot.zoom = { x: x ?? plot.zoom.x, y: y ?? plot.zoom.y };
		if (!x && !y) plot.zoom = { x: null, y: null };
		refresh();
	}

	/**
	 * @param {CurvePlot} plot
	 * @param {number} left
	 * @param {number} factor
	 * @returns {boolean} whether there was anything to zoom
	 */
	function zoomAbout(plot, left, factor) {
		const { x, log } = data;
		if (x.length < 2) return false;
		/** @type {((position: number) => number)[]} as it is drawn, and back */
		const [drawn, back] = log ? [Math.log, Math.exp] : [same, same];
		const [first, last] = [drawn(x[0]), drawn(x[x.length - 1])];
		const [low, high] = plot.zoom.x?.map(drawn) ?? [first, last];
		const span = (high - low) * factor;
		if (factor > 1 && !plot.zoom.x) return false;
		if (span < (last - first) * FINEST) return true;
		const about = drawn(plot.xAt(left));
		const from = Math.max(first, about - (about - low) * factor);
		const to = Math.min(last, from + span);
		plot.zoom.x = to - from >= last - first ? null : [back(Math.max(first, to - span)), back(to)];
		refresh();
		return true;
	}

	function fileName() {
		return slug(model.get("title"), "curves");
	}

	function downloadCsv() {
		const text = toCsv(data, model.get("x_label"));
		download(new Blob([text], { type: "text/csv;charset=utf-8" }), `${fileName()}.csv`);
	}

	function downloadPng() {
		if (!plot) return;
		const { x, curves } = data;
		const position = positionOf(x, model.get("fraction"));
		const canvas = curveImage(
			plot.canvas,
			curves.filter(({ hidden }) => !hidden),
			{
				title: model.get("title"),
				where: `${model.get("x_label") || "x"} = ${placeText(data, position)}`,
				step: nearest(x, position),
				width,
				resolve: colors.resolve,
			},
		);
		canvas.toBlob((blob) => {
			if (blob) download(blob, `${fileName()}.png`);
		});
	}

	const moveCursor = onFrame(place, signal);
	const observer = new ResizeObserver(() => {
		// Whole px: a fraction would be drawn blurred.
		const now = Math.floor(host.clientWidth);
		if (now === width) return;
		width = now;
		refresh();
	});
	observer.observe(host);
	signal.addEventListener("abort", () => {
		observer.disconnect();
		dropPlot();
	});
	observe(model, ["step"], chooseStep, signal);
	observe(model, ["fraction"], followFraction, signal);
	observe(model, ["fraction"], moveCursor, signal);
	onThemeChange(() => {
		colors.forget();
		refresh();
	}, signal);
	return {
		head: element("div", { class: "xw-bar xw-top" }, [title, bar]),
		content: [element("div", { class: "xw-curve-stage" }, [host, message]), legend.element],
		label: "curves",
		saves: true,
		traits: [
			...["x", "y", "series", "lines", "marks", "steps", "hidden", "frame", "mode"],
			...["height", "x_label", "y_label", "x_scale"],
		],
		refresh() {
			bar.hidden = !model.get("controls");
			data = NO_CURVES;
			try {
				data = readCurves(model);
			} finally {
				const { lines, curves } = data;
				root.setAttribute(
					"aria-description",
					lines.map(({ label, y }) => `${label}: ${readable(y)}`).join(", "),
				);
				legend.draw(curves);
				chooseStep();
				if (width > 0) drawPlot();
				place();
			}
			return data.curves.some(({ computed }) => computed > 0) ? "" : "No curve yet";
		},
	};
});

/** How far a position lies between the ends of x. @param {Float32Array} x @param {number} position */
function shareBetween(x, position) {
	return x.length < 2 ? position : (position - x[0]) / (x[x.length - 1] - x[0]);
}

/** @param {number} value */
function same(value) {
	return value;
}
