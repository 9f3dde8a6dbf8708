import { widget } from "./lib/widget.js";
import "./lib/theme.css";
import "./curve_view.css";
import { CurveCursor, tidy } from "./lib/curve_cursor.js";
import { listen } from "./lib/curve_gestures.js";
import { CurveGuides } from "./lib/curve_guides.js";
import { CurveLegend } from "./lib/curve_legend.js";
import { picture } from "./lib/curve_picture.js";
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
	stopAt,
	toCsv,
} from "./lib/curves.js";
import { download, element } from "./lib/dom.js";
import { readable, slug } from "./lib/format.js";
import { observe, onFrame, update, updater } from "./lib/state.js";
import { colorResolver, onThemeChange } from "./lib/theme.js";

/** @typedef {import("@anywidget/types").AnyModel} AnyModel */

/** Clicks farther than this from every curve activate none, CSS px. */
const REACH = 14;
/** The plot does not zoom to less than this part of x. */
const FINEST = 1e-3;

class View {
	root = element("div", { class: "xw xw-curve-view", role: "group" });
	#title = element("div", { class: "xw-title" });
	#host = element("div", { class: "xw-plot" });
	#noticeText = element("span");
	#notice = element("div", { class: "xw-note-text", role: "status" }, [this.#noticeText]);
	#zoomButton = element("button", { type: "button", "aria-pressed": "false" }, ["Zoom"]);
	#resetButton = element("button", { type: "button", disabled: true }, ["Reset"]);
	#bar = element("div", { class: "xw-bar", role: "toolbar", "aria-label": "plot" });
	#legend = new CurveLegend(
		(row) => this.#activate(row),
		(row, hidden) => this.#hide(row, hidden),
	);
	/** @type {CurvePlot | null} made when there is room for it */
	#plot = null;
	/** Ends what listens to the plot. */
	#plotLife = new AbortController();
	/** @type {CurveCursor | null} */
	#cursor = null;
	/** @type {import("./lib/curves.js").Curves} what is drawn */
	#data = NO_CURVES;
	#zooming = false;
	#width = 0;
	#colors = colorResolver(this.root);
	#model;
	#set;
	#signal;

	/** @param {AnyModel} model @param {AbortSignal} signal */
	constructor(model, signal) {
		this.#model = model;
		this.#signal = signal;
		this.draw = onFrame(() => this.#draw(), signal);
		this.place = onFrame(() => this.#place(), signal);
		this.#set = updater(model, signal);
		this.#fillBar();
		const head = element("div", { class: "xw-bar xw-top" }, [this.#title, this.#bar]);
		const stage = element("div", { class: "xw-curve-stage" }, [this.#host, this.#notice]);
		this.root.append(head, stage, this.#legend.element);
		const observer = new ResizeObserver(() => {
			// Whole px: a fraction would be drawn blurred.
			const width = Math.floor(this.#host.clientWidth);
			if (width === this.#width) return;
			this.#width = width;
			this.draw();
		});
		observer.observe(this.#host);
		signal.addEventListener("abort", () => {
			observer.disconnect();
			this.#dropPlot();
		});
	}

	#fillBar() {
		const csv = element("button", { type: "button", title: "Download the values" }, ["CSV"]);
		const png = element("button", { type: "button", title: "Download the picture" }, ["PNG"]);
		this.#zoomButton.title =
			"Drag a box to zoom (also Shift and drag, or the wheel once the plot has the focus)";
		this.#resetButton.title = "Show everything (also a double click on the plot)";
		this.#bar.append(this.#zoomButton, this.#resetButton, csv, png);
		const signal = this.#signal;
		this.#zoomButton.addEventListener("click", () => this.#toggleZoom(), { signal });
		this.#resetButton.addEventListener("click", () => this.#zoomTo(null, null), { signal });
		csv.addEventListener("click", () => this.#downloadCsv(), { signal });
		png.addEventListener("click", () => this.#downloadPng(), { signal });
	}

	forgetColors() {
		this.#colors.forget();
		this.draw();
	}

	#draw() {
		const model = this.#model;
		const title = model.get("title");
		const width = model.get("width");
		this.#title.textContent = title;
		this.#title.hidden = !title;
		this.#bar.hidden = !model.get("controls");
		this.root.setAttribute("aria-label", title || "curves");
		this.root.style.maxWidth = width ? `${width}px` : "";
		let problem = "";
		try {
			this.#data = readCurves(model);
		} catch (error) {
			this.#data = NO_CURVES;
			problem = `Cannot draw the curves: ${/** @type {Error} */ (error).message}`;
		}
		const { curves } = this.#data;
		if (!problem && !curves.some(({ computed }) => computed > 0)) problem = "No curve yet";
		if (this.#noticeText.textContent !== problem) this.#noticeText.textContent = problem;
		this.#noticeText.hidden = !problem;
		this.#notice.classList.toggle("xw-error", problem.startsWith("Cannot"));
		const lines = this.#data.lines.map(({ label, y }) => `${label}: ${readable(y)}`).join(", ");
		this.root.setAttribute("aria-description", lines);
		this.#legend.draw(curves);
		if (this.#width > 0) this.#drawPlot();
		this.#place();
	}

	#drawPlot() {
		const height = this.#model.get("height");
		if (this.#plot && this.#plot.log !== this.#data.log) this.#dropPlot();
		this.#plot ??= this.#makePlot(height);
		const plot = this.#plot;
		plot.draw(this.#data, {
			width: this.#width,
			height,
			xLabel: this.#model.get("x_label"),
			yLabel: this.#model.get("y_label"),
		});
		this.#resetButton.disabled = plot.zoom.x === null && plot.zoom.y === null;
	}

	#dropPlot() {
		this.#plotLife.abort();
		this.#plot?.destroy();
		this.#plot = null;
	}

	/** @param {number} height @returns {CurvePlot} */
	#makePlot(height) {
		this.#plotLife = new AbortController();
		const { signal } = this.#plotLife;
		const { resolve } = this.#colors;
		const guides = new CurveGuides((x) => this.#moveTo(this.#fractionOf(x)), resolve);
		const plot = new CurvePlot(this.#host, this.#width, height, resolve, guides, this.#data.log);
		const cursor = new CurveCursor(
			this.root,
			plot.over,
			() => shareOf(this.#data, this.#fraction()),
			(share) => this.#moveTo(this.#tidy(fractionAt(this.#data, share)), this.#model.get("stop")),
			signal,
		);
		this.#cursor = cursor;
		listen(
			plot.over,
			{
				drag: (left) => {
					cursor.focus();
					this.#moveTo(this.#fractionAt(plot, left));
				},
				click: (left, top) => this.#activateNearest(plot, left, top),
				zoom: (x, y) => {
					const [x0, x1] = x.map((left) => plot.xAt(left)).sort(ascending);
					const rows = y?.map((top) => plot.yAt(top)).sort(ascending);
					this.#zoomTo([x0, x1], rows ? [rows[0], rows[1]] : null);
				},
				wheel: (left, factor) => this.#wheel(plot, left, factor),
				reset: () => this.#zoomTo(null, null),
				zooming: () => this.#zooming,
			},
			signal,
		);
		return plot;
	}

	/** Moves a line and changes texts, and draws nothing: it runs at every step of a drag. */
	#place() {
		const { x, curves } = this.#data;
		const fraction = this.#fraction();
		const step = nearest(x, positionOf(x, fraction));
		this.#legend.read(curves, step);
		if (!this.#plot || !this.#cursor) return;
		const xLabel = this.#model.get("x_label");
		this.#cursor.place(this.#plot, this.#data, fraction, step, { xLabel, width: this.#plot.plotWidth });
	}

	/** Where the cursor stands. @returns {number} */
	#fraction() {
		const { x, stops } = this.#data;
		const place = stops[this.#model.get("stop")];
		return place === undefined ? this.#model.get("fraction") : shareBetween(x, place);
	}

	/** @param {number} fraction @param {number} [from]  the stop to leave, if only for the next one */
	#moveTo(fraction, from) {
		const { x, stops } = this.#data;
		this.#set(stops.length ? { stop: stopAt(stops, positionOf(x, fraction), from) } : { fraction });
	}

	/** @param {CurvePlot} plot @param {number} left @returns {number} */
	#fractionAt(plot, left) {
		return this.#fractionOf(plot.xAt(Math.min(Math.max(left, 0), plot.plotWidth)));
	}

	/** @param {number} position  on x @returns {number} */
	#fractionOf(position) {
		return this.#tidy(shareBetween(this.#data.x, position));
	}

	/** @param {number} fraction @returns {number} */
	#tidy(fraction) {
		return tidy(fraction, decimalsOf(this.#data));
	}

	/** @param {number} row */
	#activate(row) {
		const { frame, game } = this.#data.curves[row];
		update(this.#model, game ? { frame, game } : { frame });
	}

	/** @param {number} row @param {boolean} hidden */
	#hide(row, hidden) {
		const others = this.#model.get("hidden").filter((/** @type {number} */ other) => other !== row);
		update(this.#model, { hidden: hidden ? [...others, row].sort(ascending) : others });
	}

	/** @param {CurvePlot} plot @param {number} left @param {number} top */
	#activateNearest(plot, left, top) {
		const { x, curves } = this.#data;
		const step = nearest(x, plot.xAt(left));
		let best = REACH;
		let found = -1;
		for (const curve of curves) {
			const distance = Math.abs(plot.topOf(curve.values[step]) - top);
			if (curve.hidden || !(distance < best)) continue;
			best = distance;
			found = curve.row;
		}
		if (found >= 0) this.#activate(found);
	}

	#toggleZoom() {
		this.#zooming = !this.#zooming;
		this.#zoomButton.setAttribute("aria-pressed", String(this.#zooming));
		this.root.classList.toggle("xw-zooming", this.#zooming);
	}

	/** @param {[number, number] | null} x @param {[number, number] | null} y null: all */
	#zoomTo(x, y) {
		if (!this.#plot) return;
		this.#plot.zoom = { x: x ?? this.#plot.zoom.x, y: y ?? this.#plot.zoom.y };
		if (!x && !y) this.#plot.zoom = { x: null, y: null };
		this.draw();
	}

	/**
	 * @param {CurvePlot} plot
	 * @param {number} left
	 * @param {number} factor
	 * @returns {boolean} whether there was anything to zoom
	 */
	#wheel(plot, left, factor) {
		const { x, log } = this.#data;
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
		this.draw();
		return true;
	}

	#name() {
		return slug(this.#model.get("title"), "curves");
	}

	#downloadCsv() {
		const text = toCsv(this.#data, this.#model.get("x_label"));
		download(new Blob([text], { type: "text/csv;charset=utf-8" }), `${this.#name()}.csv`);
	}

	#downloadPng() {
		if (!this.#plot) return;
		const { x, curves } = this.#data;
		const position = positionOf(x, this.#fraction());
		const canvas = picture(
			this.#plot.canvas,
			curves.filter(({ hidden }) => !hidden),
			{
				title: this.#model.get("title"),
				place: `${this.#model.get("x_label") || "x"} = ${placeText(this.#data, position)}`,
				step: nearest(x, position),
				width: this.#width,
				resolve: this.#colors.resolve,
			},
		);
		canvas.toBlob((blob) => {
			if (blob) download(blob, `${this.#name()}.png`);
		});
	}
}

/** How far a position lies between the ends of x. @param {Float32Array} x @param {number} position */
function shareBetween(x, position) {
	return x.length < 2 ? position : (position - x[0]) / (x[x.length - 1] - x[0]);
}

/** @param {number} value */
function same(value) {
	return value;
}

/** @param {number} a @param {number} b @returns {number} */
function ascending(a, b) {
	return a - b;
}

/** @param {{model: AnyModel, el: HTMLElement}} context @returns {() => void} */
function render({ model, el }) {
	const controller = new AbortController();
	const { signal } = controller;
	const view = new View(model, signal);
	el.append(view.root);
	const looks = ["title", "width", "height", "x_label", "y_label", "x_scale", "controls"];
	observe(
		model,
		["x", "y", "series", "lines", "marks", "stops", "hidden", "frame", "game", ...looks],
		view.draw,
		signal,
	);
	observe(model, ["fraction", "stop"], view.place, signal);
	onThemeChange(() => view.forgetColors(), signal);
	view.draw();
	return () => {
		controller.abort();
		view.root.remove();
	};
}

export default widget(render);
