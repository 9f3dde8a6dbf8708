import { afterEach, describe, expect, test } from "vitest";
import { userEvent } from "vitest/browser";
import widget from "../src/ordered_mask_view.js";
import { array, mount, painted } from "./model.js";

const HEIGHT = 2;
const WIDTH = 5;
const TOTAL = HEIGHT * WIDTH;
/** The rank of each pixel: a permutation that is not its own inverse. */
const RANKS = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7];
const IMAGE = Array.from({ length: TOTAL }, (_, i) => [10 + i, 100, 50]);
const GONE = Array.from({ length: TOTAL }, () => [0, 0, 0]);
const START = Array.from({ length: TOTAL }, (_, i) => [200, 10 * i, 255]);

const STATE = {
	image: array("uint8", [HEIGHT, WIDTH, 3], IMAGE.flat()),
	baselines: array("uint8", [2, HEIGHT, WIDTH, 3], [...GONE, ...START].flat()),
	ranks: array("int32", [1, HEIGHT, WIDTH], RANKS),
	labels: [],
	frame: 0,
	mode: "deletion",
	fraction: 0,
	interpolation: "pixelated",
	position: null,
	controls: true,
	width: 300,
	title: "",
};

/** @type {(() => Promise<void>)[]} */
const mounted = [];
afterEach(async () => {
	for (const unmount of mounted.splice(0)) await unmount();
});

/** @param {Record<string, unknown>} [state] @param {{width?: number}} [options] */
async function show(state = {}, options) {
	const view = await mount(widget, { ...STATE, ...state }, options);
	mounted.push(view.unmount);
	await painted();
	const $ = (/** @type {string} */ selector) => view.el.querySelector(selector);
	const imageCanvas = $(".xw-stage > canvas");
	/** The colors at the centers of all pixels of the image. */
	const pixels = () =>
		Array.from({ length: TOTAL }, (_, i) => {
			const x = Math.floor((((i % WIDTH) + 0.5) / WIDTH) * imageCanvas.width);
			const y = Math.floor(((Math.floor(i / WIDTH) + 0.5) / HEIGHT) * imageCanvas.height);
			return [...imageCanvas.getContext("2d").getImageData(x, y, 1, 1).data.subarray(0, 3)];
		});
	return { ...view, $, pixels, stage: $(".xw-stage") };
}

/** The definition, pixel by pixel. @param {string} mode @param {number} fraction @param {number[]} ranks */
function expected(mode, fraction, ranks = RANKS) {
	const n = Math.round(fraction * TOTAL);
	if (mode === "deletion") return ranks.map((rank, i) => (rank < n ? GONE[i] : IMAGE[i]));
	return ranks.map((rank, i) => (rank < n ? IMAGE[i] : START[i]));
}

describe("MoRF and LeRF", () => {
	/** Not the ranks reversed: the first two pixels are equally relevant. */
	const LEAST = RANKS.map((rank) => (rank === 9 ? 1 : rank === 8 ? 0 : TOTAL - 1 - rank));

	test.each(["MoRF", "LeRF"])("%s replaces pixels up to the last share", async (mode) => {
		const least = array("int32", [1, HEIGHT, WIDTH], LEAST);
		const { pixels, $ } = await show({ mode, least, span: 0.8, fraction: 0.5 });
		const ranks = mode === "MoRF" ? RANKS : LEAST;
		expect(pixels()).toEqual(expected("deletion", 0.4, ranks));
		expect($(".xw-amount").textContent).toBe("40.0 % replaced");
		expect($(".xw-tools .xw-modes").checkVisibility()).toBe(false);
	});

	test("g goes from one to the other", async () => {
		const { model, stage } = await show({ mode: "MoRF" });
		stage.focus();
		await userEvent.keyboard("g");
		expect(model.get("mode")).toBe("LeRF");
		await userEvent.keyboard("g");
		expect(model.get("mode")).toBe("MoRF");
	});
});

describe("the image", () => {
	test.each(["deletion", "insertion"])("%s is its definition at every fraction", async (mode) => {
		const { model, pixels } = await show({ mode });
		for (const fraction of [0, 0.04, 0.05, 0.1, 0.3, 0.55, 0.999, 1]) {
			model.set("fraction", fraction);
			await painted();
			expect(pixels()).toEqual(expected(mode, fraction));
		}
	});

	test("mode and ordering can change", async () => {
		const other = [...RANKS].reverse();
		const ranks = array("int32", [2, HEIGHT, WIDTH], [...RANKS, ...other]);
		const { model, pixels } = await show({ ranks, fraction: 0.4 });
		model.set("mode", "insertion");
		await painted();
		expect(pixels()).toEqual(expected("insertion", 0.4));
		model.set("frame", 1);
		await painted();
		expect(pixels()).toEqual(expected("insertion", 0.4, other));
	});

	test("without an ordering or baselines the image is whole, until they come", async () => {
		const { model, pixels, $ } = await show({ ranks: null, baselines: null, fraction: 0.5 });
		expect(pixels()).toEqual(IMAGE);
		expect($(".xw-amount").textContent).toBe("not computed yet");
		model.set("ranks", STATE.ranks);
		model.set("baselines", STATE.baselines);
		await painted();
		expect(pixels()).toEqual(expected("deletion", 0.5));
	});

	test("no image: words; all may come later and in another size", async () => {
		const { model, $ } = await show({ image: null });
		expect($(".xw-message").textContent).toMatch(/No image yet/);
		model.set("ranks", null);
		model.set("baselines", null);
		model.set("image", array("uint8", [8, 4, 3], new Uint8Array(96).fill(77)));
		await painted();
		expect($(".xw-message").hidden).toBe(true);
		const { width, height } = $(".xw-stage").getBoundingClientRect();
		expect(height / width).toBeCloseTo(2, 1);
	});

	test("arrays that do not fit the image are an error in words, and the view recovers", async () => {
		const { model, pixels, $ } = await show();
		model.set("ranks", array("int32", [1, 3, 3], [0, 1, 2, 3, 4, 5, 6, 7, 8]));
		await painted();
		expect($("[role=alert]").textContent).toMatch(
			/ranks is a Int32Array of shape \[1, 3, 3\], expected .* \[any, 2, 5\]/,
		);
		model.set("ranks", STATE.ranks);
		await painted();
		expect($("[role=alert]")).toBeNull();
		expect(pixels()).toEqual(IMAGE);
	});
});

describe("pointer and keys", () => {
	test("the slider and the buttons set fraction and mode", async () => {
		const { model, el, pixels, $ } = await show();
		const slider = $("input[type=range]");
		slider.value = "0.3";
		slider.dispatchEvent(new Event("input", { bubbles: true }));
		expect(model.get("fraction")).toBe(0.3);
		await painted();
		expect(pixels()).toEqual(expected("deletion", 0.3));
		const [deletion, insertion] = el.querySelectorAll("[role=group] > button");
		await userEvent.click(insertion);
		expect(model.get("mode")).toBe("insertion");
		expect([deletion.ariaPressed, insertion.ariaPressed]).toEqual(["false", "true"]);
		model.set("fraction", 0.8);
		expect(slider.value).toBe("0.8");
		await painted();
		expect(model.saved).not.toHaveLength(0);
	});

	test("keys on the image", async () => {
		const { model, stage } = await show();
		stage.focus();
		await userEvent.keyboard("{ArrowRight}{ArrowUp}{ArrowRight}{ArrowLeft}");
		expect(model.get("fraction")).toBe(0.02);
		await userEvent.keyboard("{Shift>}{ArrowRight}{ArrowRight}{/Shift}{PageUp}");
		expect(model.get("fraction")).toBe(0.32);
		await userEvent.keyboard("{End}{ArrowRight}");
		expect(model.get("fraction")).toBe(1);
		await userEvent.keyboard("{Home}{ArrowDown}");
		expect(model.get("fraction")).toBe(0);
		await userEvent.keyboard("g");
		expect(model.get("mode")).toBe("insertion");
	});

	test("the readout shows the number of pixels and the fraction of the marked pixel", async () => {
		const { model, $, stage } = await show({ fraction: 0.37 });
		expect($(".xw-amount").textContent).toBe("37.0 % deleted");
		expect($(".xw-amount").title).toBe("4 of 10 pixels deleted");
		expect(stage.getAttribute("aria-valuetext")).toBe("37.0 % deleted");
		expect(stage.getAttribute("aria-valuenow")).toBe("0.37");
		model.set("position", [0.7, 0.1]);
		await painted();
		expect($(".xw-position").textContent).toBe("row 0, col 3: deleted at 10.0 %");
	});

	test("hovering moves the position", async () => {
		const { model, stage } = await show();
		const { left, top, width, height } = stage.getBoundingClientRect();
		const at = { clientX: left + 0.5 * width, clientY: top + 0.25 * height, pointerType: "mouse" };
		stage.dispatchEvent(new PointerEvent("pointermove", at));
		expect(model.get("position")[0]).toBeCloseTo(0.5, 2);
		expect(model.get("position")[1]).toBeCloseTo(0.25, 2);
	});
});

test("nothing overflows a column of 280 px, and controls can be left out", async () => {
	const { el, model, $ } = await show({ width: 0, position: [0.5, 0.5] }, { width: 280 });
	expect(el.scrollWidth).toBeLessThanOrEqual(280);
	for (const node of el.querySelectorAll("button, input, canvas")) {
		expect(node.getBoundingClientRect().right).toBeLessThanOrEqual(el.getBoundingClientRect().right + 0.5);
	}
	model.set("controls", false);
	await painted();
	expect($(".xw-tools").checkVisibility()).toBe(false);
});

test("the cleanup leaves no listener and no element behind", async () => {
	const { model, el, unmount } = await show();
	expect(model.listeners).toBeGreaterThan(0);
	await unmount();
	expect(model.listeners).toBe(0);
	expect(el.childElementCount).toBe(0);
});
