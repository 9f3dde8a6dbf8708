import "./lib/theme.css";
import "./curve_view.css";
import { CurveCursor, tidy } from "./lib/curve_cursor.js";
import { listen } from "./lib/curve_gestures.js";
import { CurveGuides } from "./lib/curve_guides.js";
import { CurveLegend } from "./lib/curve_legend.js";
import { createMotion } from "./lib/curve_motion.js";
import { CurvePlot } from "./lib/curve_plot.js";
import { scaleOf } from "./lib/curve_scale.js";
import { curveSvg } from "./lib/curve_svg.js";
import { CurveTable, modesOf, nextOrder } from "./lib/curve_table.js";
import { createToolbar } from "./lib/curve_toolbar.js";
import {
	decimalsOf,
	fractionAt,
	NO_CURVES,
	nearest,
	placeText,
	positionOf,
	readCurves,
	scopeOf,
	scopesOf,
	shareBetween,
	shareOf,
	toCsv,
} from "./lib/curves.js";
import { download, element, setText } from "./lib/dom.js";
import { view } from "./lib/figure.js";
import { readable, slug } from "./lib/format.js";
import { ascending, clamp } from "./lib/numbers.js";
import { observe, onFrame, update } from "./lib/state.js";
import { colorResolver, onThemeChange } from "./lib/theme.js";

/** Clicks farther than this from every curve activate none, CSS px. */
const REACH = 14;
/** Presses nearer to the cursor than this take it, CSS px. */
const GRIP = 9;
/** The plot does not zoom to less than this part of x. */
const FINEST = 1e-3;
/** The smallest and largest height of a plot that follows its width, CSS px. */
const [LOWEST, HIGHEST] = [220, 400];

export default view("xw-curve-view", ({ model, root, title, message, set, refresh, signal }) => {
	const host = element("div", { class: "xw-plot" });
	const hint = element("div", { class: "xw-zoom-hint", hidden: true }, ["Drag a box to zoom · Esc leaves"]);
	const toolbar = createToolbar(
		{
			zoom: () => setZooming(!zooming),
			reset: () => zoomTo(null, null),
			stretch: (x_scale) => update(model, { x_scale }),
			fit: (y_range) => update(model, { y_range }),
			mode: (mode) => update(model, { mode }),
			scope: (scope) => update(model, { scope }),
		},
		signal,
	);
	const list = new CurveLegend(activate, hide);
	const table = new CurveTable({
		activate: (frame, mode) => update(model, mode ? { frame, mode } : { frame }),
		hide: (rows, hidden) => {
			const others = model.get("hidden").filter((/** @type {number} */ row) => !rows.includes(row));
			update(model, { hidden: hidden ? [...others, ...rows].sort(ascending) : others });
		},
		highlight,
		sort: (mode) => update(model, { sort: nextOrder(model.get("sort") ?? "", mode) }),
	});
	const notes = element("div", { class: "xw-curve-notes xw-muted", hidden: true });
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
	/** The frame whose curves are highlighted. @type {number | null} */
	let highlighted = null;
	const motion = createMotion(model, set, () => data);

	/** The table where curves have names, else a list. */
	function legend() {
		return data.curves.some(({ name }) => name) ? table : list;
	}

	function heightOf() {
		return model.get("height") || Math.round(clamp(0.56 * width, LOWEST, HIGHEST));
	}

	function look() {
		return {
			width,
			height: heightOf(),
			xLabel: `${model.get("x_label")}${data.scale === "sqrt" ? " (√ scale)" : ""}`,
			yLabel: model.get("y_label"),
			fit: model.get("y_range") === "fit",
		};
	}

	function drawPlot() {
		if (plot && plot.scale !== data.scale) dropPlot();
		plot ??= makePlot(heightOf());
		plot.draw(data, look());
		toolbar.drawZoom(zooming, plot.zoom.x !== null || plot.zoom.y !== null);
	}

	function drawLegend() {
		const { curves } = data;
		const used = legend();
		const words = { area: model.get("area_label") ?? "", between: model.get("between_label") ?? "" };
		if (used === table) table.draw(curves, model.get("sort") ?? "", model.get("mode"), words);
		else list.draw(curves);
		const listed = model.get("legend") ?? true;
		for (const other of [table, list]) if (other !== used || !listed) other.element.hidden = true;
		const chosen = used === table && (model.get("mode_buttons") ?? true);
		toolbar.drawModes(chosen ? modesOf(curves) : [], model.get("mode"));
		const scope = scopeOf(model);
		toolbar.drawScopes(scopesOf(model), scope, model.get("scope_notes") ?? {});
		const flips = curves.filter(({ flip, hidden }) => !Number.isNaN(flip) && !hidden);
		const note = model.get("scope_notes")?.[scope] ?? "";
		notes.hidden = !note && (used !== table || !curves.some(({ flips, absent }) => flips && !absent));
		const own = flips.find(({ active }) => active);
		setText(notes, note || `◇ predicted class changes${own?.flipLabel ? `: ${own.flipLabel}` : ""}`);
		notes.title = note || flips.map(({ label, flipLabel }) => `${label}: ${flipLabel}`).join("\n");
	}

	/** Draws the curves of a frame thicker. @param {number | null} frame */
	function highlight(frame) {
		if (frame === highlighted) return;
		highlighted = frame;
		table.highlight(frame);
		plot?.highlight(data, frame);
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
		const guides = new CurveGuides((x) => motion.moveTo(fractionOf(x)), resolve);
		const made = new CurvePlot(host, width, height, resolve, guides, data.scale);
		const handle = new CurveCursor(
			made.over,
			() => shareOf(data, model.get("fraction")),
			(share) => motion.moveTo(tidied(fractionAt(data, share)), true),
			signal,
		);
		cursor = handle;
		listen(
			made.over,
			{
				drag: (left) => {
					handle.focus();
					motion.moveTo(fractionUnder(made, left));
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
				grips: (left) => Math.abs(left - made.leftOf(data.x, model.get("fraction"))) < GRIP,
				hover: (left, top) => {
					const found = nearestCurve(made, left, top);
					highlight(legend() === table && found >= 0 ? data.curves[found].frame : null);
				},
				leave: () => highlight(null),
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
		legend().read(curves, step);
		if (!plot || !cursor) return;
		const xLabel = model.get("x_label");
		cursor.place(plot, data, fraction, step, { xLabel, width: plot.plotWidth });
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

	/** @param {CurvePlot} plot @param {number} left @param {number} top @returns {number} its row, -1 for none */
	function nearestCurve(plot, left, top) {
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
		return found;
	}

	/** @param {CurvePlot} plot @param {number} left @param {number} top */
	function activateNearest(plot, left, top) {
		const found = nearestCurve(plot, left, top);
		if (found >= 0) activate(found);
	}

	/** @param {boolean} on */
	function setZooming(on) {
		zooming = on;
		hint.hidden = !on;
		root.classList.toggle("xw-zooming", on);
		toolbar.drawZoom(on, Boolean(plot && (plot.zoom.x || plot.zoom.y)));
	}

	/** @param {KeyboardEvent} event */
	function leaveZooming(event) {
		if (event.key !== "Escape" || !zooming) return;
		setZooming(false);
		event.preventDefault();
	}

	/** @param {[number, number] | null} x @param {[number, number] | null} y null: all */
	function zoomTo(x, y) {
		if (!plot) return;
		plot.zoom = { x: x ?? plot.zoom.x, y: y ?? plot.zoom.y };
		if (!x && !y) plot.zoom = { x: null, y: null };
		// One box is one zoom: the next drag moves the cursor again.
		setZooming(false);
		refresh();
	}

	/**
	 * @param {CurvePlot} plot
	 * @param {number} left
	 * @param {number} factor
	 * @returns {boolean} whether there was anything to zoom
	 */
	function zoomAbout(plot, left, factor) {
		const { x, scale } = data;
		if (x.length < 2) return false;
		const { drawn, back } = scaleOf(scale);
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

	/** The plot as a vector image. */
	function drawSvg() {
		const position = positionOf(data.x, model.get("fraction"));
		return curveSvg(data, {
			...look(),
			width: Math.max(width, 320),
			title: model.get("title"),
			area: model.get("area_label"),
			between: model.get("between_label"),
			ranges: plot?.ranges ?? null,
			cursor: { position, text: placeText(data, position) },
			resolve: colors.resolve,
		});
	}

	function downloadCsv() {
		const text = toCsv(data, model.get("x_label"));
		download(
			new Blob([text], { type: "text/csv;charset=utf-8" }),
			`${slug(model.get("title"), "curves")}.csv`,
		);
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
	root.addEventListener("keydown", leaveZooming, { signal });
	signal.addEventListener("abort", () => {
		observer.disconnect();
		dropPlot();
	});
	observe(model, ["step"], motion.chooseStep, signal);
	observe(model, ["fraction"], motion.followFraction, signal);
	observe(model, ["fraction"], moveCursor, signal);
	onThemeChange(() => {
		colors.forget();
		refresh();
	}, signal);
	return {
		head: element("div", { class: "xw-bar xw-top" }, [title, toolbar.scopes, toolbar.modes, toolbar.tools]),
		content: [
			element("div", { class: "xw-curve-stage" }, [host, message, hint]),
			...[list.element, table.element, notes],
		],
		label: "curves",
		saves: true,
		arrays: () => ["x", "y", "band"],
		svg: drawSvg,
		items: () => [{ text: "Save CSV", tip: "The values as a table", act: downloadCsv }],
		traits: [
			...["x", "y", "band", "series", "lines", "marks", "steps", "hidden", "frame", "mode", "sort"],
			...["height", "x_label", "y_label", "x_scale", "x_percent", "y_range", "snap"],
			...["mode_buttons", "only_active", "legend", "scope", "scope_notes", "area_label", "between_label"],
		],
		refresh() {
			data = NO_CURVES;
			try {
				data = readCurves(model);
			} finally {
				const { lines } = data;
				root.setAttribute(
					"aria-description",
					lines.map(({ label, y }) => `${label}: ${readable(y)}`).join(", "),
				);
				toolbar.draw({
					controls: model.get("controls"),
					percent: data.percent,
					scale: data.scale,
					shares: withinUnit(data),
					range: model.get("y_range") ?? "unit",
				});
				drawLegend();
				motion.settle();
				// Room for the plot before it is drawn.
				host.style.minHeight = `${width > 0 || model.get("height") ? heightOf() : LOWEST}px`;
				if (width > 0) drawPlot();
				place();
			}
			return data.curves.some(({ computed, absent }) => computed > 0 && !absent) ? "" : "No curve yet";
		},
	};
});

/** Whether all values and lines are shares. @param {import("./lib/curves.js").Curves} data */
function withinUnit({ curves, lines }) {
	const outside = (/** @type {number} */ value) => value < -1e-4 || value > 1 + 1e-4;
	return !curves.some(({ values }) => values.some(outside)) && !lines.some(({ y }) => outside(y));
}
