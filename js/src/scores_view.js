import "./lib/theme.css";
import "./scores_view.css";
import { element } from "./lib/dom.js";
import { view } from "./lib/figure.js";
import { readable } from "./lib/format.js";
import { clamp } from "./lib/numbers.js";
import { PALETTE_SIZE, seriesColor } from "./lib/palette.js";
import { readScores } from "./lib/scores.js";

/** @typedef {import("./lib/scores.js").Score} Score */

/** Height of a bar, CSS px: rows are placed by transforms, so that they glide when the order changes. */
const ROW = 24;
/** Room between the best rows and that of the target. */
const GAP = 7;
export default view("xw-scores-view", ({ model, title, message, announce }) => {
	const where = element("span", { class: "xw-muted" });
	/** Its order in the document is not that of the scores: screen readers get the announcement. */
	const list = element("div", { class: "xw-scores", "aria-hidden": "true" });
	/** @type {Map<number, ReturnType<typeof bar>>} class -> its bar */
	const bars = new Map();
	/** @type {Map<number, number>} class -> its color, for as long as the view lives */
	const slots = new Map();

	/** Which step is shown. @param {import("./lib/scores.js").Scores} scores @returns {string} */
	function stepText({ at, counted, label }) {
		const step = counted ? at : readable(at);
		return (label.endsWith("=") ? `${label} ${step}` : `${step} ${label}`).trim();
	}

	/** @param {import("./lib/scores.js").Scores} scores */
	function arrange({ rows, top }) {
		const [low, high] = model.get("value_limits") ?? [0, 1];
		/** A share of the bar. @param {number} score */
		const part = (score) => clamp((score - low) / (high - low));
		const room = top * ROW + (model.get("target_values") ? GAP + ROW : 0);
		list.style.height = `${room}px`;
		const gone = new Set(bars.keys());
		for (const [rank, row] of rows.entries()) {
			gone.delete(row.index);
			let own = bars.get(row.index);
			if (!own) {
				own = bar(colorOf(row.index));
				bars.set(row.index, own);
				list.append(own.element);
			}
			own.draw(row, row.extra ? top * ROW + GAP : rank * ROW, part);
		}
		for (const index of gone) {
			bars.get(index)?.element.remove();
			bars.delete(index);
		}
	}

	/** @param {number} index @returns {string} */
	function colorOf(index) {
		const slot = slots.get(index) ?? slots.size % PALETTE_SIZE;
		slots.set(index, slot);
		return seriesColor(slot);
	}

	return {
		head: element("div", { class: "xw-bar xw-top" }, [title, where]),
		content: [list, message],
		drawing: [list],
		label: "class scores",
		saves: true,
		traits: [
			...["x", "values", "indices", "target_values", "reference"],
			...["labels", "target", "frame", "mode", "fraction", "series", "value_limits"],
		],
		refresh() {
			where.textContent = "";
			const scores = readScores(model);
			if (scores && scores.steps > 1) where.textContent = stepText(scores);
			if (scores) arrange(scores);
			const text = (scores?.rows ?? []).map((row) => `${row.label} ${changeOf(row).join(" to ")}`).join(", ");
			announce(text && where.textContent ? `${where.textContent}: ${text}` : text);
			return scores ? "" : "not computed yet";
		},
	};
});

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
