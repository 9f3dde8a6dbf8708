import { afterEach, expect, test } from "vitest";
import { userEvent } from "vitest/browser";
import flowView from "../src/flow_view.js";
import { layout } from "../src/lib/flows.js";
import { array, mount, painted } from "./model.js";

function state(over = {}) {
	return {
		names: ["stamp", "dotted", "stalk", "red"],
		groups: ["mark", "texture", "part", "texture"],
		values: array("float32", [4], [4, 1, 0.6, -0.6]),
		residual: -1,
		remainder: 0.25,
		remainder_label: "bias",
		target_label: "ringed toadstool",
		target: 6,
		score: 4.25,
		selected: 0,
		rows: 0,
		title: "",
		width: 0,
		...over,
	};
}

/** @type {{model: import("./model.js").Model, el: HTMLElement, unmount: () => Promise<void>}} */
let view;
async function show(over) {
	view = await mount(flowView, state(over), { width: 560 });
	await painted();
}
afterEach(() => view?.unmount());
const rows = () => [...view.el.querySelectorAll(".xw-flow-row")];
const chosen = () => rows().findIndex((row) => row.getAttribute("aria-selected") === "true");

test("each concept has its name, contribution and share, groups together", async () => {
	await show();
	const texts = rows().map((row) => [...row.querySelectorAll("text")].map((node) => node.textContent.trim()));
	expect(texts).toEqual([
		["stamp", "4.000", "100 %", "mark"],
		["dotted", "1.000", "25 %", "texture"],
		["red", "−0.600", "−15 %"],
		["stalk", "0.600", "15 %", "part"],
		["no concept", "−1.000", "−25 %", "rest"],
		["bias", "0.250", ""],
	]);
	expect(view.el.textContent).toContain("ringed toadstool");
	expect(view.el.textContent).toContain("score 4.250");
});

test("flows are as thick as their contributions, those against the class below", () => {
	const row = (value) => ({ name: "", group: String(value), value, fixed: false });
	const { flows, node } = layout([row(4), row(-2), row(1)]);
	expect(flows[0].thickness / flows[2].thickness).toBeCloseTo(4);
	expect(flows[0].thickness / flows[1].thickness).toBeCloseTo(2);
	expect(flows.map(({ against }) => against)).toEqual([false, true, false]);
	expect(flows[1].end).toBeGreaterThan(flows[2].end);
	expect(flows[2].end).toBeGreaterThan(flows[0].end);
	expect(node.height).toBeCloseTo(flows.reduce((sum, { thickness }) => sum + thickness, 0));
});

test("a contribution of 0 has no flow, and one that is tiny can be seen", () => {
	const { flows } = layout([0, 1e-9, 1].map((value) => ({ name: "", group: "", value, fixed: false })));
	expect(flows[0].thickness).toBe(0);
	expect(flows[1].thickness).toBeGreaterThan(1);
});

test("a click chooses a concept, and the bias cannot be chosen", async () => {
	await show();
	await userEvent.click(rows()[2].querySelector("text"));
	expect(view.model.get("selected")).toBe(3);
	await painted();
	expect(chosen()).toBe(2);
	await userEvent.click(rows()[5].querySelector("text"));
	expect(view.model.get("selected")).toBe(3);
});

test("keys go through the rows as they stand", async () => {
	await show();
	view.el.querySelector("svg").focus();
	await userEvent.keyboard("{ArrowDown}{ArrowDown}");
	expect(view.model.get("selected")).toBe(3);
	await userEvent.keyboard("{End}{ArrowDown}");
	expect(view.model.get("selected")).toBe(4);
	await userEvent.keyboard("{Home}");
	expect(view.model.get("selected")).toBe(0);
	await painted();
	const active = view.el.querySelector("svg").getAttribute("aria-activedescendant");
	expect(view.el.querySelector(`#${active}`)).toBe(rows()[0]);
});

test("shares are left out where the score without bias is not positive", async () => {
	await show({ score: -1, remainder: 0 });
	expect(view.el.textContent).not.toContain("%");
});

test("without values there is a sentence", async () => {
	await show({ values: null });
	expect(view.el.querySelector(".xw-message").textContent).toBe("not computed yet");
	expect(rows()).toEqual([]);
});
