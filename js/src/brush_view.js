import "./brush_view.css";
import { percentOf } from "./lib/area_slider.js";
import { decode, slice } from "./lib/arrays.js";
import { drawRing, listenToBrush } from "./lib/brush_gestures.js";
import { bindBrushKeys, isChord } from "./lib/brush_keys.js";
import { createBrushTools, KEYS } from "./lib/brush_tools.js";
import { cached } from "./lib/cached.js";
import { element } from "./lib/dom.js";
import { view } from "./lib/figure.js";
import { bytes, pack, Raster } from "./lib/image.js";
import { contour, strokeContour } from "./lib/masks.js";
import { blend, History, Painting } from "./lib/painting.js";
import { createSender } from "./lib/sender.js";
import { createStage, drawLayers } from "./lib/stage.js";
import { observe, onFrame, update } from "./lib/state.js";
import { toImage, viewportOf } from "./lib/viewport.js";

/**
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {import("./lib/image.js").Message} Message
 * @typedef {import("./lib/image.js").Bytes} Bytes
 * @typedef {import("./lib/painting.js").Point} Point
 */

/** The color of the paint in the display "tint": in few photographs, and distinguished from them with every color blindness. */
const TINT = 0xff8000ff;
/** The traits that the drawing depends on, besides the paint. */
const PICTURE = ["image", "fills", "fill", "display", "opacity"];

/**
 * The drawing under the paint; only what has changed is drawn again.
 *
 * @param {Model} model
 * @param {Painting} painting
 */
function createDrawing(model, painting) {
	const decodeImage = cached((/** @type {Message} */ message) => bytes("image", message, [null, null, 3]));
	const decodeFills = cached((/** @type {Message} */ message, /** @type {number[]} */ [height, width]) =>
		bytes("fills", message, [null, height, width, 3]),
	);
	const words = cached((/** @type {Bytes} */ image) => pack(image.data));
	const decodeFilled = cached((/** @type {Message} */ message, /** @type {number[]} */ [height, width]) =>
		bytes("_filled", message, [height, width, 3]),
	);
	const ownWords = cached((/** @type {Bytes} */ filled) => pack(filled.data));
	const fillWords = cached((/** @type {Bytes} */ all, /** @type {number} */ index) =>
		pack(slice(all, Math.min(index, all.shape[0] - 1)).data),
	);
	const tint = cached((/** @type {number} */ length) => new Uint32Array(length).fill(TINT));
	const raster = new Raster();
	const image = () => decodeImage(model.get("image"));
	const fills = () => {
		const shown = image();
		return shown && decodeFills(model.get("fills"), shown.shape);
	};
	return {
		image,
		fills,
		/** @returns {HTMLCanvasElement | null} */
		canvas() {
			const shown = image();
			if (!shown) return null;
			raster.resize(painting.width, painting.height);
			const rect = painting.takeDirty();
			if (!rect) return raster.canvas;
			const all = fills();
			const display = model.get("display");
			const base = words(shown);
			if (display === "outline") blend(base, base, painting, 0, rect, raster.words);
			else if (display === "result" && all) {
				const index = model.get("fill");
				const filled = index >= all.shape[0] - 1 ? decodeFilled(model.get("_filled"), shown.shape) : null;
				blend(base, filled ? ownWords(filled) : fillWords(all, index), painting, 1, rect, raster.words);
			} else blend(base, tint(base.length), painting, model.get("opacity"), rect, raster.words);
			raster.flush(rect);
			return raster.canvas;
		},
	};
}

/**
 * Keeps the painting and the trait `mask` the same, both ways.
 *
 * @param {Model} model
 * @param {Painting} painting
 * @param {History} history
 * @param {() => boolean} isDown  whether the user is painting
 * @param {AbortSignal} signal
 */
function createExchange(model, painting, history, isDown, signal) {
	/** The message that the painting shows: what is another comes from elsewhere. @type {unknown} */
	let own;
	/** Whether the view has yet to take up its first mask. */
	let first = true;
	/** Whether the paint has changed since that message was made. */
	let newer = false;
	/** Whether the paint has changed since it was last to be sent. */
	let unsent = false;
	/** The last message and its number, until the kernel has seen it. @type {{stroke: number, mask: unknown} | null} */
	let unseen = null;
	const put = () => {
		if (!newer) return;
		newer = false;
		const copy = painting.mask.slice();
		own = { dtype: "uint8", shape: [painting.height, painting.width], data: new DataView(copy.buffer) };
		history.latest = own;
		model.set("mask", own);
	};
	const sender = createSender(() => {
		const stroke = model.get("_stroke") + 1;
		put();
		unseen = { stroke, mask: model.get("mask") };
		update(model, { _stroke: stroke });
		return stroke;
	}, signal);
	const show = onFrame(put, signal);
	/** The paint has changed. */
	const push = () => {
		newer = true;
		if (model.get("_live") && isDown()) {
			// The network in the browser answers; the kernel gets the mask when the pointer rests.
			unsent = true;
			show();
		} else sender.push();
	};
	const seen = () => {
		const number = model.get("_seen");
		if (unseen && number >= unseen.stroke) {
			// A mask that came meanwhile crossed the message, which the kernel has as the newest: it is to have what is drawn.
			if (number === model.get("_stroke") && !sameBytes(unseen.mask, own)) push();
			unseen = null;
		}
		sender.seen(number);
	};
	observe(model, ["_seen"], seen, signal);
	return {
		push,
		/** The pointer rests: the page, if not yet the kernel, has the mask. */
		settle() {
			put();
			if (unsent) sender.push();
			unsent = false;
		},
		/** Takes up a mask that Python, or another view, has set. @returns {boolean} whether there was one */
		receive() {
			const message = model.get("mask");
			if (message === own) return false;
			if (isDown()) {
				// The user wins; where the mask came from is to hear of it.
				push();
				return false;
			}
			own = message;
			newer = false;
			const given = /** @type {Bytes | null} */ (decode(message));
			const [height, width] = given?.shape ?? [];
			// A mask of the image before this one: the one that fits comes along with it, or none.
			const fits = given && height === painting.height && width === painting.width;
			const values = (/** @type {number} */ _, /** @type {number} */ index) => (fits ? given.data[index] : 0);
			const known = message === history.latest;
			history.latest = message;
			if (!known && !first) {
				return painting.change(values, model.get("_step"));
			}
			// Changes made while no view was shown cannot be undone.
			if (!known) history.clear();
			first = false;
			painting.follow(values);
			return true;
		},
	};
}

/**
 * @param {import("./lib/figure.js").Figure} figure
 * @param {History} history  of the model, whatever view paints
 * @returns {import("./lib/figure.js").Parts}
 */
function build(figure, history) {
	const { model, root, signal } = figure;
	const painting = new Painting(history);
	const drawing = createDrawing(model, painting);
	const exchange = createExchange(model, painting, history, () => tip !== null, signal);
	const outline = createOutline(painting);
	const amount = element("span", { class: "xw-amount" });

	/** Where the brush is, in pixels of the drawing; null: nowhere. @type {Point | null} */
	let cursor = null;
	/** Whether this stroke erases whatever the tool. */
	let erasing = false;
	/** The end of the stroke so far. @type {Point | null} */
	let tip = null;
	/** The corner from which a box is drawn. @type {Point | null} */
	let corner = null;
	const boxed = () => model.get("shape") === "box";

	const brush = () => ({
		radius: Math.max((model.get("brush_size") * Math.min(painting.width, painting.height)) / 2, 0.5),
		softness: model.get("softness"),
		erase: erasing || model.get("tool") === "erase",
	});
	const stage = createStage(figure, {
		attributes: { role: "application", "aria-roledescription": "painting" },
		// A drag paints; of a pinch, what its first finger painted is taken back.
		gestures: { drags: false, start: () => tip && act("undo") },
		paint(context, width, height) {
			const canvas = drawing.canvas();
			if (!canvas) return;
			drawLayers(context, width, height, [{ canvas, alpha: 1 }], model.get("interpolation") !== "pixelated");
			if (model.get("display") !== "outline") return;
			strokeContour(context, outline(), width, height, [painting.height, painting.width]);
		},
		mark(context, width, height) {
			const text = painting.width ? `${percentOf(painting.share)} painted` : "";
			if (amount.textContent !== text) {
				amount.textContent = text;
				figure.announce(text);
			}
			if (!cursor || !painting.width) return;
			const scale = width / painting.width;
			const at = { x: cursor.x * scale, y: (cursor.y * height) / painting.height };
			drawRing(context, at, scale, boxed() ? { ...brush(), radius: 0 } : brush());
		},
	});
	const changed = () => {
		outline.forget();
		stage.repaint();
		tools.show(painting);
	};
	/** Paints on to a point, or draws the box up to it. @param {Point} to */
	const paint = (to) => {
		corner ??= to;
		if (boxed()) painting.box(corner, to, brush().erase);
		else painting.stroke(tip ?? to, to, brush());
		tip = to;
		exchange.push();
		changed();
	};
	/** @param {Point} at @param {boolean} erase */
	const begin = (at, erase) => {
		erasing = erase;
		corner = null;
		painting.begin();
		paint(at);
	};
	const end = () => {
		if (!tip) return;
		tip = null;
		erasing = false;
		painting.end();
		exchange.settle();
		changed();
	};
	/** Changes the whole mask, for a button or a key. @param {string} name */
	const act = (name) => {
		end();
		if (name === "copy") {
			// The mask as it is drawn goes along.
			exchange.settle();
			update(model, { _copied: (model.get("_copied") ?? 0) + 1 });
			return;
		}
		const deeds = /** @type {Record<string, () => boolean>} */ ({
			undo: () => painting.undo(),
			redo: () => painting.redo(),
			clear: () => painting.change(() => 0),
			invert: () => painting.change((value) => 255 - value),
			fill: () => painting.change(() => 255),
		});
		if (!deeds[name]()) return;
		exchange.push();
		exchange.settle();
		changed();
	};

	const fills = () => drawing.fills()?.shape[0] ?? 0;
	const tools = createBrushTools(figure, { act, fills });
	// At once: a mask that comes along with its image is taken up in the size of that image.
	const take = () => {
		const shape = drawing.image()?.shape;
		painting.resize(shape?.[0] ?? 0, shape?.[1] ?? 0);
		return exchange.receive();
	};
	observe(model, ["image"], () => figure.guard(() => void take()), signal);
	observe(model, ["mask"], () => exchange.receive() && changed(), signal);
	observe(model, ["tool", "shape", "brush_size", "softness"], stage.remark, signal);
	history.addEventListener("change", () => tools.show(painting), { signal });

	/** From parts of the stage to pixels of the drawing. @param {Point} part */
	const inPixels = ({ x, y }) => {
		const [u, v] = toImage(viewportOf(model), [x, y]);
		return { x: u * painting.width, y: v * painting.height };
	};
	listenToBrush(
		stage.node,
		{
			begin: (at, erase) => !figure.failed() && begin(inPixels(at), erase),
			move: (points) => tip && points.map(inPixels).forEach(paint),
			end,
			hover(at) {
				cursor = at && inPixels(at);
				stage.remark();
			},
		},
		signal,
	);
	const onKey = bindBrushKeys(root, stage.node, {
		model,
		act,
		painting,
		isDown: () => tip !== null,
		begin: () => cursor && begin(cursor, false),
		end,
		get: () => cursor,
		move(at) {
			cursor = at;
			if (tip && at) paint(at);
			stage.remark();
		},
		fills,
		signal,
	});
	const picture = element("div", { class: "xw-picture" }, [
		stage.node,
		element("div", { class: "xw-readout" }, [amount]),
	]);
	return {
		// Beside the image where there is room, else below it.
		content: [element("div", { class: "xw-body" }, [picture, tools.node])],
		tools: tools.node,
		label: "Image to paint a mask on",
		stage: stage.node,
		traits: [...PICTURE, "_filled", "fill_labels", "interpolation"],
		arrays: () => [...PICTURE, "mask"],
		refresh() {
			drawing.fills();
			take();
			painting.touch();
			outline.forget();
			tools.show(painting);
			return stage.show(drawing.image()?.shape, "No image yet.");
		},
		fail: stage.fail,
		keys: KEYS,
		onKey,
		chord: isChord,
		close: end,
	};
}

/** Whether two messages have the same bytes. @param {unknown} one @param {unknown} other */
function sameBytes(one, other) {
	const [first, second] = [one, other].map(
		(message) => /** @type {Bytes | null} */ (decode(/** @type {any} */ (message))),
	);
	if (!first || !second) return first === second;
	return (
		first.data.length === second.data.length &&
		first.data.every((value, index) => value === second.data[index])
	);
}

/** The line around the paint, worked out again only after `forget`. @param {Painting} painting */
function createOutline(painting) {
	/** @type {Path2D | null} */
	let path = null;
	const get = () => {
		path ??= contour({ shape: [painting.height, painting.width], data: painting.mask });
		return path;
	};
	return Object.assign(get, {
		forget() {
			path = null;
		},
	});
}

/** Called once for each model. */
export default function brushView() {
	const history = new History();
	return view("xw-figure xw-brush-view", (figure) => build(figure, history));
}
