import { afterEach, expect, test } from "vitest";
import { userEvent } from "vitest/browser";
import { stepAt } from "../src/lib/curves.js";
import { all, find, pointer, show, view } from "./curve.js";
import { array, painted } from "./model.js";

afterEach(async () => {
	await view.unmount();
});

const STOPS = [0.8, 0.75, 0.2, 0.5];
const stopped = (over = {}) => show({ steps: array("float32", [4], STOPS), step: 2, fraction: 0.9, ...over });
const handle = () => find(".xw-cursor-handle");

/** Where the line stands, in parts of the plotting area. */
function position() {
	const over = find(".u-over").getBoundingClientRect();
	const line = find(".xw-cursor").getBoundingClientRect();
	return (line.left + line.width / 2 - over.left) / over.width;
}

test("the cursor stands at the chosen stop, and follows it", async () => {
	await stopped();
	expect(position()).toBeCloseTo(0.2, 2);
	expect(handle().getAttribute("aria-valuenow")).toMatch(/^0\.2/);
	view.model.set("step", 0);
	await painted();
	expect(position()).toBeCloseTo(0.8, 2);
	view.model.set("steps", array("float32", [2], [0.1, 0.3]));
	await painted();
	expect(position()).toBeCloseTo(0.1, 2);
	// Where there is no such stop the fraction stays.
	view.model.set("step", -1);
	await painted();
	expect(position()).toBeCloseTo(0.1, 2);
	// A fraction that is set chooses the nearest stop.
	view.model.set("fraction", 0.9);
	await painted();
	expect(view.model.get("step")).toBe(1);
	expect(position()).toBeCloseTo(0.3, 2);
});

test("a drag goes to the nearest stop, and the fraction with it", async () => {
	await stopped();
	pointer("pointerdown", 0.1, 0.5);
	pointer("pointermove", 0.46, 0.5);
	await painted();
	expect([view.model.get("step"), view.model.get("fraction")]).toEqual([3, 0.5]);
	pointer("pointermove", 0.79, 0.5);
	pointer("pointerup", 0.79, 0.5);
	await painted();
	expect(view.model.get("step")).toBe(0);
	await expect
		.poll(() => Object.assign({}, ...view.model.saved))
		.toEqual({ step: 0, fraction: Math.fround(0.8) });
});

test("keys go to the next stop along x, whatever their order", async () => {
	await stopped();
	handle().focus();
	const reached = [];
	for (const key of ["ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft", "Home", "End"]) {
		await userEvent.keyboard(`{${key}}`);
		await painted();
		reached.push(STOPS[view.model.get("step")]);
	}
	expect(reached).toEqual([0.5, 0.75, 0.8, 0.8, 0.75, 0.2, 0.8]);
});

test("a mark leads to the nearest stop", async () => {
	await stopped({ marks: [{ x: 0.74, label: "here" }] });
	await userEvent.click(all(".xw-mark")[0]);
	expect(view.model.get("step")).toBe(1);
});

test("of equal stops the first counts; without any there is none", () => {
	const stops = new Float32Array([0.5, 0.5, 0.75]);
	expect(stepAt(stops, 0.4)).toBe(0);
	expect(stepAt(stops, 0.51, 1)).toBe(2);
	expect(stepAt(stops, 0.4, 1)).toBe(1);
	expect(stepAt(new Float32Array(0), 0.4)).toBe(-1);
});

test("the text of the cursor is fully visible at both ends, however long it is", async () => {
	const x = [1234.5678, 1235.5678];
	await show({ x: array("float32", [2], x), y: array("float32", [1, 2], [0, 1]), series: [], fraction: 1 });
	const plot = () => find(".xw-plot").getBoundingClientRect();
	const label = () => handle().getBoundingClientRect();
	// Wide enough that it would leave the plot if its middle were under the line.
	handle().style.padding = "1px 30px";
	expect(label().width).toBeGreaterThan(80);
	expect(label().right).toBeLessThanOrEqual(plot().right + 0.5);
	expect(label().left).toBeLessThan(find(".xw-cursor").getBoundingClientRect().left);
	view.model.set("fraction", 0.5);
	await painted();
	const line = find(".xw-cursor").getBoundingClientRect();
	expect((label().left + label().right) / 2).toBeCloseTo((line.left + line.right) / 2, 0);
	view.model.set("fraction", 0);
	await painted();
	expect(label().left).toBeGreaterThanOrEqual(plot().left - 0.5);
});
