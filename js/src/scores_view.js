import { widget } from "./lib/widget.js";
import "./lib/theme.css";
import "./scores_view.css";
import { element } from "./lib/dom.js";
import { readable } from "./lib/format.js";
import { PALETTE_SIZE, seriesColor } from "./lib/palette.js";
import { readScores } from "./lib/scores.js";
import { observe, onFrame } from "./lib/state.js";

/** @typedef {import("@anywidget/types").AnyModel} AnyModel */
/** @typedef {import("./lib/scores.js").Score} Score */

/** Height of a bar, CSS px: rows are placed by transforms, so that they glide when the order changes. */
const ROW = 24;
/** Room between the best rows and that of the target. */
const GAP = 7;
/** A screen reader hears the scores when the hand has rested this long, ms. */
const REST = 700;

class View {
	root = element("div", { class: "xw xw-scores-view", role: "group" });
	#title = element("span", { class: "xw-title" });
	#place = element("span", { class: "xw-muted" });
	/** Its order in the document is not that of the scores: screen readers get `#spoken`. */
	#list = element("div", { class: "xw-scores", "aria-hidden": "true" });
	#notice = element("div", { class: "xw-note-text xw-muted" });
	#spoken = element("div", { class: "xw-spoken", "aria-live": "polite" });
	/** @type {Map<number, ReturnType<typeof bar>>} class -> its bar */
	#bars = new Map();
	/** @type {Map<number, number>} class -> its colour, for as long as the view lives */
	#slots = new Map();
	#timer = 0;
	#model;

	/** @param {AnyModel} model @param {AbortSignal} signal */
	constructor(model, signal) {
		this.#model = model;
		this.draw = onFrame(() => this.#draw(), signal);
		const head = element("div", { class: "xw-bar xw-top" }, [this.#title, this.#place]);
		this.root.append(head, this.#list, this.#notice, this.#spoken);
		signal.addEventListener("abort", () => clearTimeout(this.#timer));
	}

	#draw() {
		const model = this.#model;
		const title = model.get("title");
		const width = model.get("width");
		this.#title.textContent = title;
		this.root.setAttribute("aria-label", title || "class scores");
		this.root.style.maxWidth = width ? `${width}px` : "";
		let problem = "";
		/** @type {import("./lib/scores.js").Scores | null} */
		let scores = null;
		try {
			scores = readScores(model);
			if (!scores) problem = "not computed yet";
		} catch (error) {
			problem = `Cannot draw the scores: ${/** @type {Error} */ (error).message}`;
		}
		this.#notice.textContent = problem;
		this.#notice.hidden = !problem;
		this.#notice.classList.toggle("xw-error", problem.startsWith("Cannot"));
		this.#list.hidden = scores === null;
		this.#place.textContent = scores && scores.steps > 1 ? this.#where(scores) : "";
		if (scores) this.#arrange(scores);
		this.#speak(scores?.rows ?? []);
	}

	/** Which step is shown. @param {import("./lib/scores.js").Scores} scores @returns {string} */
	#where({ at, counted }) {
		const word = this.#model.get("words")[this.#model.get("game") === "insertion" ? 1 : 0];
		return `${counted ? at : readable(at)} ${word}`;
	}

	/** @param {import("./lib/scores.js").Scores} scores */
	#arrange({ rows, top }) {
		const [low, high] = this.#model.get("value_limits") ?? [0, 1];
		/** A share of the bar. @param {number} score */
		const part = (score) => Math.min(Math.max((score - low) / (high - low), 0), 1);
		const room = top * ROW + (this.#model.get("target_values") ? GAP + ROW : 0);
		this.#list.style.height = `${room}px`;
		const gone = new Set(this.#bars.keys());
		for (const [rank, row] of rows.entries()) {
			gone.delete(row.index);
			let own = this.#bars.get(row.index);
			if (!own) {
				own = bar(this.#color(row.index));
				this.#bars.set(row.index, own);
				this.#list.append(own.element);
			}
			own.draw(row, row.extra ? top * ROW + GAP : rank * ROW, part);
		}
		for (const index of gone) {
			this.#bars.get(index)?.element.remove();
			this.#bars.delete(index);
		}
	}

	/** @param {number} index @returns {string} */
	#color(index) {
		const slot = this.#slots.get(index) ?? this.#slots.size % PALETTE_SIZE;
		this.#slots.set(index, slot);
		return seriesColor(slot);
	}

	/** @param {Score[]} rows */
	#speak(rows) {
		clearTimeout(this.#timer);
		const said = rows.map((row) => `${row.label} ${changeOf(row).join(" to ")}`).join(", ");
		const place = this.#place.textContent;
		this.#timer = setTimeout(() => {
			const text = said && place ? `${place}: ${said}` : said;
			if (this.#spoken.textContent !== text) this.#spoken.textContent = text;
		}, REST);
	}
}

/** The score in words, with the one before it if there is one. @param {Score} score @returns {string[]} */
function changeOf({ score, before }) {
	return Number.isNaN(before) ? [readable(score)] : [readable(before), readable(score)];
}

/**
 * The bar of one class.
 *
 * @param {string} color
 */
function bar(color) {
	const fill = element("div", { class: "xw-score-fill" });
	const tick = element("div", { class: "xw-score-tick" });
	const label = element("span", { class: "xw-score-label" });
	const before = element("span", { class: "xw-score-before xw-muted" });
	const number = element("span", { class: "xw-score-number" });
	const track = element("div", { class: "xw-score-track" }, [fill, tick, label]);
	const root = element("div", { class: "xw-score" }, [track, before, number]);
	fill.style.setProperty("--xw-bar", color);
	return {
		element: root,
		/** @param {Score} score @param {number} top  CSS px @param {(score: number) => number} part */
		draw(score, top, part) {
			label.textContent = score.label;
			label.title = `${score.label} (class ${score.index})`;
			number.textContent = readable(score.score);
			const compared = !Number.isNaN(score.before);
			before.textContent = compared ? `${readable(score.before)} →` : "";
			before.hidden = !compared;
			tick.hidden = !compared;
			tick.style.left = `${100 * part(score.before)}%`;
			fill.style.transform = `scaleX(${part(score.score)})`;
			root.style.transform = `translateY(${top}px)`;
			root.classList.toggle("xw-target", score.target);
			root.classList.toggle("xw-extra", score.extra);
		},
	};
}

/** @param {{model: AnyModel, el: HTMLElement}} context @returns {() => void} */
function render({ model, el }) {
	const controller = new AbortController();
	const { signal } = controller;
	const view = new View(model, signal);
	el.append(view.root);
	const arrays = ["x", "values", "indices", "target_values", "reference"];
	const state = ["labels", "target", "frame", "game", "fraction", "words", "value_limits", "title", "width"];
	observe(model, [...arrays, ...state], view.draw, signal);
	view.draw();
	return () => {
		controller.abort();
		view.root.remove();
	};
}

export default widget(render);
