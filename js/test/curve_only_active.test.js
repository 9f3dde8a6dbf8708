import { afterEach, beforeEach, expect, test } from "vitest";
import { all, ink, show, T, view, X } from "./curve.js";
import { array, painted } from "./model.js";

const level = (value) => X.map(() => value);

beforeEach(() => document.body.style.setProperty("--jp-layout-color0", "white"));
afterEach(() => view.unmount());

async function showFour() {
	await show({
		y: array("float32", [4, T], [0.2, 0.4, 0.6, 0.8].flatMap(level)),
		series: [
			{ label: "a", frame: 0, mode: "one", look: 0 },
			{ label: "b", frame: 0, mode: "two", look: 1 },
			{ label: "a", frame: 1, mode: "one", look: 0 },
			{ label: "b", frame: 1, mode: "two", look: 1 },
		],
		frame: 1,
		mode: "one",
		only_active: true,
	});
}

test("only the curves of the frame and the mode are drawn and in the legend", async () => {
	await showFour();
	expect(all(".xw-legend li").length).toBe(1);
	expect(ink(0.5, 0.6)).toBeGreaterThan(60);
	for (const other of [0.2, 0.4, 0.8]) expect(ink(0.5, other)).toBeLessThan(10);
	view.model.set("mode", "two");
	await painted();
	expect(ink(0.5, 0.8)).toBeGreaterThan(60);
	expect(ink(0.5, 0.6)).toBeLessThan(10);
	view.model.set("frame", 0);
	await painted();
	expect(ink(0.5, 0.4)).toBeGreaterThan(60);
	expect(all(".xw-legend-value")[0].textContent).toContain("0.4");
});

test("a check box hides the curve that it stands beside", async () => {
	await showFour();
	all(".xw-legend input")[0].click();
	await painted();
	expect(view.model.get("hidden")).toEqual([2]);
	expect(all(".xw-legend li").length).toBe(1);
});
