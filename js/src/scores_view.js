import "./lib/theme.css";
import "./scores_view.css";
import { element, setText } from "./lib/dom.js";
import { view } from "./lib/figure.js";
import { float32Text, readable, share } from "./lib/format.js";
import { PATIENCE, SILENCE } from "./lib/kernel.js";
import { clamp } from "./lib/numbers.js";
import { classColor } from "./lib/palette.js";
import { readScores } from "./lib/scores.js";
import { observe } from "./lib/state.js";

/** @typedef {import("./lib/scores.js").Score} Score */

/** Height of a bar, CSS px: rows are placed by transforms, so that they glide when the order changes. */
const ROW = 24;
/** Room between the best rows and that of the target. */
const GAP = 7;
/** Rows for which there is room before the first scores come. */
const ROWS = 5;
/** An exported page has no kernel. @type {{xaiWidgetsPage?: boolean}} */
const page = /** @type {any} */ (globalThis);
const NO_KERNEL = "to explain another class needs a running kernel";

export default view("xw-scores-view", ({ model, root, title, message, announce, refresh, signal }) => {
	const where = element("span", { class: "xw-muted" });
	const list = element("div", { class: "xw-scores", role: "group", "aria-label": "classes" });
	const stage = element("div", { class: "xw-scores-stage" }, [list, message]);
	const tickNote = element("span", { class: "xw-score-note" });
	const targetNote = element("span", { class: "xw-score-note" }, ["▸ explained"]);
	const silence = element("span", { class: "xw-score-silence", role: "alert", hidden: true });
	const legend = element("div", { class: "xw-scores-legend xw-muted" }, [targetNote, tickNote, silence]);
	const tickText = element("span");
	tickNote.append(element("span", { class: "xw-tick-sample" }), tickText);
	/** @type {Map<number, ReturnType<typeof bar>>} class -> its bar */
	const bars = new Map();
	/** The shown classes, from top to bottom. @type {number[]} */
	let order = [];
	/** The class that Tab leads to. */
	let reached = -1;
	/** The class that the kernel was asked to explain, -1 for none. */
	let asked = -1;
	let timer = 0;

	/** Which step is shown. @param {import("./lib/scores.js").Scores} scores @returns {string} */
	function stepText({ at, counted, label }) {
		// A parameter is written as its slider writes it.
		if (label.endsWith("=")) return `${label} ${float32Text(at)}`;
		const step = model.get("x_percent") ? share(at) : counted ? at : readable(at);
		return `${step} ${label}`.trim();
	}

	/** Room for the same number of rows, whatever is known. @param {number} top */
	function reserve(top) {
		const extra = model.get("target_values") || model.get("target") >= 0;
		list.style.height = `${top * ROW + (extra ? GAP + ROW : 0)}px`;
	}

	/** @param {import("./lib/scores.js").Scores} scores */
	function arrange({ rows, top }) {
		const [low, high] = model.get("value_limits") ?? [0, 1];
		/** A share of the bar. @param {number} score */
		const part = (score) => clamp((score - low) / (high - low));
		reserve(top);
		order = rows.map(({ index }) => index);
		if (!order.includes(reached)) reached = order[0] ?? -1;
		for (const [rank, row] of rows.entries()) {
			let own = bars.get(row.index);
			if (!own) {
				own = bar(row.index, explain);
				bars.set(row.index, own);
				list.append(own.element);
			}
			own.draw(row, row.extra ? top * ROW + GAP : rank * ROW, part);
			own.enable(reasonAgainst(row), row.index === asked, row.index === reached);
		}
		clear(new Set(order));
	}

	/** Removes the bars of other classes. @param {Set<number>} kept */
	function clear(kept) {
		for (const [index, { element }] of bars) {
			if (kept.has(index)) continue;
			element.remove();
			bars.delete(index);
		}
	}

	/** Why a click on a bar does nothing; empty if it does, null where nobody listens. @param {Score} row */
	function reasonAgainst({ target }) {
		if (!model.get("explains")) return null;
		if (target) return "is explained";
		return page.xaiWidgetsPage && !model.get("_live") ? NO_KERNEL : "";
	}

	/** @param {number} index */
	function explain(index) {
		if (asked >= 0) return;
		if (model.get("_live")) {
			// The browser has the network, which follows the class.
			model.set("_chosen", index);
			return;
		}
		let sent = true;
		try {
			model.send({ type: "explain", index });
		} catch {
			sent = false;
		}
		asked = index;
		setText(silence, "");
		timer = setTimeout(unanswered, sent ? PATIENCE : 0);
		refresh();
	}

	function unanswered() {
		asked = -1;
		setText(silence, SILENCE);
		refresh();
	}

	function answered() {
		clearTimeout(timer);
		asked = -1;
		setText(silence, "");
		refresh();
	}

	/** Up and down go from bar to bar as they stand. @param {KeyboardEvent} event */
	function onKey(event) {
		const by = /** @type {Record<string, number>} */ ({ ArrowDown: 1, ArrowUp: -1 })[event.key];
		if (!by || order.length === 0) return;
		reached = order[clamp(order.indexOf(reached) + by, 0, order.length - 1)];
		for (const [index, own] of bars) own.reach(index === reached);
		bars.get(reached)?.element.focus();
		event.preventDefault();
	}

	list.addEventListener("keydown", onKey, { signal });
	signal.addEventListener("abort", () => clearTimeout(timer));
	observe(model, ["target", "_answered"], answered, signal);
	return {
		head: element("div", { class: "xw-bar xw-top" }, [title, where]),
		content: [stage, legend],
		label: "class scores",
		saves: true,
		traits: [
			...[
				"x",
				"values",
				"indices",
				"target_values",
				"reference",
				"reference_label",
				"x_percent",
				"exact",
				"explains",
			],
			...["_live", "labels", "target", "frame", "mode", "fraction", "series", "value_limits"],
		],
		refresh() {
			setText(where, "");
			const scores = readScores(model);
			if (scores && scores.steps > 1) setText(where, stepText(scores));
			root.classList.toggle("xw-explains", Boolean(model.get("explains")));
			if (scores) arrange(scores);
			else {
				reserve(model.get("values")?.shape?.[2] || ROWS);
				clear(new Set());
			}
			const compared = scores?.rows.some(({ before }) => !Number.isNaN(before)) ?? false;
			targetNote.hidden = model.get("target") < 0;
			tickNote.hidden = !model.get("reference");
			tickNote.style.visibility = compared ? "" : "hidden";
			setText(tickText, model.get("reference_label") || "before");
			silence.hidden = !silence.textContent;
			legend.hidden = [...legend.children].every((node) => /** @type {HTMLElement} */ (node).hidden);
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
 * The bar of one class: a button that explains the class, where an explorer listens.
 *
 * @param {number} index
 * @param {(index: number) => void} explain
 */
function bar(index, explain) {
	const fill = element("div", { class: "xw-score-fill" });
	const tick = element("div", { class: "xw-score-tick" });
	const label = element("span", { class: "xw-score-label" });
	const before = element("span", { class: "xw-score-before xw-muted" });
	const number = element("span", { class: "xw-score-number" });
	const track = element("span", { class: "xw-score-track" }, [fill, tick, label]);
	const root = element("button", { type: "button", class: "xw-score" }, [track, before, number]);
	fill.style.setProperty("--xw-bar", classColor(index));
	root.addEventListener("click", () => {
		if (root.getAttribute("aria-disabled") === "false") explain(index);
	});
	return {
		element: root,
		/** @param {Score} score @param {number} top  CSS px @param {(score: number) => number} part */
		draw(score, top, part) {
			setText(label, score.label);
			setText(number, readable(score.score));
			const compared = !Number.isNaN(score.before);
			setText(before, compared ? `${readable(score.before)} →` : "");
			before.hidden = !compared;
			tick.hidden = !compared;
			tick.style.left = `${100 * part(score.before)}%`;
			fill.style.transform = `scaleX(${part(score.score)})`;
			root.style.transform = `translateY(${top}px)`;
			root.classList.toggle("xw-target", score.target);
			root.classList.toggle("xw-extra", score.extra);
			root.setAttribute("aria-current", String(score.target));
		},
		/**
		 * @param {string | null} reason  why a click does nothing; empty if it does, null where nobody listens
		 * @param {boolean} pending  whether a kernel was asked
		 * @param {boolean} reached  whether Tab leads here
		 */
		enable(reason, pending, reached) {
			const name = `${label.textContent} (class ${index})`;
			root.title = reason === "" ? `Explain ${name}` : reason ? `${name}: ${reason}` : name;
			root.setAttribute("aria-disabled", String(reason !== ""));
			root.setAttribute("aria-busy", String(pending));
			this.reach(reached);
		},
		/** @param {boolean} reached */
		reach(reached) {
			root.tabIndex = reached ? 0 : -1;
		},
	};
}
