import { afterEach, describe, expect, test } from "vitest";
import "../src/lib/theme.css";
import { LOOKS, lookOf, PALETTE_SIZE, seriesColor } from "../src/lib/palette.js";
import { shape } from "../src/lib/swatch.js";
import { colorResolver } from "../src/lib/theme.js";

/** Relative luminance of WCAG 2. @param {number[]} rgb from 0 to 1 */
function luminance(rgb) {
	const [r, g, b] = rgb.map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
	return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** The color that a canvas paints, from 0 to 1. @param {string} color */
function painted(color) {
	const context = new OffscreenCanvas(1, 1).getContext("2d");
	context.fillStyle = color;
	context.fillRect(0, 0, 1, 1);
	return [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)].map((value) => value / 255);
}

const contrast = (a, b) => {
	const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
	return (high + 0.05) / (low + 0.05);
};

/** @type {HTMLElement} */
let root;
function resolved(background, text) {
	root = document.createElement("div");
	root.className = "xw";
	root.style.setProperty("--jp-layout-color0", background);
	root.style.setProperty("--jp-content-font-color1", text);
	document.body.append(root);
	const { resolve } = colorResolver(root);
	return Array.from({ length: PALETTE_SIZE }, (_, index) => painted(resolve(seriesColor(index))));
}
afterEach(() => root?.remove());

describe.each([
	["light", "#ffffff", "rgba(0, 0, 0, 0.87)"],
	["dark", "#111111", "rgb(255, 255, 255)"],
])("%s", (_name, background, text) => {
	test("every color has 3:1 against the background", () => {
		for (const color of resolved(background, text)) {
			expect(contrast(color, painted(background))).toBeGreaterThanOrEqual(3);
		}
	});

	test("no two colors are alike", () => {
		const colors = resolved(background, text);
		for (const [i, a] of colors.entries()) {
			for (const b of colors.slice(i + 1)) {
				expect(Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2])).toBeGreaterThan(0.15);
			}
		}
	});
});

test("no two looks are alike, and each marker has a shape of its own", () => {
	const looks = Array.from({ length: LOOKS }, (_, index) => lookOf(index));
	expect(new Set(looks.map(({ color, marker }) => `${color} ${marker}`)).size).toBe(LOOKS);
	const markers = [...new Set(looks.map(({ marker }) => marker))].filter(Boolean);
	expect(new Set(markers.map((marker) => shape(marker, 0, 0, 4))).size).toBe(markers.length);
	expect(lookOf(LOOKS)).toEqual(lookOf(0));
});

test("colors repeat after the last", () => {
	root = document.createElement("div");
	expect(seriesColor(PALETTE_SIZE + 2)).toBe(seriesColor(2));
	expect(seriesColor(-1)).toBe(seriesColor(PALETTE_SIZE - 1));
});
