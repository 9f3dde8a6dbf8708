import { expect, test } from "vitest";
import { curveSvg } from "../src/lib/curve_svg.js";
import { readCurves } from "../src/lib/curves.js";
import { FALL, FLAT, RISE, SERIES, state, T } from "./curve.js";
import { array, Model } from "./model.js";

const LOOK = {
	...{ width: 400, height: 260, title: "A & B <1>", xLabel: "share", yLabel: "probability", ranges: null },
	cursor: { position: 0.25, text: "25.0 %" },
	resolve: (/** @type {string} */ color) => (color.startsWith("var") ? "rgb(1, 2, 3)" : color),
};
const draw = (/** @type {Record<string, unknown>} */ over = {}, look = {}) => {
	const text = curveSvg(readCurves(new Model(state(over))), { ...LOOK, ...look });
	const parsed = new DOMParser().parseFromString(text, "image/svg+xml");
	expect(parsed.querySelector("parsererror")).toBe(null);
	return parsed;
};
const words = (/** @type {Document} */ svg) =>
	[...svg.querySelectorAll("text")].map((node) => node.textContent);
/** The points of the longest path: those of a curve. @param {Document} svg */
const curves = (svg) =>
	[...svg.querySelectorAll("g[clip-path] path")].filter(
		(path) => path.getAttribute("d").split("L").length === T,
	);

test("it holds axes, curves, cursor and a legend, as a file that stands alone", () => {
	const svg = draw();
	expect(curves(svg)).toHaveLength(3);
	const texts = words(svg);
	for (const text of ["A & B <1>", "share", "probability", "25.0 %", "0", "0.2", "1"])
		expect(texts).toContain(text);
	expect(texts.filter((text) => text.startsWith("gradient"))).toEqual([
		"gradient deletionAUC 0.500",
		"gradient insertionAUC 0.500",
	]);
	expect(svg.documentElement.outerHTML).not.toMatch(/var\(|href|url\((?!#plot)/);
});

test("a curve goes through its values, dashed if it is, thicker if it is active", () => {
	const [fall, rise] = curves(draw());
	expect(fall.getAttribute("stroke-dasharray")).toBe("6 4");
	expect(rise.getAttribute("stroke-dasharray")).toBe(null);
	expect([fall, rise].map((path) => path.getAttribute("stroke-width"))).toEqual(["2.75", "1.5"]);
	const points = (/** @type {Element} */ path) =>
		path
			.getAttribute("d")
			.slice(1)
			.split("L")
			.map((point) => point.split(" ").map(Number));
	const [first, last] = [points(fall)[0], points(fall)[T - 1]];
	// From the top left to the bottom right of the plotting area.
	expect(first[0]).toBeLessThan(last[0]);
	expect(first[1]).toBeLessThan(last[1]);
	expect(points(rise)[0][1]).toBeCloseTo(last[1], 1);
	// Equal steps of x are equal steps across.
	expect(points(fall)[50][0]).toBeCloseTo((first[0] + last[0]) / 2, 1);
});

test("hidden curves are left out; zoom, square root, bands and flips are drawn", () => {
	expect(curves(draw({ hidden: [0, 2] }))).toHaveLength(1);
	const [path] = curves(draw({ x_scale: "sqrt" }));
	const across = path
		.getAttribute("d")
		.slice(1)
		.split("L")
		.map((point) => Number(point.split(" ")[0]));
	expect((across[25] - across[0]) / (across[100] - across[0])).toBeCloseTo(0.5, 2);
	const zoomed = draw({}, { ranges: { x: [0.4, 0.6], y: [0, 0.5] } });
	expect(words(zoomed)).toContain("0.45");
	const entries = [
		{ label: "a, deletion", name: "a", mode: "deletion", auc: 0.25, flip: 0.5 },
		{ label: "a, insertion", name: "a", mode: "insertion", frame: 0, auc: 0.75 },
		{ label: "b", name: "b", frame: 9 },
	];
	const svg = draw({
		series: entries,
		y: array("float32", [3, T], [...FALL, ...RISE, ...FLAT]),
		band: array(
			"float32",
			[2, 3, T],
			[...FLAT, ...Array(2 * T).fill(NaN), ...RISE, ...Array(2 * T).fill(NaN)],
		),
	});
	expect(svg.querySelectorAll("[fill-opacity='0.18']")).toHaveLength(1);
	expect(words(svg)).toContain("aAUC deletion 0.250, AUC insertion 0.750");
});

test("x that counts something has ticks at whole numbers only", () => {
	const layers = {
		...{ x: array("float32", [4], [0, 1, 2, 3]), y: array("float32", [1, 4], [10, 40, 20, 30]), fraction: 1 },
		...{ series: [SERIES[0]], x_label: "layer" },
	};
	// The last text is that of the cursor.
	const ticks = (/** @type {Document} */ svg) =>
		[...svg.querySelectorAll('text[text-anchor="middle"][font-size="11"]')].map((node) => node.textContent);
	expect(ticks(draw(layers)).slice(0, -1)).toEqual(["0", "1", "2", "3"]);
	// The shares of a slider that has only its two ends count nothing.
	const ends = { ...layers, x: array("float32", [2], [0, 1]), y: array("float32", [1, 2], [0, 1]) };
	expect(ticks(draw(ends))).toContain("0.2");
});
