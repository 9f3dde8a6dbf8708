import "./embedding_view.css";
import { decode } from "./lib/arrays.js";
import { element, setText } from "./lib/dom.js";
import { combine, nearest, placeLabels, rowOf } from "./lib/embedding.js";
import { view } from "./lib/figure.js";
import { draggedOrAsked } from "./lib/kernel.js";
import { clamp } from "./lib/numbers.js";
import { lookOf } from "./lib/palette.js";
import { observe, onFrame } from "./lib/state.js";
import { shape } from "./lib/swatch.js";

/**
 * @typedef {import("./lib/arrays.js").NDArray<Float32Array>} Floats
 * @typedef {{x: number, y: number}} Point
 */

const SVG = "http://www.w3.org/2000/svg";
/** Tooltip of a field without a term. */
const EMPTY = "Drag a concept here, or press for the chosen one";
const HINTS = ["drag here", "minus", "plus"];
/** Room around the points, CSS px. */
const MARGIN = 26;
/** A press that moves by less is a click, CSS px. */
const CLICK = 4;
const KEYS = /** @type {[string, string][]} */ ([
	["← →, Home, End", "another concept"],
	["1, 2, 3", "the concept as first, second or third term"],
	["Escape", "no concept; once more, no terms"],
]);

/** @param {string} tag @param {Record<string, string | number>} attributes @param {Node[]} [children] */
function svg(tag, attributes, children = []) {
	const node = document.createElementNS(SVG, tag);
	for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
	node.append(...children);
	return node;
}

export default view("xw-embedding-view", (figure) => {
	const { model, signal, title, root, set, announce } = figure;
	const choose = draggedOrAsked(figure, "frame");
	const map = svg("svg", { class: "xw-map", role: "application", tabindex: 0 });
	const layouts = element("div", { class: "xw-embedding-layouts", role: "group", "aria-label": "Layout" });
	const slots = HINTS.map((_, term) => {
		const slot = element("button", { type: "button", class: "xw-slot", title: EMPTY });
		slot.addEventListener(
			"click",
			() => setTerm(term, slot.classList.contains("xw-filled") ? -1 : model.get("frame")),
			{
				signal,
			},
		);
		return slot;
	});
	const sum = element("div", { class: "xw-sum", role: "group", "aria-label": "Arithmetic" }, [
		slots[0],
		element("span", {}, ["−"]),
		slots[1],
		element("span", {}, ["+"]),
		slots[2],
	]);
	const found = element("div", { class: "xw-nearest", role: "status" });
	const groups = element("div", { class: "xw-groups" });
	/** @type {Floats | null} */
	let vectors = null;
	/** @type {Floats | null} */
	let points = null;
	let hovered = -1;
	/** @type {number} */
	let width = 0;

	/** @param {number} term @param {number} concept */
	function setTerm(term, concept) {
		const terms = model
			.get("terms")
			.map((/** @type {number} */ one, /** @type {number} */ i) => (i === term ? concept : one));
		set({ terms });
	}

	/** @param {number} index */
	const name = (index) => model.get("labels")[index] ?? `concept ${index}`;

	/** The position of a concept on the map, CSS px. @param {number} index @param {{width: number, height: number}} size @returns {Point} */
	function place(index, size) {
		if (!points) return { x: 0, y: 0 };
		const [layers, count] = points.shape;
		const layer = clamp(model.get("layout_index"), 0, layers - 1);
		const at = 2 * (layer * count + index);
		return {
			x: MARGIN + points.data[at] * (size.width - 2 * MARGIN),
			y: MARGIN + points.data[at + 1] * (size.height - 2 * MARGIN),
		};
	}

	/** The position of a combined vector: near its nearest concepts, by their cosines. @param {{index: number, cosine: number}[]} near @param {{width: number, height: number}} size */
	function positionOfResult(near, size) {
		let [x, y, total] = [0, 0, 0];
		for (const { index, cosine } of near.slice(0, 3)) {
			const weight = Math.max(cosine, 1e-3) ** 2;
			const at = place(index, size);
			[x, y, total] = [x + weight * at.x, y + weight * at.y, total + weight];
		}
		return { x: x / total, y: y / total };
	}

	function draw() {
		if (!points || !vectors) return;
		const size = { width: Math.max(width, 200), height: model.get("height") };
		map.setAttribute("viewBox", `0 0 ${size.width} ${size.height}`);
		map.style.height = `${size.height}px`;
		const count = points.shape[1];
		const terms = model.get("terms");
		const result = combine(vectors, terms);
		const shown = hovered >= 0 ? hovered : model.get("frame");
		const used = terms.filter((/** @type {number} */ one) => one >= 0);
		const known = shown >= 0 && shown < count && !Number.isNaN(place(shown, size).x);
		const focused = (hovered < 0 && result) || !known ? -1 : shown;
		const near =
			focused >= 0
				? nearest(vectors, rowOf(vectors, focused), [focused])
				: result
					? nearest(vectors, result, used)
					: [];
		const at = Array.from({ length: count }, (_, index) => place(index, size));
		const lit = new Set([...near.map(({ index }) => index), ...used, ...(focused >= 0 ? [focused] : [])]);
		const labels = placeLabels(
			at.map(({ x, y }, index) => ({ x, y, text: name(index), first: lit.has(index) })),
			size,
		);
		const origin = focused >= 0 ? at[focused] : result && near.length ? positionOfResult(near, size) : null;
		const nodes = origin
			? near.map(({ index }) =>
					svg("line", { class: "xw-link", x1: origin.x, y1: origin.y, x2: at[index].x, y2: at[index].y }),
				)
			: [];
		for (let index = 0; index < count; index++) {
			if (Number.isNaN(at[index].x)) continue;
			const look = lookOf(model.get("groups")[index] ?? 0);
			const { x, y } = at[index];
			const mark = svg("path", { d: shape(look.marker || "circle", x, y, 5) });
			const hit = svg("circle", { class: "xw-hit", cx: x, cy: y, r: 11 });
			const label = labels[index];
			const text = label
				? [
						svg("text", { x: label.x, y: label.y, "text-anchor": label.anchor }, [
							document.createTextNode(name(index)),
						]),
					]
				: [];
			const classes = [
				"xw-point",
				lit.size && !lit.has(index) ? "xw-faint" : "",
				near.some((one) => one.index === index) ? "xw-near" : "",
				index === model.get("frame") || used.includes(index) ? "xw-chosen" : "",
			];
			const node = svg("g", { class: classes.filter(Boolean).join(" "), "data-index": index }, [
				mark,
				...text,
				hit,
				svg("title", {}, [document.createTextNode(name(index))]),
			]);
			/** @type {SVGElement} */ (node).style.setProperty("--xw-bar", look.color);
			nodes.push(node);
		}
		if (result && focused < 0 && origin) {
			nodes.push(svg("path", { class: "xw-result", d: shape("diamond", origin.x, origin.y, 8) }));
		}
		map.replaceChildren(...nodes);
		fill(terms, near, focused, result !== null);
	}

	/** @param {number[]} terms @param {{index: number, cosine: number}[]} near @param {number} focused @param {boolean} combined */
	function fill(terms, near, focused, combined) {
		for (const [term, slot] of slots.entries()) {
			const filled = terms[term] >= 0;
			setText(slot, filled ? name(terms[term]) : HINTS[term]);
			slot.classList.toggle("xw-filled", filled);
			slot.title = filled ? "Remove this term" : EMPTY;
		}
		const words = near.map(({ index, cosine }) => `${name(index)} ${cosine.toFixed(2).replace("-", "−")}`);
		const of = focused >= 0 ? name(focused) : combined ? equation(terms) : "";
		setText(
			found,
			words.length
				? `Nearest to ${of}: ${words.join(", ")}`
				: "Hover over a concept for its nearest ones; drag concepts to add and subtract them.",
		);
	}

	/** @param {number[]} terms */
	function equation(terms) {
		const signs = ["", "− ", "+ "];
		return terms
			.map((one, term) => (one >= 0 ? `${signs[term]}${name(one)}` : ""))
			.filter(Boolean)
			.join(" ");
	}

	function drawLater() {
		later();
	}
	const later = onFrame(draw, signal);

	/** @param {PointerEvent} event */
	const indexOf = (event) => {
		const node = /** @type {Element} */ (event.target).closest?.(".xw-point");
		return node ? Number(node.getAttribute("data-index")) : -1;
	};
	map.addEventListener(
		"pointermove",
		(event) => {
			if (dragged || event.pointerType === "touch") return;
			const index = indexOf(event);
			if (index !== hovered) {
				hovered = index;
				later();
			}
		},
		{ signal },
	);
	map.addEventListener(
		"pointerleave",
		() => {
			if (hovered < 0) return;
			hovered = -1;
			later();
		},
		{ signal },
	);

	/** @type {{index: number, x: number, y: number, ghost: HTMLElement, moved: boolean} | null} */
	let dragged = null;
	/** @param {PointerEvent} event */
	const slotAt = (event) =>
		slots.findIndex((slot) => {
			const box = slot.getBoundingClientRect();
			const inside = (/** @type {number} */ at, /** @type {number} */ low, /** @type {number} */ high) =>
				at >= low && at <= high;
			return inside(event.clientX, box.left, box.right) && inside(event.clientY, box.top, box.bottom);
		});
	map.addEventListener(
		"pointerdown",
		(event) => {
			const index = indexOf(event);
			if (index < 0 || event.button !== 0) return;
			const ghost = element("div", { class: "xw-ghost", hidden: true }, [name(index)]);
			root.append(ghost);
			dragged = { index, x: event.clientX, y: event.clientY, ghost, moved: false };
			hovered = -1;
			map.setPointerCapture(event.pointerId);
		},
		{ signal },
	);
	map.addEventListener(
		"pointermove",
		(event) => {
			if (!dragged) return;
			const moved = Math.hypot(event.clientX - dragged.x, event.clientY - dragged.y) >= CLICK;
			dragged.moved ||= moved;
			dragged.ghost.hidden = !dragged.moved;
			dragged.ghost.style.left = `${event.clientX + 10}px`;
			dragged.ghost.style.top = `${event.clientY + 6}px`;
			const over = slotAt(event);
			for (const [term, slot] of slots.entries()) slot.classList.toggle("xw-over", term === over);
		},
		{ signal },
	);
	/** @param {PointerEvent} event */
	const drop = (event) => {
		if (!dragged) return;
		const { index, moved, ghost } = dragged;
		dragged = null;
		ghost.remove();
		for (const slot of slots) slot.classList.remove("xw-over");
		if (event.type === "pointercancel") return;
		const term = slotAt(event);
		if (moved && term >= 0) setTerm(term, index);
		else if (!moved) choose(index);
	};
	map.addEventListener("pointerup", drop, { signal });
	map.addEventListener("pointercancel", drop, { signal });

	const watch = new ResizeObserver(([entry]) => {
		const now = Math.round(entry.contentRect.width);
		if (now === width || now === 0) return;
		width = now;
		later();
	});
	watch.observe(map);
	signal.addEventListener("abort", () => watch.disconnect());
	observe(model, ["frame", "terms", "layout_index"], drawLater, signal);
	observe(model, ["layout_index"], () => press(), signal);

	function press() {
		for (const [index, button] of [...layouts.children].entries()) {
			button.setAttribute("aria-pressed", String(index === model.get("layout_index")));
		}
	}

	return {
		head: element("div", { class: "xw-top" }, [title, layouts]),
		content: [map, sum, found, groups],
		drawing: [/** @type {any} */ (map), sum, found, groups],
		label: "map of concepts",
		stage: /** @type {any} */ (map),
		traits: ["points", "vectors", "labels", "groups", "group_names", "layout_names", "height"],
		refresh() {
			points = decode(model.get("points"));
			vectors = decode(model.get("vectors"));
			layouts.replaceChildren(
				...model.get("layout_names").map((/** @type {string} */ text, /** @type {number} */ index) => {
					const title = `Arrange the concepts by ${text}`;
					const button = element("button", { type: "button", "aria-pressed": "false", title }, [text]);
					button.addEventListener("click", () => set({ layout_index: index }));
					return button;
				}),
			);
			press();
			groups.replaceChildren(
				...model.get("group_names").map((/** @type {string} */ text, /** @type {number} */ index) => {
					const look = lookOf(index);
					const mark = svg("svg", { width: 12, height: 12, "aria-hidden": "true" }, [
						svg("path", { d: shape(look.marker || "circle", 6, 6, 5), style: `fill: ${look.color}` }),
					]);
					return element("span", {}, [mark, text]);
				}),
			);
			if (!points || !vectors) return "not computed yet";
			if (points.shape[1] !== vectors.shape[0]) {
				throw new RangeError(
					`points has ${points.shape[1]} concepts, vectors ${vectors.shape[0]}: expected as many`,
				);
			}
			draw();
			return "";
		},
		keys: KEYS,
		onKey({ key }) {
			const count = points?.shape[1] ?? 0;
			const frame = model.get("frame");
			const term = ["1", "2", "3"].indexOf(key);
			if (term >= 0 && frame >= 0) {
				setTerm(term, frame);
				announce(found.textContent ?? "");
				return {};
			}
			if (key === "Escape") {
				if (frame < 0) return { terms: [-1, -1, -1] };
				choose(-1);
				return {};
			}
			const by = /** @type {Record<string, number>} */ ({
				ArrowRight: 1,
				ArrowDown: 1,
				ArrowLeft: -1,
				ArrowUp: -1,
			})[key];
			if (!count || (!by && key !== "Home" && key !== "End")) return null;
			let next = clamp(frame + (by ?? 0), 0, count - 1);
			if (key === "Home") next = 0;
			if (key === "End") next = count - 1;
			choose(next);
			announce(name(next));
			return {};
		},
	};
});
