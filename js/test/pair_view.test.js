import { afterEach, expect, test } from "vitest";
import { userEvent } from "vitest/browser";
import { decidingOf, differencesOf } from "../src/lib/leaderboard.js";
import widget from "../src/pair_view.js";
import { array, mount, painted } from "./model.js";

const NAN = Number.NaN;
const HALF = { 0: 0, 1: 0x3c00 };
/** Two rows by one metric by four items; the last one has a score of the first row alone. */
const SCORES = [0.1, 0.5, 0.4, 0.9, 0.3, 0.3, 0.4, NAN];
const STATE = {
	rows: [
		{ name: "cam", label: "CAM" },
		{ name: "lrp", label: "LRP" },
	],
	columns: [{ name: "insertion", label: "Insertion", direction: "higher" }],
	scores: array("float32", [2, 1, 4], SCORES),
	labels: ["cat", "dog", "cow", "owl"],
	classes: ["tabby", "collie", "ox", "owl"],
	differences: array("float32", [1, 2, 2, 2], [0, 0, -0.2, 0.1, -0.1, 0.2, 0, 0]),
	images: array("uint8", [2, 2, 2, 3], new Array(24).fill(200)),
	image_items: [0, 1],
	// Two maps of the item 0, and one of the item 1, in a corner.
	maps: array("float16", [3, 2, 2], [HALF[1], 0, 0, 0, 0, 0, 0, HALF[1], HALF[1], 0, 0, 0]),
	map_sizes: [
		[2, 2],
		[2, 2],
		[1, 1],
	],
	map_rows: [0, 1, 0],
	map_items: [0, 0, 1],
	signs: ["positive", "positive"],
	metric: "",
	pair: ["cam", "lrp"],
	count: 3,
	frame: -1,
	pending: "not computed yet",
	opacity: 1,
	colormap: "auto",
	sign: "auto",
	percentile: 100,
	smoothing: 0,
	fade: false,
	gray: true,
	interpolation: "pixelated",
	width: 0,
	title: "",
};

/** @type {(() => Promise<void>)[]} */
const mounted = [];
afterEach(async () => {
	for (const unmount of mounted.splice(0)) await unmount();
});

async function show(state = {}) {
	const view = await mount(widget, { ...STATE, ...state }, { width: 500 });
	mounted.push(view.unmount);
	await painted();
	const $$ = (/** @type {string} */ selector) =>
		/** @type {HTMLElement[]} */ ([...view.el.querySelectorAll(selector)]);
	const all = (/** @type {string} */ letter) =>
		/** @type {HTMLButtonElement[]} */ ($$(`.xw-pair-group.xw-side-${letter} .xw-pair-card`));
	const cards = (/** @type {string} */ letter) => all(letter).filter((node) => !node.matches(".xw-blank"));
	return { ...view, $$, all, cards };
}

/** The pixels of a map as [opaque and bright?]. @param {Element} side */
function brightness(side) {
	const canvas = /** @type {HTMLCanvasElement} */ (side.querySelector(".xw-map"));
	const { data } = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).getImageData(0, 0, 2, 2);
	return [0, 1, 2, 3].map((at) => data[4 * at] + data[4 * at + 1] > 300);
}

test("items are sorted by the difference, in the direction of the metric", () => {
	const scores = { shape: [2, 1, 4], data: new Float32Array(SCORES) };
	const items = (/** @type {boolean} */ lower, /** @type {number[]} */ pair) =>
		differencesOf(scores, pair, 0, lower).map(({ item }) => item);
	expect(items(false, [0, 1])).toEqual([1, 2, 0]);
	expect(items(true, [0, 1])).toEqual([0, 2, 1]);
	expect(items(false, [1, 0])).toEqual([0, 2, 1]);
	const { better, worse } = decidingOf(differencesOf(scores, [0, 1], 0, false), 3);
	expect([better, worse].map((part) => part.map(({ item }) => item))).toEqual([[1], [0]]);
});

test("both maps stand side by side with scores and class, the better score in bold", async () => {
	const { cards, $$, el } = await show();
	expect(cards("A").map((node) => node.title)).toEqual(["dog: A 0.500, B 0.300, collie"]);
	expect(cards("B").map((node) => node.title)).toEqual(["cat: A 0.100, B 0.300, tabby"]);
	const [first, second] = cards("B")[0].querySelectorAll(".xw-pair-side");
	expect(brightness(first)).toEqual([true, false, false, false]);
	expect(brightness(second)).toEqual([false, false, false, true]);
	expect([first, second].map((side) => side.matches(".xw-better"))).toEqual([false, true]);
	expect(el.querySelector(".xw-pair-verdict")?.textContent).toBe(
		"Insertion: CAM is better on 1, LRP on 1 of 3 images. 95 % interval of the difference −0.200 to 0.100: not separated.",
	);
	// A map that was not sent is named, and no other map is shown in its place.
	const [, missing] = cards("A")[0].querySelectorAll(".xw-pair-side");
	expect(missing.querySelector(".xw-pair-words")?.textContent).toBe("not computed yet");
	expect(/** @type {HTMLCanvasElement} */ (missing.querySelector(".xw-map")).hidden).toBe(true);
	expect($$(".xw-pair-card:not(.xw-blank) .xw-no-map")).toHaveLength(1);
});

test("other rows swap the images, and fewer than two rows are asked for", async () => {
	const { model, all, cards, el } = await show();
	model.set("pair", ["lrp", "cam"]);
	await painted();
	expect(cards("A")[0].title).toBe("cat: A 0.300, B 0.100, tabby");
	expect(el.querySelector(".xw-pair-verdict")?.textContent).toContain("−0.100 to 0.200");
	model.set("pair", ["lrp"]);
	await painted();
	expect(el.querySelector(".xw-message")?.textContent).toBe("Choose two methods in the table.");
	// The room stays, and nothing of the pair before is in it.
	expect(all("A").map((node) => getComputedStyle(node).visibility)).toEqual(["hidden", "hidden", "hidden"]);
	expect(all("A").every((node) => node.disabled && !node.textContent?.includes("0."))).toBe(true);
});

test("an interval beyond 0 names the better one, in either direction of the metric", async () => {
	const differences = array("float32", [1, 2, 2, 2], [0, 0, 0.1, 0.3, -0.3, -0.1, 0, 0]);
	const { model, el } = await show({ differences });
	const words = () => el.querySelector(".xw-pair-verdict")?.textContent;
	expect(words()).toContain("0.100 to 0.300: CAM is better.");
	model.set("columns", [{ name: "deletion", label: "Deletion", direction: "lower" }]);
	await painted();
	expect(words()).toContain("0.100 to 0.300: LRP is better.");
});

test("a click on a card or a bar enlarges the image, arrows go on, and Escape closes it", async () => {
	const { model, cards, el } = await show();
	await userEvent.click(cards("A")[0]);
	await painted();
	const box = /** @type {HTMLDialogElement} */ (el.querySelector("dialog"));
	expect([model.get("frame"), box.open]).toEqual([1, true]);
	expect(box.querySelector(".xw-title")?.textContent).toBe("dog · Insertion: A CAM, B LRP");
	await userEvent.keyboard("{ArrowRight}{ArrowRight}");
	await painted();
	expect(model.get("frame")).toBe(0);
	await userEvent.keyboard("{Escape}");
	await painted();
	expect([model.get("frame"), box.open]).toEqual([-1, false]);
	const bars = /** @type {HTMLCanvasElement} */ (el.querySelector(".xw-pair-bars"));
	const { left, top } = bars.getBoundingClientRect();
	bars.dispatchEvent(new MouseEvent("click", { clientX: left + 2, clientY: top + 9, bubbles: true }));
	await painted();
	expect(model.get("frame")).toBe(1);
});
