import "./swatch.css";

/**
 * Samples of curves, and the markers on them.
 *
 * @typedef {import("./curves.js").Curve} Curve
 */

/** Corners of a quarter of a plus. */
const PLUS = [
	[-0.3, -1],
	[0.3, -1],
	[0.3, -0.3],
];

/** A short piece of the curve: its color, its dashes and its marker, or a dot for a single value. */
export function swatch() {
	const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
	const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
	const mark = document.createElementNS("http://www.w3.org/2000/svg", "path");
	svg.setAttribute("viewBox", "0 0 22 10");
	svg.setAttribute("aria-hidden", "true");
	svg.classList.add("xw-swatch");
	line.setAttribute("d", "M1 5H21");
	svg.append(line);
	return {
		element: svg,
		/** @param {Pick<Curve, "color" | "active" | "dashed" | "marker"> & {computed?: number}} curve */
		draw(curve) {
			line.style.stroke = curve.color;
			const lone = curve.computed === 1;
			line.setAttribute("d", lone ? "M11 5h.01" : "M1 5H21");
			line.style.strokeLinecap = lone ? "round" : "";
			line.style.strokeWidth = lone ? "8" : curve.active ? "3.5" : "2";
			line.style.strokeDasharray = curve.dashed ? "5 3.5" : "";
			mark.remove();
			if (!curve.marker) return;
			mark.setAttribute("d", shape(curve.marker, 11, 5, 4));
			mark.style.fill = curve.color;
			svg.append(mark);
		},
	};
}

/**
 * The path of a marker, as in the attribute `d` of SVG.
 *
 * @param {import("./palette.js").Marker} marker
 * @param {number} x
 * @param {number} y
 * @param {number} half
 * @returns {string}
 */
export function shape(marker, x, y, half) {
	const at = (/** @type {number} */ dx, /** @type {number} */ dy) =>
		`${round(x + dx * half)} ${round(y + dy * half)}`;
	if (marker === "circle") {
		const arc = `A${round(half)} ${round(half)} 0 1 0`;
		return `M${at(-1, 0)}${arc} ${at(1, 0)}${arc} ${at(-1, 0)}Z`;
	}
	if (marker === "triangle") return `M${at(0, -1.15)}L${at(1.1, 0.85)}L${at(-1.1, 0.85)}Z`;
	if (marker === "down") return `M${at(0, 1.15)}L${at(1.1, -0.85)}L${at(-1.1, -0.85)}Z`;
	if (marker === "plus" || marker === "cross") {
		const corners = [0, 1, 2, 3].flatMap((quarter) => {
			const angle = (Math.PI / 4) * (2 * quarter + Number(marker === "cross"));
			const [cos, sin] = [1.2 * Math.cos(angle), 1.2 * Math.sin(angle)];
			return PLUS.map(([dx, dy]) => at(cos * dx - sin * dy, sin * dx + cos * dy));
		});
		return `M${corners.join("L")}Z`;
	}
	if (marker === "square") return `M${at(-0.9, -0.9)}L${at(0.9, -0.9)}L${at(0.9, 0.9)}L${at(-0.9, 0.9)}Z`;
	return `M${at(0, -1)}L${at(1, 0)}L${at(0, 1)}L${at(-1, 0)}Z`;
}

/** @param {number} value */
function round(value) {
	return Number(value.toFixed(2));
}
