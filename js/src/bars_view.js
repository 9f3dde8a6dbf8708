import "./bars_view.css";
import { decode } from "./lib/arrays.js";
import { cached } from "./lib/cached.js";
import { element, setText } from "./lib/dom.js";
import { view } from "./lib/figure.js";
import { draggedOrAsked } from "./lib/kernel.js";
import { clamp } from "./lib/numbers.js";
import { seriesColor } from "./lib/palette.js";
import { observe, onFrame } from "./lib/state.js";

/**
 * @typedef {import("./lib/arrays.js").NDArray<Float32Array>} Values  (steps, rows, bars)
 */

let count = 0;

/** The lowest and highest end of each kind of bar over all steps, with 0 between them. */
const limitsOf = cached((/** @type {Float32Array} */ data, /** @type {number} */ kinds) =>
	Array.from({ length: kinds }, (_, kind) => {
		let [low, high] = [0, 0];
		for (let i = kind; i < data.length; i += kinds) {
			if (data[i] < low) low = data[i];
			if (data[i] > high) high = data[i];
		}
		return high > low ? [low, high] : [0, 1];
	}),
);

export default view("xw-bars-view", (figure) => {
	const { model, signal, title } = figure;
	const choose = draggedOrAsked(figure, "frame");
	const id = `xw-bars-${++count}`;
	const list = element("div", { class: "xw-bars", role: "listbox", tabindex: 0 });
	/** @type {ReturnType<typeof createRow>[]} */
	const rows = [];
	/** @type {Values | null} */
	let values = null;
	let head = "";

	/** @param {number} kinds */
	function arrange(kinds) {
		const names = Array.from({ length: kinds }, (_, kind) => model.get("series")[kind] ?? "");
		const key = JSON.stringify([names, rows.length, model.get("row_title")]);
		if (key === head) return;
		head = key;
		list.style.gridTemplateColumns = `minmax(60px, max-content) repeat(${kinds}, minmax(84px, 1fr))`;
		const heads = [model.get("row_title"), ...names].map((name) =>
			element("div", { class: "xw-bars-head", title: name, "aria-hidden": "true" }, [name]),
		);
		list.replaceChildren(...heads, ...rows.map((row) => row.node));
	}

	/** The values of the step: this runs at each step of a drag. */
	function draw() {
		if (!values) return;
		const [steps, length, kinds] = values.shape;
		const step = clamp(model.get("step"), 0, steps - 1);
		const limits = limitsOf(values.data, kinds);
		const names = model.get("series");
		for (const [index, row] of rows.entries()) {
			const from = (step * length + index) * kinds;
			row.draw(
				model.get("labels")[index] ?? `${index}`,
				values.data.subarray(from, from + kinds),
				limits,
				names,
			);
		}
	}

	function mark() {
		const frame = model.get("frame");
		for (const [index, row] of rows.entries())
			row.node.setAttribute("aria-selected", String(index === frame));
		const active = rows[frame];
		if (active) list.setAttribute("aria-activedescendant", active.node.id);
		else list.removeAttribute("aria-activedescendant");
	}

	list.addEventListener(
		"click",
		(event) => {
			const node = /** @type {Element} */ (event.target).closest("[role=option]");
			const index = rows.findIndex((row) => row.node === node);
			if (index >= 0) choose(index);
		},
		{ signal },
	);
	observe(model, ["step"], onFrame(draw, signal), signal);
	observe(model, ["frame"], mark, signal);
	return {
		head: title,
		content: [list],
		drawing: [list],
		label: "bars",
		stage: list,
		traits: ["labels", "values", "series", "row_title", "empty"],
		refresh() {
			values = decode(model.get("values"));
			const length = values?.shape[1] ?? 0;
			while (rows.length > length) rows.pop();
			while (rows.length < length) rows.push(createRow(`${id}-${rows.length}`, values?.shape[2] ?? 0));
			if (!values || length === 0) return model.get("empty") || "not computed yet";
			for (const [index, row] of rows.entries()) {
				if (row.kinds !== values.shape[2]) rows[index] = createRow(row.node.id, values.shape[2]);
			}
			arrange(values.shape[2]);
			draw();
			mark();
			return "";
		},
		onKey({ key }) {
			const by = /** @type {Record<string, number>} */ ({ ArrowDown: 1, ArrowUp: -1 })[key];
			const last = rows.length - 1;
			let next = -2;
			if (by) next = clamp(model.get("frame") + by, 0, last);
			else if (key === "Home") next = 0;
			else if (key === "End") next = last;
			else if (key === "Escape") next = -1;
			if (next === -2 || last < 0) return null;
			if (!model.get("_needs_kernel")) return { frame: next };
			choose(next);
			return {};
		},
	};
});

/** @param {number} value */
function text(value) {
	if (Number.isNaN(value)) return "—";
	return (Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3).slice(0, 6)).replace("-", "−");
}

/** @param {string} id @param {number} kinds */
function createRow(id, kinds) {
	const name = element("span", { class: "xw-bars-name" });
	const cells = Array.from({ length: kinds }, (_, kind) => {
		const fill = element("div", { class: "xw-bars-fill" });
		const zero = element("div", { class: "xw-bars-zero" });
		fill.style.setProperty("--xw-bar", seriesColor(kind));
		const number = element("span", { class: "xw-bars-number" });
		const track = element("div", { class: "xw-bars-track" }, [fill, zero]);
		return { fill, zero, number, node: element("div", { class: "xw-bars-cell" }, [track, number]) };
	});
	const node = element("div", { id, class: "xw-bars-row", role: "option", "aria-selected": "false" }, [
		name,
		...cells.map((cell) => cell.node),
	]);
	return {
		node,
		kinds,
		/** @param {string} label @param {Float32Array} values @param {number[][]} limits @param {string[]} names */
		draw(label, values, limits, names) {
			setText(name, label);
			const said = [label];
			for (const [kind, { fill, zero, number }] of cells.entries()) {
				const [low, high] = limits[kind];
				const at = (/** @type {number} */ value) => (100 * (value - low)) / (high - low);
				const value = values[kind];
				const shown = Number.isNaN(value) ? 0 : value;
				const [from, to] = [at(Math.min(shown, 0)), at(Math.max(shown, 0))];
				fill.style.left = `${from}%`;
				fill.style.width = `${to - from}%`;
				zero.style.left = `${at(0)}%`;
				zero.hidden = low === 0;
				setText(number, text(value));
				said.push(`${names[kind] ?? ""} ${text(value)}`.trim());
			}
			node.classList.toggle("xw-absent", Number.isNaN(values[0]));
			node.setAttribute("aria-label", said.join(", "));
			node.title = said.join(", ");
		},
	};
}
