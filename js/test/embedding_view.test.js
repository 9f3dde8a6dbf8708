import { afterEach, describe, expect, test } from "vitest";
import { userEvent } from "vitest/browser";
import widget from "../src/embedding_view.js";
import { combine, nearest, placeLabels } from "../src/lib/embedding.js";
import { array, mount, painted } from "./model.js";

const NAMES = ["king", "man", "woman", "queen", "tree"];
const HALF = Math.SQRT1_2;
/** Royal and female, each along one axis, and something else. */
const VECTORS = [
	...[HALF, HALF, 0, 0],
	...[0, 1, 0, 0],
	...[0, 0, 1, 0],
	...[HALF, 0, HALF, 0],
	...[0, 0, 0, 1],
];
const POINTS = [...[0, 0, 1, 0, 1, 1, 0, 1, 0.5, 0.5], ...[1, 1, 0, 1, 0, 0, 1, 0, 0.5, 0.5]];
const STATE = {
	points: array("float32", [2, 5, 2], POINTS),
	vectors: array("float32", [5, 4], VECTORS),
	labels: NAMES,
	groups: [0, 0, 0, 0, 1],
	group_names: ["people", "plants"],
	layout_names: ["t-SNE", "PCA"],
	layout_index: 0,
	frame: -1,
	terms: [-1, -1, -1],
	height: 300,
	width: 0,
	title: "",
};

/** @type {(() => Promise<void>)[]} */
const mounted = [];
afterEach(async () => {
	for (const unmount of mounted.splice(0)) await unmount();
});

async function show(state = {}) {
	const view = await mount(widget, { ...STATE, ...state }, { width: 600 });
	mounted.push(view.unmount);
	await painted();
	await painted();
	const $ = (/** @type {string} */ selector) => view.el.querySelector(selector);
	const $$ = (/** @type {string} */ selector) => [...view.el.querySelectorAll(selector)];
	const point = (/** @type {number} */ index) => $(`.xw-point[data-index="${index}"]`);
	return { ...view, $, $$, point, found: () => $(".xw-nearest")?.textContent ?? "" };
}

const matrix = { shape: [5, 4], data: Float32Array.from(VECTORS) };

describe("arithmetic", () => {
	test("a - b + c is nearest to the concept with its parts", () => {
		const sum = combine(matrix, [0, 1, 2]);
		expect([...(sum ?? [])].map((value) => value.toFixed(3))).toEqual(["0.707", "-0.293", "1.000", "0.000"]);
		expect(nearest(matrix, sum ?? [], [0, 1, 2], 1)[0].index).toBe(3);
	});

	test("one term has no sum, and unknown vectors have none", () => {
		expect(combine(matrix, [0, -1, -1])).toBeNull();
		const unknown = { shape: [2, 1], data: Float32Array.from([Number.NaN, 1]) };
		expect(combine(unknown, [0, 1, -1])).toBeNull();
		expect(nearest(unknown, [1], [])).toEqual([{ index: 1, cosine: 1 }]);
	});

	test("labels do not overlap, and those that matter come first", () => {
		const points = [0, 1, 2, 3, 4, 5, 6, 7].map((index) => ({
			...{ x: 100, y: 100 + index / 10, text: "a long name of a concept" },
			first: index === 7,
		}));
		const placed = placeLabels(points, { width: 500, height: 200 });
		expect(placed[7]).not.toBeNull();
		expect(placed.filter((one) => one === null).length).toBeGreaterThan(0);
	});
});

describe("the map", () => {
	test("a chosen concept is joined to the nearest ones", async () => {
		const { model, $$, found, point } = await show();
		expect(found()).toContain("Hover over a concept");
		await userEvent.click(point(0).querySelector(".xw-hit"));
		expect(model.get("frame")).toBe(0);
		await painted();
		expect($$(".xw-link")).toHaveLength(4);
		expect(found()).toMatch(/^Nearest to king: man 0.71, queen 0.50/);
	});

	test("concepts are dragged to the terms, and the result has its nearest concept", async () => {
		const { model, $$, $, found, point } = await show();
		const slots = $$(".xw-slot");
		for (const [term, index] of [0, 1, 2].entries()) {
			const from = point(index).querySelector(".xw-hit").getBoundingClientRect();
			const to = slots[term].getBoundingClientRect();
			const map = $(".xw-map");
			const at = (box) => ({ clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 });
			map.setPointerCapture = () => {};
			const options = { bubbles: true, pointerId: 1, button: 0 };
			point(index)
				.querySelector(".xw-hit")
				.dispatchEvent(new PointerEvent("pointerdown", { ...options, ...at(from) }));
			map.dispatchEvent(new PointerEvent("pointermove", { ...options, ...at(to) }));
			expect(slots[term].matches(".xw-over")).toBe(true);
			map.dispatchEvent(new PointerEvent("pointerup", { ...options, ...at(to) }));
			await painted();
		}
		expect(model.get("terms")).toEqual([0, 1, 2]);
		expect($(".xw-ghost")).toBeNull();
		expect(found()).toMatch(/^Nearest to king − man \+ woman: queen/);
		expect($(".xw-result")).not.toBeNull();
		await userEvent.click(slots[1]);
		expect(model.get("terms")).toEqual([0, -1, 2]);
	});

	test("a chosen concept without a vector dims no other", async () => {
		const axes = Array.from({ length: 64 }, (_, index) => Number(index % 9 === 0));
		const points = Array.from({ length: 16 }, (_, index) => index / 16);
		const state = { frame: 0, groups: [], vectors: array("float32", [8, 8], axes) };
		const known = await show({ ...state, points: array("float32", [1, 8, 2], points) });
		// The concept and its five nearest ones are lit.
		expect(known.$$(".xw-faint")).toHaveLength(2);
		points.splice(0, 2, Number.NaN, Number.NaN);
		const unknown = await show({ ...state, points: array("float32", [1, 8, 2], points) });
		expect(unknown.$$(".xw-point")).toHaveLength(7);
		expect(unknown.$$(".xw-faint")).toEqual([]);
	});

	test("keys choose concepts and terms", async () => {
		const { model, $ } = await show({ frame: 2 });
		$(".xw-map").focus();
		await userEvent.keyboard("{ArrowRight}");
		expect(model.get("frame")).toBe(3);
		await userEvent.keyboard("1");
		expect(model.get("terms")).toEqual([3, -1, -1]);
		await userEvent.keyboard("{Escape}");
		expect(model.get("frame")).toBe(-1);
		await userEvent.keyboard("{Escape}");
		expect(model.get("terms")).toEqual([-1, -1, -1]);
	});

	test("another layout moves the points", async () => {
		const { $$, point, model } = await show();
		const before = point(0).querySelector(".xw-hit").getAttribute("cx");
		await userEvent.click($$(".xw-embedding-layouts button")[1]);
		expect(model.get("layout_index")).toBe(1);
		await painted();
		expect(Number(point(0).querySelector(".xw-hit").getAttribute("cx"))).toBeGreaterThan(Number(before));
	});

	test("arrays that do not fit are refused", async () => {
		const { el } = await show({ vectors: array("float32", [4, 4], VECTORS.slice(0, 16)) });
		expect(el.textContent).toContain("points has 5 concepts, vectors 4");
	});
});
