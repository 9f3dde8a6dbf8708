import "./leaderboard_view.css";
import { cached } from "./lib/cached.js";
import { element, setText } from "./lib/dom.js";
import { view } from "./lib/figure.js";
import { bytes, expectArray, floats } from "./lib/image.js";
import { columnOf, isLower, labelOf, orderOf, pairOf, scoreText } from "./lib/leaderboard.js";
import { clamp } from "./lib/numbers.js";

/**
 * @typedef {import("./lib/leaderboard.js").Row} Row
 * @typedef {import("./lib/leaderboard.js").Column} Column
 * @typedef {import("./lib/image.js").Message} Message
 */

const LETTERS = ["A", "B"];
const MARKS = ["", "★", "≈"];
const MEANING = ["", "best mean", "not separated from the best by the images"];
/** Share of a scale that is left free at both ends. */
const ROOM = 0.04;

export default view("xw-leaderboard-view", (figure) => {
	const { model, set, announce, signal } = figure;
	const table = element("table", { class: "xw-board" });
	const stage = element("div", { class: "xw-board-stage" }, [table]);
	const notes = element("ul", { class: "xw-board-notes", hidden: true });
	const warning = element("div", { class: "xw-board-warning", role: "status", hidden: true });
	const caption = element("div", { class: "xw-muted xw-board-caption" });
	const key = element("div", { class: "xw-muted xw-board-key" }, [
		element("span", {}, ["★ best mean"]),
		element("span", {}, ["≈ not separated from it by the images"]),
		element("span", {}, [
			element("span", { class: "xw-guide-sample" }),
			element("span", { class: "xw-guide-name" }),
		]),
	]);
	const decode = {
		mean: cached((/** @type {Message} */ one) => floats("mean", one, [null, null])),
		low: cached((/** @type {Message} */ one) => floats("low", one, [null, null])),
		high: cached((/** @type {Message} */ one) => floats("high", one, [null, null])),
		count: cached((/** @type {Message} */ one) => expectArray(Int32Array, "count", one, [null, null])),
		marks: cached((/** @type {Message} */ one) => bytes("marks", one, [null, null])),
	};
	/** Rows and heads by name, which stay while the table changes, with the focus. @type {Map<string, ReturnType<typeof createRow>>} */
	const lines = new Map();
	/** @type {Map<string, ReturnType<typeof createHead>>} */
	const heads = new Map();
	const corner = element("th", { scope: "col", class: "xw-board-corner" });
	const given = element("button", { type: "button", title: "Sort the rows as they were given" }, ["method"]);
	corner.append(given);
	given.addEventListener("click", () => set({ sort: "" }), { signal });
	const headRow = element("tr");
	const body = element("tbody");
	const ends = element("tr", { class: "xw-board-ends", "aria-hidden": "true" });
	table.append(element("thead", {}, [headRow]), body, element("tfoot", {}, [ends]));

	/** @param {string} name */
	function sortBy(name) {
		set({ sort: model.get("sort") === name ? `-${name}` : name, metric: name });
	}

	/** Chooses a row, and with it the metric of the cell that was clicked. @param {string} name @param {string} [metric] */
	function choose(name, metric) {
		/** @type {string[]} */
		const pair = model.get("pair");
		const other = metric !== undefined && metric !== model.get("columns")[columnOf(model)]?.name;
		/** @type {Record<string, unknown>} */
		const values = metric === undefined ? {} : { metric };
		if (!pair.includes(name)) values.pair = [...pair, name].slice(-2);
		else if (!other) values.pair = pair.filter((one) => one !== name);
		set(values);
	}

	/** @param {KeyboardEvent} event */
	function onKey(event) {
		const by = /** @type {Record<string, number>} */ ({ ArrowDown: 1, ArrowUp: -1 })[event.key];
		const buttons = /** @type {HTMLElement[]} */ ([...body.querySelectorAll(".xw-board-name button")]);
		const at = buttons.indexOf(/** @type {HTMLElement} */ (event.target));
		if (!by || at < 0) return;
		buttons[clamp(at + by, 0, buttons.length - 1)].focus();
		event.preventDefault();
	}
	body.addEventListener("keydown", onKey, { signal });

	/** @param {string} name */
	const line = (name) => {
		const known = lines.get(name) ?? createRow((metric) => choose(name, metric));
		lines.set(name, known);
		return known;
	};
	/** @param {string} name */
	const head = (name) => {
		const known = heads.get(name) ?? createHead(() => sortBy(name));
		heads.set(name, known);
		return known;
	};

	/** Puts children in an order; nodes that are there already are moved only if they must. @param {Element} parent @param {Element[]} nodes */
	function arrange(parent, nodes) {
		const same =
			nodes.length === parent.children.length && nodes.every((node, at) => parent.children[at] === node);
		if (same) return;
		const focused = /** @type {HTMLElement | null} */ (
			parent.contains(document.activeElement) ? document.activeElement : null
		);
		parent.replaceChildren(...nodes);
		focused?.focus();
	}

	function draw() {
		/** @type {Row[]} */
		const rows = model.get("rows");
		/** @type {Column[]} */
		const columns = model.get("columns");
		const mean = decode.mean(model.get("mean"));
		if (!rows.length || !columns.length || !mean) return "not computed yet";
		const [height, width] = mean.shape;
		if (height !== rows.length || width !== columns.length)
			throw new RangeError(
				`mean has the shape [${mean.shape}], expected [${rows.length}, ${columns.length}]`,
			);
		const parts = {
			mean: mean.data,
			low: decode.low(model.get("low"))?.data,
			high: decode.high(model.get("high"))?.data,
			count: decode.count(model.get("count"))?.data,
			marks: decode.marks(model.get("marks"))?.data,
		};
		/** @type {string} */
		const sort = model.get("sort");
		const name = sort.replace(/^-/, "");
		const by = columns.findIndex((column) => column.name === name);
		const ascending = by >= 0 && isLower(columns[by]) !== sort.startsWith("-");
		const order = orderOf(rows.length, by < 0 ? null : (row) => parts.mean[row * width + by], ascending);
		/** @type {string[]} */
		const references = model.get("references");
		const guide = rows.findIndex((row) => row.name === references[0]);
		const scales = columns.map((_, column) => scaleOf(parts, height, width, column));
		const chosen = columnOf(model);
		const pair = pairOf(model);

		drawHeads(columns, by, ascending, chosen);
		arrange(ends, [element("td"), ...columns.map((_, column) => endsOf(scales[column]))]);
		for (const row of order) {
			const { name } = rows[row];
			line(name).draw({
				label: labelOf(rows[row]),
				letter: LETTERS[pair.indexOf(row)] ?? "",
				reference: references.includes(name),
				cells: columns.map((column, at) => {
					const index = row * width + at;
					return {
						metric: column.name,
						title: labelOf(column),
						chosen: at === chosen,
						mean: parts.mean[index],
						low: parts.low?.[index] ?? Number.NaN,
						high: parts.high?.[index] ?? Number.NaN,
						count: parts.count?.[index] ?? 0,
						mark: parts.marks?.[index] ?? 0,
						note: model.get("notes")[row]?.[at] ?? "",
						guide: guide < 0 ? Number.NaN : parts.mean[guide * width + at],
						scale: scales[at],
					};
				}),
			});
		}
		arrange(
			body,
			order.map((row) => line(rows[row].name).node),
		);
		drawWords(rows, columns, guide);
		const best = columns.map((column, at) => {
			const row = rows.findIndex((_, index) => parts.marks?.[index * width + at] === 1);
			return row < 0 ? "" : `${labelOf(column)}: best ${labelOf(rows[row])}`;
		});
		announce(best.filter(Boolean).join(", "));
		return "";
	}

	/** @param {Column[]} columns @param {number} by @param {boolean} ascending @param {number} chosen */
	function drawHeads(columns, by, ascending, chosen) {
		for (const [at, column] of columns.entries()) {
			head(column.name).draw(
				column,
				at === by ? (ascending ? "ascending" : "descending") : "none",
				at === chosen,
			);
		}
		corner.setAttribute("aria-sort", "none");
		given.setAttribute("aria-pressed", String(by < 0));
		arrange(headRow, [corner, ...columns.map((column) => head(column.name).node)]);
	}

	/** The words below the table. @param {Row[]} rows @param {Column[]} columns @param {number} guide */
	function drawWords(rows, columns, guide) {
		/** @type {string[][]} */
		const words = model.get("notes");
		const found = rows.flatMap((row, at) =>
			columns.flatMap((column, index) =>
				words[at]?.[index] ? [`${labelOf(row)}, ${labelOf(column)}: ${words[at][index]}`] : [],
			),
		);
		const text = found.join("\n");
		if (notes.dataset.text !== text) {
			notes.dataset.text = text;
			notes.replaceChildren(...found.map((each) => element("li", { title: each }, [`⚠ ${each}`])));
		}
		notes.hidden = !found.length;
		setText(caption, model.get("caption"));
		caption.hidden = !model.get("caption");
		setText(warning, model.get("warning") ? `⚠ ${model.get("warning")}` : "");
		warning.hidden = !model.get("warning");
		const guided = /** @type {HTMLElement} */ (key.lastElementChild);
		guided.hidden = guide < 0;
		if (guide >= 0) setText(/** @type {HTMLElement} */ (guided.lastElementChild), labelOf(rows[guide]));
	}

	return {
		content: [stage, key, warning, notes, caption],
		drawing: [stage, key],
		label: "Leaderboard",
		saves: true,
		traits: [
			...["rows", "references", "columns", "mean", "low", "high", "count", "marks", "notes"],
			...["sort", "metric", "pair", "caption", "warning"],
		],
		arrays: () => ["mean", "low", "high", "count", "marks"],
		refresh: draw,
	};
});

/**
 * The scale of a column: from the lowest to the highest end of an interval.
 *
 * @param {{mean: Float32Array, low?: Float32Array, high?: Float32Array}} parts
 * @param {number} height
 * @param {number} width
 * @param {number} column
 * @returns {number[]}
 */
function scaleOf({ mean, low, high }, height, width, column) {
	let [from, to] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
	for (let row = 0; row < height; row++) {
		for (const values of [mean, low, high]) {
			const value = values?.[row * width + column] ?? Number.NaN;
			if (value < from) from = value;
			if (value > to) to = value;
		}
	}
	if (from > to) return [0, 1];
	return from < to ? [from, to] : [from - 0.5, to + 0.5];
}

/** The values at the ends of a scale. @param {number[]} scale */
function endsOf([from, to]) {
	const span = to - from;
	return element("td", {}, [
		element("div", { class: "xw-board-scale" }, [
			element("span", {}, [scoreText(from, span)]),
			element("span", {}, [scoreText(to, span)]),
		]),
	]);
}

/** @param {() => void} act */
function createHead(act) {
	const name = element("span", { class: "xw-head-name" });
	const arrow = element("span", { class: "xw-head-sort", "aria-hidden": "true" });
	const better = element("span", { class: "xw-head-better" });
	const button = element("button", { type: "button" }, [
		element("span", { class: "xw-head-line" }, [name, arrow]),
		better,
	]);
	const node = element("th", { scope: "col" }, [button]);
	button.addEventListener("click", act);
	return {
		node,
		/** @param {Column} column @param {"ascending" | "descending" | "none"} sorted @param {boolean} chosen */
		draw(column, sorted, chosen) {
			setText(name, labelOf(column));
			setText(arrow, { ascending: "▴", descending: "▾", none: "" }[sorted]);
			setText(better, isLower(column) ? "↓ lower is better" : "↑ higher is better");
			node.setAttribute("aria-sort", sorted);
			node.classList.toggle("xw-chosen", chosen);
			button.title = [column.help, "Click to sort; again for the worst first"].filter(Boolean).join(". ");
		},
	};
}

/**
 * @typedef {{
 *   metric: string, title: string, chosen: boolean, mean: number, low: number, high: number, count: number, mark: number,
 *   note: string, guide: number, scale: number[],
 * }} Cell
 */

/** @param {(metric?: string) => void} choose */
function createRow(choose) {
	const letter = element("span", { class: "xw-letter", "aria-hidden": "true" });
	const name = element("span", { class: "xw-board-label" });
	const button = element("button", { type: "button" }, [letter, name]);
	const first = element("th", { scope: "row", class: "xw-board-name" }, [button]);
	const node = element("tr", {}, [first]);
	/** @type {ReturnType<typeof createCell>[]} */
	const cells = [];
	button.addEventListener("click", () => choose());
	return {
		node,
		/** @param {{label: string, letter: string, reference: boolean, cells: Cell[]}} row */
		draw(row) {
			setText(name, row.label);
			setText(letter, row.letter);
			letter.hidden = !row.letter;
			node.classList.toggle("xw-reference", row.reference);
			node.dataset.letter = row.letter;
			button.setAttribute("aria-pressed", String(Boolean(row.letter)));
			button.title = row.letter
				? `${row.label}: chosen as ${row.letter}; click to drop it`
				: `Compare ${row.label}${row.reference ? ", a reference" : ""} with another row`;
			while (cells.length > row.cells.length) cells.pop()?.node.remove();
			while (cells.length < row.cells.length) {
				const at = cells.length;
				const cell = createCell(() => choose(cells[at].metric()));
				cells.push(cell);
				node.append(cell.node);
			}
			for (const [at, cell] of row.cells.entries()) cells[at].draw(cell);
		},
	};
}

/** @param {() => void} choose */
function createCell(choose) {
	const number = element("span", { class: "xw-mean" });
	const mark = element("span", { class: "xw-mark" });
	const guide = element("div", { class: "xw-guide", hidden: true });
	const interval = element("div", { class: "xw-interval" });
	const dot = element("div", { class: "xw-dot" });
	const track = element("div", { class: "xw-track", "aria-hidden": "true" }, [guide, interval, dot]);
	const flag = element("span", { class: "xw-flag", hidden: true }, ["⚠"]);
	const said = element("span", { class: "xw-spoken" });
	const node = element("td", {}, [
		element("div", { class: "xw-board-cell" }, [number, mark, flag, track, said]),
	]);
	let metric = "";
	node.addEventListener("click", choose);
	return {
		node,
		metric: () => metric,
		/** @param {Cell} cell */
		draw(cell) {
			metric = cell.metric;
			const [from, to] = cell.scale;
			const span = to - from;
			/** @param {number} value  in percent of the track */
			const at = (value) => 100 * clamp(ROOM + (1 - 2 * ROOM) * ((value - from) / span));
			const known = !Number.isNaN(cell.mean);
			const bounded = known && !Number.isNaN(cell.low);
			// Empty until it is computed.
			setText(number, known ? scoreText(cell.mean, span) : cell.note ? "none" : "…");
			setText(mark, MARKS[cell.mark] ?? "");
			mark.title = MEANING[cell.mark] ?? "";
			interval.hidden = !bounded;
			dot.hidden = !known;
			guide.hidden = Number.isNaN(cell.guide);
			if (bounded) {
				interval.style.left = `${at(cell.low)}%`;
				interval.style.width = `${at(cell.high) - at(cell.low)}%`;
			}
			if (known) dot.style.left = `${at(cell.mean)}%`;
			if (!guide.hidden) guide.style.left = `${at(cell.guide)}%`;
			flag.hidden = !cell.note;
			flag.title = cell.note;
			node.dataset.mark = String(cell.mark);
			node.classList.toggle("xw-chosen", cell.chosen);
			node.classList.toggle("xw-none", !known);
			const words = bounded
				? `${scoreText(cell.mean, span)}, 95 % interval ${scoreText(cell.low, span)} to ${scoreText(cell.high, span)}`
				: known
					? scoreText(cell.mean, span)
					: "no score";
			const all = [
				`${cell.title}: ${words}`,
				cell.count ? `n = ${cell.count}` : "",
				MEANING[cell.mark],
				cell.note,
			];
			node.title = all.filter(Boolean).join("; ");
			setText(said, bounded ? `, from ${scoreText(cell.low, span)} to ${scoreText(cell.high, span)}` : "");
		},
	};
}
