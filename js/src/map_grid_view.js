import { widget } from "./lib/widget.js";
import "./map_grid_view.css";
import { MEASURES } from "./lib/agreement.js";
import { digits } from "./lib/digits.js";
import { element } from "./lib/dom.js";
import { hoverer } from "./lib/hoverer.js";
import { bindKeys } from "./lib/keys.js";
import { createCells, PINS, paintBase, paintMap, sayState } from "./lib/map_grid_cells.js";
import { createTable, mapTrait } from "./lib/map_grid_state.js";
import { createReadout, createTools, KEYS, onKey, pinned } from "./lib/map_grid_tools.js";
import { setText } from "./lib/similarity_cells.js";
import { createScale } from "./lib/similarity_tools.js";
import { cellAt, fitWidth } from "./lib/stage.js";
import { observe, onFrame } from "./lib/state.js";

/**
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {import("./lib/map_grid_cells.js").Box} Box
 * @typedef {import("./lib/map_grid_state.js").Look} Look
 */

/** What the cells, their canvases and the controls depend on; the maps have traits of their own. */
const STILL = [
	...["images", "rows", "columns", "captions", "states", "notes", "enlarged"],
	...["scale", "percentile", "sign", "colormap", "opacity", "fade", "gray", "interpolation"],
	...["size", "controls", "width", "title"],
];
/** What is drawn when the hand goes to another cell; the place, which is moved more often, is drawn alone. */
const MOVING = ["row", "column", "pins", "measure"];
/** For so long, in ms, agreements are computed within one frame. */
const BUDGET = 8;

class View {
	#title = element("span", { class: "xw-title" });
	#notice = element("div", { class: "xw-notice", hidden: true });
	#name = element("span", { class: "xw-alone-name" });
	#note = element("span", { class: "xw-alone-note xw-muted" });
	#back = element("button", { type: "button" }, ["← All maps"]);
	#bar = element("div", { class: "xw-bar xw-alone-bar", hidden: true }, [this.#back, this.#name, this.#note]);
	#scale = createScale();
	/** @type {Look[][]} */
	#looks = [];
	/** The place to go back to when the pointer leaves; undefined as long as it is outside. @type {number[] | null | undefined} */
	#kept;
	#model;
	#signal;
	#set;
	#table;
	#cells;
	#readout;
	#tools;
	/** Ends the observation of the maps of a table that is gone. */
	#watching = new AbortController();

	/** @param {Model} model @param {AbortSignal} signal */
	constructor(model, signal) {
		this.#model = model;
		this.#signal = signal;
		this.#set = hoverer(model, signal);
		this.#table = createTable(model);
		this.#readout = createReadout(signal);
		this.#tools = createTools(model, this.#set, signal);
		this.#cells = createCells({
			attributes: {
				role: "application",
				"aria-roledescription": "table of maps",
				"aria-description": KEYS.map(([key, what]) => `${key}: ${what}`).join("; "),
			},
			hover: (box, position) => this.#hover(box, position),
			leave: () => this.#leave(),
			click: (box, position) => this.#click(box, position),
			pin: ({ row, column }) => this.#set(pinned(model, row, column)),
			signal,
		});
		this.#back.addEventListener("click", () => this.#set({ enlarged: false }), { signal });
		this.root = element("div", { class: "xw xw-figure xw-map-grid-view", role: "group" }, [
			element("div", { class: "xw-head" }, [this.#title]),
			this.#notice,
			this.#bar,
			this.#cells.node,
			this.#readout.node,
			this.#scale.node,
			this.#tools,
		]);
		bindKeys(this.root, this.#cells.node, {
			act: (event) => this.#key(event),
			set: (values) => this.#set(values),
			signal,
		});
		this.refresh = onFrame(() => this.#refresh(), signal);
		this.mark = onFrame(() => this.#cells.boxes().length && this.#guarded(() => this.#mark()), signal);
		this.place = onFrame(() => this.#cells.boxes().length && this.#guarded(() => this.#place()), signal);
		this.compare = onFrame(() => this.#compare(), signal);
		signal.addEventListener("abort", () => this.#watching.abort());
		this.#watchRows();
	}

	/** @param {Box} box @param {number[]} position */
	#hover({ row, column }, position) {
		if (this.#kept === undefined) this.#kept = this.#model.get("position");
		this.#set({ row, column, position });
	}

	#leave() {
		if (this.#kept !== undefined) this.#set({ position: this.#kept });
		this.#kept = undefined;
	}

	/** @param {Box} box @param {number[]} position */
	#click({ row, column }, position) {
		if (!this.#model.get("enlarged")) {
			this.#set({ row, column, enlarged: true });
			return;
		}
		this.#kept = position;
		this.#set({ position });
	}

	/** @param {KeyboardEvent} event */
	#key(event) {
		if (!this.#notice.hidden) return null;
		const values = onKey(event, this.#model, this.#table);
		// A place that was chosen by keys stays, too, when the pointer leaves.
		if (this.#kept !== undefined && values && "position" in values) {
			this.#kept = /** @type {number[] | null} */ (values.position);
		}
		return values;
	}

	/** Tells which rows are on the screen. */
	#watchRows() {
		/** @type {Set<number>} */
		const seen = new Set();
		const observer = new IntersectionObserver((entries) => {
			for (const { target, isIntersecting } of entries) {
				const row = Number(/** @type {HTMLElement} */ (target).dataset.row);
				if (isIntersecting) seen.add(row);
				else seen.delete(row);
			}
			const rows = [...seen].filter((row) => row < this.#table.height()).sort((a, b) => a - b);
			this.#set({ seen: rows });
		});
		this.#signal.addEventListener("abort", () => observer.disconnect());
		this.watch = () => {
			observer.disconnect();
			seen.clear();
			for (const { node, column } of this.#cells.boxes()) if (column === 0) observer.observe(node);
		};
	}

	/** @param {() => void} act  words take the place of the table where it fails */
	#guarded(act) {
		let problem = "";
		try {
			act();
		} catch (error) {
			problem = `This view cannot be drawn: ${/** @type {Error} */ (error).message}.`;
		}
		const empty = !problem && this.#cells.boxes().length === 0;
		this.#notice.textContent = empty ? "No maps yet." : problem;
		this.#notice.classList.toggle("xw-error", Boolean(problem));
		if (problem) this.#notice.setAttribute("role", "alert");
		else this.#notice.removeAttribute("role");
		this.#notice.hidden = !problem && !empty;
		for (const node of [this.#cells.node, this.#readout.node, this.#scale.node]) {
			node.hidden = !this.#notice.hidden;
		}
	}

	#refresh() {
		const model = this.#model;
		const title = model.get("title");
		this.#title.textContent = title;
		this.#title.hidden = !title;
		for (const node of [this.root, this.#cells.node]) node.setAttribute("aria-label", title || "Maps");
		fitWidth(this.root, model.get("width"));
		this.#tools.hidden = !model.get("controls");
		this.#guarded(() => {
			this.#arrange();
			this.#paint();
			this.#mark();
			this.#place();
		});
	}

	#arrange() {
		const table = this.#table;
		const rows = Array.from({ length: table.height() }, (_, row) => table.rowName(row));
		const columns = Array.from({ length: table.width() }, (_, column) => ({
			name: table.columnName(column),
			caption: this.#model.get("captions")[column] ?? "",
		}));
		if (!this.#cells.arrange(rows, columns)) return;
		this.#watching.abort();
		this.#watching = new AbortController();
		const maps = this.#cells.boxes().map(({ row, column }) => mapTrait(row, column));
		observe(this.#model, maps, this.refresh, this.#watching.signal);
		this.watch?.();
	}

	#paint() {
		const model = this.#model;
		const table = this.#table;
		const alone = this.#alone();
		const smooth = model.get("interpolation") === "smooth";
		this.#looks = table.looks();
		const { style } = this.#cells.node;
		style.setProperty("--xw-size", `${model.get("size")}px`);
		style.setProperty("--xw-opacity", model.get("opacity"));
		for (const box of this.#cells.boxes()) {
			const { row, column } = box;
			const [map, image] = [table.map(row, column), table.image(column)];
			paintBase(box, image, (image ?? map)?.shape ?? [1, 1]);
			// Without a picture there is nothing to see through to.
			box.node.classList.toggle("xw-bare", !image);
			paintMap(box, map, this.#looks[row][column], { smooth, alone: alone === box });
			sayState(box, table.states()[row][column], table.note(row, column));
		}
	}

	/** The cell that is shown alone. @returns {Box | null} */
	#alone() {
		const model = this.#model;
		return model.get("enlarged") ? this.#cells.box(model.get("row"), model.get("column")) : null;
	}

	/** The place in all cells, with its values: what a hover changes. */
	#place() {
		const position = this.#model.get("position");
		const grid = this.#cells.node;
		grid.classList.toggle("xw-placed", Boolean(position));
		grid.style.setProperty("--xw-x", position ? String(position[0]) : "0");
		grid.style.setProperty("--xw-y", position ? String(position[1]) : "0");
		for (const box of this.#cells.boxes()) setText(box.value, this.#valueAt(box));
		this.#read();
	}

	/** The cell under the hand, and pins. */
	#mark() {
		const model = this.#model;
		const alone = this.#alone();
		this.#cells.node.classList.toggle("xw-alone", Boolean(alone));
		this.#bar.hidden = !alone;
		if (alone) {
			setText(this.#name, this.#nameOf([alone.row, alone.column]));
			setText(this.#note, alone.alert.hidden ? "" : this.#table.note(alone.row, alone.column));
		}
		const [row, column] = [model.get("row"), model.get("column")];
		const pins = this.#pins();
		for (const box of this.#cells.boxes()) {
			box.node.classList.toggle("xw-active", box.row === row && box.column === column);
			const pin = pins.findIndex(([r, c]) => r === box.row && c === box.column);
			setText(box.pin, PINS[pin] ?? "pin");
			box.pin.setAttribute("aria-pressed", String(pin >= 0));
			box.pin.setAttribute("aria-label", `pin ${this.#nameOf([box.row, box.column])}`);
		}
		// What was painted for a place among others is too coarse for one alone.
		if (alone && alone.painted.map.at(-1) === false) this.refresh();
		this.#showScale(row, column);
		this.#compare();
		this.#read();
	}

	/** @returns {number[][]} */
	#pins() {
		return this.#model
			.get("pins")
			.filter((/** @type {number[]} */ [row, column]) => this.#table.has(row, column));
	}

	/** The value of a cell at the place, in words. @param {{row: number, column: number}} box */
	#valueAt({ row, column }) {
		const map = this.#table.map(row, column);
		const at = map && cellAt(this.#model.get("position"), map.shape);
		return map && at ? digits(map.data[at.row * at.columns + at.column]) : "";
	}

	/** @param {number[]} cell */
	#nameOf([row, column]) {
		return `${this.#table.rowName(row)} · ${this.#table.columnName(column)}`;
	}

	/** The colours of the cell under the hand, or those of all. @param {number} row @param {number} column */
	#showScale(row, column) {
		const all = this.#model.get("scale") === "all";
		const look = this.#looks[row]?.[column] ?? this.#looks[0]?.[0];
		if (!look) return;
		const known = all || this.#looks[row]?.[column];
		const sign = look.sign === "negative" ? "−" : "";
		this.#scale.show(look.table, look.sign === "both", known ? `${sign}${digits(look.limit)}` : "largest");
	}

	/** Agreements with the first pinned cell, as many as fit into a frame; the others in the next ones. */
	#compare() {
		const [first] = this.#pins();
		const measure = this.#model.get("measure");
		const start = performance.now();
		let late = false;
		for (const box of this.#cells.boxes()) {
			const own = first?.[0] === box.row && first[1] === box.column;
			late ||= performance.now() - start > BUDGET;
			if (late && first) break;
			const value = first && !own ? this.#table.agreement(first, [box.row, box.column], measure) : null;
			box.badge.hidden = value === null;
			if (value !== null) setText(box.badge, agreementText(value));
		}
		if (late && first) this.compare();
	}

	/** What is under the hand and pinned, in words. */
	#read() {
		const model = this.#model;
		const [first, second] = this.#pins();
		const [row, column] = [model.get("row"), model.get("column")];
		const there = this.#table.has(row, column);
		const shape = there ? (this.#table.map(row, column) ?? this.#table.image(column))?.shape : undefined;
		const at = shape && cellAt(model.get("position"), shape);
		const name = there ? this.#nameOf([row, column]) : "";
		const where = at ? `${name} at row ${at.row}, col ${at.column}` : name;
		let words = "";
		if (first && second) {
			const numbers = MEASURES.map(({ value, text }) => {
				const number = this.#table.agreement(first, second, value);
				return `${text} ${number === null ? "—" : agreementText(number)}`;
			});
			words = `A ${this.#nameOf(first)}, B ${this.#nameOf(second)}: ${numbers.join(", ")}`;
		} else if (first) {
			const { text } = MEASURES.find(({ value }) => value === model.get("measure")) ?? MEASURES[0];
			words = `A ${this.#nameOf(first)}: each map says its agreement with it (${text})`;
		}
		this.#readout.show(where, there ? this.#valueAt({ row, column }) : "", words);
	}
}

/** @param {number} value */
const agreementText = (value) => (Number.isNaN(value) ? "—" : value.toFixed(2).replace("-", "−"));

/** @param {{model: Model, el: HTMLElement}} context @returns {() => void} */
function render({ model, el }) {
	const controller = new AbortController();
	const { signal } = controller;
	const view = new View(model, signal);
	observe(model, STILL, view.refresh, signal);
	observe(model, MOVING, view.mark, signal);
	observe(model, ["position"], view.place, signal);
	view.refresh();
	el.append(view.root);
	return () => {
		controller.abort();
		view.root.remove();
	};
}

export default widget(render);
