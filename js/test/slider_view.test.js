import { afterEach, describe, expect, test } from "vitest";
import { userEvent } from "vitest/browser";
import { roomFor } from "../src/lib/slider.js";
import widget from "../src/slider_view.js";
import { mount, painted } from "./model.js";

const VALUES = [1, 2, 4, 8, 17];
const STATE = {
	values: VALUES,
	labels: [],
	label: "Channels",
	frame: 0,
	fraction: 0,
	ready: [],
	marked: -1,
	mark_label: "",
	spacing: "even",
	unit: "",
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
	const chosen = () => [view.model.get("frame"), view.model.get("fraction")];
	const input = $("input[type=range]");
	const drag = (/** @type {number} */ value) => {
		input.value = String(value);
		input.dispatchEvent(new Event("input", { bubbles: true }));
	};
	return { ...view, $, chosen, input, drag, text: () => $(".xw-number").textContent };
}

const middle = (/** @type {Element} */ node) => {
	const { left, width } = node.getBoundingClientRect();
	return left + width / 2;
};

describe("stops", () => {
	test("the fraction follows the frame, and the text is the label of the stop with the unit", async () => {
		const { model, chosen, text, input } = await show({ labels: ["one", "two"], unit: "channels" });
		expect([text(), input.ariaLabel]).toEqual(["one channels", "Channels"]);
		for (const [frame, value] of VALUES.entries()) {
			model.set("frame", frame);
			expect(chosen()).toEqual([frame, (value - 1) / 16]);
		}
		expect([text(), input.getAttribute("aria-valuetext")]).toEqual(["17 channels", "17 channels"]);
	});

	test("a fraction chooses the nearest stop, of two the smaller, and is left as it is", async () => {
		const { model, chosen } = await show({ values: [0, 0.25, 0.5, 1] });
		for (const [fraction, frame] of [
			[0.3, 1],
			[0.375, 1],
			[0.376, 2],
			[0.8, 3],
			[0.75, 2],
			[0.1, 0],
		]) {
			model.set("fraction", fraction);
			expect(chosen()).toEqual([frame, fraction]);
		}
	});

	test("stops that are not ready are dimmed, skipped and cannot be chosen", async () => {
		const ready = [true, false, true, true, false];
		const { model, chosen, drag, el } = await show({ ready, frame: 2 });
		expect(chosen()).toEqual([2, 3 / 16]);
		model.set("fraction", 1);
		expect(chosen()).toEqual([3, 1]);
		for (const wrong of [1, 4, 7, -1]) {
			model.set("frame", wrong);
			expect(chosen()).toEqual([3, 1]);
		}
		drag(0.9);
		expect(chosen()).toEqual([0, 0]);
		const absent = [...el.querySelectorAll(".xw-tick")].map((tick) => tick.classList.contains("xw-absent"));
		expect(absent).toEqual(ready.map((there) => !there));
	});

	test("new stops keep the choice, removed ones change it", async () => {
		const { model, chosen } = await show({ ready: [true, true, false, true, true] });
		model.set("fraction", 0.2);
		expect(chosen()).toEqual([1, 0.2]);
		model.set("ready", []);
		expect(chosen()).toEqual([1, 0.2]);
		model.set("ready", [true, false, true, true, true]);
		expect(chosen()).toEqual([2, 0.2]);
	});

	test("as long as none is ready the choice waits and the slider rests", async () => {
		const none = VALUES.map(() => false);
		const { model, chosen, input } = await show({ ready: none, frame: 3 });
		expect([...chosen(), input.disabled]).toEqual([3, 7 / 16, true]);
		model.set("ready", [true, false, false, true, false]);
		await painted();
		expect([...chosen(), input.disabled]).toEqual([3, 7 / 16, false]);
	});

	test("no stop, then stops, then fewer", async () => {
		const { model, chosen, text, input } = await show({ values: [], frame: -1, fraction: 0.4 });
		expect([...chosen(), text(), input.disabled]).toEqual([-1, 0.4, "—", true]);
		model.set("values", VALUES);
		expect([...chosen(), text()]).toEqual([3, 0.4, "8"]);
		model.set("values", [3, 5]);
		expect(chosen()).toEqual([0, 0.4]);
		model.set("values", [7]);
		expect([...chosen(), text()]).toEqual([0, 0.4, "7"]);
		model.set("values", []);
		expect([...chosen(), text()]).toEqual([-1, 0.4, "—"]);
	});
});

describe("the rail", () => {
	test.each([
		["even", [0, 1, 2, 3, 4], 4],
		["proportional", VALUES.map((value) => value - 1), 16],
	])("%s stops are where they should, and the knob stands there", async (spacing, positions, end) => {
		const { el, drag, model, input } = await show({ spacing });
		const ticks = [...el.querySelectorAll(".xw-tick")].map(middle);
		const [first, length] = [ticks[0], ticks[4] - ticks[0]];
		// The middle of the knob stops half its width before the ends of the rail.
		expect(first).toBeCloseTo(input.getBoundingClientRect().left + 8, 1);
		for (const [index, position] of positions.entries()) {
			expect((ticks[index] - first) / length).toBeCloseTo(position / end, 3);
			const value = Number(input.min) + position;
			drag(value + 0.01);
			expect([model.get("frame"), input.valueAsNumber]).toEqual([index, value]);
		}
	});

	test("the star leads to its stop if that is ready", async () => {
		const { $, el, model } = await show({ marked: 3, mark_label: "a* = 8" });
		const star = $(".xw-best");
		expect([star.title, star.ariaLabel]).toEqual(["a* = 8", "a* = 8"]);
		expect(middle(star)).toBeCloseTo(middle(el.querySelectorAll(".xw-tick")[3]), 0);
		await userEvent.click(star);
		expect(model.get("frame")).toBe(3);
		model.set("mark_label", "");
		await painted();
		expect(star.ariaLabel).toBe("8, marked");
		model.set("ready", [true, true, true, false, true]);
		await painted();
		expect(star.disabled).toBe(true);
		for (const marked of [-1, 5]) {
			model.set("marked", marked);
			await painted();
			expect(star.checkVisibility()).toBe(false);
		}
	});

	test("labels stand where there is room, both ends first, and none leaves the rail", async () => {
		const stops = Array.from({ length: 40 }, (_, index) => ({
			position: index,
			ready: true,
			tick: `layer ${index}`,
			text: "",
		}));
		const look = { label: "", stops, start: 0, end: 39, at: 0, star: null };
		const shown = (/** @type {number} */ width) =>
			roomFor(look, width).flatMap((shift, index) => (shift === null ? [] : [index]));
		expect(shown(0)).toEqual([]);
		for (const width of [60, 200, 900]) expect([shown(width)[0], shown(width).length > 0]).toEqual([0, true]);
		expect(shown(200).at(-1)).toBe(39);
		expect(shown(900).length).toBeGreaterThan(shown(200).length);
		const { el } = await show({
			values: [1, 2, 3],
			labels: ["a very long first", "two", "a very long last"],
		});
		const rail = el.querySelector(".xw-rail").getBoundingClientRect();
		const boxes = [...el.querySelectorAll(".xw-tick > span:not([hidden])")].map((node) =>
			node.getBoundingClientRect(),
		);
		expect(boxes).toHaveLength(3);
		for (const { left, right } of boxes) {
			expect(left).toBeGreaterThanOrEqual(rail.left - 1);
			expect(right).toBeLessThanOrEqual(rail.right + 1);
		}
		const sorted = boxes.sort((a, b) => a.left - b.left);
		expect(sorted.every((box, index) => index === 0 || box.left > sorted[index - 1].right)).toBe(true);
	});
});

describe("pointer and keys", () => {
	test("keys", async () => {
		const ready = VALUES.map((_, index) => index !== 2);
		const { model, input, chosen } = await show({ ready, marked: 3 });
		input.focus();
		for (const [keys, frame] of [
			["{ArrowRight}", 1],
			["{ArrowUp}", 3],
			["{ArrowLeft}", 1],
			["{End}", 4],
			["{ArrowRight}", 4],
			["{PageDown}", 3],
			["{Home}", 0],
			["{ArrowDown}", 0],
			["b", 3],
		]) {
			await userEvent.keyboard(/** @type {string} */ (keys));
			expect(model.get("frame")).toBe(frame);
		}
		expect(chosen()).toEqual([3, 7 / 16]);
		model.set("marked", 2);
		await userEvent.keyboard("b");
		expect(model.get("frame")).toBe(3);
		model.set(
			"values",
			Array.from({ length: 50 }, (_, index) => index),
		);
		model.set("ready", []);
		await userEvent.keyboard("{PageUp}{ArrowRight}");
		expect(model.get("frame")).toBe(9);
	});

	test("keys do not reach the notebook, chords do", async () => {
		const { input, el } = await show();
		/** @type {string[]} */
		const heard = [];
		const hear = (/** @type {Event} */ event) => heard.push(/** @type {KeyboardEvent} */ (event).key);
		document.addEventListener("keydown", hear);
		input.focus();
		await userEvent.keyboard("b{ArrowDown}{Control>}s{/Control}");
		document.removeEventListener("keydown", hear);
		expect(heard).toEqual(["Control", "s"]);
		expect(el.contains(document.activeElement)).toBe(true);
	});

	test("the kernel hears the frame together with its fraction, and little of a drag", async () => {
		const { model, drag } = await show();
		for (let value = 0; value < 4; value += 0.02) drag(value);
		expect(model.saved.length).toBeLessThan(6);
		await expect.poll(() => Object.assign({}, ...model.saved)).toEqual({ frame: 4, fraction: 1 });
	});
});

describe("joined to others", () => {
	test("by the fraction: a follower of other stops leaves it alone, and both come to rest", async () => {
		const _channels = { fraction: "joined" };
		const first = await show({ values: [0, 1, 2], _channels });
		const second = await show({ values: [0, 3, 4, 10], _channels });
		second.model.set("frame", 1);
		expect([...first.chosen(), ...second.chosen()]).toEqual([1, 0.3, 1, 0.3]);
		first.drag(2);
		expect([...first.chosen(), ...second.chosen()]).toEqual([2, 1, 3, 1]);
	});

	test("by the frame: two that have no stop in common come to rest, and each shows one of its own", async () => {
		const _channels = { frame: "joined" };
		const first = await show({ ready: [true, false, false, false, false], _channels });
		const second = await show({ ready: [false, true, false, false, false], _channels });
		first.model.set("frame", 3);
		expect([first.model.get("frame"), second.model.get("frame")]).toEqual([0, 1]);
		expect([first.text(), second.text()]).toEqual(["1", "2"]);
	});
});

test("nothing overflows a narrow column, and the readout does not push the rail about", async () => {
	for (const labels of [[], ["features.denseblock1.conv1", "x", "y", "z", "features.denseblock4.conv2"]]) {
		const { el, $, model } = await show({ labels, marked: 4, unit: "of 17" }, { width: 280 });
		const before = $(".xw-rail").getBoundingClientRect();
		for (const frame of VALUES.keys()) {
			model.set("frame", frame);
			expect($(".xw-rail").getBoundingClientRect()).toEqual(before);
		}
		expect(el.scrollWidth).toBeLessThanOrEqual(280);
	}
});

test("the cleanup leaves no listener and no element behind", async () => {
	const { model, el, unmount } = await show();
	expect(model.listeners).toBeGreaterThan(0);
	await unmount();
	expect(model.listeners).toBe(0);
	expect(el.childElementCount).toBe(0);
});
