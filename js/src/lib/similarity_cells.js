/**
 * The images of a similarity view: a grid of boxes, each with a image, components, an overlay and marks. A canvas
 * has the pixels of its image and the browser stretches it, so a hover writes few of them.
 *
 * @typedef {import("./similarity_math.js").Cell} Cell
 * @typedef {{rows: number, columns: number}} Grid
 */
import { element } from "./dom.js";
import { Raster } from "./image.js";
import { clamp } from "./numbers.js";
import { setStyle } from "./set_style.js";

/** Boxes that are so far out of sight are kept ready to be drawn. */
const MARGIN = "100px 0px";

/** The names of the pins. */
export const PINS = ["A", "B"];

/** @param {number} frame @param {number} layer */
function createBox(frame, layer) {
	const [base, components, overlay] = [new Raster({ opaque: true }), new Raster(), new Raster()];
	base.canvas.className = "xw-base";
	components.canvas.className = "xw-components";
	overlay.canvas.className = "xw-overlay";
	const mark = element("div", { class: "xw-mark", hidden: true });
	const pins = PINS.map((name) => element("div", { class: `xw-mark xw-pin xw-pin-${name}`, hidden: true }));
	const fields = [0, 1].map((index) =>
		element("div", { class: `xw-receptive xw-receptive-${index}`, style: "visibility: hidden" }),
	);
	const stage = element("div", { class: "xw-patch-stage" }, [
		base.canvas,
		components.canvas,
		overlay.canvas,
		element("div", { class: "xw-moving" }, [...fields, mark]),
		...pins,
	]);
	const name = element("span", { class: "xw-patch-name" });
	const value = element("span", { class: "xw-patch-value" });
	return {
		frame,
		layer,
		base,
		components,
		overlay,
		stage,
		name,
		value,
		mark,
		pins,
		fields,
		/** Whether the list that scrolls shows it. */
		seen: true,
		/** The arguments that the image was painted from. @type {unknown[]} */
		based: [],
		/** The arguments that the overlay was painted from. @type {unknown[]} */
		painted: [],
		node: element("div", { class: "xw-patch", "data-frame": frame, "data-layer": layer }, [
			stage,
			element("div", { class: "xw-caption" }, [name, value]),
		]),
	};
}

/** @typedef {ReturnType<typeof createBox>} Box */

/**
 * Chromium arranges the layers of the whole page again whenever something positioned moves, which takes longer than all
 * the rest of a hover in a notebook. What moves is therefore laid out by its margins, all percentages of the width.
 *
 * @param {HTMLElement} node
 * @param {number[]} box  left, top, width and height as shares of the image
 */
function placeBox(node, [left, top, width, height]) {
	setStyle(node, "marginLeft", `calc(100% * (${left} - var(--xw-left)) * var(--xw-zoom))`);
	setStyle(node, "marginTop", `calc(100% * var(--xw-ratio) * (${top} - var(--xw-top)) * var(--xw-zoom))`);
	setStyle(node, "width", `calc(100% * ${width} * var(--xw-zoom))`);
	setStyle(node, "height", `calc(100% * ${height} * var(--xw-zoom))`);
}

/**
 * Lays a mark over a cell, or takes it away.
 *
 * @param {HTMLElement} node
 * @param {Cell | null} cell
 * @param {Grid} grid
 */
export function placeMark(node, cell, { rows, columns }) {
	node.hidden = !cell;
	if (cell) placeBox(node, [cell.column / columns, cell.row / rows, 1 / columns, 1 / rows]);
}

/**
 * Lays what a cell sees around it, as far as the image reaches, or takes it away.
 *
 * @param {HTMLElement} node
 * @param {number[] | undefined} field  the shift of its middle, right and down, and its size, as shares of the image
 * @param {Cell | null} cell
 * @param {Grid} grid
 */
export function placeField(node, field, cell, { rows, columns }) {
	const box = cell && field ? boxOf(field, cell, { rows, columns }) : null;
	// The attribute `hidden` would have more styles computed again.
	setStyle(node, "visibility", box ? "" : "hidden");
	if (box) placeBox(node, box);
}

/**
 * The part of the image that a cell sees, or null if that is the whole image: a frame around it, as of every layer behind
 * global attention, shows nothing.
 *
 * @param {number[]} field
 * @param {Cell} cell
 * @param {Grid} grid
 */
function boxOf(field, cell, { rows, columns }) {
	/** @param {number} middle @param {number} extent */
	const within = (middle, extent) => {
		const [begin, end] = [clamp(middle - extent / 2), clamp(middle + extent / 2)];
		return [begin, end - begin];
	};
	const [left, width] = within((cell.column + 0.5) / columns + field[0], field[2]);
	const [top, height] = within((cell.row + 0.5) / rows + field[1], field[3]);
	return width === 1 && height === 1 ? null : [left, top, width, height];
}

/**
 * @param {{
 *   attributes: Record<string, string | number>,
 *   at: (event: MouseEvent, stage: HTMLElement) => number[],
 *   hover: (box: Box, position: number[]) => void,
 *   pin: () => void,
 *   entered: () => void,
 *   signal: AbortSignal,
 * }} options  `at` is the position of a pointer in an image; `pin` is called for the position that was hovered last;
 *     `entered` when boxes come into sight
 */
export function createCells({ attributes, at, hover, pin, entered, signal }) {
	const node = element("div", { class: "xw-patches", tabindex: 0, ...attributes });
	/** @type {Box[]} */
	let boxes = [];

	/** @param {Event} event */
	const boxAt = ({ target }) =>
		boxes.find(({ stage }) => target instanceof Node && stage.contains(target)) ?? null;
	/** @param {PointerEvent | MouseEvent} event */
	const follow = (event) => {
		const box = boxAt(event);
		if (!box) return false;
		hover(box, at(event, box.stage));
		return true;
	};
	node.addEventListener("pointerdown", follow, { signal });
	node.addEventListener("pointermove", follow, { signal });
	node.addEventListener("click", (event) => follow(event) && pin(), { signal });

	/** @param {Element} node */
	const boxOfNode = (node) => boxes.find((one) => one.node === node);
	const near = new IntersectionObserver(
		(entries) => {
			for (const { target, isIntersecting } of entries) target.classList.toggle("xw-unseen", !isIntersecting);
		},
		{ root: node, rootMargin: MARGIN },
	);
	const inSight = new IntersectionObserver(
		(entries) => {
			for (const { target, isIntersecting } of entries) {
				const box = boxOfNode(target);
				if (box) box.seen = isIntersecting;
			}
			if (entries.some(({ isIntersecting }) => isIntersecting)) entered();
		},
		{ root: node },
	);
	const observers = [near, inSight];
	signal.addEventListener("abort", () => {
		for (const observer of observers) observer.disconnect();
	});

	/** Names and arrangement of the rows that are there. */
	let arranged = "";

	return {
		node,
		/** The image under a pointer. @param {Event} event @returns {HTMLElement | null} */
		stageAt: (event) => boxAt(event)?.stage ?? null,
		boxes: () => boxes,
		/**
		 * Makes the boxes, if there are others than before, and arranges them: a column for each layer, or for each
		 * layer rows of images.
		 *
		 * @param {number} frames
		 * @param {number} layers
		 * @param {string[]} heads  names of the layers
		 * @param {import("./similarity_layout.js").Arrangement} arrangement
		 */
		arrange(frames, layers, heads, { columns, cell, table }) {
			node.style.setProperty("--xw-columns", String(columns));
			node.style.setProperty("--xw-cell", `${cell}px`);
			const made = boxes.length === frames * layers && boxes.every(({ layer }) => layer < layers);
			const wanted = JSON.stringify([frames, layers, heads, table]);
			if (made && wanted === arranged) return;
			arranged = wanted;
			if (!made) {
				boxes = Array.from({ length: frames * layers }, (_, index) =>
					createBox(Math.floor(index / layers), index % layers),
				);
				for (const observer of observers) {
					observer.disconnect();
					for (const box of boxes) observer.observe(box.node);
				}
			}
			/** @param {string} kind @param {Node[]} children */
			const row = (kind, children) => element("div", { class: `xw-patch-${kind}` }, children);
			/** @param {string} name */
			const head = (name) => element("div", { class: "xw-patch-head", "aria-hidden": "true" }, [name]);
			/** @param {number} chosen */
			const of = (chosen) => boxes.filter(({ layer }) => layer === chosen).map((box) => box.node);
			const rows =
				frames === 1 || table || layers === 1
					? [row("list", [...(table ? heads.map(head) : []), ...boxes.map((box) => box.node)])]
					: heads.flatMap((name, layer) => [head(name), row("list", of(layer))]);
			node.replaceChildren(...rows);
		},
	};
}
