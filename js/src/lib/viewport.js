/**
 * Zoom and pan of images. A viewport is [x, y, zoom]: the center of the visible part in fractions of the image, and the
 * magnification, 1 for the whole image; the part never reaches beyond the image. Views of any resolution share it.
 *
 * A plain wheel scrolls the page, as over the maps of notebooks, until the image is zoomed; with Ctrl, or as a pinch, it
 * always zooms.
 *
 * @typedef {import("@anywidget/types").AnyModel} Model
 * @typedef {number[]} Viewport
 * @typedef {{x: number, y: number}} Point  of the page
 */
import { element, setText } from "./dom.js";
import { ARROWS } from "./keys.js";
import { clamp } from "./numbers.js";
import { observe } from "./state.js";

export const MAX_ZOOM = 32;
/** @type {Viewport} */
export const WHOLE = [0.5, 0.5, 1];
/** Magnification of a key. */
const STEP = 1.5;
/** So far, in CSS px, a pointer moves before a press is a drag. */
const SLOP = 4;
/** Wheel events with less time between them, ms, are one gesture. */
const GESTURE = 250;

/** The help of zoom and pan, for the keys of a view. @type {import("./figure.js").Keys} */
export const ZOOM_KEYS = [
	["Ctrl + wheel, pinch", "zoom; once zoomed, the wheel alone"],
	["z, Shift + Z", "zoom in, out"],
	["0", "the whole image"],
	["Drag, Alt + arrows", "move the zoomed image"],
];

/** The viewport of a model, valid in any case. @param {Model} model @returns {Viewport} */
export const viewportOf = (model) => limited(model.get("viewport") ?? WHOLE);

/** Moves the center so far inside that the part does not reach beyond the image. @param {Viewport} viewport */
export function limited([x, y, zoom]) {
	const z = clamp(zoom, 1, MAX_ZOOM);
	const half = 0.5 / z;
	return [clamp(x, half, 1 - half), clamp(y, half, 1 - half), z];
}

/** The position in the image of a position in the frame. @param {Viewport} viewport @param {number[]} at  in [0, 1] */
export function toImage([x, y, zoom], [u, v]) {
	return [x + (u - 0.5) / zoom, y + (v - 0.5) / zoom];
}

/** The position in the frame of a position in the image; may lie outside. @param {Viewport} viewport @param {number[]} at */
export function toFrame([x, y, zoom], [u, v]) {
	return [(u - x) * zoom + 0.5, (v - y) * zoom + 0.5];
}

/**
 * Magnifies; what is at a position of the frame stays there, or moves to another one.
 *
 * @param {Viewport} viewport
 * @param {number} factor
 * @param {number[]} at  in the frame, [0, 1]
 * @param {number[]} [to]
 */
export function zoomed(viewport, factor, at, to = at) {
	const zoom = clamp(viewport[2] * factor, 1, MAX_ZOOM);
	// Close to the whole image it is the whole image, so that a wheel reaches it.
	if (zoom < 1.01) return WHOLE;
	const [x, y] = toImage(viewport, at);
	return limited([x - (to[0] - 0.5) / zoom, y - (to[1] - 0.5) / zoom, zoom]);
}

/** Moves the image with the pointer. @param {Viewport} viewport @param {number[]} shift  in widths and heights of the frame */
export function panned([x, y, zoom], [right, down]) {
	return limited([x - right / zoom, y - down / zoom, zoom]);
}

/**
 * The rectangle that the whole image takes on a canvas of a size, in whole pixels at its corner.
 *
 * @param {Viewport} viewport
 * @param {number} width
 * @param {number} height
 */
export function placed(viewport, width, height) {
	const [left, top] = toFrame(viewport, [0, 0]);
	return {
		left: Math.round(left * width),
		top: Math.round(top * height),
		width: viewport[2] * width,
		height: viewport[2] * height,
	};
}

/**
 * Where a pointer is: [x, y] in fractions of the image, from the top left corner.
 *
 * @param {MouseEvent} event
 * @param {HTMLElement} frame
 * @param {Viewport} viewport
 */
export function imagePosition(event, frame, viewport) {
	return toImage(viewport, framePosition(event, frame)).map((part) => clamp(part));
}

/** @param {{clientX: number, clientY: number}} event @param {HTMLElement} frame */
function framePosition({ clientX, clientY }, frame) {
	const { left, top, width, height } = frame.getBoundingClientRect();
	return [clamp((clientX - left) / width), clamp((clientY - top) / height)];
}

/** How much a step of a wheel magnifies; pinches are many small steps. @param {WheelEvent} event */
function wheelFactor({ deltaY, deltaMode, ctrlKey }) {
	const unit = deltaMode === 1 ? 0.05 : deltaMode ? 1 : 0.002;
	return 2 ** clamp(-deltaY * unit * (ctrlKey ? 10 : 1), -0.5, 0.5);
}

/** The viewport that a key sets, or null. @param {KeyboardEvent} event @param {Model} model @returns {Viewport | null} */
function byKey({ key, altKey, ctrlKey, metaKey }, model) {
	const viewport = viewportOf(model);
	if (ctrlKey || metaKey) return null;
	if (altKey) {
		const [right, down] = ARROWS[key] ?? [0, 0];
		return key in ARROWS ? panned(viewport, [-right / 8, -down / 8]) : null;
	}
	if (key === "0") return WHOLE;
	if (key !== "z" && key !== "Z") return null;
	const at = model.get("position");
	const frame = at ? toFrame(viewport, at) : [0.5, 0.5];
	// The mark stays where it is, if it is in sight.
	const seen = frame.every((part) => part >= 0 && part <= 1);
	return zoomed(viewport, key === "z" ? STEP : 1 / STEP, seen ? frame : [0.5, 0.5]);
}

/**
 * Lets wheel, pointers and keys zoom and pan the images of a view, by its trait `viewport`.
 *
 * @param {HTMLElement} node  the stage, or the parent of several
 * @param {import("./figure.js").Figure} figure
 * @param {{
 *   frameAt?: (event: Event) => HTMLElement | null,
 *   drags?: boolean,
 *   resets?: boolean,
 *   start?: () => void,
 * }} [options]  `frameAt` is the image under a pointer, by default the node; with `drags`, a plain drag moves
 *     the zoomed image (the middle button, and a drag with Shift, do in any case); `resets` whether a double click
 *     shows the whole image; `start` is called when a press turns out to be a drag
 * @returns {HTMLElement} a badge with the magnification, to be shown over the image
 */
export function listenToViewport(node, figure, options = {}) {
	const { model, set, signal } = figure;
	const { frameAt = () => node, drags = true, resets = drags, start = () => {} } = options;
	const badge = element("button", {
		type: "button",
		class: "xw-zoom",
		tabindex: -1,
		title: "Show the whole image (0)",
	});
	/** @param {Viewport} viewport */
	const change = (viewport) => set({ viewport });
	const show = () => {
		const viewport = viewportOf(model);
		const [, , zoom] = viewport;
		const [left, top] = toImage(viewport, [0, 0]);
		// Images and marks that are laid out by the browser follow these.
		node.style.setProperty("--xw-zoom", String(zoom));
		node.style.setProperty("--xw-left", String(left));
		node.style.setProperty("--xw-top", String(top));
		badge.hidden = zoom === 1;
		setText(badge, `${zoom.toFixed(1)}×`);
		badge.setAttribute("aria-label", `zoom ${zoom.toFixed(1)}, show the whole image`);
		node.classList.toggle("xw-zoomed", zoom > 1);
	};
	observe(model, ["viewport"], show, signal);
	show();
	badge.addEventListener("click", () => change(WHOLE), { signal });
	/** @param {Event} event */
	const onBadge = ({ target }) => target === badge;

	listenToWheel(node, model, { frameAt, change, signal });
	listenToPointers(node, model, { frameAt, change, drags, start, onBadge, signal });
	node.addEventListener(
		"dblclick",
		(event) => {
			if (resets && !onBadge(event) && viewportOf(model)[2] > 1) change(WHOLE);
		},
		{ signal },
	);
	node.addEventListener(
		"keydown",
		(event) => {
			const viewport = event.target === node && !figure.failed() ? byKey(event, model) : null;
			if (!viewport) return;
			event.preventDefault();
			event.stopPropagation();
			change(viewport);
		},
		{ signal },
	);
	return badge;
}

/**
 * @param {HTMLElement} node
 * @param {Model} model
 * @param {{frameAt: (event: Event) => HTMLElement | null, change: (viewport: Viewport) => void, signal: AbortSignal}} options
 */
function listenToWheel(node, model, { frameAt, change, signal }) {
	// A gesture keeps its meaning: a page that is scrolled over a zoomed image goes on, and an image that is zoomed
	// out does not begin to scroll the page.
	let last = { time: Number.NEGATIVE_INFINITY, own: false };
	window.addEventListener(
		"wheel",
		({ target, timeStamp }) => {
			if (!(target instanceof Node && node.contains(target))) last = { time: timeStamp, own: false };
		},
		{ capture: true, passive: true, signal },
	);
	node.addEventListener(
		"wheel",
		(event) => {
			const frame = frameAt(event);
			const goesOn = event.timeStamp - last.time < GESTURE;
			const viewport = viewportOf(model);
			const own = frame !== null && (event.ctrlKey || (goesOn ? last.own : viewport[2] > 1));
			last = { time: event.timeStamp, own };
			if (!frame || !own) return;
			event.preventDefault();
			event.stopPropagation();
			change(zoomed(viewport, wheelFactor(event), framePosition(event, frame)));
		},
		{ passive: false, signal },
	);
}

/**
 * @param {HTMLElement} node
 * @param {Model} model
 * @param {{
 *   frameAt: (event: Event) => HTMLElement | null, change: (viewport: Viewport) => void, drags: boolean,
 *   start: () => void, onBadge: (event: Event) => boolean, signal: AbortSignal,
 * }} options
 */
function listenToPointers(node, model, { frameAt, change, drags, start, onBadge, signal }) {
	/** The pointers that are down. @type {Map<number, Point>} */
	const down = new Map();
	/** @type {HTMLElement | null} */
	let frame = null;
	let moving = false;
	let clickless = false;

	/** @param {PointerEvent} event */
	const mayDrag = ({ button, shiftKey }) =>
		viewportOf(model)[2] > 1 && (button === 1 || (button === 0 && (drags || shiftKey)));
	/** Middle and spread of the pointers. */
	const grip = () => {
		const points = [...down.values()];
		const clientX = points.reduce((sum, point) => sum + point.x, 0) / points.length;
		const clientY = points.reduce((sum, point) => sum + point.y, 0) / points.length;
		return { clientX, clientY, spread: Math.hypot(points[0].x - clientX, points[0].y - clientY) };
	};
	/** @param {PointerEvent} event */
	const capture = ({ pointerId }) => node.setPointerCapture(pointerId);
	const begin = () => {
		if (!moving) start();
		moving = true;
	};
	/** @param {PointerEvent} event */
	const press = (event) => {
		clickless = false;
		const second = down.size === 1 && event.pointerType === "touch";
		if (
			onBadge(event) ||
			!(second || (down.size === 0 && (event.pointerType === "touch" || mayDrag(event))))
		) {
			return;
		}
		frame = frameAt(event);
		if (!frame) return;
		down.set(event.pointerId, { x: event.clientX, y: event.clientY });
		// The other buttons of the mouse, and a drag with Shift, have no meaning but this.
		if (second || event.button === 1 || (!drags && event.shiftKey)) {
			capture(event);
			begin();
			event.preventDefault();
			event.stopImmediatePropagation();
		}
	};
	/** @param {PointerEvent} event */
	const move = (event) => {
		const from = down.get(event.pointerId);
		if (!from || !frame) return;
		const before = grip();
		const to = { x: event.clientX, y: event.clientY };
		const pans = down.size > 1 || viewportOf(model)[2] > 1;
		if (!moving) {
			if (!pans || !drags || Math.hypot(to.x - from.x, to.y - from.y) < SLOP) return;
			capture(event);
			begin();
		}
		event.stopImmediatePropagation();
		down.set(event.pointerId, to);
		const after = grip();
		const factor = before.spread > 0 ? after.spread / before.spread : 1;
		change(zoomed(viewportOf(model), factor, framePosition(before, frame), framePosition(after, frame)));
	};
	/** @param {PointerEvent} event */
	const lift = (event) => {
		if (!down.delete(event.pointerId) || !moving) return;
		event.stopImmediatePropagation();
		if (down.size) return;
		moving = false;
		clickless = true;
	};
	const early = { capture: true, signal };
	// The middle button would scroll the page.
	node.addEventListener(
		"mousedown",
		(event) => event.button === 1 && viewportOf(model)[2] > 1 && event.preventDefault(),
		early,
	);
	node.addEventListener("pointerdown", press, early);
	node.addEventListener("pointermove", move, early);
	node.addEventListener("pointerup", lift, early);
	node.addEventListener("pointercancel", lift, early);
	node.addEventListener(
		"click",
		(event) => {
			// A drag does not end with a click.
			if (clickless && !onBadge(event)) event.stopImmediatePropagation();
			clickless = false;
		},
		early,
	);
}
