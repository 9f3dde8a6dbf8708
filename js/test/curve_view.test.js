import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { userEvent } from "vitest/browser";
import curveView from "../src/curve_view.js";
import { array, mount, painted } from "./model.js";

const T = 101;
const X = Array.from({ length: T }, (_, step) => step / (T - 1));
const FALL = X.map((x) => 1 - x);
const RISE = X;
const SERIES = [
	{ label: "gradient", note: "AUC 0.500", frame: 0, game: "deletion" },
	{ label: "gradient", note: "AUC 0.500", frame: 0, game: "insertion" },
	{ label: "Grad-CAM", note: "", frame: 1, game: "insertion" },
];
const FLAT = X.map(() => 0.1);

function state(over = {}) {
	return {
		x: array("float32", [T], X),
		y: array("float32", [3, T], [...FALL, ...RISE, ...FLAT]),
		series: SERIES,
		hidden: [],
		fraction: 0.25,
		frame: 0,
		game: "deletion",
		x_label: "fraction",
		y_label: "score",
		height: 260,
		width: 0,
		controls: true,
		title: "Curves",
		...over,
	};
}

/** @type {{model: import("./model.js").Model, el: HTMLElement, unmount: () => Promise<void>}} */
let view;
async function show(over, options) {
	view = await mount(curveView, state(over), options);
	await vi.waitUntil(() => find("canvas"));
	await painted();
	// Synthetic pointers cannot be captured.
	find(".u-over").setPointerCapture = () => {};
}
const find = (/** @type {string} */ selector) => view.el.querySelector(selector);
const all = (/** @type {string} */ selector) => [...view.el.querySelectorAll(selector)];
const texts = (/** @type {string} */ selector) => all(selector).map((node) => node.textContent);
const named = (/** @type {string} */ text) => all("button").find((node) => node.textContent === text);

/** A pointer event at a place of the plotting area, in parts of its size from the bottom left. */
function pointer(type, x, y, options = {}) {
	const over = find(".u-over");
	const rect = over.getBoundingClientRect();
	const place = { clientX: rect.left + x * rect.width, clientY: rect.bottom - y * rect.height };
	const Type = type === "wheel" ? WheelEvent : type.startsWith("pointer") ? PointerEvent : MouseEvent;
	const event = new Type(type, {
		...place,
		bubbles: true,
		cancelable: true,
		isPrimary: true,
		pointerId: 1,
		...options,
	});
	over.dispatchEvent(event);
	return event;
}

/** Colour distance of a spot from the background: how much ink is there. */
function ink(x, y, reach = 3) {
	const canvas = find("canvas");
	const frame = canvas.getBoundingClientRect();
	const rect = find(".u-over").getBoundingClientRect();
	const scale = canvas.width / frame.width;
	const left = (rect.left - frame.left + x * rect.width) * scale;
	const top = (rect.bottom - frame.top - y * rect.height) * scale;
	const { data } = canvas
		.getContext("2d")
		.getImageData(left - reach, top - reach, 2 * reach + 1, 2 * reach + 1);
	let most = 0;
	for (let i = 0; i < data.length; i += 4) {
		// Grid lines are grey: colour is what tells a curve.
		const spread = Math.max(data[i], data[i + 1], data[i + 2]) - Math.min(data[i], data[i + 1], data[i + 2]);
		most = Math.max(most, (spread * data[i + 3]) / 255);
	}
	return most;
}
const canvasBytes = () => {
	const canvas = find("canvas");
	return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
};

beforeEach(() => document.body.style.setProperty("--jp-layout-color0", "white"));
afterEach(() => view.unmount());

describe("drawing", () => {
	test("curves are where their values are", async () => {
		await show();
		expect(ink(0.3, 0.3)).toBeGreaterThan(60);
		expect(ink(0.85, 0.15)).toBeGreaterThan(60);
		expect(ink(0.85, 0.5)).toBeLessThan(10);
	});

	test("nothing is drawn for NaN, and values appear as they arrive, on the same canvas", async () => {
		const half = RISE.map((value, step) => (step < 50 ? value : Number.NaN));
		await show({ y: array("float32", [1, T], half), series: SERIES.slice(1, 2), game: "insertion" });
		const canvas = find("canvas");
		expect(ink(0.3, 0.3)).toBeGreaterThan(60);
		expect(ink(0.75, 0.75)).toBeLessThan(10);
		view.model.set("y", array("float32", [1, T], RISE));
		await vi.waitUntil(() => ink(0.75, 0.75) > 60);
		expect(find("canvas")).toBe(canvas);
	});

	test("a single value is seen", async () => {
		const one = X.map((_, step) => (step === 40 ? 0.5 : Number.NaN));
		await show({ y: array("float32", [1, T], one), series: [{ label: "one" }] });
		expect(ink(0.4, 0.5)).toBeGreaterThan(60);
	});

	test("deletion is dashed, insertion solid", async () => {
		const gaps = async (game) => {
			const level = X.map(() => 0.55);
			await show({ y: array("float32", [1, T], level), series: [{ label: "a", game }], frame: 9 });
			let empty = 0;
			for (let x = 0.1; x < 0.9; x += 0.002) if (ink(x, 0.55, 1) < 30) empty++;
			return empty / 400;
		};
		expect(await gaps("insertion")).toBe(0);
		await view.unmount();
		// Of each 10 px 4 are empty, less what the soft ends and the reach of the look take.
		expect(await gaps("deletion")).toBeGreaterThan(0.08);
	});

	test("one frame has one colour, other frames another", async () => {
		await show();
		const strokes = all(".xw-swatch path").map((path) => getComputedStyle(path).stroke);
		expect(strokes[0]).toBe(strokes[1]);
		expect(strokes[2]).not.toBe(strokes[0]);
	});

	test("values outside [0, 1] widen the axis", async () => {
		await show({
			y: array(
				"float32",
				[1, T],
				X.map((x) => 10 * x - 5),
			),
			series: [{ label: "a" }],
		});
		expect(ink(0.5, 0.5)).toBeGreaterThan(60);
	});

	test("curves come and go", async () => {
		await show();
		view.model.set("y", array("float32", [1, T], RISE));
		view.model.set("series", [SERIES[1]]);
		await vi.waitUntil(() => all(".xw-legend li").length === 1);
		expect(ink(0.3, 0.7)).toBeLessThan(10);
		view.model.set("y", array("float32", [3, T], [...RISE, ...FLAT, ...FALL]));
		await vi.waitUntil(() => all(".xw-legend li").length === 3 && ink(0.3, 0.7) > 60);
		expect(texts(".xw-legend-label")).toEqual(["gradient insertion", "series 2", "series 3"]);
	});
});

describe("without data", () => {
	test("empty, then late arrays in any order", async () => {
		await show({ x: null, y: null });
		expect(find(".xw-note-text").textContent).toBe("No curve yet");
		view.model.set("y", state().y);
		await painted();
		expect(find(".xw-note-text").textContent).toBe("No curve yet");
		view.model.set("x", state().x);
		await vi.waitUntil(() => find(".xw-note-text").textContent === "" && ink(0.3, 0.3) > 60);
	});

	test("arrays that do not belong together are said plainly, and forgotten when they do", async () => {
		await show({ x: array("float32", [3], [0, 0.5, 1]) });
		expect(find(".xw-note-text").textContent).toBe(
			"Cannot draw the curves: y has 101 steps, x has 3: wanted as many",
		);
		view.model.set("x", state().x);
		await vi.waitUntil(() => find(".xw-note-text").textContent === "");
		expect(all(".xw-legend li")).toHaveLength(3);
	});

	test("a broken message is said plainly", async () => {
		await show({ y: { dtype: "float64", shape: [1], data: new DataView(new ArrayBuffer(8)) } });
		expect(find(".xw-note-text").textContent).toMatch(/array dtype is float64/);
	});
});

describe("cursor", () => {
	test("a drag anywhere in the plot sets fraction and the values of the legend, and redraws nothing", async () => {
		await show();
		const before = canvasBytes();
		pointer("pointerdown", 0.5, 0.9);
		pointer("pointermove", 0.6, 0.2);
		expect(view.model.get("fraction")).toBeCloseTo(0.6, 2);
		pointer("pointermove", 0.7, 0.2);
		pointer("pointerup", 0.7, 0.2);
		pointer("pointermove", 0.2, 0.2);
		expect(view.model.get("fraction")).toBeCloseTo(0.7, 2);
		await painted();
		expect(texts(".xw-legend-value")).toEqual(["0.300", "0.700", "0.100"]);
		const line = find(".xw-cursor").getBoundingClientRect();
		const over = find(".u-over").getBoundingClientRect();
		expect((line.left + line.width / 2 - over.left) / over.width).toBeCloseTo(0.7, 2);
		expect(canvasBytes()).toEqual(before);
		expect(view.model.saved.length).toBeGreaterThan(0);
		expect(view.model.saved.length).toBeLessThan(4);
	});

	test("a drag beyond the edges stops at 0 and 1", async () => {
		await show();
		pointer("pointerdown", 0.5, 0.5);
		pointer("pointermove", 1.2, 0.5);
		expect(view.model.get("fraction")).toBe(1);
		pointer("pointermove", -0.2, 0.5);
		expect(view.model.get("fraction")).toBe(0);
		pointer("pointerup", -0.2, 0.5);
	});

	test("keys", async () => {
		await show();
		const handle = find("[role=slider]");
		handle.focus();
		const press = async (/** @type {string} */ keys) => {
			await userEvent.keyboard(keys);
			return view.model.get("fraction");
		};
		expect(await press("{ArrowRight}")).toBe(0.26);
		expect(await press("{Shift>}{ArrowRight}{/Shift}")).toBe(0.36);
		expect(await press("{ArrowLeft}")).toBe(0.35);
		expect(await press("{End}")).toBe(1);
		expect(await press("{ArrowRight}")).toBe(1);
		expect(await press("{Home}")).toBe(0);
		await painted();
		expect(handle.getAttribute("aria-valuenow")).toBe("0");
		expect(handle.getAttribute("aria-valuetext")).toBe("fraction 0.000, gradient 1.000");
	});

	test("a linked change of fraction moves it; a value that is not computed is a dash", async () => {
		await show({
			y: array(
				"float32",
				[1, T],
				RISE.map((v, i) => (i < 50 ? v : Number.NaN)),
			),
		});
		view.model.set("fraction", 0.8);
		await painted();
		expect(texts(".xw-legend-value")).toEqual(["—"]);
		expect(find(".xw-cursor-dot").hidden).toBe(true);
		expect(find("[role=slider]").textContent).toBe("0.800");
	});

	test("fractions of another x are mapped linearly", async () => {
		await show({
			x: array(
				"float32",
				[T],
				X.map((x) => 100 + 200 * x),
			),
		});
		expect(find("[role=slider]").textContent).toBe("150.0");
		pointer("pointerdown", 0.75, 0.5);
		pointer("pointerup", 0.75, 0.5);
		expect(view.model.get("fraction")).toBeCloseTo(0.75, 2);
	});
});

describe("active and hidden curves", () => {
	test("a click on a name makes it active and thicker", async () => {
		await show({ frame: 1, game: "insertion" });
		/** How far up from the rising curve there is ink, CSS px. */
		const thickness = () => {
			const height = find(".u-over").clientHeight;
			let up = 0;
			while (up < 9 && ink(0.4, 0.4 + up / height, 0) > 40) up += 0.25;
			return up;
		};
		const thin = thickness();
		all(".xw-legend-name")[1].click();
		expect([view.model.get("frame"), view.model.get("game")]).toEqual([0, "insertion"]);
		await painted();
		expect(thickness()).toBeGreaterThan(thin);
		expect(all(".xw-legend-name").map((node) => node.getAttribute("aria-pressed"))).toEqual([
			"false",
			"true",
			"false",
		]);
	});

	test("a click near a curve makes it active, one far from all none", async () => {
		await show();
		pointer("pointerdown", 0.8, 0.12);
		pointer("pointerup", 0.8, 0.12);
		expect([view.model.get("frame"), view.model.get("game")]).toEqual([1, "insertion"]);
		pointer("pointerdown", 0.8, 0.5);
		pointer("pointerup", 0.8, 0.5);
		expect([view.model.get("frame"), view.model.get("game")]).toEqual([1, "insertion"]);
	});

	test("a check box hides its curve and shows it again", async () => {
		await show();
		const box = all(".xw-legend input")[2];
		expect(box.getAttribute("aria-label")).toBe("show Grad-CAM insertion");
		box.click();
		expect(view.model.get("hidden")).toEqual([2]);
		await vi.waitUntil(() => ink(0.4, 0.1) < 10);
		pointer("pointerdown", 0.8, 0.1);
		pointer("pointerup", 0.8, 0.1);
		expect(view.model.get("frame")).toBe(0);
		box.click();
		expect(view.model.get("hidden")).toEqual([]);
		await vi.waitUntil(() => ink(0.4, 0.1) > 60);
	});
});

describe("zoom", () => {
	const drag = () => {
		pointer("pointerdown", 0.4, 0.55, { shiftKey: true });
		pointer("pointermove", 0.6, 0.55, { shiftKey: true });
		pointer("pointerup", 0.6, 0.55, { shiftKey: true });
	};

	test("Shift and drag zooms, leaves the cursor, survives new data; Reset shows all", async () => {
		await show();
		expect(named("Reset").disabled).toBe(true);
		drag();
		expect(view.model.get("fraction")).toBe(0.25);
		// x from 0.4 to 0.6 fills the width now: the rising curve goes from 0.4 to 0.6.
		await vi.waitUntil(() => ink(0.02, 0.404) > 60 && ink(0.98, 0.596) > 60);
		view.model.set("y", array("float32", [1, T], RISE));
		await painted();
		expect(ink(0.02, 0.404)).toBeGreaterThan(60);
		expect(find(".xw-cursor").classList.contains("xw-outside")).toBe(true);
		named("Reset").click();
		await vi.waitUntil(() => ink(0.1, 0.1) > 60);
		expect(named("Reset").disabled).toBe(true);
	});

	test("another x, of which the zoom shows nothing, ends it", async () => {
		await show();
		drag();
		await vi.waitUntil(() => !named("Reset").disabled);
		view.model.set(
			"x",
			array(
				"float32",
				[T],
				X.map((x) => 5 + x),
			),
		);
		await vi.waitUntil(() => named("Reset").disabled && ink(0.3, 0.3) > 60);
	});

	test("a box zooms both axes, a double click resets", async () => {
		await show();
		pointer("pointerdown", 0.5, 0.5, { shiftKey: true });
		pointer("pointermove", 1, 1, { shiftKey: true });
		expect(find(".xw-zoom-box").hidden).toBe(false);
		pointer("pointerup", 1, 1, { shiftKey: true });
		expect(find(".xw-zoom-box").hidden).toBe(true);
		await vi.waitUntil(() => ink(0.1, 0.1) > 60 && ink(0.9, 0.9) > 60 && ink(0.1, 0.9) < 10);
		pointer("dblclick", 0.5, 0.5);
		await vi.waitUntil(() => ink(0.1, 0.9) > 60);
	});

	test("the wheel zooms when the plot has the focus and else scrolls the page", async () => {
		await show();
		expect(pointer("wheel", 0.5, 0.5, { deltaY: -100 }).defaultPrevented).toBe(false);
		find("[role=slider]").focus();
		expect(pointer("wheel", 0.5, 0.5, { deltaY: 100 }).defaultPrevented).toBe(false);
		for (let i = 0; i < 5; i++) {
			expect(pointer("wheel", 0.5, 0.5, { deltaY: -200 }).defaultPrevented).toBe(true);
		}
		await vi.waitUntil(() => !named("Reset").disabled && ink(0.05, 0.4) > 60);
		for (let i = 0; i < 12; i++) pointer("wheel", 0.5, 0.5, { deltaY: 200 });
		await vi.waitUntil(() => named("Reset").disabled);
	});

	test("the Zoom button makes a plain drag zoom", async () => {
		await show();
		named("Zoom").click();
		expect(named("Zoom").getAttribute("aria-pressed")).toBe("true");
		pointer("pointerdown", 0.4, 0.55);
		pointer("pointermove", 0.6, 0.55);
		pointer("pointerup", 0.6, 0.55);
		await vi.waitUntil(() => !named("Reset").disabled);
		expect(view.model.get("fraction")).toBe(0.25);
	});
});

describe("downloads", () => {
	/** @returns {Promise<{blob: Blob, name: string}>} */
	function caught(/** @type {() => void} */ act) {
		return new Promise((resolve) => {
			/** @type {Blob} */
			let blob;
			const url = vi.spyOn(URL, "createObjectURL").mockImplementation((it) => {
				blob = /** @type {Blob} */ (it);
				return "#";
			});
			const click = vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(function () {
				url.mockRestore();
				click.mockRestore();
				resolve({ blob, name: this.download });
			});
			act();
		});
	}

	test("CSV: all rows in full precision, empty where nothing is computed, quoted names", async () => {
		const y = [0.1, Number.NaN, 1 / 3, 0.25, 1, 2 ** -30];
		await show({
			x: array("float32", [3], [0, 0.5, 1]),
			y: array("float32", [2, 3], y),
			series: [{ label: 'a "b", c' }, { label: "d", game: "deletion" }],
			title: "Löschen & Co.",
		});
		const { blob, name } = await caught(() => named("CSV").click());
		expect(name).toBe("lo-schen-co.csv");
		const text = await blob.text();
		expect(text).toBe(
			'fraction,"a ""b"", c",d deletion\r\n0,0.1,0.25\r\n0.5,,1\r\n1,0.33333334,9.313226e-10\r\n',
		);
		expect(Math.fround(Number("0.33333334"))).toBe(Math.fround(1 / 3));
		expect(Math.fround(Number("9.313226e-10"))).toBe(2 ** -30);
	});

	test("PNG: the plot on the background that is shown, with the legend below", async () => {
		document.body.style.setProperty("--jp-layout-color0", "rgb(17, 34, 51)");
		await show({ title: "" });
		const { blob, name } = await caught(() => named("PNG").click());
		expect(name).toBe("curves.png");
		const picture = await createImageBitmap(blob);
		const plot = find("canvas");
		expect(picture.width).toBeGreaterThan(plot.width);
		expect(picture.height).toBeGreaterThan(plot.height + 2 * 18 * devicePixelRatio);
		const canvas = new OffscreenCanvas(picture.width, picture.height);
		const context = canvas.getContext("2d");
		context.drawImage(picture, 0, 0);
		expect([...context.getImageData(1, 1, 1, 1).data]).toEqual([17, 34, 51, 255]);
		// Letters of the legend: something is drawn in its last line.
		const { data } = context.getImageData(12, picture.height - 30, 240, 18);
		expect(data.some((value, i) => i % 4 === 0 && value !== 17)).toBe(true);
	});
});

describe("its place", () => {
	test("it follows the width of its column, down to 280 px", async () => {
		await show();
		const wide = find("canvas").width;
		view.el.style.width = "280px";
		await vi.waitUntil(() => find("canvas").width < wide / 1.5);
		expect(view.el.scrollWidth).toBeLessThanOrEqual(280);
		await painted();
		expect(ink(0.3, 0.3)).toBeGreaterThan(60);
	});

	test("width limits it, controls hides the bar, labels take room only when they are there", async () => {
		await show({ width: 400 });
		expect(find(".xw").getBoundingClientRect().width).toBe(400);
		const before = find(".u-over").clientHeight;
		view.model.set("controls", false);
		view.model.set("x_label", "");
		await painted();
		expect(named("CSV").checkVisibility()).toBe(false);
		expect(find(".u-over").clientHeight).toBe(before + 18);
	});

	test("a change of theme redraws the axes in its colours", async () => {
		await show({ y: array("float32", [0, T], []), series: [] });
		const light = canvasBytes();
		document.body.setAttribute("data-jp-theme-light", "false");
		document.body.style.setProperty("--jp-content-font-color1", "rgb(255, 255, 255)");
		await vi.waitUntil(() => canvasBytes().some((value, i) => value !== light[i]));
		document.body.removeAttribute("data-jp-theme-light");
		document.body.style.removeProperty("--jp-content-font-color1");
	});

	test("after its cleanup nothing listens and nothing is left", async () => {
		await show();
		await view.unmount();
		expect(view.model.listeners).toBe(0);
		expect(view.el.childElementCount).toBe(0);
		view.model.set("fraction", 0.9);
	});
});
