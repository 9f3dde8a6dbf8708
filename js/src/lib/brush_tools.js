import { rangeControl, selectControl, toggleControl } from "./controls.js";
import { element } from "./dom.js";
import { percent } from "./numbers.js";
import { observe } from "./state.js";
import { ZOOM_KEYS } from "./viewport.js";

/**
 * @typedef {import("./painting.js").Point} Point
 */

/** @type {import("./figure.js").Keys} */
export const KEYS = [
	["← ↑ ↓ →", "move the brush by one pixel, with Shift by ten"],
	["Space", "paint here; held, along the way"],
	["x", "paint or erase"],
	["b", "brush or box; Space, held, draws the box by the arrow keys"],
	["[ ]", "smaller, larger brush"],
	["f", "next fill"],
	["d", "result, tint or outline"],
	["Ctrl+Z", "undo; with Shift, redo"],
	["Alt, right button", "erase"],
	...ZOOM_KEYS.slice(0, -1),
	["Shift + drag, middle button, Alt + arrows", "move the zoomed image"],
];
const TOOLS = [
	{ value: "paint", text: "Paint" },
	{ value: "erase", text: "Erase" },
];
const SHAPES = [
	{ value: "brush", text: "Brush" },
	{ value: "box", text: "Box" },
];
const DISPLAYS = [
	{ value: "result", text: "Result" },
	{ value: "tint", text: "Tint" },
	{ value: "outline", text: "Outline" },
];
const ACTIONS = [
	{ name: "undo", text: "Undo", help: "Take back the last stroke (Ctrl+Z)" },
	{ name: "redo", text: "Redo", help: "Do again what was taken back (Ctrl+Shift+Z)" },
	{ name: "clear", text: "Clear", help: "Uncover the whole image" },
	{ name: "invert", text: "Invert", help: "Cover what is uncovered, and the other way round" },
	{ name: "fill", text: "Fill all", help: "Cover the whole image" },
];
const LARGEST = 0.6;

/**
 * @param {import("./figure.js").Figure} figure
 * @param {{act: (name: string) => void, fills: () => number}} options  `act` undoes, redoes, clears, inverts, fills or copies
 */
export function createBrushTools({ model, bind, signal }, { act, fills }) {
	const tool = toggleControl(bind("tool", "Tool"), TOOLS);
	tool.classList.add("xw-segments");
	const shape = toggleControl(bind("shape", "Shape"), SHAPES);
	shape.classList.add("xw-segments");
	const display = toggleControl(bind("display", "Display"), DISPLAYS);
	display.classList.add("xw-segments");
	const size = rangeControl(bind("brush_size", "Size"), {
		min: 0.01,
		max: LARGEST,
		step: 0.005,
		text: percent,
	});
	const softness = rangeControl(bind("softness", "Softness"), { min: 0, max: 1, step: 0.01, text: percent });
	const opacity = rangeControl(bind("opacity", "Opacity"), { min: 0, max: 1, step: 0.01, text: percent });
	const fillHost = element("div", { class: "xw-fill" });
	const buttons = ACTIONS.map(({ name, text, help }) => {
		const button = element("button", { type: "button", title: help }, [text]);
		button.addEventListener("click", () => act(name), { signal });
		return button;
	});
	const tip = "Replace the other mask by this one, in one step that can be undone there";
	const copy = element("button", { type: "button", title: tip, hidden: true }, []);
	copy.addEventListener("click", () => act("copy"), { signal });
	const showCopy = () => {
		copy.textContent = model.get("copy_label") ?? "";
		copy.hidden = !copy.textContent;
	};
	observe(model, ["copy_label"], showCopy, signal);
	showCopy();
	const node = element("div", { class: "xw-tools" }, [
		element("div", { class: "xw-buttons" }, [tool, shape]),
		display,
		fillHost,
		element("div", { class: "xw-brush" }, [size, softness, opacity]),
		element("div", { class: "xw-buttons", role: "group", "aria-label": "Whole mask" }, [...buttons, copy]),
	]);
	/** The list of fills is made again for other names. */
	let names = "";
	let listening = new AbortController();
	signal.addEventListener("abort", () => listening.abort());
	const showFills = () => {
		let count = 0;
		try {
			count = fills();
		} catch {
			// The view shows the error.
		}
		const texts = model.get("fill_labels").slice(0, count);
		if (texts.join("\n") !== names) {
			names = texts.join("\n");
			listening.abort();
			listening = new AbortController();
			const options = texts.map((/** @type {string} */ text, /** @type {number} */ index) => ({
				value: String(index),
				text,
			}));
			fillHost.replaceChildren(
				selectControl({ ...bind("fill", "Fill"), signal: listening.signal }, () => options),
			);
		}
		fillHost.hidden = texts.length < 2;
	};
	// Their room is kept beside the image: no control moves there when the display or the shape changes.
	const showRanges = () => {
		opacity.classList.toggle("xw-unused", model.get("display") !== "tint");
		for (const range of [size, softness]) {
			range.classList.toggle("xw-unused", model.get("shape") === "box");
		}
	};
	observe(model, ["display", "shape"], showRanges, signal);
	showRanges();
	return {
		node,
		/** @param {import("./painting.js").Painting} painting */
		show({ canUndo, canRedo }) {
			// aria-disabled, not disabled: the focus stays on the button.
			buttons[0].setAttribute("aria-disabled", String(!canUndo));
			buttons[1].setAttribute("aria-disabled", String(!canRedo));
			showFills();
		},
	};
}
