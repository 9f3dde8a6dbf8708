import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { all, canvasBytes, find, ink, named, pointer, RISE, show, T, view, X } from "./curve.js";
import { array, painted } from "./model.js";

beforeEach(() => document.body.style.setProperty("--jp-layout-color0", "white"));
afterEach(() => view.unmount());

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

	test("the Zoom button makes one plain drag zoom, with a hint", async () => {
		await show();
		named("Zoom").click();
		expect(named("Zoom").getAttribute("aria-pressed")).toBe("true");
		expect(find(".xw-zoom-hint").checkVisibility()).toBe(true);
		pointer("pointerdown", 0.4, 0.55);
		pointer("pointermove", 0.6, 0.55);
		pointer("pointerup", 0.6, 0.55);
		await vi.waitUntil(() => !named("Reset").disabled);
		expect(view.model.get("fraction")).toBe(0.25);
		expect(named("Zoom").getAttribute("aria-pressed")).toBe("false");
		expect(find(".xw-zoom-hint").checkVisibility()).toBe(false);
		pointer("pointerdown", 0.5, 0.5);
		pointer("pointerup", 0.5, 0.5);
		expect(view.model.get("fraction")).toBeCloseTo(0.5, 1);
	});

	test("in zoom mode the cursor can still be dragged by its line, and Escape leaves the mode", async () => {
		await show();
		named("Zoom").click();
		pointer("pointerdown", 0.252, 0.5);
		pointer("pointermove", 0.6, 0.5);
		pointer("pointerup", 0.6, 0.5);
		expect(view.model.get("fraction")).toBeCloseTo(0.6, 2);
		expect(named("Reset").disabled).toBe(true);
		named("Zoom").dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
		expect(named("Zoom").getAttribute("aria-pressed")).toBe("false");
	});

	test("the last number of x is not cut, however many digits it has", async () => {
		await show();
		const right = () => {
			const canvas = find("canvas");
			const { data, width, height } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
			// The last column of pixels is empty: no number runs out of the canvas.
			return Array.from({ length: height }, (_, row) => data[4 * (width * row + width - 1) + 3]);
		};
		pointer("pointerdown", 0.49, 0.5, { shiftKey: true });
		pointer("pointermove", 0.5, 0.5, { shiftKey: true });
		pointer("pointerup", 0.5, 0.5, { shiftKey: true });
		await vi.waitUntil(() => !named("Reset").disabled);
		await painted();
		await painted();
		expect(Math.max(...right())).toBe(0);
	});
});

describe("downloads", () => {
	const saveCsv = () => {
		find(".xw-menu-button").click();
		all(".xw-menu-list button")
			.find((node) => node.textContent === "Save CSV")
			.click();
	};
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
			series: [{ label: 'a "b", c' }, { label: "d" }],
			title: "Löschen & Co.",
		});
		const { blob, name } = await caught(saveCsv);
		expect(name).toBe("lo-schen-co.csv");
		const text = await blob.text();
		expect(text).toBe('fraction,"a ""b"", c",d\r\n0,0.1,0.25\r\n0.5,,1\r\n1,0.33333334,9.313226e-10\r\n');
		expect(Math.fround(Number("0.33333334"))).toBe(Math.fround(1 / 3));
		expect(Math.fround(Number("9.313226e-10"))).toBe(2 ** -30);
	});

	test("CSV: lines are columns of one number, marks a column of names", async () => {
		const f = Math.fround;
		await show({
			x: array("float32", [3], [0, 0.1, 1]),
			y: array("float32", [1, 3], [1, 2, Number.NaN]),
			series: [{ label: "a" }],
			lines: [
				{ y: 0.1, label: "Φ₀, the image" },
				{ y: f(1 / 3), label: "" },
			],
			marks: [
				{ x: 0.1, label: "a* = 10 %" },
				{ x: 0.5, label: "half" },
				{ x: 0.1, label: 'b "x"' },
			],
		});
		const { blob } = await caught(saveCsv);
		expect(await blob.text()).toBe(
			[
				'fraction,a,"Φ₀, the image",line 2,mark',
				"0,1,0.1,0.33333334,",
				'0.1,2,0.1,0.33333334,"a* = 10 %; b ""x"""',
				"0.5,,0.1,0.33333334,half",
				"1,,0.1,0.33333334,",
				"",
			].join("\r\n"),
		);
	});
});

describe("its position", () => {
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
		expect(named("Zoom").checkVisibility()).toBe(false);
		expect(find(".u-over").clientHeight).toBe(before + 18);
	});

	test("a change of theme redraws the axes in its colors", async () => {
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
