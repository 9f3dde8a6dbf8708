import { afterEach, expect, test, vi } from "vitest";
import heatmap from "../src/heatmap_view.js";
import { npy, npz, zip } from "../src/lib/npz.js";
import { png } from "../src/lib/snapshot.js";
import { arraysOf } from "../src/lib/take_away.js";
import scores from "../src/scores_view.js";
import { array, Model, mount, painted } from "./model.js";

afterEach(() => vi.restoreAllMocks());

const HEATMAP = {
	title: "The map",
	image: array("uint8", [2, 2, 3], [255, 0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0]),
	images: null,
	maps: null,
	labels: [],
	groups: [],
	group: 0,
	frame: 0,
	position: null,
	colormap: "inferno",
	opacity: 0.7,
	sign: "auto",
	percentile: 100,
	limit: 0,
	fade: false,
	gray: false,
	interpolation: "pixelated",
	controls: true,
	width: 0,
	viewport: [0.5, 0.5, 1],
	smoothing: 0,
};

/** @param {Blob} blob */
async function pixelsOf(blob) {
	const bitmap = await createImageBitmap(blob);
	const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
	const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
	context.drawImage(bitmap, 0, 0);
	const { data, width, height } = context.getImageData(0, 0, bitmap.width, bitmap.height);
	/** @param {(r: number, g: number, b: number) => boolean} is */
	const share = (is) => {
		let count = 0;
		for (let i = 0; i < data.length; i += 4) if (is(data[i], data[i + 1], data[i + 2])) count++;
		return count / (width * height);
	};
	return { width, height, share };
}

test("an array is a file of its own type and shape, its data aligned", () => {
	const file = npy(array("float16", [3], [0x3c00, 0, 0xc000]));
	const header = new TextDecoder().decode(file.slice(10, 128));
	expect(header).toContain("'descr': '<f2'");
	expect(header).toContain("'shape': (3,)");
	expect(file.length).toBe(128 + 6);
	expect([...file.slice(128)]).toEqual([0, 0x3c, 0, 0, 0, 0xc0]);
});

test("an archive ends with its directory", async () => {
	const blob = zip([["a.txt", new TextEncoder().encode("123456789")]]);
	const bytes = new DataView(await blob.arrayBuffer());
	expect(bytes.getUint32(0, true)).toBe(0x04034b50);
	// The check value of this checksum.
	expect(bytes.getUint32(14, true)).toBe(0xcbf43926);
	expect(bytes.getUint32(bytes.byteLength - 22, true)).toBe(0x06054b50);
	expect((await npz({ x: array("uint8", [], [7]) }).arrayBuffer()).byteLength).toBeGreaterThan(100);
});

test("arrays in lists are numbered and private names are plain", () => {
	const [x, y] = [array("uint8", [1], [1]), array("int8", [1], [2])];
	const model = new Model({ x, _map_0_1: y, parts: [x, y], words: ["a"] });
	const found = arraysOf(/** @type {any} */ (model), ["x", "_map_0_1", "parts", "words", "none"]);
	expect(Object.keys(found)).toEqual(["x", "map_0_1", "parts_0", "parts_1"]);
});

test("a saved image has the title, the canvas and the styles of the view, at two pixels per pixel", async () => {
	const view = await mount(heatmap, HEATMAP, { width: 300 });
	await painted();
	const root = /** @type {HTMLElement} */ (view.el.querySelector(".xw"));
	const { width, height, share } = await pixelsOf(await png(root));
	expect(width).toBe(2 * (300 + 16));
	expect(height).toBeGreaterThan(2 * 300);
	expect(share((r, g, b) => r > 240 && g < 20 && b < 20)).toBeGreaterThan(0.7);
	expect(share((r, g, b) => r < 60 && g < 60 && b < 60)).toBeGreaterThan(0.0005);
	expect(share((r, g, b) => r > 250 && g > 250 && b > 250)).toBeGreaterThan(0.02);
	expect(root.classList.contains("xw-saving")).toBe(false);
	await view.unmount();
});

test("the menu is opened, walked and left with keys", async () => {
	const view = await mount(heatmap, HEATMAP);
	const button = /** @type {HTMLButtonElement} */ (view.el.querySelector(".xw-menu-button"));
	button.focus();
	button.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
	const list = /** @type {HTMLElement} */ (view.el.querySelector(".xw-menu-list"));
	expect(list.matches(":popover-open")).toBe(true);
	expect([...list.children].map(({ textContent }) => textContent)).toEqual([
		"Save PNG",
		"Copy PNG",
		"Save arrays",
		"Full screen",
	]);
	expect(document.activeElement).toBe(list.firstChild);
	document.activeElement?.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
	expect(document.activeElement?.textContent).toBe("Copy PNG");
	document.activeElement?.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
	expect(list.matches(":popover-open")).toBe(false);
	expect(document.activeElement).toBe(button);
	await view.unmount();
});

test("a click saves the arrays of a view without a stage", async () => {
	/** @type {string[]} */
	const names = [];
	vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(function () {
		names.push(/** @type {any} */ (this).download);
	});
	const state = {
		...{
			title: "",
			width: 0,
			x: null,
			reference: null,
			labels: ["a", "b"],
			target: 0,
			frame: 0,
			mode: "deletion",
		},
		...{ fraction: 0, series: [], value_limits: [0, 1] },
		values: array("float32", [1, 1, 2], [0.75, 0.25]),
		indices: array("int32", [1, 1, 2], [0, 1]),
		target_values: array("float32", [1, 1], [0.75]),
	};
	const view = await mount(scores, state);
	await painted();
	/** @type {HTMLButtonElement} */ (view.el.querySelector(".xw-menu-button")).click();
	const entry = [...view.el.querySelectorAll("[role=menuitem]")].find(
		({ textContent }) => textContent === "Save arrays",
	);
	/** @type {HTMLButtonElement} */ (entry).click();
	await painted();
	expect(names).toEqual(["class-scores.npz"]);
	await view.unmount();
});
