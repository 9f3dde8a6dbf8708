import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { groupsOf, sorted } from "../src/lib/curve_table.js";
import { readCurves } from "../src/lib/curves.js";
import { all, canvasBytes, FALL, FLAT, find, named, RISE, show, state, T, texts, view } from "./curve.js";
import { array, Model, painted } from "./model.js";

beforeEach(() => document.body.style.setProperty("--jp-layout-color0", "white"));
afterEach(() => view?.unmount());

const entry = (name, frame, mode, scope, more = {}) => ({
	label: `${name}, ${mode}`,
	...{ name, frame, mode, scope },
	...more,
});
const SERIES = [
	entry("Gradient", 0, "MoRF", "image", { auc: -2, between: 30 }),
	entry("Gradient", 0, "LeRF", "image", { auc: -1, between: 30 }),
	entry("Gradient", 0, "MoRF", "mean", { auc: -3, between: 10, note: "mean change -3 ± 1, 4 images" }),
	entry("Gradient", 0, "LeRF", "mean", { auc: -1.5, between: 10 }),
	entry("CAM", 1, "MoRF", "mean", { auc: -4, between: 20 }),
];
const scoped = (over = {}) =>
	state({
		y: array("float32", [5, T], [...FALL, ...RISE, ...FLAT, ...FALL, ...RISE]),
		series: SERIES,
		mode: "MoRF",
		scope: "",
		scope_notes: { mean: "Mean of 4 of 9 images" },
		area_label: "mean change",
		between_label: "ABPC",
		...over,
	});
const cells = () =>
	all("tbody tr").map((row) =>
		[...row.querySelectorAll(".xw-legend-area, .xw-legend-between")].map((node) => node.textContent),
	);

describe("curves of scopes", () => {
	test("those of the first scope are drawn until another one is chosen, without a kernel", async () => {
		await show(scoped());
		expect(texts("tbody .xw-legend-label")).toEqual(["Gradient"]);
		expect(find(".xw-curve-notes").checkVisibility()).toBe(false);
		const before = canvasBytes();
		named("Mean").click();
		await painted();
		expect(view.model.get("scope")).toBe("mean");
		expect(texts("tbody .xw-legend-label")).toEqual(["Gradient", "CAM"]);
		expect(find(".xw-curve-notes").textContent).toBe("Mean of 4 of 9 images");
		expect(named("Mean").getAttribute("aria-pressed")).toBe("true");
		expect(canvasBytes()).not.toEqual(before);
	});

	test("an active curve of another scope is neither active nor in the way of the cursor", () => {
		const model = new Model(scoped({ scope: "mean" }));
		const { curves } = readCurves(model);
		expect(curves.map(({ absent }) => absent)).toEqual([true, true, false, false, false]);
		expect(curves.map(({ active }) => active)).toEqual([false, false, true, false, false]);
	});

	test("a box hides the curves of the shown scope", async () => {
		await show(scoped({ scope: "mean" }));
		all("tbody input[type=checkbox]")[0].click();
		expect(view.model.get("hidden")).toEqual([2, 3]);
	});

	test("curves without scopes have no buttons", async () => {
		await show(scoped({ series: SERIES.map(({ scope, ...rest }) => rest) }));
		expect(named("Mean")).toBeUndefined();
		expect(texts("tbody .xw-legend-label")).toEqual(["Gradient", "CAM"]);
	});
});

describe("numbers of a table", () => {
	test("have the names that are given, and one about all curves of a name", async () => {
		await show(scoped({ scope: "mean" }));
		expect(cells()).toEqual([
			["−3.000", "−1.500", "10.000"],
			["−4.000", "—", "20.000"],
		]);
		expect(find(".xw-name-head").textContent).toBe("Methodmean change:");
		const heads = all("thead button").map((node) => node.getAttribute("aria-label"));
		expect(heads).toEqual(["mean change MoRF", "mean change LeRF", "ABPC"]);
		expect(find(".xw-legend-area").title).toContain("mean change -3 ± 1, 4 images");
	});

	test("sort the rows, the highest ABPC first", async () => {
		await show(scoped({ scope: "mean" }));
		all("thead button")[2].click();
		await painted();
		expect(view.model.get("sort")).toBe("-ABPC");
		const groups = groupsOf(readCurves(new Model(scoped({ scope: "mean" }))).curves);
		expect(sorted(groups, "-ABPC").map(({ name }) => name)).toEqual(["CAM", "Gradient"]);
		expect(sorted(groups, "ABPC").map(({ name }) => name)).toEqual(["Gradient", "CAM"]);
	});

	test("ABPC is not a column of curves that have none", async () => {
		await show(scoped({ series: SERIES.map(({ between, ...rest }) => rest), between_label: "ABPC" }));
		expect(all("thead button").length).toBe(2);
	});
});
