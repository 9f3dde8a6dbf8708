import { afterEach, expect, test } from "vitest";
import { difference } from "../src/lib/map_grid_state.js";
import { cell, colors, find, get, point, press, show, texts, view } from "./map_grid.js";
import { painted } from "./model.js";

afterEach(async () => {
	await view.unmount();
});

/** @param {...string} keys */
async function pressEnlarged(...keys) {
	for (const key of keys) {
		find(".xw-lightbox-stages").dispatchEvent(
			new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }),
		);
		await painted();
	}
}

/** @param {string} type @param {number} x @param {number} y */
async function pointEnlarged(type, x, y) {
	const node = find(".xw-panel .xw-map-stage");
	const { left, top, width, height } = node.getBoundingClientRect();
	const init = { bubbles: true, clientX: left + x * width, clientY: top + y * height, pointerType: "mouse" };
	node.dispatchEvent(type === "click" ? new MouseEvent(type, init) : new PointerEvent(type, init));
	await painted();
}

const lightbox = () => /** @type {HTMLDialogElement} */ (find(".xw-lightbox"));

test("a click enlarges over the page, the next marks the position, Escape goes back", async () => {
	await show();
	await point("click", 1, 0, 0.5, 0.5);
	expect(get("row", "column", "enlarged")).toEqual([1, 0, true]);
	expect(lightbox().matches(":modal")).toBe(true);
	expect(find(".xw-lightbox .xw-title").textContent).toBe("LRP · cat");
	expect(find(".xw-lightbox .xw-bar > .xw-muted").textContent).toBe("tabby 90%");
	expect(find(".xw-lightbox-foot").textContent).toContain("Values from −1.00 to 0.500.");
	await pointEnlarged("pointermove", 0.2, 0.2);
	expect(texts(".xw-panel .xw-map-value")).toEqual(["−1.00"]);
	await pointEnlarged("click", 0.2, 0.2);
	find(".xw-lightbox-stages").dispatchEvent(new PointerEvent("pointerleave"));
	await painted();
	expect(get("position")[0].map((part) => Math.round(part * 10))).toEqual([2, 2]);
	await pressEnlarged("ArrowUp", "ArrowRight");
	expect(get("row", "column", "enlarged")).toEqual([0, 1, true]);
	expect(find(".xw-lightbox .xw-title").textContent).toBe("Grad-CAM · dog");
	await pressEnlarged("Escape");
	expect([get("enlarged")[0], lightbox().open]).toEqual([false, false]);
	await press("Enter");
	expect(lightbox().open).toBe(true);
	/** @type {HTMLElement} */ (find('.xw-lightbox [aria-label^="Close"]')).click();
	await painted();
	expect([get("enlarged")[0], lightbox().open]).toEqual([false, false]);
});

test("the buttons go through all cells, and a state that is opened again shows no lightbox by itself", async () => {
	await show({ enlarged: true, row: 0, column: 0 });
	expect(lightbox().open).toBe(false);
	await press("Enter", "Enter");
	expect(lightbox().open).toBe(true);
	const next = /** @type {HTMLElement} */ (find('[aria-label^="Next"]'));
	next.click();
	next.click();
	await painted();
	expect(get("row", "column")).toEqual([1, 0]);
	/** @type {HTMLElement} */ (find('[aria-label^="Previous"]')).click();
	await painted();
	expect(get("row", "column")).toEqual([0, 1]);
});

test("an enlarged smooth map is painted finer than one among others", async () => {
	await show({ interpolation: "smooth" });
	/** @param {Element} node */
	const size = (node) => {
		const { width, height } = /** @type {HTMLCanvasElement} */ (node.querySelector(".xw-map"));
		return [width, height];
	};
	const [among] = size(cell(1, 0));
	await point("click", 1, 0, 0.5, 0.5);
	expect(size(find(".xw-panel"))[0]).toBeGreaterThan(2 * among);
	expect(size(cell(1, 0))[0]).toBe(among);
});

test("two pinned cells are shown with their difference, each by its own scale", async () => {
	await show({
		pins: [
			[0, 0],
			[0, 1],
		],
	});
	await press("d");
	expect(get("enlarged", "compared")).toEqual([true, true]);
	expect(texts(".xw-panel .xw-cell-name")).toEqual(["A Grad-CAM · cat", "B Grad-CAM · dog", "A − B"]);
	const canvas = /** @type {HTMLCanvasElement} */ (view.el.querySelectorAll(".xw-panel .xw-map")[2]);
	const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
	// Two values at half of its columns, interpolated between their centers as in all other views.
	const a = [0, 0.5, 1.5, 2, 0, 0.5, 1.5, 2];
	const differences = a.map((value, i) => value / 2 - (i + 1) / 8);
	const limit = Math.max(...differences.map(Math.abs));
	expect([...new Uint32Array(data.buffer)]).toEqual(colors(differences, limit, "both"));
	expect(find(".xw-lightbox-foot").textContent).toContain("each map is divided by its own largest magnitude");
	await expect
		.poll(() => find(".xw-lightbox-foot").textContent)
		.toMatch(/Pearson 0\.\d+, Spearman 0\.\d+, SSIM/);
	// To the neighbors of the active cell.
	await pressEnlarged("ArrowRight");
	expect(get("enlarged", "compared")).toEqual([true, false]);
	expect(texts(".xw-panel .xw-cell-name")).toEqual([""]);
});

test("the map of zeros is divided by nothing", () => {
	const zeros = { shape: [1, 2], data: Float32Array.of(0, 0) };
	const ones = { shape: [1, 2], data: Float32Array.of(1, -2) };
	expect([...difference(zeros, ones, 0, 2).data]).toEqual([-0.5, 1]);
});
