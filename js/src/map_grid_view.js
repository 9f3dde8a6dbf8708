import "./map_grid_view.css";
import { MEASURES } from "./lib/agreement.js";
import { createScale } from "./lib/color_tools.js";
import { digits } from "./lib/digits.js";
import { element, setText } from "./lib/dom.js";
import { view } from "./lib/figure.js";
import { createCells, PINS, paintBase, paintMap, sayState } from "./lib/map_grid_cells.js";
import { createTable, mapTrait } from "./lib/map_grid_state.js";
import { createReadout, createTools, KEYS, onKey, pinned } from "./lib/map_grid_tools.js";
import { ascending } from "./lib/numbers.js";
import { cellAt } from "./lib/stage.js";
import { hoverer, observe, onFrame } from "./lib/state.js";
import { imagePosition, listenToViewport, viewportOf } from "./lib/viewport.js";

/**
 * @typedef {import("./lib/map_grid_cells.js").Box} Box
 * @typedef {import("./lib/map_grid_state.js").Look} Look
 */

/** The traits that `refresh` depends on; the maps have traits of their own. */
const TRAITS = [
	...["images", "row_labels", "column_labels", "column_captions", "states", "notes", "enlarged"],
	...["scale", "percentile", "sign", "colormap", "opacity", "fade", "gray", "interpolation", "size"],
];
/** For so long, in ms, agreements are computed within one frame. */
const BUDGET = 8;

/** @param {import("./lib/figure.js").Figure} figure @returns {import("./lib/figure.js").Parts} */
function build(figure) {
	const { model, set, refresh, guard, signal } = figure;
	const name = element("span", { class: "xw-alone-name" });
	const note = element("span", { class: "xw-alone-note xw-muted" });
	const back = element("button", { type: "button" }, ["← All maps"]);
	const bar = element("div", { class: "xw-bar xw-alone-bar", hidden: true }, [back, name, note]);
	const scale = createScale();
	const table = createTable(model);
	const readout = createReadout(figure);
	const cells = createCells({
		attributes: { role: "application", "aria-roledescription": "table of maps" },
		at: (event, stage) => imagePosition(event, stage, viewportOf(model)),
		hover,
		leave,
		click,
		pin: ({ row, column }) => set(pinned(model, row, column)),
		signal,
	});
	/** @type {Look[][]} */
	let looks = [];
	/** The position to go back to when the pointer leaves; undefined while it is outside. @type {number[] | null | undefined} */
	let kept;
	/** Ends the observation of the maps of a table that is gone. */
	let watching = new AbortController();
	signal.addEventListener("abort", () => watching.abort());
	const watchRows = createRowWatch();
	// A click enlarges a cell: there a double click is two of them.
	const zoom = listenToViewport(cells.node, figure, { frameAt: cells.stageAt, resets: false });
	const compareMore = onFrame(compare, signal);
	back.addEventListener("click", () => set({ enlarged: false }), { signal });
	/** @param {string[]} traits @param {() => void} draw */
	const drawOn = (traits, draw) =>
		observe(
			model,
			traits,
			onFrame(() => cells.boxes().length && guard(draw), signal),
			signal,
		);
	drawOn(["row", "column", "pins", "measure"], mark);
	// It is moved more often than the rest, and so drawn alone.
	drawOn(["position"], place);

	/** @param {Box} box @param {number[]} position */
	function hover({ row, column }, position) {
		if (kept === undefined) kept = model.get("position");
		set({ row, column, position });
	}

	function leave() {
		if (kept !== undefined) set({ position: kept });
		kept = undefined;
	}

	/** @param {Box} box @param {number[]} position */
	function click({ row, column }, position) {
		if (!model.get("enlarged")) {
			set({ row, column, enlarged: true });
			return;
		}
		kept = position;
		set({ position });
	}

	/** @param {KeyboardEvent} event */
	function key(event) {
		const values = onKey(event, model, table);
		// A position that was chosen by keys stays, too, when the pointer leaves.
		if (kept !== undefined && values && "position" in values) {
			kept = /** @type {number[] | null} */ (values.position);
		}
		return values;
	}

	/** Sets which rows are on the screen; the function it returns begins again with other cells. */
	function createRowWatch() {
		/** @type {Set<number>} */
		const seen = new Set();
		const observer = new IntersectionObserver((entries) => {
			for (const { target, isIntersecting } of entries) {
				const row = Number(/** @type {HTMLElement} */ (target).dataset.row);
				if (isIntersecting) seen.add(row);
				else seen.delete(row);
			}
			set({ _visible_rows: [...seen].filter((row) => row < table.height()).sort(ascending) });
		});
		signal.addEventListener("abort", () => observer.disconnect());
		return () => {
			observer.disconnect();
			seen.clear();
			for (const { node, column } of cells.boxes()) if (column === 0) observer.observe(node);
		};
	}

	function arrange() {
		const rows = Array.from({ length: table.height() }, (_, row) => table.rowName(row));
		const columns = Array.from({ length: table.width() }, (_, column) => ({
			name: table.columnName(column),
			caption: model.get("column_captions")[column] ?? "",
		}));
		if (!cells.arrange(rows, columns)) return;
		watching.abort();
		watching = new AbortController();
		const maps = cells.boxes().map(({ row, column }) => mapTrait(row, column));
		observe(model, maps, refresh, watching.signal);
		watchRows();
	}

	function paint() {
		const alone = boxAlone();
		const smooth = model.get("interpolation") === "smooth";
		looks = table.looks();
		const { style } = cells.node;
		style.setProperty("--xw-size", `${model.get("size")}px`);
		style.setProperty("--xw-opacity", model.get("opacity"));
		for (const box of cells.boxes()) {
			const { row, column } = box;
			const [map, image] = [table.map(row, column), table.image(column)];
			paintBase(box, image, (image ?? map)?.shape ?? [1, 1]);
			// Without a image there is nothing to see through to.
			box.node.classList.toggle("xw-bare", !image);
			paintMap(box, map, looks[row][column], { smooth, alone: alone === box });
			sayState(box, table.states()[row][column], table.note(row, column));
		}
	}

	/** The cell that is shown alone. @returns {Box | null} */
	function boxAlone() {
		return model.get("enlarged") ? cells.box(model.get("row"), model.get("column")) : null;
	}

	/** The position in all cells, with its values: what a hover changes. */
	function place() {
		const position = model.get("position");
		const grid = cells.node;
		grid.classList.toggle("xw-placed", Boolean(position));
		grid.style.setProperty("--xw-x", position ? String(position[0]) : "0");
		grid.style.setProperty("--xw-y", position ? String(position[1]) : "0");
		for (const box of cells.boxes()) setText(box.value, valueAt(box));
		read();
	}

	/** The cell under the pointer, and pins. */
	function mark() {
		const alone = boxAlone();
		cells.node.classList.toggle("xw-alone", Boolean(alone));
		bar.hidden = !alone;
		if (alone) {
			setText(name, nameOf([alone.row, alone.column]));
			setText(note, alone.alert.hidden ? "" : table.note(alone.row, alone.column));
		}
		const [row, column] = [model.get("row"), model.get("column")];
		const pins = currentPins();
		for (const box of cells.boxes()) {
			box.node.classList.toggle("xw-active", box.row === row && box.column === column);
			const pin = pins.findIndex(([r, c]) => r === box.row && c === box.column);
			setText(box.pin, PINS[pin] ?? "pin");
			box.pin.setAttribute("aria-pressed", String(pin >= 0));
			box.pin.setAttribute("aria-label", `pin ${nameOf([box.row, box.column])}`);
		}
		// A map painted among others is too coarse for one alone.
		if (alone && alone.painted.map.at(-1) === false) refresh();
		showScale(row, column);
		compare();
		read();
	}

	/** @returns {number[][]} */
	function currentPins() {
		return model.get("pins").filter((/** @type {number[]} */ [row, column]) => table.has(row, column));
	}

	/** The value of a cell at the position, in words. @param {{row: number, column: number}} box */
	function valueAt({ row, column }) {
		const map = table.map(row, column);
		const at = map && cellAt(model.get("position"), map.shape);
		return map && at ? digits(map.data[at.row * at.columns + at.column]) : "";
	}

	/** @param {number[]} cell */
	function nameOf([row, column]) {
		return `${table.rowName(row)} · ${table.columnName(column)}`;
	}

	/** The colors of the cell under the pointer, or those of all. @param {number} row @param {number} column */
	function showScale(row, column) {
		const all = model.get("scale") === "all";
		const look = looks[row]?.[column] ?? looks[0]?.[0];
		if (!look) return;
		const known = all || looks[row]?.[column];
		const sign = look.sign === "negative" ? "−" : "";
		scale.show(look.table, look.sign === "both", known ? `${sign}${digits(look.limit)}` : "largest");
	}

	/** Agreements with the first pinned cell, as many as fit into a frame; the others in the next ones. */
	function compare() {
		const [first] = currentPins();
		const measure = model.get("measure");
		const start = performance.now();
		let late = false;
		for (const box of cells.boxes()) {
			const own = first?.[0] === box.row && first[1] === box.column;
			late ||= performance.now() - start > BUDGET;
			if (late && first) break;
			const value = first && !own ? table.agreement(first, [box.row, box.column], measure) : null;
			box.badge.hidden = value === null;
			if (value !== null) setText(box.badge, agreementText(value));
		}
		if (late && first) compareMore();
	}

	/** Describes the position under the pointer and the pins. */
	function read() {
		const [first, second] = currentPins();
		const [row, column] = [model.get("row"), model.get("column")];
		const there = table.has(row, column);
		const shape = there ? (table.map(row, column) ?? table.image(column))?.shape : undefined;
		const at = shape && cellAt(model.get("position"), shape);
		const name = there ? nameOf([row, column]) : "";
		const where = at ? `${name} at row ${at.row}, col ${at.column}` : name;
		let words = "";
		if (first && second) {
			const numbers = MEASURES.map(({ value, text }) => {
				const number = table.agreement(first, second, value);
				return `${text} ${number === null ? "—" : agreementText(number)}`;
			});
			words = `A ${nameOf(first)}, B ${nameOf(second)}: ${numbers.join(", ")}`;
		} else if (first) {
			const { text } = MEASURES.find(({ value }) => value === model.get("measure")) ?? MEASURES[0];
			words = `A ${nameOf(first)}: each map shows its agreement with it (${text})`;
		}
		readout.show(where, there ? valueAt({ row, column }) : "", words);
	}

	return {
		content: [bar, element("div", { class: "xw-zoomable" }, [cells.node, zoom]), readout.node, scale.node],
		tools: createTools(figure),
		drawing: [cells.node, readout.node, scale.node],
		label: "Maps",
		stage: cells.node,
		traits: TRAITS,
		arrays: () => ["images", ...mapTraits(model)],
		refresh() {
			arrange();
			paint();
			mark();
			place();
			return cells.boxes().length ? "" : "No maps yet.";
		},
		keys: KEYS,
		onKey: key,
	};
}

/** @param {import("@anywidget/types").AnyModel} model @returns {string[]} the trait of each map */
const mapTraits = (model) =>
	model
		.get("states")
		.flatMap((/** @type {string[]} */ states, /** @type {number} */ row) =>
			states.map((_, column) => mapTrait(row, column)),
		);

/** @param {number} value */
const agreementText = (value) => (Number.isNaN(value) ? "—" : value.toFixed(2).replace("-", "−"));

export default view("xw-figure xw-map-grid-view", build, hoverer);
