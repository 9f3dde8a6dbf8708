/**
 * The controls of a similarity view, its readout and its colour bar.
 *
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {(values: Record<string, unknown>) => void} Setter
 */
import { cached } from "./cached.js";
import { DIVERGING_NAMES, SEQUENTIAL_NAMES, STEPS } from "./colormaps.js";
import { checkControl, createAnnouncer, keyHelp, rangeControl, selectControl } from "./controls.js";
import { digits } from "./digits.js";
import { element } from "./dom.js";
import { Raster } from "./image.js";
import { setText } from "./similarity_cells.js";
import { COLORS } from "./similarity_colors.js";

export const KINDS = [
	{ value: "cosine", text: "cosine" },
	{ value: "dot", text: "dot product" },
	{ value: "euclidean", text: "Euclidean kernel" },
];
export const SCOPES = [
	{ value: "across", text: "with the hovered place" },
	{ value: "within", text: "each with its own place" },
];
export const COLORMAPS = [...DIVERGING_NAMES, ...SEQUENTIAL_NAMES];
/** @type {[string, string][]} */
export const KEYS = [
	["← ↑ ↓ →", "move by one cell, with Shift by ten"],
	["PgUp PgDn", "picture before, next picture"],
	[", .", "layer before, next layer"],
	["Enter or click", "pin the place, or take its pin away"],
	["Esc", "take pins and mark away"],
	["− + or [ ]", "opacity"],
	["t, Shift t", "threshold up, down"],
	["k", "next similarity"],
	["w", "with the hovered place, or each with its own"],
	["c", "next colours"],
	["s", "smooth or pixelated"],
	["dashed box", "theoretical receptive field: all that the hovered place can see"],
	["box", "effective receptive field: what it really looks at, on average"],
];

/** @param {Model} model @param {Setter} set @param {AbortSignal} signal */
export function createTools(model, set, signal) {
	/** @param {string} trait @param {string} label */
	const bind = (trait, label) => ({ model, trait, label, set, signal });
	/** @param {number} value */
	const percent = (value) => `${Math.round(100 * value)} %`;
	const colormaps = () => ["auto", ...COLORMAPS].map((value) => ({ value, text: value.replace("_", " – ") }));
	return element("div", { class: "xw-tools" }, [
		selectControl(bind("scope", "Compare"), () => SCOPES),
		selectControl(bind("kind", "Similarity"), () => KINDS),
		rangeControl(bind("opacity", "Opacity"), { min: 0, max: 1, step: 0.01, text: percent }),
		rangeControl(bind("threshold", "Threshold"), { min: 0, max: 1, step: 0.01, text: percent }),
		selectControl(bind("colormap", "Colours"), colormaps),
		checkControl(bind("interpolation", "Smooth"), { on: "smooth", off: "pixelated" }),
		checkControl(bind("fade", "Fade small values"), { on: true, off: false }),
		checkControl(bind("gray", "Grey pictures"), { on: true, off: false }),
		keyHelp(KEYS),
	]);
}

/** The colours of `count` components, with those chosen in place of ours. @param {Model} model @param {number} count */
export function componentColors(model, count) {
	const chosen = model.get("component_colors");
	return Array.from({ length: count }, (_, part) => chosen[part] ?? COLORS[part % COLORS.length]);
}

/**
 * A box for each component: whether it is drawn, and its colour.
 *
 * @param {Model} model
 * @param {Setter} set
 * @param {AbortSignal} signal
 */
export function createChips(model, set, signal) {
	const opacity = rangeControl(
		{ model, trait: "component_opacity", label: "Components", set, signal },
		{ min: 0, max: 1, step: 0.01, text: (value) => `${Math.round(100 * value)} %` },
	);
	const list = element("div", { class: "xw-chips", role: "group", "aria-label": "Components" });
	const node = element("div", { class: "xw-component-bar", hidden: true }, [opacity, list]);
	/** @type {{check: HTMLInputElement, color: HTMLInputElement}[]} */
	let chips = [];

	/** @param {number} part */
	const createChip = (part) => {
		const check = element("input", { type: "checkbox", "aria-label": `show component ${part + 1}` });
		const color = element("input", { type: "color", "aria-label": `colour of component ${part + 1}` });
		check.addEventListener(
			"change",
			() => {
				const hidden = model.get("hidden").filter((/** @type {number} */ other) => other !== part);
				set({ hidden: check.checked ? hidden : [...hidden, part].sort((a, b) => a - b) });
			},
			{ signal },
		);
		color.addEventListener(
			"input",
			() => set({ component_colors: componentColors(model, chips.length).with(part, color.value) }),
			{ signal },
		);
		list.append(element("span", { class: "xw-chip" }, [check, color, String(part + 1)]));
		return { check, color };
	};
	return {
		node,
		/** @param {number} count */
		show(count) {
			node.hidden = count === 0 || !model.get("controls");
			if (chips.length !== count) {
				list.replaceChildren();
				chips = Array.from({ length: count }, (_, part) => createChip(part));
			}
			const colors = componentColors(model, count);
			for (const [part, { check, color }] of chips.entries()) {
				check.checked = !model.get("hidden").includes(part);
				color.value = colors[part];
			}
		},
	};
}

/** What is under the hand, in words. @param {AbortSignal} signal */
export function createReadout(signal) {
	const place = element("span", { class: "xw-cell" });
	const value = element("span", { class: "xw-value" });
	const note = element("span", { class: "xw-note xw-muted" });
	const spoken = createAnnouncer(signal);
	return {
		node: element("div", { class: "xw-readout" }, [place, value, note, spoken.node]),
		/** @param {string} where @param {string} number @param {string} more */
		show(where, number, more) {
			setText(place, where);
			setText(value, number);
			setText(note, more);
			spoken.say([where, number, more].filter(Boolean).join(": "));
		},
	};
}

/** The colour bar with the values at its ends. */
export function createScale() {
	const bar = new Raster();
	bar.resize(STEPS, 1);
	bar.canvas.setAttribute("aria-hidden", "true");
	const ends = element("div", { class: "xw-ends" });
	return {
		node: element("div", { class: "xw-scale" }, [bar.canvas, ends]),
		/** `end` is what the scale ends at. */
		show: cached(
			(/** @type {Uint32Array} */ table, /** @type {boolean} */ both, /** @type {string} */ end) => {
				bar.words.set(table);
				bar.flush();
				const labels = both ? [`−${end}`, "0", end] : ["0", end];
				ends.replaceChildren(...labels.map((label) => element("span", {}, [label])));
			},
		),
	};
}

/** @param {number} value */
export const shown = (value) => (Number.isNaN(value) ? "—" : digits(value));
