import "./map_grid_view.css";
import { MEASURES } from "./lib/agreement.js";
import { createScale } from "./lib/color_tools.js";
import { digits } from "./lib/digits.js";
import { element, setText } from "./lib/dom.js";
import { view } from "./lib/figure.js";
import { createAgreements, ranksOf } from "./lib/map_grid_agreements.js";
import { createCells, PINS } from "./lib/map_grid_cells.js";
import { CAPTION, fitGallery } from "./lib/map_grid_layout.js";
import { createLightbox } from "./lib/map_grid_lightbox.js";
import { createTable, mapTrait } from "./lib/map_grid_state.js";
import {
	agreementWords,
	createReadout,
	createTools,
	KEYS,
	onKey,
	pinned,
	pinsOf,
} from "./lib/map_grid_tools.js";
import { ascending } from "./lib/numbers.js";
import { cellAt } from "./lib/stage.js";
import { hoverer, observe, onFrame } from "./lib/state.js";
import { imagePosition, listenToViewport, viewportOf } from "./lib/viewport.js";

/** @typedef {import("./lib/map_grid_cells.js").Box} Box */

/** The traits that `refresh` depends on; the maps have traits of their own. */
const TRAITS = [
	...["images", "row_labels", "column_labels", "column_captions", "row_signs", "states", "notes"],
	...["scale", "percentile", "sign", "colormap", "opacity", "fade", "gray", "interpolation", "smoothing"],
	...["size", "height"],
];
/** For so long, in ms, cells are painted within one frame. */
const BUDGET = 10;

/** @param {import("./lib/figure.js").Figure} figure @returns {import("./lib/figure.js").Parts} */
function build(figure) {
	const { model, root, set, refresh, guard, signal } = figure;
	const scale = createScale();
	const table = createTable(model);
	const readout = createReadout(figure);
	const cells = createCells({
		attributes: { role: "application", "aria-roledescription": "table of maps" },
		at: (event, stage) => imagePosition(event, stage, viewportOf(model)),
		hover,
		leave,
		click: ({ row, column }) => {
			set({ row, column, enlarged: true, compared: false });
			lightbox.open();
		},
		pin: ({ row, column }) => set(pinned(model, row, column)),
		signal,
	});
	const lightbox = createLightbox(figure, table, {
		keys: key,
		step,
		pin: () => pinned(model, model.get("row"), model.get("column")),
		leave,
		keep(position) {
			kept = position;
			set({ position });
		},
	});
	// A click enlarges a cell: there a double click is two of them.
	const zoom = listenToViewport(cells.node, figure, { frameAt: cells.stageAt, resets: false });
	const agreements = createAgreements(figure, table, cells, onAgreements);
	/** How a single column wraps, and the rank of each row. */
	const shown = { wrapped: 0, ranks: /** @type {number[]} */ ([]) };
	/** The position to go back to when the pointer leaves; undefined while it is outside. @type {number[] | null | undefined} */
	let kept;
	/** The boxes that are still to be painted. @type {Box[]} */
	let unpainted = [];
	/** Ends the observation of the maps of a table that is gone. */
	let watching = new AbortController();
	signal.addEventListener("abort", () => watching.abort());
	const rowWatch = createRowWatch();
	const paintMore = onFrame(() => guard(paintSome), signal);
	/** @param {string[]} traits @param {() => void} draw */
	const drawOn = (traits, draw) =>
		observe(
			model,
			traits,
			onFrame(() => cells.boxes().length && guard(draw), signal),
			signal,
		);
	drawOn(["row", "column", "pins", "measure", "sort", "compared"], mark);
	// A map that is finer than its drawing is reduced, by less where it is zoomed.
	drawOn(["viewport"], paint);
	// It is moved more often than the rest, and so drawn alone.
	drawOn(["position"], place);
	observe(model, ["enlarged"], enlarge, signal);
	const resized = new ResizeObserver(() => cells.boxes().length && resize());
	signal.addEventListener("abort", () => resized.disconnect());

	/** @param {Box} box @param {number[]} position */
	function hover({ row, column }, position) {
		if (kept === undefined) kept = model.get("position");
		set({ row, column, position });
	}

	function leave() {
		if (kept !== undefined) set({ position: kept });
		kept = undefined;
	}

	/** @param {KeyboardEvent} event */
	function key(event) {
		const values = onKey(event, model, table, shown);
		// A position that was chosen by keys stays, too, when the pointer leaves.
		if (kept !== undefined && values && "position" in values) {
			kept = /** @type {number[] | null} */ (values.position);
		}
		// The trait may have been set before without a lightbox, as in a saved notebook.
		if (values?.enlarged) queueMicrotask(() => lightbox.open());
		return values;
	}

	/** The cell that comes so many later in the order of reading. @param {number} by */
	function step(by) {
		const [row, column, width] = [model.get("row"), model.get("column"), table.width()];
		const place = shown.ranks[row] * width + column + by;
		if (place < 0 || place >= table.height() * width) return {};
		return { row: shown.ranks.indexOf(Math.floor(place / width)), column: place % width };
	}

	/** Opens the lightbox where the view is seen, as another view of the same model may open it, too. */
	function enlarge() {
		if (!model.get("enlarged")) lightbox.close();
		else if (rowWatch.seen().size && !document.querySelector(".xw-lightbox[open]")) lightbox.open();
	}

	/** Sets which rows are on the screen. */
	function createRowWatch() {
		/** @type {Set<number>} */
		const seen = new Set();
		let entered = 0;
		const observer = new IntersectionObserver((entries) => {
			for (const { target, isIntersecting } of entries) {
				const row = Number(/** @type {HTMLElement} */ (target).dataset.row);
				if (isIntersecting) seen.add(row);
				else seen.delete(row);
			}
			// A host that skips what is off the screen may keep its style of before: an inherited variable renews it.
			cells.node.style.setProperty("--xw-entered", String(entered++ % 2));
			set({ _visible_rows: [...seen].filter((row) => row < table.height()).sort(ascending) });
		});
		signal.addEventListener("abort", () => observer.disconnect());
		return {
			seen: () => seen,
			/** Begins again with other cells. */
			restart() {
				observer.disconnect();
				seen.clear();
				for (const { node, column } of cells.boxes()) if (column === 0) observer.observe(node);
			},
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
		const changed = () => {
			agreements.wait();
			refresh();
		};
		observe(model, maps, changed, watching.signal);
		rowWatch.restart();
	}

	/** The size of the cells: as the width allows, and such that all cells of one column are visible, if they can be. */
	function resize() {
		const { node } = cells;
		const largest = model.get("size");
		const full = root.matches(":fullscreen");
		const most = full ? Math.max(300, innerHeight - 160) : model.get("height");
		// The strip of the pinned cells takes its line from the cells, so that nothing below moves.
		const strip = readout.strip.offsetHeight;
		const limit = most && Math.max(120, most - (strip ? strip + 4 : 0));
		node.style.maxHeight = limit ? `${limit}px` : "";
		const lines = cells.boxes().filter(({ node: cell }) => cell.classList.contains("xw-line")).length;
		const [box] = cells.boxes();
		const [rows, columns] = (table.image(0) ?? table.map(0, 0))?.shape ?? [1, 1];
		shown.wrapped = 0;
		let size = limit ? Math.min(largest, Math.round(0.6 * limit)) : largest;
		if (table.width() === 1 && box) {
			const fitted = fitGallery({
				count: table.height() - lines,
				width: node.clientWidth - 8,
				// Below the name of the column, and above the lines of methods without a map.
				height: limit && Math.max(limit - 8 - CAPTION * (1 + lines), 120),
				ratio: rows / columns,
				largest,
			});
			shown.wrapped = fitted.columns;
			size = fitted.size;
		}
		node.style.setProperty("--xw-columns", String(shown.wrapped || table.width()));
		node.style.setProperty("--xw-size", `${size}px`);
		node.classList.toggle("xw-small", (box?.stage.clientWidth || size) < 130);
	}

	function paint() {
		root.style.setProperty("--xw-opacity", model.get("opacity"));
		cells.sayStates(table.states(), table.note);
		resize();
		const seen = rowWatch.seen();
		const later = cells.boxes().filter(({ row }) => !seen.has(row));
		unpainted = [...cells.boxes().filter(({ row }) => seen.has(row)), ...later];
		paintSome();
	}

	/** Paints as many cells as fit into a frame, visible ones first; the others in the next frames. */
	function paintSome() {
		const interpolation = model.get("interpolation");
		const [box] = cells.boxes();
		const [, , zoom] = viewportOf(model);
		const pixels = (box?.stage.clientWidth || model.get("size")) * devicePixelRatio * zoom;
		const start = performance.now();
		const todo = unpainted;
		unpainted = [];
		while (todo.length && performance.now() - start < BUDGET) {
			const { row, column, layers } = /** @type {Box} */ (todo.shift());
			const [map, image] = [table.map(row, column), table.image(column)];
			layers.paintBase(image, (image ?? map)?.shape ?? [1, 1]);
			layers.paintMap(map, table.look(row, column), { interpolation, pixels });
		}
		unpainted = todo;
		if (todo.length) paintMore();
	}

	/** The position in all cells, with its values: what a hover changes. */
	function place() {
		const position = model.get("position");
		root.classList.toggle("xw-placed", Boolean(position));
		root.style.setProperty("--xw-x", position ? String(position[0]) : "0");
		root.style.setProperty("--xw-y", position ? String(position[1]) : "0");
		for (const box of cells.boxes()) setText(box.value, valueAt(box));
		if (lightbox.isOpen()) lightbox.place();
		read();
	}

	/** The cell under the pointer, and pins. */
	function mark() {
		const [row, column] = [model.get("row"), model.get("column")];
		const pins = pinsOf(model, table);
		for (const box of cells.boxes()) {
			box.node.classList.toggle("xw-active", box.row === row && box.column === column);
			const pin = pins.findIndex(([r, c]) => r === box.row && c === box.column);
			setText(box.pin, PINS[pin] ?? "pin");
			box.pin.setAttribute("aria-pressed", String(pin >= 0));
			box.pin.setAttribute("aria-label", `pin ${table.nameOf([box.row, box.column])}`);
		}
		showScale(row, column);
		if (pins.length > 0 === readout.strip.hidden) {
			readout.strip.hidden = pins.length === 0;
			resize();
		}
		if (shown.ranks.length !== table.height()) {
			shown.ranks = Array.from({ length: table.height() }, (_, index) => index);
		}
		if (lightbox.isOpen()) lightbox.show();
		read();
		agreements.show();
	}

	/** Shows the agreements of the pinned cells, and orders the rows by them. */
	function onAgreements() {
		shown.ranks = ranksOf(model, table);
		cells.order(shown.ranks);
		if (lightbox.isOpen()) lightbox.show();
		read();
	}

	/** The value of a cell at the position, in words. @param {{row: number, column: number}} box */
	function valueAt({ row, column }) {
		const map = table.map(row, column);
		const at = map && cellAt(model.get("position"), map.shape);
		return map && at ? digits(map.data[at.row * at.columns + at.column]) : "";
	}

	/** The colors of the cell under the pointer, or those of all. @param {number} row @param {number} column */
	function showScale(row, column) {
		const there = table.has(row, column);
		if (!table.has(0, 0)) return;
		const look = there ? table.look(row, column) : table.look(0, 0);
		const known = model.get("scale") === "all" || there;
		const sign = look.sign === "negative" ? "−" : "";
		scale.show(look.table, look.sign === "both", known ? `${sign}${digits(look.limit)}` : "largest");
	}

	/** Describes the position under the pointer and the pins. */
	function read() {
		const [first, second] = pinsOf(model, table);
		const cell = [model.get("row"), model.get("column")];
		const [row, column] = cell;
		const there = table.has(row, column);
		const shape = there ? (table.map(row, column) ?? table.image(column))?.shape : undefined;
		const at = shape && cellAt(model.get("position"), shape);
		const name = there ? table.nameOf(cell) : "";
		const where = at ? `${name} at row ${at.row}, col ${at.column}` : name;
		let words = "";
		if (first && second) {
			// The numbers first: a line that is too long ends in the names.
			words = `${agreementWords(table, first, second)} of A ${table.nameOf(first)}, B ${table.nameOf(second)}`;
		} else if (first) {
			const { text } = MEASURES.find(({ value }) => value === model.get("measure")) ?? MEASURES[0];
			words = `A ${table.nameOf(first)}: each map shows its agreement with it (${text})`;
		}
		readout.show(where, there ? valueAt({ row, column }) : "", words, Boolean(second));
	}

	const report = element("div", { class: "xw-report" }, [readout.node, scale.node]);
	// It has the width of the cells, and their height does not change its own.
	resized.observe(report);
	return {
		content: [
			element("div", { class: "xw-zoomable" }, [cells.node, zoom]),
			...[report, readout.strip, lightbox.node],
		],
		tools: createTools(figure),
		drawing: [cells.node, report],
		label: "Maps",
		stage: cells.node,
		traits: TRAITS,
		arrays: () => ["images", ...cells.boxes().map(({ row, column }) => mapTrait(row, column))],
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

export default view("xw-figure xw-map-grid-view", build, hoverer);
