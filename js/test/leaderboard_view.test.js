import { afterEach, expect, test } from "vitest";
import { userEvent } from "vitest/browser";
import widget from "../src/leaderboard_view.js";
import { array, mount, painted } from "./model.js";

const NAN = Number.NaN;
/** Three rows by two metrics; the last row has no score of the second. */
const STATE = {
	rows: [
		{ name: "cam", label: "CAM" },
		{ name: "lrp", label: "LRP" },
		{ name: "random", label: "Random" },
	],
	references: ["random"],
	columns: [
		{ name: "deletion", label: "Deletion", direction: "lower" },
		{ name: "insertion", label: "Insertion", direction: "higher" },
	],
	mean: array("float32", [3, 2], [0.2, 0.9, 0.1, 0.95, 0.5, NAN]),
	low: array("float32", [3, 2], [0.15, 0.8, 0.0, 0.9, 0.4, NAN]),
	high: array("float32", [3, 2], [0.25, 1.0, 0.2, 0.97, 0.6, NAN]),
	count: array("int32", [3, 2], [9, 9, 9, 9, 9, 0]),
	marks: array("uint8", [3, 2], [2, 2, 1, 1, 0, 0]),
	notes: [
		["", ""],
		["", ""],
		["", "9 of 9 failed: out of memory"],
	],
	sort: "",
	metric: "",
	pair: [],
	caption: "nine images",
	warning: "",
	width: 0,
	title: "",
};

/** @type {(() => Promise<void>)[]} */
const mounted = [];
afterEach(async () => {
	for (const unmount of mounted.splice(0)) await unmount();
});

async function show(state = {}) {
	const view = await mount(widget, { ...STATE, ...state }, { width: 700 });
	mounted.push(view.unmount);
	await painted();
	const $$ = (/** @type {string} */ selector) =>
		/** @type {HTMLElement[]} */ ([...view.el.querySelectorAll(selector)]);
	const labels = () => $$(".xw-board-label").map((node) => node.textContent);
	const head = (/** @type {number} */ at) => $$("thead th button")[at + 1];
	const cell = (/** @type {number} */ row, /** @type {number} */ column) =>
		$$("tbody tr")[row].querySelectorAll("td")[column];
	return { ...view, $$, labels, head, cell };
}

test("each column has numbers, intervals on one scale, marks, its direction and its ends", async () => {
	const { $$, cell } = await show();
	expect($$(".xw-mean").map((node) => node.textContent)).toEqual([
		"0.200",
		"0.900",
		"0.100",
		"0.950",
		"0.500",
		"none",
	]);
	expect($$(".xw-mark").map((node) => node.textContent)).toEqual(["≈", "≈", "★", "★", "", ""]);
	expect($$(".xw-head-better").map((node) => node.textContent)).toEqual([
		"↓ lower is better",
		"↑ higher is better",
	]);
	expect($$(".xw-board-scale").map((node) => node.textContent)).toEqual(["0.0000.600", "0.8001.000"]);
	/** Begin, mean and end in percent of the track. */
	const drawn = (/** @type {Element} */ node) => {
		const interval = /** @type {HTMLElement} */ (node.querySelector(".xw-interval")).style;
		const left = Number.parseFloat(interval.left);
		const dot = Number.parseFloat(/** @type {HTMLElement} */ (node.querySelector(".xw-dot")).style.left);
		return [left, dot, left + Number.parseFloat(interval.width)];
	};
	const at = (/** @type {number} */ share) => 4 + 92 * share;
	for (const [row, values] of [
		[0.15, 0.2, 0.25],
		[0, 0.1, 0.2],
		[0.4, 0.5, 0.6],
	].entries()) {
		for (const [index, value] of drawn(cell(row, 0)).entries())
			expect(value).toBeCloseTo(at(values[index] / 0.6), 3);
	}
	// The line of the reference is the same in all rows, and there is none where it has no mean.
	const guides = $$("tbody tr").map((row) => /** @type {HTMLElement} */ (row.querySelector(".xw-guide")));
	for (const guide of guides) expect(Number.parseFloat(guide.style.left)).toBeCloseTo(at(0.5 / 0.6), 3);
	expect(/** @type {HTMLElement} */ (cell(0, 1).querySelector(".xw-guide")).hidden).toBe(true);
});

test("a failed cell has a flag, and the reason stands below the table", async () => {
	const { $$, cell } = await show();
	expect(cell(2, 1).title).toContain("9 of 9 failed: out of memory");
	expect($$(".xw-flag").map((node) => node.hidden)).toEqual([true, true, true, true, true, false]);
	expect($$(".xw-board-notes li").map((node) => node.textContent)).toEqual([
		"⚠ Random, Insertion: 9 of 9 failed: out of memory",
	]);
});

test("a click on a head sorts, the best first, then the worst; rows without a mean are last", async () => {
	const { model, head, labels, $$ } = await show();
	const sorted = () => $$("thead th").map((node) => node.getAttribute("aria-sort"));
	await userEvent.click(head(1));
	await painted();
	expect([model.get("sort"), model.get("metric")]).toEqual(["insertion", "insertion"]);
	expect(labels()).toEqual(["LRP", "CAM", "Random"]);
	expect(sorted()).toEqual(["none", "none", "descending"]);
	await userEvent.click(head(1));
	await painted();
	expect(model.get("sort")).toBe("-insertion");
	expect(labels()).toEqual(["CAM", "LRP", "Random"]);
	expect(sorted()).toEqual(["none", "none", "ascending"]);
	await userEvent.click(head(0));
	await painted();
	expect(labels()).toEqual(["LRP", "CAM", "Random"]);
	expect(sorted()).toEqual(["none", "ascending", "none"]);
	await userEvent.click(head(-1));
	await painted();
	expect([model.get("sort"), ...labels()]).toEqual(["", "CAM", "LRP", "Random"]);
});

test("two rows are chosen by clicks, the last two stay, and a cell chooses its metric, too", async () => {
	const { model, cell, $$ } = await show();
	const buttons = () => $$(".xw-board-name button");
	await userEvent.click(buttons()[0]);
	await userEvent.click(buttons()[1]);
	await userEvent.click(buttons()[2]);
	await painted();
	expect(model.get("pair")).toEqual(["lrp", "random"]);
	expect(buttons().map((node) => node.getAttribute("aria-pressed"))).toEqual(["false", "true", "true"]);
	expect($$(".xw-letter").map((node) => node.textContent)).toEqual(["", "A", "B"]);
	await userEvent.click(cell(1, 1));
	expect([model.get("metric"), model.get("pair")]).toEqual(["insertion", ["lrp", "random"]]);
	await userEvent.click(cell(1, 1));
	expect(model.get("pair")).toEqual(["random"]);
});

test("heads and rows are reached by Tab, arrows go from row to row, and the focus stays on a row that moves", async () => {
	const { model, head, $$ } = await show();
	head(1).focus();
	await userEvent.tab();
	expect(document.activeElement?.textContent).toContain("CAM");
	await userEvent.keyboard("{ArrowDown}");
	expect(document.activeElement?.textContent).toContain("LRP");
	await userEvent.keyboard("{Enter}");
	expect(model.get("pair")).toEqual(["lrp"]);
	model.set("sort", "deletion");
	await painted();
	expect($$(".xw-board-label")[0].textContent).toBe("LRP");
	expect(document.activeElement?.textContent).toContain("LRP");
});

test("without numbers there is a sentence, and wrong shapes are refused in words", async () => {
	const { el, model } = await show({ mean: null });
	expect(el.querySelector(".xw-message")?.textContent).toBe("not computed yet");
	model.set("mean", array("float32", [1, 2], [0, 1]));
	await painted();
	expect(el.querySelector("[role=alert]")?.textContent).toContain(
		"mean has the shape [1,2], expected [3, 2]",
	);
});
