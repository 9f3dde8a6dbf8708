/**
 * @typedef {import("./painting.js").Point} Point
 * @typedef {object} Actions
 * @property {(at: Point, erase: boolean) => void} begin  positions are parts of the stage, from 0 to 1
 * @property {(points: Point[]) => void} move
 * @property {() => void} end
 * @property {(at: Point | null) => void} hover  null: the pointer has left
 */

/** The button of a pen's eraser, as a bit of `buttons`. */
const ERASER = 32;

/**
 * Painting by mouse, pen or finger. The right button, Alt and the other end of a pen erase.
 *
 * @param {HTMLElement} node
 * @param {Actions} actions
 * @param {AbortSignal} signal
 */
export function listenToBrush(node, actions, signal) {
	/** @type {number | null} the pointer that paints */
	let press = null;
	/** @param {MouseEvent} event @param {DOMRect} rect @returns {Point} */
	const place = (event, rect) => ({
		x: (event.clientX - rect.left) / rect.width,
		y: (event.clientY - rect.top) / rect.height,
	});
	const end = (/** @type {HTMLElementEventMap["pointerup"]} */ event) => {
		if (event.pointerId !== press) return;
		press = null;
		actions.end();
		if (event.pointerType === "touch") actions.hover(null);
	};
	node.addEventListener(
		"pointerdown",
		(event) => {
			const eraser = (event.buttons & ERASER) !== 0;
			if (press !== null || !event.isPrimary || !(event.button === 0 || event.button === 2 || eraser)) return;
			press = event.pointerId;
			node.setPointerCapture(event.pointerId);
			const at = place(event, node.getBoundingClientRect());
			actions.hover(at);
			actions.begin(at, event.button === 2 || event.altKey || eraser);
		},
		{ signal },
	);
	node.addEventListener(
		"pointermove",
		(event) => {
			const rect = node.getBoundingClientRect();
			const at = place(event, rect);
			actions.hover(at);
			if (event.pointerId !== press) return;
			// All that the user did since the last frame: fast strokes stay round.
			const all = event.getCoalescedEvents?.() ?? [];
			actions.move(all.length ? all.map((one) => place(one, rect)) : [at]);
		},
		{ signal },
	);
	node.addEventListener("pointerup", end, { signal });
	node.addEventListener("pointercancel", end, { signal });
	node.addEventListener("lostpointercapture", end, { signal });
	node.addEventListener("pointerleave", () => press === null && actions.hover(null), { signal });
	node.addEventListener(
		"contextmenu",
		(event) => {
			event.preventDefault();
			// Notebooks open a menu of their own, which would take the pointer away in mid-stroke.
			event.stopPropagation();
		},
		{ signal },
	);
}

/**
 * Draws the outline of the brush, light within dark so that it shows on any image; a second circle where the soft
 * border begins, and a cross or, erasing, a bar in the middle. Without a radius, as for a box, there is no circle.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Point} at  pixels of the canvas
 * @param {number} scale  pixels of the canvas for one of the image
 * @param {import("./painting.js").Brush} brush
 */
export function drawRing(context, at, scale, { radius, softness, erase }) {
	const unit = Math.max(1, Math.round(window.devicePixelRatio));
	const ring = new Path2D();
	if (radius > 0) ring.arc(at.x, at.y, Math.max(radius * scale, 2 * unit), 0, 2 * Math.PI);
	const inner = new Path2D();
	const solid = radius * (1 - softness) * scale;
	if (softness > 0 && solid > 2 * unit) inner.arc(at.x, at.y, solid, 0, 2 * Math.PI);
	const arm = 4 * unit;
	const middle = new Path2D();
	middle.moveTo(at.x - arm, at.y);
	middle.lineTo(at.x + arm, at.y);
	if (!erase) {
		middle.moveTo(at.x, at.y - arm);
		middle.lineTo(at.x, at.y + arm);
	}
	for (const [color, width] of /** @type {const} */ ([
		["rgb(0 0 0 / 80%)", 3],
		["#fff", 1.25],
	])) {
		context.strokeStyle = color;
		context.lineWidth = width * unit;
		context.stroke(ring);
		context.stroke(middle);
		context.setLineDash([2 * unit, 3 * unit]);
		context.stroke(inner);
		context.setLineDash([]);
	}
}
