import { element, setText } from "./dom.js";
import { clamp } from "./numbers.js";
import { observe, onFrame } from "./state.js";
import { imagePosition, listenToViewport, placed, toFrame, viewportOf } from "./viewport.js";

/**
 * @typedef {import("./figure.js").Figure} Figure
 * @typedef {(context: CanvasRenderingContext2D, width: number, height: number) => void} Painter
 *     draws on a cleared canvas, whose origin and sizes, in device pixels, are those of the whole image: of a zoomed
 *     image, the canvas shows a part
 */

/**
 * Two canvases, one on the other, in a box of fixed aspect ratio: the image, and the marks that follow the pointer, so
 * that a hover never repaints the image. Sharp at every zoom of the page and of the image.
 *
 * @param {Figure} figure  its message is shown on the stage
 * @param {{
 *   attributes: Record<string, string | number>, paint: Painter, mark: Painter,
 *   gestures?: Parameters<typeof listenToViewport>[2],
 * }} options  `gestures` are the options of zoom and pan
 */
export function createStage(figure, { attributes, paint, mark, gestures }) {
	const { model, message, failed, guard, signal } = figure;
	const image = element("canvas", { "aria-hidden": "true" });
	const marks = element("canvas", { "aria-hidden": "true" });
	const node = element("div", { class: "xw-stage", tabindex: 0, ...attributes }, [image, marks, message]);

	// Known from the observer: to ask the page for a size in mid-frame would make it lay out everything.
	let sized = false;
	/** @param {HTMLCanvasElement} canvas @param {Painter} draw */
	const on = (canvas, draw) => {
		const context = canvas.getContext("2d");
		if (!context || !sized) return;
		context.setTransform(1, 0, 0, 1, 0, 0);
		context.clearRect(0, 0, canvas.width, canvas.height);
		if (failed()) return;
		const { left, top, width, height } = placed(viewportOf(model), canvas.width, canvas.height);
		context.translate(left, top);
		draw(context, width, height);
	};
	const drawMarks = () => on(marks, mark);
	const drawAll = () => {
		on(image, paint);
		drawMarks();
	};

	/** Arrays that do not fit may be drawn before `refresh` refuses them. @param {() => void} draw */
	const attempt = (draw) => () => {
		try {
			draw();
		} catch (error) {
			guard(() => {
				throw error;
			});
		}
	};

	const observer = new ResizeObserver(([entry]) => {
		const [pixels] = entry.devicePixelContentBoxSize ?? [];
		const ratio = window.devicePixelRatio;
		const width = pixels?.inlineSize ?? Math.round(entry.contentRect.width * ratio);
		const height = pixels?.blockSize ?? Math.round(entry.contentRect.height * ratio);
		sized = width > 0 && height > 0;
		for (const canvas of [image, marks]) {
			canvas.width = width;
			canvas.height = height;
		}
		// A canvas is blank after a change of size: painted at once, it never shows.
		attempt(drawAll)();
	});
	try {
		observer.observe(image, { box: "device-pixel-content-box" });
	} catch {
		// Safari knows no device pixels.
		observer.observe(image);
	}
	signal.addEventListener("abort", () => observer.disconnect());

	/** @param {number} width @param {number} height */
	const setAspect = (width, height) => {
		node.style.aspectRatio = `${width} / ${height}`;
	};
	const repaint = onFrame(attempt(drawAll), signal);
	node.append(listenToViewport(node, figure, gestures));
	observe(model, ["viewport"], repaint, signal);
	return {
		node,
		/** Draws the image and the marks in the next frame. */
		repaint,
		/** Draws only the marks in the next frame. */
		remark: onFrame(attempt(drawMarks), signal),
		/**
		 * Takes the shape of the image and draws it now.
		 *
		 * @param {number[] | undefined} shape  rows, columns
		 * @param {string} words  shown where there is no image
		 * @returns {string} `words` if there is no image
		 */
		show(shape, words) {
			setAspect(shape?.[1] ?? 1, shape?.[0] ?? 1);
			drawAll();
			return shape ? "" : words;
		},
		/** Takes a shape with room for an error. */
		fail: () => setAspect(4, 3),
	};
}

/**
 * A stage with an image and a marked position that follows the pointer.
 *
 * @param {Figure} figure
 * @param {{
 *   attributes: Record<string, string | number>,
 *   layers: (width: number, height: number) => {canvas: HTMLCanvasElement, alpha: number}[],
 *   over?: Painter,
 *   shape: () => number[] | undefined,
 *   read: () => void,
 *   tip?: HTMLElement,
 * }} options  `layers` from below, for the size of the whole image, `over` draws on them, `shape` of the grid of cells, `read` shows the values, `tip` has those
 *     at the position and is shown beside it
 */
export function createImageStage(figure, { attributes, layers, over, shape, read, tip }) {
	const { model, set, signal } = figure;
	const stage = createStage(figure, {
		attributes,
		gestures: { start: () => pointer.cancel() },
		paint(context, width, height) {
			drawLayers(context, width, height, layers(width, height), model.get("interpolation") !== "pixelated");
			over?.(context, width, height);
		},
		mark(context, width, height) {
			read();
			const cells = shape();
			const at = cells && cellAt(model.get("position"), cells);
			if (tip) placeTip(tip, at ? toFrame(viewportOf(model), model.get("position")) : null);
			if (at) outlineCell(context, width, height, at);
		},
	});
	if (tip) {
		tip.classList.add("xw-tip");
		stage.node.append(tip);
	}
	observe(model, ["position"], stage.remark, signal);
	const pointer = followPointer(stage.node, {
		at: (event) => imagePosition(event, stage.node, viewportOf(model)),
		get: () => model.get("position"),
		set: (position) => set({ position }),
		signal,
	});
	return stage;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} width
 * @param {number} height
 * @param {{canvas: HTMLCanvasElement, alpha: number}[]} layers
 * @param {boolean} smooth
 */
export function drawLayers(context, width, height, layers, smooth) {
	context.imageSmoothingQuality = "high";
	for (const { canvas, alpha } of layers) {
		// Made smaller without smoothing, an image would lose lines.
		context.imageSmoothingEnabled = smooth || canvas.width > width;
		context.globalAlpha = alpha;
		context.drawImage(canvas, 0, 0, width, height);
	}
	context.globalAlpha = 1;
}

/**
 * Shows a tip beside a position of a stage, on the side where there is more room.
 *
 * @param {HTMLElement} tip
 * @param {number[] | null} at  in the frame, [0, 1]; null for none
 */
function placeTip(tip, at) {
	const seen = at?.every((part) => part >= 0 && part <= 1) ?? false;
	tip.hidden = !seen || !tip.textContent;
	if (!at || tip.hidden) return;
	const [x, y] = at;
	tip.style.left = `${100 * x}%`;
	tip.style.top = `${100 * y}%`;
	const across = x > 0.5 ? "calc(-100% - 12px)" : "12px";
	tip.style.transform = `translate(${across}, ${y > 0.5 ? "calc(-100% - 10px)" : "10px"})`;
}

/**
 * A sentence over the image of a stage: a strip at its lower border, or, where the result is not there yet, a veil over all
 * of it. What does not fit is read in the tooltip.
 */
export function createNote() {
	const node = element("div", { class: "xw-note", hidden: true });
	return {
		node,
		/** @param {string} text  empty for none @param {boolean} veiled */
		show(text, veiled) {
			setText(node, text);
			node.title = veiled ? "" : text;
			node.hidden = !text;
			node.classList.toggle("xw-veil", veiled);
		},
	};
}

/**
 * Lets a pointer move the position: hovering moves it and leaving puts it back; a click or a touch leaves it there.
 *
 * @param {HTMLElement} node
 * @param {{
 *   at: (event: MouseEvent) => number[],
 *   get: () => number[] | null,
 *   set: (position: number[] | null) => void,
 *   signal: AbortSignal,
 * }} options  a position is [x, y] in [0, 1], from the top left corner; `at` is that of a pointer
 * @returns {{cancel: () => void}} `cancel` puts back the position before the press
 */
export function followPointer(node, { at, get, set, signal }) {
	/** @type {number[] | null} */
	let kept = null;
	/** @type {number[] | null} */
	let before = null;
	/** @param {PointerEvent} event */
	const keep = (event) => {
		kept = at(event);
		set(kept);
	};
	node.addEventListener(
		"pointerenter",
		(event) => {
			kept = event.pointerType === "mouse" ? get() : null;
		},
		{ signal },
	);
	node.addEventListener(
		"pointerdown",
		(event) => {
			before = kept;
			if (event.button === 0) keep(event);
		},
		{ signal },
	);
	node.addEventListener(
		"pointermove",
		(event) => {
			if (event.pointerType === "mouse" && !event.buttons) set(at(event));
			else keep(event);
		},
		{ signal },
	);
	node.addEventListener("pointerleave", () => set(kept), { signal });
	node.addEventListener(
		"keydown",
		(event) => {
			if (event.key === "Escape") kept = null;
		},
		{ signal },
	);
	return {
		cancel() {
			kept = before;
			set(kept);
		},
	};
}

/**
 * Where the pointer is over a node: [x, y] in [0, 1], from the top left corner.
 *
 * @param {MouseEvent} event
 * @param {HTMLElement} node
 */
export function pointerPosition({ clientX, clientY }, node) {
	const { left, top, width, height } = node.getBoundingClientRect();
	return [clamp((clientX - left) / width), clamp((clientY - top) / height)];
}

/**
 * Outlines a cell, light within dark so that it shows on any image, at least large enough to be found, with hair
 * lines that lead to it.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {number} width  of the canvas
 * @param {number} height
 * @param {{column: number, row: number, columns: number, rows: number}} cell
 */
export function outlineCell(context, width, height, { column, row, columns, rows }) {
	const unit = Math.max(1, Math.round(window.devicePixelRatio));
	const w = Math.max(width / columns, 8 * unit);
	const h = Math.max(height / rows, 8 * unit);
	const x = ((column + 0.5) / columns) * width - w / 2;
	const y = ((row + 0.5) / rows) * height - h / 2;
	const [cx, cy] = [Math.round(x + w / 2), Math.round(y + h / 2)];
	for (const [color, offset] of /** @type {const} */ ([
		["rgb(0 0 0 / 30%)", 0],
		["rgb(255 255 255 / 30%)", unit],
	])) {
		context.fillStyle = color;
		context.fillRect(0, cy + offset, x, unit);
		context.fillRect(x + w, cy + offset, width, unit);
		context.fillRect(cx + offset, 0, unit, y);
		context.fillRect(cx + offset, y + h, unit, height);
	}
	for (const [color, grow] of /** @type {const} */ ([
		["#000", 1.5],
		["#fff", 0.5],
	])) {
		context.strokeStyle = color;
		context.lineWidth = unit;
		context.strokeRect(x - grow * unit, y - grow * unit, w + 2 * grow * unit, h + 2 * grow * unit);
	}
}

/**
 * The cell under a position.
 *
 * @param {number[] | null} position
 * @param {number[]} shape  [rows, columns, ...]
 */
export function cellAt(position, [rows, columns]) {
	if (!position) return null;
	const column = Math.min(Math.floor(position[0] * columns), columns - 1);
	const row = Math.min(Math.floor(position[1] * rows), rows - 1);
	return { column, row, columns, rows };
}

/**
 * The middle of the cell that is so many cells to the right and down; of the middle cell where there is no position.
 *
 * @param {number[] | null} position
 * @param {number[]} shape  [rows, columns, ...]
 * @param {number[]} shift
 */
export function stepPosition(position, [rows, columns], [right, down]) {
	const at = cellAt(position, [rows, columns]);
	const [x, y] = at ? [at.column + right, at.row + down] : [columns >> 1, rows >> 1];
	return [(clamp(x, 0, columns - 1) + 0.5) / columns, (clamp(y, 0, rows - 1) + 0.5) / rows];
}
