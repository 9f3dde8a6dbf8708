/**
 * The controls of a similarity view, its readout and its color bar.
 *
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {import("./figure.js").Figure} Figure
 */
import { createColorControls } from "./color_tools.js";
import { rangeControl, selectControl } from "./controls.js";
import { digits } from "./digits.js";
import { element, setText } from "./dom.js";
import { ascending, percent } from "./numbers.js";
import { COLORS } from "./similarity_colors.js";
import { observe } from "./state.js";
import { ZOOM_KEYS } from "./viewport.js";

export const KINDS = [
	{ value: "cosine", text: "cosine" },
	{ value: "dot", text: "dot product" },
	{ value: "euclidean", text: "Euclidean kernel" },
];
export const SCOPES = [
	{ value: "across", text: "with the hovered patch" },
	{ value: "within", text: "each image with its own" },
];
export const RANGES = [
	{ value: "fixed", text: "same for all layers" },
	{ value: "relative", text: "lowest to highest of a layer" },
];
/** @type {import("./figure.js").Keys} */
export const KEYS = [
	["← ↑ ↓ →", "move by one cell, with Shift by ten"],
	["PgUp PgDn", "previous, next image"],
	[", .", "previous, next layer"],
	["Enter or click", "pin the position, or remove its pin"],
	["Esc", "remove pins and mark"],
	["− + or [ ]", "opacity"],
	["t, Shift t", "threshold up, down"],
	["k", "next similarity"],
	["w", "with the hovered patch, or each image with its own"],
	["r", "color range: the same for all layers, or from the lowest to the highest value of each"],
	["c", "next colors"],
	["s", "smooth or pixelated"],
	["p", "compare with the hovered position, the class token or a register"],
	...ZOOM_KEYS,
];

/** The source that is the hovered position. */
export const POSITION = "position";

/** @param {Figure} figure @param {() => string[]} tokenNames  those of the tokens that can be compared with */
export function createTools(figure, tokenNames) {
	const controls = createColorControls(figure);
	const source = selectControl(
		figure.bind("source", "Source"),
		() => [
			{ value: POSITION, text: "hovered patch" },
			...tokenNames().map((name) => ({ value: name, text: name })),
		],
		["token_names"],
	);
	const sync = () => {
		source.hidden = tokenNames().length === 0;
	};
	observe(figure.model, ["token_names"], sync, figure.signal);
	sync();
	return element("div", { class: "xw-tools" }, [
		source,
		selectControl(figure.bind("scope", "Compare"), () => SCOPES),
		selectControl(figure.bind("kind", "Similarity"), () => KINDS),
		selectControl(figure.bind("color_range", "Color range"), () => RANGES),
		controls.share("opacity", "Opacity"),
		controls.share("threshold", "Threshold"),
		controls.colormap(),
		controls.smooth(),
		controls.fade(),
		controls.gray("Gray images"),
	]);
}

/** The colors of `count` components, with those chosen in location of ours. @param {Model} model @param {number} count */
export function componentColors(model, count) {
	const chosen = model.get("component_colors");
	return Array.from({ length: count }, (_, part) => chosen[part] ?? COLORS[part % COLORS.length]);
}

/**
 * A box for each component: whether it is drawn, and its color.
 *
 * @param {Figure} figure
 */
export function createChips({ model, set, bind, signal }) {
	/** @param {number} part @returns {string} */
	const nameOf = (part) => model.get("component_names")[part] || String(part + 1);
	const opacity = rangeControl(bind("component_opacity", "Components"), {
		min: 0,
		max: 1,
		step: 0.01,
		text: percent,
	});
	const list = element("div", { class: "xw-chips", role: "group", "aria-label": "Components" });
	const node = element("div", { class: "xw-component-bar", hidden: true }, [opacity, list]);
	/** @type {{check: HTMLInputElement, color: HTMLInputElement}[]} */
	let chips = [];
	let shownNames = "";

	/** @param {number} part */
	const createChip = (part) => {
		const check = element("input", {
			...{ type: "checkbox", title: "Show or hide this component" },
			"aria-label": `show component ${nameOf(part)}`,
		});
		const color = element("input", {
			...{ type: "color", title: "Choose the color of this component" },
			"aria-label": `color of component ${nameOf(part)}`,
		});
		check.addEventListener(
			"change",
			() => {
				const hidden = model.get("hidden").filter((/** @type {number} */ other) => other !== part);
				set({ hidden: check.checked ? hidden : [...hidden, part].sort(ascending) });
			},
			{ signal },
		);
		color.addEventListener(
			"input",
			() => set({ component_colors: componentColors(model, chips.length).with(part, color.value) }),
			{ signal },
		);
		list.append(element("span", { class: "xw-chip" }, [check, color, nameOf(part)]));
		return { check, color };
	};
	return {
		node,
		/** @param {number} count */
		show(count) {
			node.hidden = count === 0;
			list.hidden = model.get("component_mode") === "rgb";
			const names = Array.from({ length: count }, (_, part) => nameOf(part)).join();
			if (chips.length !== count || names !== shownNames) {
				shownNames = names;
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

/**
 * The sentence on the images until the user points at one, and again when no position is left.
 *
 * @param {AbortSignal} signal
 * @param {HTMLElement} stage
 */
export function createHint(stage, signal) {
	const node = element("div", { class: "xw-hint", "aria-hidden": "true" }, [
		"Hover over a patch to see what is similar to it",
	]);
	let used = false;
	for (const type of ["pointermove", "pointerdown", "keydown"]) {
		stage.addEventListener(
			type,
			(event) => {
				if (event.target !== stage || type === "keydown") used = true;
			},
			{ signal },
		);
	}
	return {
		node,
		/** @param {boolean} any  whether there is a position, a pin or a token */
		show(any) {
			if (!any) used = false;
			node.hidden = any && used;
		},
	};
}

/** The marks of the legend, and their names. */
const MARKS = {
	here: ["xw-sample-here", "hovered patch"],
	same: ["xw-sample-same", "same position"],
	theoretical: ["xw-sample-0", "all pixels that it can see"],
	effective: ["xw-sample-1", "pixels that it mostly looks at"],
};

/** The legend of the boxes on the images. */
export function createLegend() {
	const items = Object.entries(MARKS).map(([name, [mark, text]]) => ({
		name,
		node: element("span", { class: "xw-legend-item" }, [element("i", { class: mark }), text]),
	}));
	return {
		node: element(
			"div",
			{ class: "xw-legend" },
			items.map(({ node }) => node),
		),
		/** @param {Record<string, boolean>} which  the marks that occur */
		show(which) {
			for (const { name, node } of items) node.hidden = !which[name];
		},
	};
}

/** A readout of so many letters takes one line of the narrowest view that has room for it beside its controls. */
const BRIEF = 40;

/** The value at the pointer. @param {Figure} figure */
export function createReadout({ announce }) {
	const location = element("span", { class: "xw-cell" });
	const value = element("span", { class: "xw-value" });
	const note = element("span", { class: "xw-more xw-muted" });
	const line = element("div", { class: "xw-readout" }, [location, value, note]);
	return {
		// Only a child of a plain block can be laid out alone.
		node: element("div", {}, [line]),
		/** @param {string} where @param {string} number @param {string} more @param {string} error  of the number */
		show(where, number, more, error) {
			setText(location, where);
			setText(value, number);
			setText(note, more);
			if (value.title !== error) value.title = error;
			line.classList.toggle("xw-brief", !more && where.length + number.length <= BRIEF);
			announce([where, number, more].filter(Boolean).join(": "));
		},
	};
}

/** @param {number} value */
export const shown = (value) => (Number.isNaN(value) ? "—" : digits(value));
