import { widget } from "./lib/widget.js";
import "./heatmap_view.css";
import { DIVERGING_NAMES, resolveColormap, SEQUENTIAL_NAMES, STEPS } from "./lib/colormaps.js";
import { checkControl, createAnnouncer, keyHelp, rangeControl, selectControl } from "./lib/controls.js";
import { digits } from "./lib/digits.js";
import { element } from "./lib/dom.js";
import { createHead, frameOf } from "./lib/frames.js";
import { Raster } from "./lib/image.js";
import { bindKeys } from "./lib/keys.js";
import { createPicture } from "./lib/picture.js";
import { cellAt, createStage, fitWidth, followPointer, outlineCell } from "./lib/stage.js";
import { observe, updater } from "./lib/state.js";

/**
 * @typedef {import("./lib/colormaps.js").Sign} Sign
 * @typedef {import("./lib/picture.js").FloatMap} FloatMap
 * @typedef {import("./lib/picture.js").Bytes} Bytes
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {(values: Record<string, unknown>) => void} Setter
 */

/** @type {{value: Sign | "auto", text: string}[]} */
const SIGNS = [
	{ value: "auto", text: "auto" },
	{ value: "both", text: "both signs" },
	{ value: "positive", text: "positive" },
	{ value: "negative", text: "negative" },
	{ value: "absolute", text: "absolute" },
];
const PERCENTILES = [100, 99.9, 99.5, 99, 98, 95, 90];
/** @type {[string, string][]} */
const KEYS = [
	["← ↑ ↓ →", "move by one cell, with Shift by ten"],
	["− + or [ ]", "opacity"],
	["c", "next colour map"],
	["s", "next sign"],
	["m", "next map"],
	["Esc", "take the mark away"],
];

/** What the picture, the colour bar and the controls depend on. */
const TRAITS = [
	"image",
	"images",
	"maps",
	"names",
	"frame",
	"groups",
	"group",
	"colormap",
	"opacity",
	"sign",
	"percentile",
	"limit",
	"fade",
	"gray",
	"interpolation",
	"controls",
	"width",
	"title",
];

/** @param {Model} model @param {AbortSignal} signal */
function createReadout(model, signal) {
	const cell = element("span", { class: "xw-cell" });
	const value = element("span", { class: "xw-value" });
	const swatch = element("span", { class: "xw-swatch", hidden: true });
	const channels = element("span", { class: "xw-channels" });
	const rgb = element("span", { class: "xw-rgb xw-muted", title: "red, green, blue of the image" }, [
		swatch,
		channels,
	]);
	const spoken = createAnnouncer(signal);
	return {
		node: element("div", { class: "xw-readout" }, [cell, value, rgb, spoken.node]),
		/** @param {FloatMap | null} map @param {Bytes | null} image */
		show(map, image) {
			const position = model.get("position");
			const shape = (map ?? image)?.shape;
			const at = shape ? cellAt(position, shape) : null;
			const number = map && at ? digits(map.data[at.row * at.columns + at.column]) : "";
			cell.textContent = at ? `row ${at.row}, col ${at.column}` : "";
			value.textContent = number;
			const pixel = image && cellAt(position, image.shape);
			const start = pixel ? (pixel.row * pixel.columns + pixel.column) * 3 : 0;
			const color = image && pixel ? [...image.data.subarray(start, start + 3)].join(" ") : "";
			swatch.hidden = !color;
			if (color) swatch.style.background = `rgb(${color})`;
			channels.textContent = color;
			spoken.say(at ? `row ${at.row}, column ${at.column}${number && `: ${number}`}` : "");
		},
	};
}

/** The colour bar with the values at its ends. @param {Model} model */
function createScale(model) {
	const canvas = new Raster();
	canvas.resize(STEPS, 1);
	canvas.canvas.setAttribute("aria-hidden", "true");
	const ends = element("div", { class: "xw-ends" });
	const node = element("div", { class: "xw-scale" }, [canvas.canvas, ends]);
	return {
		node,
		/** @param {number} limit @param {Sign} sign @param {Uint32Array} table @param {boolean} visible */
		show(limit, sign, table, visible) {
			node.hidden = !visible;
			canvas.words.set(table);
			canvas.flush();
			const end = digits(sign === "negative" ? -limit : limit);
			const labels = sign === "both" ? [digits(-limit), "0", end] : ["0", end];
			if (limit === 0) labels.splice(0, labels.length, "all zero");
			ends.replaceChildren(...labels.map((label) => element("span", {}, [label])));
			node.title =
				model.get("limit") === null
					? `colours end at percentile ${model.get("percentile")} of the magnitudes`
					: "colours end at a value that was given";
		},
	};
}

/**
 * The cells move, the settings change: what a key does, or null where it does nothing.
 *
 * @param {KeyboardEvent} event
 * @param {Model} model
 * @param {ReturnType<typeof createPicture>} picture
 * @returns {Record<string, unknown> | null} the traits to set
 */
function onKey({ key, shiftKey }, model, picture) {
	/** @template T @param {T[]} list @param {T} now */
	const next = (list, now) => list[(list.indexOf(now) + 1) % list.length];
	const shift = /** @type {Record<string, number[]>} */ ({
		ArrowLeft: [-1, 0],
		ArrowRight: [1, 0],
		ArrowUp: [0, -1],
		ArrowDown: [0, 1],
	})[key];
	if (shift) {
		const [rows, columns] = (picture.map() ?? picture.image())?.shape ?? [1, 1];
		const at = cellAt(model.get("position"), [rows, columns]);
		/** @param {number} cell @param {number} by @param {number} count */
		const step = (cell, by, count) =>
			(Math.min(Math.max(cell + by * (shiftKey ? 10 : 1), 0), count - 1) + 0.5) / count;
		// The first key puts the mark in the middle.
		if (!at) return { position: [step(columns >> 1, 0, columns), step(rows >> 1, 0, rows)] };
		return { position: [step(at.column, shift[0], columns), step(at.row, shift[1], rows)] };
	}
	if (key === "Escape") return { position: null };
	const opacity = /** @type {Record<string, number>} */ ({ "+": 1, "=": 1, "]": 1, "-": -1, "[": -1 })[key];
	if (opacity) {
		const value = Math.round((model.get("opacity") + 0.05 * opacity) * 100) / 100;
		return { opacity: Math.min(Math.max(value, 0), 1) };
	}
	if (key === "s") {
		return {
			sign: next(
				SIGNS.map(({ value }) => value),
				model.get("sign"),
			),
		};
	}
	if (key === "c") {
		const sign = picture.sign();
		const names = sign === "both" ? DIVERGING_NAMES : SEQUENTIAL_NAMES;
		return { colormap: next(names, resolveColormap(model.get("colormap"), sign)) };
	}
	const count = picture.count();
	if (key === "m" && count > 1) return { frame: (frameOf(model, count) + 1) % count };
	return null;
}

/** @param {Model} model @param {Setter} set @param {AbortSignal} signal */
function createTools(model, set, signal) {
	/** @param {string} trait @param {string} label */
	const bind = (trait, label) => ({ model, trait, label, set, signal });
	const colormaps = () =>
		["auto", ...DIVERGING_NAMES, ...SEQUENTIAL_NAMES].map((value) => ({
			value,
			text: value.replace("_", " – "),
		}));
	const percentiles = () =>
		[...new Set([...PERCENTILES, model.get("percentile")])]
			.sort((a, b) => b - a)
			.map((value) => ({ value: String(value), text: value === 100 ? "none" : `${value} %` }));
	return element("div", { class: "xw-tools" }, [
		rangeControl(bind("opacity", "Opacity"), {
			min: 0,
			max: 1,
			step: 0.01,
			text: (value) => `${Math.round(100 * value)} %`,
		}),
		selectControl(bind("sign", "Sign"), () => SIGNS),
		selectControl(bind("colormap", "Colours"), colormaps),
		selectControl(bind("percentile", "Clip"), percentiles),
		checkControl(bind("fade", "Fade small values"), { on: true, off: false }),
		checkControl(bind("gray", "Grey image"), { on: true, off: false }),
		checkControl(bind("interpolation", "Smooth"), { on: "smooth", off: "pixelated" }),
		keyHelp(KEYS),
	]);
}

/** @type {import("@anywidget/types").Render} */
function render({ model, el }) {
	const controller = new AbortController();
	const { signal } = controller;
	const set = updater(model, signal);
	const picture = createPicture(model);
	const readout = createReadout(model, signal);
	const scale = createScale(model);

	const stage = createStage({
		attributes: {
			role: "application",
			"aria-roledescription": "heat map",
			"aria-description": KEYS.map(([key, what]) => `${key}: ${what}`).join("; "),
		},
		paint(context, width, height) {
			context.imageSmoothingEnabled = model.get("interpolation") === "smooth";
			context.imageSmoothingQuality = "high";
			for (const { canvas, alpha } of picture.layers()) {
				context.globalAlpha = alpha;
				context.drawImage(canvas, 0, 0, width, height);
			}
			context.globalAlpha = 1;
		},
		mark(context, width, height) {
			const map = picture.map();
			const image = picture.image();
			readout.show(map, image);
			const shape = (map ?? image)?.shape;
			const at = shape && cellAt(model.get("position"), shape);
			if (at) outlineCell(context, width, height, at);
		},
		signal,
	});
	const head = createHead(model, picture.count, set, signal);
	const tools = createTools(model, set, signal);
	const root = element("div", { class: "xw xw-figure xw-heatmap-view", role: "group" }, [
		head.node,
		stage.node,
		readout.node,
		scale.node,
		tools,
	]);

	const refresh = () => {
		try {
			const shape = (picture.image() ?? picture.map())?.shape;
			scale.show(picture.limit(), picture.sign(), picture.table(), picture.map() !== null);
			head.show();
			stage.setAspect(shape?.[1] ?? 1, shape?.[0] ?? 1);
			stage.say(shape ? "" : "No image and no map yet.");
		} catch (error) {
			stage.say(`This view cannot be drawn: ${/** @type {Error} */ (error).message}.`, true);
			stage.setAspect(4, 3);
			scale.node.hidden = true;
		}
		tools.hidden = !model.get("controls");
		fitWidth(root, model.get("width"));
		const label = model.get("title") || "Heat map over an image";
		root.setAttribute("aria-label", label);
		stage.node.setAttribute("aria-label", label);
		stage.repaint();
	};
	observe(model, TRAITS, refresh, signal);
	observe(model, ["position"], stage.remark, signal);

	followPointer(stage.node, {
		get: () => model.get("position"),
		set: (position) => set({ position }),
		signal,
	});
	bindKeys(root, stage.node, {
		act: (event) => (stage.failed ? null : onKey(event, model, picture)),
		set,
		signal,
	});

	refresh();
	el.append(root);
	return () => {
		controller.abort();
		root.remove();
	};
}

export default widget(render);
