import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { userEvent } from "vitest/browser";
import { groupsOf, nextOrder, sorted } from "../src/lib/curve_table.js";
import { readCurves } from "../src/lib/curves.js";
import {
	all,
	canvasBytes,
	FALL,
	FLAT,
	find,
	ink,
	pointer,
	RISE,
	show,
	state,
	T,
	texts,
	view,
} from "./curve.js";
import { array, Model, painted } from "./model.js";

beforeEach(() => document.body.style.setProperty("--jp-layout-color0", "white"));
afterEach(() => view?.unmount());

const curve = (name, frame, mode, more = {}) => ({
	label: `${name}, ${mode}`,
	...{ name, frame, mode, style: mode === "deletion" ? "dashed" : "solid" },
	...more,
});
const SERIES = [
	curve("Gradient", 0, "deletion", { auc: 0.5, warning: "the sum is off by 3, which is a long sentence" }),
	curve("Gradient", 0, "insertion", { auc: 0.2 }),
	curve("Grad-CAM", 1, "deletion", { auc: 0.1, flip: 0.25, flip_label: "cat → dog at 25.0 %" }),
	curve("Grad-CAM", 1, "insertion", { auc: 0.4 }),
	{ label: "CAM: needs a pooling layer", name: "CAM", warning: "needs a pooling layer", frame: 2 },
];
const NONE = Array(T).fill(Number.NaN);
const tabled = (over = {}) => ({
	y: array("float32", [5, T], [...FALL, ...RISE, ...FLAT, ...FALL, ...NONE]),
	series: SERIES,
	...over,
});
const names = () => texts("tbody .xw-legend-label");
const areas = () =>
	all("tbody tr").map((row) => [...row.querySelectorAll(".xw-legend-area")].map((n) => n.textContent));
const head = (/** @type {string} */ mode) =>
	all("thead button").find((node) => node.getAttribute("aria-label") === `AUC ${mode}`);

describe("a table of curves", () => {
	test("has one row for a method, with the area under each curve", async () => {
		await show(tabled());
		expect(names()).toEqual(["Gradient", "Grad-CAM", "CAM"]);
		expect(areas()).toEqual([
			["0.500", "0.200"],
			["0.100", "0.400"],
			["—", "—"],
		]);
		expect(find(".xw-legend").checkVisibility()).toBe(false);
	});

	test("shows the value of the active mode at the cursor", async () => {
		await show(tabled());
		expect(texts("tbody .xw-legend-value")).toEqual(["0.750", "0.100", "—"]);
		view.model.set("mode", "insertion");
		await painted();
		expect(texts("tbody .xw-legend-value")).toEqual(["0.250", "0.750", "—"]);
	});

	test("a warning is a tooltip of a mark, once, and no text of the legend", async () => {
		await show(tabled());
		const marks = all(".xw-legend-warning").filter((node) => node.checkVisibility());
		expect(marks.map((node) => node.title)).toEqual([SERIES[0].warning, "needs a pooling layer"]);
		expect(find(".xw-curve-table").textContent).not.toContain("the sum");
		expect(find(".xw-curve-table").textContent).not.toContain("pooling");
	});

	test("a click on a head sorts, the best first, then the worst, then as given", async () => {
		await show(tabled());
		const order = async (/** @type {string} */ mode) => {
			head(mode).click();
			await painted();
			return [view.model.get("sort"), names(), head(mode).closest("th").getAttribute("aria-sort")];
		};
		expect(await order("deletion")).toEqual(["deletion", ["Grad-CAM", "Gradient", "CAM"], "ascending"]);
		expect(await order("deletion")).toEqual(["-deletion", ["Gradient", "Grad-CAM", "CAM"], "descending"]);
		expect(await order("insertion")).toEqual(["-insertion", ["Grad-CAM", "Gradient", "CAM"], "descending"]);
		await order("insertion");
		expect(await order("insertion")).toEqual(["", ["Gradient", "Grad-CAM", "CAM"], "none"]);
	});

	test("the focus stays on a row that moves", async () => {
		await show(tabled());
		const name = all(".xw-legend-name")[0];
		name.focus();
		view.model.set("sort", "deletion");
		await painted();
		expect(names()[1]).toBe("Gradient");
		expect(document.activeElement).toBe(name);
	});

	test("a name makes the method active in the present mode, an area that curve", async () => {
		await show(tabled({ mode: "insertion" }));
		all(".xw-legend-name")[1].click();
		expect([view.model.get("frame"), view.model.get("mode")]).toEqual([1, "insertion"]);
		all(".xw-legend-area")[0].click();
		expect([view.model.get("frame"), view.model.get("mode")]).toEqual([0, "deletion"]);
		expect(all(".xw-legend-name")[2].disabled).toBe(true);
	});

	test("buttons choose the mode", async () => {
		await show(tabled());
		expect(texts(".xw-modes button")).toEqual(["Deletion", "Insertion"]);
		all(".xw-modes button")[1].click();
		expect(view.model.get("mode")).toBe("insertion");
		await painted();
		expect(all(".xw-modes button").map((node) => node.ariaPressed)).toEqual(["false", "true"]);
	});

	test("a check box hides all curves of a method", async () => {
		await show(tabled());
		all("tbody input")[0].click();
		expect(view.model.get("hidden")).toEqual([0, 1]);
		await vi.waitUntil(() => ink(0.3, 0.3) < 10);
		all("tbody input")[0].click();
		expect(view.model.get("hidden")).toEqual([]);
	});

	test("hover over a row highlights its curves, hover over a curve its row", async () => {
		await show(tabled());
		const before = canvasBytes();
		await userEvent.hover(all("tbody tr")[1]);
		await painted();
		expect(canvasBytes()).not.toEqual(before);
		expect(all("tbody tr")[1].className).toContain("xw-highlighted");
		await userEvent.unhover(all("tbody tr")[1]);
		pointer("pointermove", 0.3, 0.3);
		await painted();
		expect(all("tbody tr").map((row) => row.classList.contains("xw-highlighted"))).toEqual([
			true,
			false,
			false,
		]);
		pointer("pointerleave", 0.3, 0.3);
		await painted();
		expect(canvasBytes()).toEqual(before);
	});

	test("curves without names have a list, as before", async () => {
		await show(tabled());
		view.model.set("series", []);
		await painted();
		expect(find(".xw-curve-table").checkVisibility()).toBe(false);
		expect(all(".xw-legend li")).toHaveLength(5);
		expect(find(".xw-modes").checkVisibility()).toBe(false);
	});
});

test("groups, orders and the order after a click", () => {
	const { curves } = readCurves(new Model(state(tabled())));
	const groups = groupsOf(curves);
	expect(groups.map(({ name, curves }) => [name, curves.length])).toEqual([
		["Gradient", 2],
		["Grad-CAM", 2],
		["CAM", 1],
	]);
	expect(sorted(groups, "insertion").map(({ name }) => name)).toEqual(["Gradient", "Grad-CAM", "CAM"]);
	expect(["", "-insertion", "insertion"].map((order) => nextOrder(order, "insertion"))).toEqual([
		"-insertion",
		"insertion",
		"",
	]);
});

describe("marks on curves", () => {
	test("a flip is a mark on its curve, and the line below names the classes", async () => {
		await show(tabled({ frame: 1 }));
		expect(find(".xw-curve-notes").textContent).toBe("◇ predicted class changes: cat → dog at 25.0 %");
		const at = canvasBytes();
		view.model.set(
			"series",
			SERIES.map((entry) => ({ ...entry, flip: undefined })),
		);
		await painted();
		expect(canvasBytes()).not.toEqual(at);
		expect(find(".xw-curve-notes").textContent).toBe("◇ predicted class changes");
	});

	test("more curves than colors differ by markers", async () => {
		const level = Array(T).fill(0.5);
		const coverage = async (/** @type {number} */ frame) => {
			await show({ y: array("float32", [1, T], level), series: [{ label: "a", frame }], frame: 99 });
			let above = 0;
			const up = 3 / find(".u-over").clientHeight;
			for (let x = 0.05; x < 0.95; x += 0.005) if (ink(x, 0.5 + up, 0) > 60) above++;
			return above;
		};
		expect(await coverage(0)).toBe(0);
		await view.unmount();
		expect(await coverage(8)).toBeGreaterThan(5);
		expect(all(".xw-swatch path")).toHaveLength(2);
	});

	test("a band is drawn between the lowest and the highest run", async () => {
		const [low, high] = [0.2, 0.6].map((value) => Array(T).fill(value));
		await show({
			y: array("float32", [1, T], FLAT),
			series: [{ label: "a", frame: 1 }],
			band: array("float32", [2, 1, T], [...low, ...high]),
		});
		expect(ink(0.5, 0.5)).toBeGreaterThan(8);
		expect(ink(0.5, 0.7)).toBeLessThan(5);
	});
});

describe("axes of shares", () => {
	test("a square-root axis stretches small x, in percent, and the label names it", async () => {
		await show({ x_scale: "sqrt", x_percent: true, fraction: 0.25 });
		// The falling curve is at 0.75 where a quarter is, in the middle of the axis.
		expect(ink(0.5, 0.75)).toBeGreaterThan(60);
		expect(find(".xw-cursor-handle").textContent).toBe("25.0 %");
		const line = find(".xw-cursor").getBoundingClientRect();
		const over = find(".u-over").getBoundingClientRect();
		expect((line.left + line.width / 2 - over.left) / over.width).toBeCloseTo(0.5, 2);
		const stretch = all("[role=toolbar] button").find((node) => node.textContent === "√x");
		stretch.click();
		expect(view.model.get("x_scale")).toBe("linear");
		await vi.waitUntil(() => ink(0.25, 0.75) > 60);
		stretch.click();
		expect(view.model.get("x_scale")).toBe("sqrt");
	});

	test("y ends at the highest curve, or at 1", async () => {
		await show({
			y: array(
				"float32",
				[1, T],
				FLAT.map((v) => v * 0.4),
			),
			series: [],
			y_range: "fit",
		});
		expect(ink(0.5, 0.8)).toBeGreaterThan(60);
		all("[role=toolbar] button")
			.find((node) => node.textContent === "0–1")
			.click();
		expect(view.model.get("y_range")).toBe("unit");
		await vi.waitUntil(() => ink(0.5, 0.04) > 60);
	});

	test("a height of 0 follows the width", async () => {
		await show({ height: 0 });
		const low = find("canvas").clientHeight;
		expect(low).toBeGreaterThanOrEqual(220);
		view.el.style.width = "700px";
		await vi.waitUntil(() => find("canvas").clientHeight > low);
		expect(find("canvas").clientHeight).toBeLessThanOrEqual(400);
	});
});

describe("a cursor that snaps", () => {
	/** Every tenth value is computed. */
	const coarse = X_EVERY_TENTH();
	function X_EVERY_TENTH() {
		return RISE.map((value, step) => (step % 10 === 0 ? value : Number.NaN));
	}
	const snapped = (over = {}) =>
		show({
			y: array("float32", [1, T], coarse),
			series: [{ label: "a" }],
			snap: true,
			fraction: 0.3,
			...over,
		});

	test("a drag stops at computed values", async () => {
		await snapped();
		pointer("pointerdown", 0.43, 0.5);
		expect(view.model.get("fraction")).toBeCloseTo(0.4, 6);
		pointer("pointermove", 0.57, 0.5);
		pointer("pointerup", 0.57, 0.5);
		expect(view.model.get("fraction")).toBeCloseTo(0.6, 6);
	});

	test("keys go to the next computed value, and so does a small move of another view", async () => {
		await snapped();
		find(".xw-cursor-handle").focus();
		await userEvent.keyboard("{ArrowRight}");
		expect(view.model.get("fraction")).toBeCloseTo(0.4, 6);
		await userEvent.keyboard("{ArrowLeft}{ArrowLeft}");
		expect(view.model.get("fraction")).toBeCloseTo(0.2, 6);
		view.model.set("fraction", 0.21);
		expect(view.model.get("fraction")).toBeCloseTo(0.3, 6);
		view.model.set("fraction", 0.302);
		expect(view.model.get("fraction")).toBeCloseTo(0.3, 6);
	});

	test("values that come, or another curve, leave it where it is", async () => {
		await snapped();
		view.model.set("fraction", 0.4);
		view.model.set("y", array("float32", [1, T], RISE));
		await painted();
		expect(view.model.get("fraction")).toBeCloseTo(0.4, 6);
		view.model.set("fraction", 0.447);
		expect(view.model.get("fraction")).toBeCloseTo(0.45, 6);
		view.model.set("y", array("float32", [1, T], coarse));
		await painted();
		expect(view.model.get("fraction")).toBeCloseTo(0.45, 6);
	});
});
