import { element } from "./dom.js";
import { clamp } from "./numbers.js";

/** A press that moves less than this many px is a click. */
const CLICK = 4;
/** A zoom box lower than this many px zooms x alone. */
const THIN = 24;

/**
 * The actions of gestures on a plot.
 * @typedef {object} Actions
 * @property {(left: number) => void} drag  the cursor is dragged here
 * @property {(left: number, top: number) => void} click
 * @property {(x: [number, number], y: [number, number] | null) => void} zoom  to a box, CSS px
 * @property {(left: number, factor: number) => boolean} wheel  about a point; false when it changes nothing
 * @property {() => void} reset
 * @property {() => boolean} zooming  whether a plain drag draws a zoom box
 * @property {(left: number) => boolean} grips  whether a press here takes the cursor even then
 * @property {(left: number, top: number) => void} hover  the pointer moves over the plot, unpressed
 * @property {() => void} leave
 */

/**
 * Pointer and wheel on the plotting area. All positions are CSS px from its left and top.
 *
 * @param {HTMLElement} over
 * @param {Actions} actions
 * @param {AbortSignal} signal
 */
export function listen(over, actions, signal) {
	const box = element("div", { class: "xw-zoom-box", hidden: true });
	over.append(box);
	/** @type {{id: number, zoom: boolean, from: [number, number], moved: boolean} | null} */
	let press = null;
	/** @param {HTMLElementEventMap["pointerdown"]} event */
	const down = (event) => {
		if (event.button !== 0 || !event.isPrimary) return;
		const from = place(over, event);
		const handle = event.target instanceof Element && event.target.closest("[role=slider]");
		const zoom = event.shiftKey || (actions.zooming() && !handle && !actions.grips(from[0]));
		press = { id: event.pointerId, zoom, from, moved: false };
		over.setPointerCapture(event.pointerId);
		if (!press.zoom) actions.drag(from[0]);
	};
	/** @param {HTMLElementEventMap["pointermove"]} event */
	const move = (event) => {
		if (!press) actions.hover(...place(over, event));
		if (!press || event.pointerId !== press.id) return;
		const to = place(over, event);
		press.moved ||= Math.hypot(to[0] - press.from[0], to[1] - press.from[1]) >= CLICK;
		if (press.zoom) showBox(box, press.from, to, over);
		else if (press.moved) actions.drag(to[0]);
	};
	/** @param {HTMLElementEventMap["pointerup"]} event */
	const up = (event) => {
		if (!press || event.pointerId !== press.id) return;
		const { zoom, moved, from } = press;
		press = null;
		box.hidden = true;
		const to = place(over, event);
		if (!moved) actions.click(to[0], to[1]);
		else if (zoom && Math.abs(to[0] - from[0]) >= CLICK) {
			const thin = Math.abs(to[1] - from[1]) < THIN;
			actions.zoom([from[0], to[0]], thin ? null : [from[1], to[1]]);
		}
	};
	const cancel = () => {
		press = null;
		box.hidden = true;
	};
	over.addEventListener("pointerdown", down, { signal });
	over.addEventListener("pointermove", move, { signal });
	over.addEventListener("pointerup", up, { signal });
	over.addEventListener("pointercancel", cancel, { signal });
	over.addEventListener("pointerleave", actions.leave, { signal });
	// The press has put the focus on the cursor: the browser shall not take it away again.
	over.addEventListener("mousedown", (event) => event.preventDefault(), { signal });
	over.addEventListener("dblclick", actions.reset, { signal });
	listenToWheel(over, actions, signal);
}

/**
 * The wheel zooms where the person has shown that the plot is meant (it has the focus, or Ctrl is held, as in
 * a pinch on a trackpad); anywhere else it goes on scrolling the notebook.
 *
 * @param {HTMLElement} over
 * @param {Actions} actions
 * @param {AbortSignal} signal
 */
function listenToWheel(over, actions, signal) {
	over.addEventListener(
		"wheel",
		(event) => {
			const meant =
				event.ctrlKey || event.metaKey || actions.zooming() || over.contains(document.activeElement);
			if (!meant || event.deltaY === 0) return;
			const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 30 : 1;
			const amount = clamp(event.deltaY * lines, -300, 300);
			if (actions.wheel(place(over, event)[0], 1.0015 ** amount)) event.preventDefault();
		},
		{ signal, passive: false },
	);
}

/**
 * @param {HTMLElement} over
 * @param {MouseEvent} event
 * @returns {[number, number]}
 */
function place(over, event) {
	const rect = over.getBoundingClientRect();
	// A host may scale the whole page.
	const scale = rect.width > 0 ? over.clientWidth / rect.width : 1;
	return [(event.clientX - rect.left) * scale, (event.clientY - rect.top) * scale];
}

/**
 * @param {HTMLElement} box
 * @param {[number, number]} from
 * @param {[number, number]} to
 * @param {HTMLElement} over
 */
function showBox(box, from, to, over) {
	const { clientWidth, clientHeight } = over;
	const thin = Math.abs(to[1] - from[1]) < THIN;
	const [left, right] = [from[0], to[0]].map((v) => clamp(v, 0, clientWidth)).sort((a, b) => a - b);
	const rows = thin ? [0, clientHeight] : [from[1], to[1]];
	const [top, bottom] = rows.map((v) => clamp(v, 0, clientHeight)).sort((a, b) => a - b);
	Object.assign(box.style, {
		left: `${left}px`,
		top: `${top}px`,
		width: `${right - left}px`,
		height: `${bottom - top}px`,
	});
	box.hidden = false;
}
