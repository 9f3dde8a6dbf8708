import { afterEach, expect, test } from "vitest";
import { userEvent } from "vitest/browser";
import widget from "../src/bars_view.js";
import { array, mount, painted } from "./model.js";

/** Two steps of three rows with two bars; no weight of the last row at the first step. */
const VALUES = [...[0.5, 0.1, -0.25, 0.2, Number.NaN, 0.4], ...[1, 0.1, -1, 0.2, 0.5, 0.4]];
const STATE = {
	labels: ["3 · wheel", "17", "4"],
	values: array("float32", [2, 3, 2], VALUES),
	series: ["weight", "IoU"],
	row_title: "filter",
	step: 0,
	frame: -1,
	width: 0,
	title: "",
};

/** @type {(() => Promise<void>)[]} */
const mounted = [];
afterEach(async () => {
	for (const unmount of mounted.splice(0)) await unmount();
});

async function show(state = {}) {
	const view = await mount(widget, { ...STATE, ...state });
	mounted.push(view.unmount);
	await painted();
	const $$ = (/** @type {string} */ selector) => [...view.el.querySelectorAll(selector)];
	const rows = () => $$(".xw-bars-row");
	const numbers = () => $$(".xw-bars-number").map((node) => node.textContent);
	/** The begin and the end of each bar, in percent of its track. */
	const bars = () =>
		$$(".xw-bars-fill").map(({ style }) => {
			const left = Number.parseFloat(style.left);
			return [left, left + Number.parseFloat(style.width)];
		});
	return { ...view, $$, rows, numbers, bars };
}

test("each kind of bar has one scale at all steps, with room for negative values", async () => {
	const { bars, numbers, $$ } = await show();
	expect($$(".xw-bars-head").map((node) => node.textContent)).toEqual(["filter", "weight", "IoU"]);
	expect(numbers()).toEqual(["0.500", "0.100", "−0.250", "0.200", "—", "0.400"]);
	const expected = [
		[50, 75],
		[0, 25],
		[37.5, 50],
		[0, 50],
		[50, 50],
		[0, 100],
	];
	for (const [index, ends] of bars().entries()) {
		for (const end of [0, 1]) expect(ends[end]).toBeCloseTo(expected[index][end], 3);
	}
});

test("the bars follow the step, and rows without a value are dimmed", async () => {
	const { model, bars, rows } = await show();
	expect(rows().map((row) => row.matches(".xw-absent"))).toEqual([false, false, true]);
	model.set("step", 1);
	await painted();
	expect(rows().some((row) => row.matches(".xw-absent"))).toBe(false);
	expect(bars()[0]).toEqual([50, 100]);
	expect(bars()[2]).toEqual([0, 50]);
});

test("a click and the keys choose a row", async () => {
	const { model, rows, el } = await show();
	await userEvent.click(rows()[1]);
	expect(model.get("frame")).toBe(1);
	expect(rows().map((row) => row.ariaSelected)).toEqual(["false", "true", "false"]);
	el.querySelector("[role=listbox]")?.focus();
	await userEvent.keyboard("{ArrowDown}");
	expect(model.get("frame")).toBe(2);
	await userEvent.keyboard("{Home}");
	expect(model.get("frame")).toBe(0);
	await userEvent.keyboard("{Escape}");
	expect(model.get("frame")).toBe(-1);
});

test("without values there is a message, and rows come and go", async () => {
	const { model, el, rows } = await show({ values: null });
	expect(el.textContent).toContain("not computed yet");
	model.set("values", array("float32", [1, 1, 1], [2]));
	await painted();
	expect(rows()).toHaveLength(1);
	model.set("values", STATE.values);
	await painted();
	expect(rows()).toHaveLength(3);
	expect(rows()[0].ariaLabel).toBe("3 · wheel, weight 0.500, IoU 0.100");
});

test("the text in place of rows is that of the model", async () => {
	const { el } = await show({ values: null, empty: "Too few images." });
	expect(el.textContent).toContain("Too few images.");
});
