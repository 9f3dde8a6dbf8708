import { element } from "./dom.js";
import { onFrame } from "./state.js";

/**
 * @typedef {(context: CanvasRenderingContext2D, width: number, height: number) => void} Painter
 *     draws on a cleared canvas; sizes are device pixels
 */

/**
 * Two canvases, one on the other, in a box of fixed aspect ratio: the picture, and the marks that follow the hand,
 * so that a hover never repaints the picture. Sharp at every zoom.
 *
 * @param {{attributes: Record<string, string | number>, paint: Painter, mark: Painter, signal: AbortSignal}} options
 */
export function createStage({ attributes, paint, mark, signal }) {
	const picture = element("canvas", { "aria-hidden": "true" });
	const marks = element("canvas", { "aria-hidden": "true" });
	const message = element("div", { class: "xw-message", hidden: true });
	const node = element("div", { class: "xw-stage", tabindex: 0, ...attributes }, [picture, marks, message]);

	let failed = false;
	// Known from the observer: to ask the page for a size in mid-frame would make it lay out everything.
	let sized = false;
	/** @param {HTMLCanvasElement} canvas @param {Painter} draw */
	const on = (canvas, draw) => {
		const context = canvas.getContext("2d");
		if (!context || !sized) return;
		context.clearRect(0, 0, canvas.width, canvas.height);
		if (!failed) draw(context, canvas.width, canvas.height);
	};
	const drawMarks = () => on(marks, mark);
	const drawAll = () => {
		on(picture, paint);
		drawMarks();
	};

	const observer = new ResizeObserver(([entry]) => {
		const [pixels] = entry.devicePixelContentBoxSize ?? [];
		const ratio = window.devicePixelRatio;
		const width = pixels?.inlineSize ?? Math.round(entry.contentRect.width * ratio);
		const height = pixels?.blockSize ?? Math.round(entry.contentRect.height * ratio);
		sized = width > 0 && height > 0;
		for (const canvas of [picture, marks]) {
			canvas.width = width;
			canvas.height = height;
		}
		// A canvas is blank after a change of size: painted at once, it never shows.
		drawAll();
	});
	try {
		observer.observe(picture, { box: "device-pixel-content-box" });
	} catch {
		// Safari knows no device pixels.
		observer.observe(picture);
	}
	signal.addEventListener("abort", () => observer.disconnect());

	return {
		node,
		/** Whether an error is shown in place of a picture. */
		get failed() {
			return failed;
		},
		/** Draw the picture and the marks on the next frame. */
		repaint: onFrame(drawAll, signal),
		/** Draw the marks only. */
		remark: onFrame(drawMarks, signal),
		/** @param {number} width @param {number} height */
		setAspect(width, height) {
			node.style.aspectRatio = `${width} / ${height}`;
		},
		/**
		 * Words in place of a picture; empty takes them away. After an error nothing is drawn until other words.
		 *
		 * @param {string} text
		 * @param {boolean} [isError]
		 */
		say(text, isError = false) {
			failed = isError;
			if (message.textContent !== text) message.textContent = text;
			message.hidden = !text;
			message.classList.toggle("xw-error", isError);
			if (isError) message.setAttribute("role", "alert");
			else message.removeAttribute("role");
		},
	};
}

/**
 * Sets the largest width of a view.
 *
 * @param {HTMLElement} root
 * @param {number} width  CSS px; 0 for the width of the column
 */
export function fitWidth(root, width) {
	root.style.setProperty("--xw-width", width ? `${width}px` : "100%");
	root.classList.toggle("xw-fluid", !width);
}

/**
 * Lets a pointer move the position: hovering moves it and leaving puts it back; a click or a touch leaves it there.
 *
 * @param {HTMLElement} node
 * @param {{get: () => number[] | null, set: (position: number[] | null) => void, signal: AbortSignal}} options
 *     position is [x, y] in [0, 1], from the top left corner
 */
export function followPointer(node, { get, set, signal }) {
	/** @type {number[] | null} */
	let kept = null;
	/** @param {PointerEvent} event */
	const place = (event) => {
		const { left, top, width, height } = node.getBoundingClientRect();
		/** @param {number} value */
		const clamp = (value) => Math.min(Math.max(value, 0), 1);
		return [clamp((event.clientX - left) / width), clamp((event.clientY - top) / height)];
	};
	/** @param {PointerEvent} event */
	const keep = (event) => {
		kept = place(event);
		set(kept);
	};
	node.addEventListener(
		"pointerenter",
		(event) => {
			kept = event.pointerType === "mouse" ? get() : null;
		},
		{ signal },
	);
	node.addEventListener("pointerdown", (event) => event.button === 0 && keep(event), { signal });
	node.addEventListener(
		"pointermove",
		(event) => {
			if (event.pointerType === "mouse" && !event.buttons) set(place(event));
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
}

/**
 * Outlines a cell, light within dark so that it shows on any picture, at least large enough to be found, with hair
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
