/**
 * A cell of a table of maps over the whole window, or the two pinned cells with their difference.
 *
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {import("./figure.js").Figure} Figure
 * @typedef {ReturnType<typeof import("./map_grid_state.js").createTable>} Table
 * @typedef {import("./image.js").FloatMap} FloatMap
 * @typedef {{text: string, map: FloatMap | null, image: {shape: number[], words: Uint32Array} | null, look: import("./map_grid_state.js").Look}} Panel
 */
import { createScale } from "./color_tools.js";
import { digits } from "./digits.js";
import { element, setText } from "./dom.js";
import { actOnKeys } from "./keys.js";
import { createLayers } from "./map_grid_layers.js";
import { agreementWords, pinsOf } from "./map_grid_tools.js";
import { cellAt } from "./stage.js";
import { imagePosition, listenToViewport, viewportOf } from "./viewport.js";

/** The width of an image in the lightbox that its pixels are made for, CSS px. */
const LARGE = 560;

/**
 * @param {Figure} figure
 * @param {Table} table
 * @param {{
 *   keys: (event: KeyboardEvent) => Record<string, unknown> | null,
 *   step: (by: number) => Record<string, unknown> | null,
 *   pin: () => Record<string, unknown>,
 *   leave: () => void,
 *   keep: (position: number[]) => void,
 * }} acts
 */
export function createLightbox(figure, table, { keys, step, pin, leave, keep }) {
	const { model, set, signal } = figure;
	const name = element("span", { class: "xw-title" });
	const caption = element("span", { class: "xw-muted" });
	/** @param {string} text @param {string} label @param {() => void} act */
	const button = (text, label, act) => {
		const made = element("button", { type: "button", "aria-label": label, title: label }, [text]);
		made.addEventListener(
			"click",
			() => {
				act();
				stages.focus({ preventScroll: true });
			},
			{ signal },
		);
		return made;
	};
	const go = (/** @type {number} */ by) => set({ ...step(by), compared: false });
	const [previous, following] = [
		button("‹", "Previous map (left arrow)", () => go(-1)),
		button("›", "Next map (right arrow)", () => go(1)),
	];
	const pinned = button("Pin", "Pin this map, to compare it with others (p)", () => set(pin()));
	const compared = button("A | B", "Compare the two pinned maps (d)", () =>
		set({ compared: !model.get("compared") }),
	);
	const close = button("✕", "Close (Esc)", () => set({ enlarged: false }));
	const stages = element("div", {
		class: "xw-lightbox-stages",
		tabindex: 0,
		role: "application",
		"aria-roledescription": "map",
	});
	const warning = element("div", { class: "xw-lightbox-note", hidden: true });
	const facts = element("div", { class: "xw-muted" });
	const scale = createScale();
	const node = element("dialog", { class: "xw-lightbox" }, [
		element("div", { class: "xw-bar" }, [
			name,
			caption,
			element("span", { class: "xw-lightbox-buttons" }, [compared, pinned, previous, following, close]),
		]),
		warning,
		element("div", { class: "xw-lightbox-foot" }, [facts, scale.node]),
	]);
	const panels = Array.from({ length: 3 }, () => {
		const layers = createLayers();
		const text = element("span", { class: "xw-cell-name" });
		const value = element("span", { class: "xw-map-value" });
		return {
			layers,
			text,
			value,
			node: element("div", { class: "xw-panel" }, [
				layers.stage,
				element("div", { class: "xw-caption" }, [text, value]),
			]),
			/** @type {Panel | null} */
			shown: null,
		};
	});

	const zoom = listenToViewport(stages, figure, {
		frameAt: ({ target }) =>
			panels.find(({ layers }) => target instanceof Node && layers.stage.contains(target))?.layers.stage ??
			null,
	});
	node.insertBefore(element("div", { class: "xw-zoomable" }, [stages, zoom]), warning);
	for (const { layers } of panels) {
		const at = (/** @type {MouseEvent} */ event) => imagePosition(event, layers.stage, viewportOf(model));
		layers.stage.addEventListener("pointermove", (event) => set({ position: at(event) }), { signal });
		layers.stage.addEventListener("click", (event) => keep(at(event)), { signal });
	}
	stages.addEventListener("pointerleave", leave, { signal });
	// A click beside the dialog is one on its backdrop.
	node.addEventListener("click", ({ target }) => target === node && set({ enlarged: false }), { signal });
	node.addEventListener("close", () => model.get("enlarged") && set({ enlarged: false }), { signal });
	actOnKeys(stages, keys, set, signal);
	signal.addEventListener("abort", () => node.close());

	/** The cells that are shown. @returns {Panel[]} */
	function contents() {
		const [a, b] = pinsOf(model, table);
		const both = model.get("compared") && a && b ? table.difference(a, b) : null;
		/** @param {number[]} cell @param {string} text @returns {Panel} */
		const panel = ([row, column], text) => ({
			text,
			map: table.map(row, column),
			image: table.image(column),
			look: table.look(row, column),
		});
		if (both) {
			const image = table.image(a[1]);
			return [
				panel(a, `A ${table.nameOf(a)}`),
				panel(b, `B ${table.nameOf(b)}`),
				{ text: "A − B", image: a[1] === b[1] ? image : null, ...both },
			];
		}
		const cell = [model.get("row"), model.get("column")];
		return table.has(cell[0], cell[1]) ? [panel(cell, "")] : [];
	}

	function show() {
		const shown = contents();
		const [first] = shown;
		const three = shown.length > 1;
		node.classList.toggle("xw-compared", three);
		for (const [index, panel] of panels.entries()) paint(panel, shown[index] ?? null);
		if (stages.childElementCount !== shown.length) {
			stages.replaceChildren(...panels.slice(0, shown.length).map((panel) => panel.node));
		}
		const [height, width] = (first?.image ?? first?.map)?.shape ?? [1, 1];
		node.style.setProperty("--xw-ratio", String(width / height));
		const [row, column] = [model.get("row"), model.get("column")];
		const pins = pinsOf(model, table);
		setText(name, three ? "A and B" : table.has(row, column) ? table.nameOf([row, column]) : "");
		setText(caption, three ? "" : (model.get("column_captions")[column] ?? ""));
		stages.setAttribute("aria-label", [name.textContent, caption.textContent].filter(Boolean).join(", "));
		compared.hidden = pins.length < 2;
		compared.setAttribute("aria-pressed", String(three));
		pinned.hidden = three;
		const own = pins.findIndex(([r, c]) => r === row && c === column);
		setText(pinned, own < 0 ? "Pin" : `Pinned as ${"AB"[own]}`);
		pinned.setAttribute("aria-pressed", String(own >= 0));
		const note = three ? "" : table.has(row, column) ? table.note(row, column) : "";
		setText(warning, note && `⚠ ${note}`);
		warning.hidden = !note;
		setText(facts, three ? compareText(pins) : rangeText(row, column));
		const look = shown.at(-1)?.look;
		scale.node.hidden = !look;
		if (look) {
			scale.show(
				look.table,
				look.sign === "both",
				`${look.sign === "negative" ? "−" : ""}${digits(look.limit)}`,
			);
		}
		place();
	}

	/** @param {(typeof panels)[number]} panel @param {Panel | null} shown */
	function paint(panel, shown) {
		panel.shown = shown;
		if (!shown) return;
		const { layers } = panel;
		layers.paintBase(shown.image, (shown.image ?? shown.map)?.shape ?? [1, 1]);
		layers.paintMap(shown.map, shown.look, {
			interpolation: model.get("interpolation"),
			pixels: LARGE * devicePixelRatio,
		});
		setText(panel.text, shown.text);
	}

	/** @param {number} row @param {number} column */
	function rangeText(row, column) {
		const range = table.range(row, column);
		if (!range) return table.has(row, column) ? table.states()[row][column] : "";
		const { limit } = table.look(row, column);
		const share = model.get("percentile");
		const end = share === 100 ? "the largest magnitude" : `which ${share} % of the magnitudes do not exceed`;
		return `Values from ${digits(range.low)} to ${digits(range.high)}. The colors end at ${digits(limit)}, ${end}.`;
	}

	/** @param {number[][]} pins */
	function compareText([a, b]) {
		const share = model.get("percentile");
		const end = share === 100 ? "largest magnitude" : `${share} % magnitude`;
		return (
			`${agreementWords(table, a, b)}. A − B: each map is divided by its own ${end}; ` +
			"colors above 0 mark where A is larger, those below 0 where B is."
		);
	}

	/** The values at the position. */
	function place() {
		const position = model.get("position");
		for (const { shown, value } of panels) {
			const at = shown?.map && cellAt(position, shown.map.shape);
			setText(value, shown?.map && at ? digits(shown.map.data[at.row * at.columns + at.column]) : "");
		}
	}

	return {
		node,
		isOpen: () => node.open,
		show,
		place,
		open() {
			if (!node.open) node.showModal();
			show();
			stages.focus({ preventScroll: true });
		},
		close() {
			if (node.open) node.close();
		},
	};
}
