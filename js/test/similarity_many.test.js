import { afterEach, expect, test, vi } from "vitest";
import { array, painted } from "./model.js";
import { FIRST, grid, point, set, show, stages, texts, view, words } from "./similarity.js";

const COUNT = 60;
/** The vectors of the two images of the other tests, in turn. */
const activations = [
	array("float32", [COUNT, 2, 3, 2], Array.from({ length: COUNT / 2 }, () => FIRST).flat()),
];
const MANY = {
	images: array("uint8", [COUNT, 2, 3, 3], new Array(COUNT * 18).fill(128)),
	labels: [],
	activations,
	columns: 4,
	height: 300,
};

afterEach(async () => {
	vi.restoreAllMocks();
	await view.unmount();
});

/** The canvases that are written from now on. */
function written() {
	/** @type {HTMLCanvasElement[]} */
	const canvases = [];
	const put = CanvasRenderingContext2D.prototype.putImageData;
	vi.spyOn(CanvasRenderingContext2D.prototype, "putImageData").mockImplementation(function (...args) {
		canvases.push(this.canvas);
		put.apply(this, /** @type {any} */ (args));
	});
	return canvases;
}

/** Indices of the images that the list shows, if only in part. */
function inSight() {
	const { top, bottom } = grid().getBoundingClientRect();
	const boxes = stages().map((stage, index) => ({ index, box: stage.getBoundingClientRect() }));
	return boxes.filter(({ box }) => box.bottom > top && box.top < bottom).map(({ index }) => index);
}

test("a hover draws the images in sight, and the others when the pointer rests", async () => {
	await show(MANY);
	await painted();
	const sight = inSight();
	expect(sight.length).toBeLessThan(COUNT / 3);
	// The canvases out of sight are not drawn.
	const bases = [...view.el.querySelectorAll(".xw-base")];
	expect(bases.filter((canvas) => canvas.checkVisibility()).length).toBeLessThanOrEqual(sight.length + 4);
	const canvases = written();
	point("pointermove", 0, 0.17, 0.75);
	await painted();
	// Each once.
	expect(canvases).toEqual(sight.map((index) => stages()[index].querySelector(".xw-overlay")));
	// The values of all images are known at once.
	const { data } = view.model.get("_profile");
	expect(data.getFloat32(4 * (COUNT - 1), true)).toBeCloseTo(0.6);
	await vi.waitFor(() => expect(canvases.length).toBe(COUNT));
	expect(words(COUNT - 1)).toEqual(words(1));
	expect(words(COUNT - 2)).toEqual(words(0));
	expect(texts(".xw-patch-value").at(-1)).toBe("0.600");
});

test("a hover within a cell draws nothing, and asks once where its image is", async () => {
	await show(MANY);
	point("pointermove", 0, 0.17, 0.75);
	await vi.waitFor(() => expect(texts(".xw-patch-value").at(-1)).toBe("0.600"));
	const canvases = written();
	const asked = vi.spyOn(Element.prototype, "getBoundingClientRect");
	point("pointermove", 0, 0.18, 0.76);
	await painted();
	expect(view.model.get("position")[0]).toBeCloseTo(0.18);
	expect(canvases).toEqual([]);
	// Twice: `point` asks, too.
	expect(asked).toHaveBeenCalledTimes(2);
});

test("images that are scrolled into sight are drawn", async () => {
	await show(MANY);
	await painted();
	// No rest between the moves: nothing but scrolling draws the last images.
	point("pointermove", 0, 0.17, 0.75);
	await painted();
	const last = stages()[COUNT - 1].querySelector(".xw-moving > .xw-mark");
	expect(last).toHaveProperty("hidden", true);
	const moving = setInterval(() => point("pointermove", 0, 0.17, Math.random() < 0.5 ? 0.75 : 0.25), 20);
	grid().scrollTop = grid().scrollHeight;
	await vi.waitFor(() => expect(last).toHaveProperty("hidden", false));
	clearInterval(moving);
});

test("new activations leave the pixels of the images as they are", async () => {
	await show({ ...MANY, position: [0.1, 0.1] });
	await painted();
	const canvases = written();
	await set({ activations: [array("float32", [COUNT, 2, 3, 2], new Array(COUNT * 12).fill(1))] });
	expect(canvases.length).toBeGreaterThan(0);
	expect(canvases.filter(({ className }) => className === "xw-base")).toEqual([]);
	await set({ gray: false });
	expect(canvases.filter(({ className }) => className === "xw-base").length).toBe(COUNT);
});
