import { afterEach, describe, expect, test } from "vitest";
import { userEvent } from "vitest/browser";
import widget from "../src/gallery_view.js";
import { array, mount, painted } from "./model.js";

const COUNT = 6;
/** Images of 2 x 2, each pixel another color. */
const PICTURES = Array.from({ length: COUNT }, (_, m) =>
	Array.from({ length: 4 }, (_, i) => [40 * m, 60 * i, 255 - 10 * m]),
);

const STATE = {
	images: array("uint8", [COUNT, 2, 2, 3], PICTURES.flat(2)),
	labels: ["5 %", "10 %", "20 %", "30 %", "40 %", "50 %"],
	columns: 0,
	row_labels: [],
	switches: false,
	pages: 1,
	off: [],
	frame: -1,
	marked: -1,
	values: null,
	value_limits: [0, 1],
	active: null,
	present: null,
	compact: false,
	step: 0,
	size: 64,
	interpolation: "pixelated",
	width: 0,
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
	const $$ = (/** @type {string} */ selector) => [...view.el.querySelectorAll(selector)];
	const set = async (/** @type {Record<string, unknown>} */ values) => {
		for (const [name, value] of Object.entries(values)) view.model.set(name, value);
		await painted();
	};
	const chosen = () => $$("[role=option]").findIndex((node) => node.ariaSelected === "true");
	return { ...view, $, $$, set, chosen, list: $("[role=listbox]") };
}

/** The colors of all pixels of a canvas. */
function pixels(canvas) {
	const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
	return Array.from({ length: data.length / 4 }, (_, i) => [...data.subarray(4 * i, 4 * i + 3)]);
}

describe("images", () => {
	test("they show the given arrays, and follow them", async () => {
		const { $$, set } = await show();
		expect($$("canvas").map(pixels)).toEqual(PICTURES);
		expect($$(".xw-caption").map((node) => node.textContent)).toEqual(STATE.labels);
		const two = PICTURES.slice(3, 5);
		await set({ images: array("uint8", [2, 2, 2, 3], two.flat(2)) });
		expect($$("canvas").map(pixels)).toEqual(two);
		await set({ images: STATE.images });
		expect($$("canvas").map(pixels)).toEqual(PICTURES);
	});

	test("an image that is reduced is smoothed", async () => {
		const large = array("uint8", [1, 200, 200, 3], new Uint8Array(120000));
		const { $, set } = await show({ images: large });
		expect($("canvas").style.imageRendering).toBe("auto");
		await set({ images: STATE.images });
		expect($("canvas").style.imageRendering).toBe("pixelated");
		await set({ interpolation: "smooth" });
		expect($("canvas").style.imageRendering).toBe("auto");
	});

	test("none yet: words; values of another length: an error, and the view recovers", async () => {
		const { $, set } = await show({ images: null });
		expect($(".xw-message").textContent).toBe("No images yet.");
		await set({ images: STATE.images, values: array("float32", [2], [0, 1]) });
		expect($(".xw-message").textContent).toMatch(/values .* shape \[2\], expected .* \[6\]/);
		await set({ values: null });
		expect($(".xw-message").checkVisibility()).toBe(false);
	});

	test("bars are as long as their values, from 0 where the limits have two signs", async () => {
		const { $$, set } = await show({ values: array("float32", [6], [0, 0.25, 1, 2, Number.NaN, -1]) });
		const bars = () =>
			$$(".xw-value").map((bar) => {
				const [outer, inner] = [bar, bar.firstChild].map((node) => node.getBoundingClientRect());
				const part = (x) => Math.round((100 * (x - outer.left)) / outer.width);
				return inner.width < 0.1 ? "none" : [part(inner.left), part(inner.right)];
			});
		expect(bars()).toEqual(["none", [0, 25], [0, 100], [0, 100], "none", "none"]);
		await set({ value_limits: [-1, 3] });
		expect(bars()).toEqual(["none", [25, 31], [25, 50], [25, 75], "none", [0, 25]]);
	});

	test("the marked one has a star, also in its accessible name", async () => {
		const { $$, set } = await show({ marked: 1, values: array("float32", [6], [0, 0.25, 0, 0, 0, 0]) });
		const stars = () => $$(".xw-star").map((star) => star.checkVisibility());
		expect(stars()).toEqual([false, true, false, false, false, false]);
		expect($$("[role=option]")[1].ariaLabel).toBe("10 %, 0.250, marked");
		await set({ marked: -1 });
		expect(stars()).not.toContain(true);
	});
});

describe("choosing", () => {
	test("by click", async () => {
		const { model, $$, chosen, set } = await show();
		expect(chosen()).toBe(-1);
		await userEvent.click($$("canvas")[2]);
		expect(model.get("frame")).toBe(2);
		expect(chosen()).toBe(2);
		expect(model.saved).not.toHaveLength(0);
		await set({ frame: 4 });
		expect(chosen()).toBe(4);
	});

	test("by keys in a row", async () => {
		const { model, list } = await show();
		list.focus();
		await userEvent.keyboard("{ArrowLeft}");
		expect(model.get("frame")).toBe(0);
		await userEvent.keyboard("{ArrowRight}{ArrowDown}");
		expect(model.get("frame")).toBe(2);
		await userEvent.keyboard("{End}{ArrowRight}");
		expect(model.get("frame")).toBe(5);
		await userEvent.keyboard("{Home}{ArrowUp}");
		expect(model.get("frame")).toBe(0);
		expect(list.getAttribute("aria-activedescendant")).toBe(list.querySelector("[role=option]").id);
		await userEvent.keyboard("{Escape}");
		expect(model.get("frame")).toBe(-1);
	});

	test("by keys in a grid", async () => {
		const { model, list } = await show({ columns: 4, frame: 1 });
		list.focus();
		await userEvent.keyboard("{ArrowDown}");
		expect(model.get("frame")).toBe(5);
		await userEvent.keyboard("{ArrowDown}");
		expect(model.get("frame")).toBe(5);
		await userEvent.keyboard("{ArrowUp}{ArrowRight}");
		expect(model.get("frame")).toBe(2);
	});

	test("the row scrolls to an image chosen elsewhere, and the page does not", async () => {
		const { list, $$, set } = await show({}, { width: 200 });
		expect(list.scrollLeft).toBe(0);
		await set({ frame: 5 });
		const [outer, inner] = [list, $$("[role=option]")[5]].map((node) => node.getBoundingClientRect());
		expect(inner.right).toBeLessThanOrEqual(outer.right + 1);
		expect(scrollY).toBe(0);
		await set({ frame: 0 });
		expect(list.scrollLeft).toBeLessThan(8);
	});

	test("an image chosen from the start is visible", async () => {
		const { list } = await show({ frame: 5 }, { width: 200 });
		expect(list.scrollLeft).toBeGreaterThan(100);
	});
});

test("nothing is drawn for an image that does not exist, and it cannot be chosen", async () => {
	const { $$, model, list, set } = await show({
		columns: 3,
		present: array("uint8", [COUNT], [1, 1, 0, 255, 0, 0]),
	});
	expect($$("canvas").map((node) => node.checkVisibility({ visibilityProperty: true }))).toEqual([
		...[true, true, false, true, false, false],
	]);
	$$("[role=option]")[2].click();
	expect(model.get("frame")).toBe(-1);
	list.focus();
	await userEvent.keyboard("{ArrowRight}{ArrowRight}{ArrowRight}");
	expect(model.get("frame")).toBe(3);
	await userEvent.keyboard("{End}{ArrowRight}");
	expect(model.get("frame")).toBe(3);
	await set({ present: null });
	expect($$("canvas")[5].checkVisibility({ visibilityProperty: true })).toBe(true);
});

test("a compact gallery is one line with its title, its labels are tooltips", async () => {
	const { $, $$, el, set } = await show({ compact: true, title: "Image", size: 40 });
	expect(el.getBoundingClientRect().height).toBeLessThan(64);
	expect($(".xw-title").getBoundingClientRect().right).toBeLessThan($("canvas").getBoundingClientRect().left);
	expect($$(".xw-caption").some((node) => node.checkVisibility())).toBe(false);
	expect($$("[role=option]")[1].title).toBe("10 %");
	await set({ compact: false });
	expect($(".xw-caption").checkVisibility()).toBe(true);
});

test("a grid has rows with heads; each image's name begins with that of its row", async () => {
	const { $$ } = await show({ columns: 3, row_labels: ["channel 17", "channel 2"] });
	const top = (node) => Math.round(node.getBoundingClientRect().top);
	const tops = $$("canvas").map(top);
	expect(new Set(tops.slice(0, 3)).size).toBe(1);
	expect(new Set(tops.slice(3)).size).toBe(1);
	expect(tops[3]).toBeGreaterThan(tops[0]);
	expect($$(".xw-gallery-head").map((node) => node.textContent)).toEqual(["channel 17", "channel 2"]);
	expect($$("[role=option]")[4].ariaLabel).toBe("channel 2, 40 %");
});

test.each([0, 3])("nothing overflows a column of 280 px (%i columns)", async (columns) => {
	const { el, $ } = await show(
		{ columns, row_labels: ["a long name of a channel", "b"], size: 200 },
		{ width: 280 },
	);
	expect(el.scrollWidth).toBeLessThanOrEqual(280);
	expect($(".xw").getBoundingClientRect().width).toBeLessThanOrEqual(280);
});

test("the cleanup leaves no listener and no element behind", async () => {
	const { model, el, unmount } = await show();
	expect(model.listeners).toBeGreaterThan(0);
	await unmount();
	expect(model.listeners).toBe(0);
	expect(el.childElementCount).toBe(0);
});

describe("active images", () => {
	/** Two stops. */
	const LIT = array("uint8", [2, COUNT], [255, 0, 0, 1, 0, 0, 255, 255, 255, 255, 255, 0]);
	const names = ($$) => $$("[role=option]").map((node) => node.ariaLabel);
	const dim = ($$) => $$("[role=option]").map((node) => node.querySelector(".xw-veil").checkVisibility());

	test("follows the step; the others are dimmed, also in their accessible names", async () => {
		const { $$, list, set } = await show({ active: LIT, marked: 1 });
		expect(dim($$)).toEqual([false, true, true, false, true, true]);
		expect(names($$).slice(0, 2)).toEqual(["5 %", "10 %, marked, dimmed"]);
		expect(list.getAttribute("aria-description")).toBe("2 of 6 active");
		await set({ step: 1 });
		expect(dim($$)).toEqual([false, false, false, false, false, true]);
		expect(names($$)).toEqual(["5 %", "10 %, marked", "20 %", "30 %", "40 %", "50 %, dimmed"]);
		expect(list.getAttribute("aria-description")).toBe("5 of 6 active");
	});

	test.each([-1, 2, 100])("step %i is out of range: all are lit", async (step) => {
		const { $$, list, set } = await show({ active: LIT });
		await set({ step });
		expect(dim($$)).not.toContain(true);
		expect(names($$)).toEqual(STATE.labels);
		expect(list.hasAttribute("aria-description")).toBe(false);
		await set({ step: 0 });
		expect(dim($$)).toContain(true);
		await set({ active: null });
		expect(dim($$)).not.toContain(true);
	});

	test("new captions keep it, images are not redrawn, and dimmed ones can be chosen", async () => {
		const { $$, set, chosen, model } = await show({ active: LIT });
		await set({ labels: ["a", "b"] });
		expect(names($$).slice(0, 3)).toEqual(["a", "b, dimmed", "image 3, dimmed"]);
		expect($$("canvas").map(pixels)).toEqual(PICTURES);
		await userEvent.click($$("canvas")[1]);
		expect([chosen(), model.get("frame")]).toEqual([1, 1]);
	});

	test("another number than that of the images shows an error, until it fits", async () => {
		const { $, $$, set } = await show({ active: array("uint8", [1, 2], [1, 0]) });
		expect($(".xw-message").textContent).toMatch(/active .* shape \[1, 2\], expected .*\[any, 6\]/);
		await set({ active: LIT });
		expect($(".xw-message").checkVisibility()).toBe(false);
		expect(dim($$)[1]).toBe(true);
	});

	test("a drag elsewhere sets no listener to work but its own: no image is drawn again", async () => {
		const { $$, set } = await show({ active: LIT });
		const [canvas] = $$("canvas");
		canvas.getContext("2d").fillRect(0, 0, 1, 1);
		const before = pixels(canvas);
		await set({ step: 1 });
		expect(pixels(canvas)).toEqual(before);
	});
});

describe("switches", () => {
	test("the name of a row switches it off and on, by pointer and key", async () => {
		const { model, $$, set } = await show({ columns: 3, row_labels: ["first", "second"], switches: true });
		const buttons = $$(".xw-switch");
		expect(buttons.map((node) => node.ariaChecked)).toEqual(["true", "true"]);
		await userEvent.click(buttons[1]);
		expect(model.get("off")).toEqual([1]);
		expect(model.get("frame")).toBe(-1);
		expect($$(".xw-item").map((node) => node.matches(".xw-off"))).toEqual([
			...[false, false, false],
			...[true, true, true],
		]);
		buttons[0].focus();
		await userEvent.keyboard(" ");
		expect(model.get("off")).toEqual([0, 1]);
		expect(document.activeElement).toBe(buttons[0]);
		await set({ off: [] });
		expect($$(".xw-switch").map((node) => node.ariaChecked)).toEqual(["true", "true"]);
		expect($$(".xw-off")).toEqual([]);
	});

	test("other names are plain text", async () => {
		const { $$ } = await show({ columns: 3, row_labels: ["first", "second"] });
		expect($$(".xw-switch")).toEqual([]);
	});

	test("in a page without a kernel they stay as they are", async () => {
		globalThis.xaiWidgetsPage = true;
		const { model, $ } = await show({
			...{ columns: 3, row_labels: ["first", "second"], switches: true, _needs_kernel: true },
		});
		await userEvent.click($(".xw-switch"), { force: true });
		expect(model.get("off")).toEqual([]);
		expect($(".xw-switch").title).toContain("needs a running kernel");
		delete globalThis.xaiWidgetsPage;
	});
});

test("pages of images follow the step", async () => {
	const { $$, set } = await show({ pages: 3, step: 1 });
	expect($$(".xw-item")).toHaveLength(2);
	expect(pixels($$("canvas")[0])).toEqual(PICTURES[2]);
	expect($$(".xw-caption").map((node) => node.textContent)).toEqual(["20 %", "30 %"]);
	await set({ step: 2 });
	expect(pixels($$("canvas")[1])).toEqual(PICTURES[5]);
	expect($$(".xw-caption").map((node) => node.textContent)).toEqual(["40 %", "50 %"]);
});

test("without images there is the text of the model", async () => {
	const { el, set } = await show({ images: null, empty: "None of them." });
	expect(el.textContent).toContain("None of them.");
	await set({ empty: "Too few images." });
	expect(el.textContent).toContain("Too few images.");
});
