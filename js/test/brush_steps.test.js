import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { userEvent } from "vitest/browser";
import brushView from "../src/brush_view.js";
import {
	drag,
	HEIGHT,
	mask,
	named,
	pixels,
	pointer,
	result,
	STATE,
	set,
	show,
	view,
	WIDTH,
} from "./brush.js";
import { array, Model, painted } from "./model.js";

const TOTAL = HEIGHT * WIDTH;
const message = (/** @type {(i: number) => number} */ value) =>
	array(
		"uint8",
		[HEIGHT, WIDTH],
		Array.from({ length: TOTAL }, (_, i) => value(i)),
	);
const SEARCH = [(i) => i, (i) => (3 * i) % 256, (i) => (i % 5 ? 0 : 255)];
const values = (make) => Array.from({ length: TOTAL }, (_, i) => make(i));

describe("masks from Python", () => {
	beforeEach(() => show());
	afterEach(() => view.unmount());

	test("those of one number are one step, whatever part of the mask they change", async () => {
		drag([[3, 3]]);
		const first = mask();
		await set({ _step: 7 });
		for (const make of SEARCH) await set({ mask: message(make) });
		expect(pixels()).toEqual(result(values(SEARCH[2])));
		await userEvent.click(named("Undo"));
		await painted();
		expect(pixels()).toEqual(result(first));
		await userEvent.click(named("Redo"));
		await painted();
		expect(pixels()).toEqual(result(values(SEARCH[2])));
	});

	test("a stroke between them, and another number, begin another step", async () => {
		await set({ _step: 1, mask: message(SEARCH[0]) });
		drag([[3, 3]]);
		const stroke = mask();
		view.model.set("_seen", 1);
		await set({ mask: message(SEARCH[1]) });
		await set({ _step: 2, mask: message(SEARCH[2]) });
		for (const want of [values(SEARCH[1]), stroke, values(SEARCH[0]), values(() => 0)]) {
			await userEvent.click(named("Undo"));
			await painted();
			expect(pixels()).toEqual(result(want));
		}
		expect(named("Undo").ariaDisabled).toBe("true");
	});

	test("one that comes in mid-stroke is overridden by the stroke, and Python is notified", async () => {
		pointer("pointerdown", 3, 3);
		const before = mask();
		await set({ mask: message(SEARCH[0]) });
		pointer("pointerup", 3, 3);
		expect(mask()).toEqual(before);
		expect(pixels()).toEqual(result(before));
		view.model.set("_seen", 1);
		await vi.waitUntil(() => view.model.saved.filter((one) => "_stroke" in one).length === 2);
		expect(mask()).toEqual(before);
	});

	test("one that crossed a message of the view is drawn, and Python gets the result", async () => {
		drag([[3, 3]]);
		const saved = view.model.saved.length;
		await set({ mask: message(SEARCH[0]) });
		view.model.set("_seen", 1);
		await vi.waitUntil(() => view.model.saved.length > saved);
		expect(view.model.saved.at(-1)._stroke).toBe(2);
		expect(mask()).toEqual(values(SEARCH[0]));
		expect(pixels()).toEqual(result(mask()));
	});

	test("one that crossed a message which a busy kernel saw late is sent to Python again, once", async () => {
		vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
		try {
			drag([[3, 3]]);
			// The kernel is silent for longer than the view waits, and sets a mask before it takes up the stroke.
			vi.advanceTimersByTime(5000);
			view.model.set("mask", message(SEARCH[0]));
			view.model.set("_seen", 1);
			vi.advanceTimersByTime(100);
			expect(view.model.saved.at(-1)._stroke).toBe(2);
			expect(mask()).toEqual(values(SEARCH[0]));
			const saved = view.model.saved.length;
			view.model.set("_seen", 2);
			vi.advanceTimersByTime(5000);
			expect(view.model.saved.length).toBe(saved);
		} finally {
			vi.useRealTimers();
		}
	});

	test("one that comes after the kernel has seen the stroke is not sent back", async () => {
		drag([[3, 3]]);
		view.model.set("_seen", 1);
		const saved = view.model.saved.length;
		await set({ mask: message(SEARCH[0]) });
		await new Promise((resolve) => setTimeout(resolve, 700));
		expect(view.model.saved.length).toBe(saved);
	});
});

describe("two views of one model", () => {
	let model, views;
	const showBoth = async (state = {}) => {
		model = new Model({ ...STATE, ...state });
		const widget = brushView();
		views = [];
		for (let k = 0; k < 2; k++) {
			const el = document.createElement("div");
			document.body.append(el);
			views.push({ el, cleanup: await widget.render({ model, el }) });
		}
		await painted();
	};
	const button = (k, text) =>
		[...views[k].el.querySelectorAll("button")].find((node) => node.textContent === text);
	const bytes = () => [...new Uint8Array(model.get("mask").data.buffer, model.get("mask").data.byteOffset)];
	const amounts = () => views.map(({ el }) => el.querySelector(".xw-amount").textContent);
	afterEach(() => {
		for (const { el, cleanup } of views) {
			cleanup();
			el.remove();
		}
	});

	test("share the undo steps: each undoes a step of the other, once", async () => {
		await showBoth();
		button(0, "Fill all").click();
		button(1, "Invert").click();
		await painted();
		expect(amounts()).toEqual(["0 % painted", "0 % painted"]);
		button(0, "Undo").click();
		await painted();
		expect(amounts()).toEqual(["100 % painted", "100 % painted"]);
		expect(button(1, "Redo").ariaDisabled).toBe("false");
		button(1, "Undo").click();
		await painted();
		expect(bytes()).toEqual(values(() => 0));
		expect(amounts()).toEqual(["0 % painted", "0 % painted"]);
		for (const k of [0, 1]) expect(button(k, "Undo").ariaDisabled).toBe("true");
		button(0, "Redo").click();
		expect(bytes()).toEqual(values(() => 255));
	});

	test("a mask from Python is one step for both", async () => {
		await showBoth({ mask: message(SEARCH[0]) });
		for (const k of [0, 1]) expect(button(k, "Undo").ariaDisabled).toBe("true");
		model.set("mask", message(SEARCH[1]));
		button(1, "Undo").click();
		expect(bytes()).toEqual(values(SEARCH[0]));
		for (const k of [0, 1]) expect(button(k, "Undo").ariaDisabled).toBe("true");
	});
});
