import { afterEach, beforeEach, expect, test, vi } from "vitest";
import checkView from "../src/check_view.js";
import classPicker from "../src/class_picker.js";
import methodPicker from "../src/method_picker.js";
import selectView from "../src/select_view.js";
import { mount, painted } from "./model.js";

/** @type {{model: import("./model.js").Model, el: HTMLElement, unmount: () => Promise<void>}} */
let view;
const CONTROL = { width: 0, help: "", title: "Control", _needs_kernel: true, _acknowledged: 0 };
const LABELS = ["tench", "tabby cat", "tiger cat"];
const check = () => view.el.querySelector("input").click();
const notice = () => view.el.querySelector(".xw-silence:popover-open")?.textContent;
async function show(widget, state) {
	view = await mount(widget, { ...CONTROL, ...state });
	await painted();
}
async function wait(ms) {
	vi.advanceTimersByTime(ms);
	await painted();
}

beforeEach(() => vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => {
	vi.useRealTimers();
	delete globalThis.xaiWidgetsPage;
	return view.unmount();
});

test("without an answer the old value returns with a notice", async () => {
	await show(checkView, { value: false });
	check();
	expect([view.model.get("value"), view.model.sent[0].content]).toEqual([true, { type: "ping", id: 1 }]);
	await wait(4900);
	expect([view.model.get("value"), notice()]).toEqual([true, undefined]);
	await wait(200);
	expect([view.model.get("value"), view.el.querySelector("input").checked]).toEqual([false, false]);
	expect(notice()).toMatch(/^No kernel answered: run the cell again/);
});

test("an answer in time keeps the new value", async () => {
	await show(checkView, { value: false });
	check();
	view.model.set("_acknowledged", 1);
	await wait(10000);
	expect([view.model.get("value"), notice()]).toEqual([true, undefined]);
});

test("a late answer of a busy kernel brings the new value back and takes the notice away", async () => {
	await show(checkView, { value: false });
	check();
	await wait(6000);
	expect(view.model.get("value")).toBe(false);
	view.model.set("_acknowledged", 1);
	await painted();
	expect([view.model.get("value"), notice()]).toEqual([true, undefined]);
});

test("of several changes without an answer the value before the first returns", async () => {
	await show(selectView, { options: ["a", "b", "c"], labels: {}, notes: {}, value: "a" });
	for (const at of [1, 2]) {
		view.el.querySelector("button").click();
		view.el.querySelectorAll("[role=option]")[at].click();
		await wait(1000);
	}
	expect(view.model.get("value")).toBe("c");
	// The answer to the first is none to the second.
	view.model.set("_acknowledged", 1);
	await wait(5000);
	expect(view.model.get("value")).toBe("a");
});

test("a closed connection is noticed at once", async () => {
	await show(checkView, { value: false });
	view.model.send = () => {
		throw new Error("Cannot send");
	};
	check();
	await wait(1);
	expect([view.model.get("value"), notice()]).toEqual([false, expect.stringMatching(/^No kernel/)]);
});

test("nothing is asked where no Python is expected", async () => {
	await show(checkView, { value: false, _needs_kernel: false });
	check();
	await wait(10000);
	expect([view.model.get("value"), view.model.sent]).toEqual([true, []]);
	await view.unmount();
	globalThis.xaiWidgetsPage = true;
	await show(checkView, { value: false });
	check();
	await wait(10000);
	expect([view.model.get("value"), view.model.sent]).toEqual([true, []]);
});

test("classes and methods return too", async () => {
	await show(classPicker, { labels: LABELS, target: 0, probabilities: [] });
	view.el.querySelector("input").click();
	view.el.querySelectorAll("[role=option]")[2].click();
	await wait(6000);
	expect([view.model.get("target"), view.el.querySelector("input").value]).toEqual([0, "tench"]);
	await view.unmount();
	await show(methodPicker, { options: ["a", "b"], selected: ["a"], labels: {} });
	view.el.querySelector("button").click();
	view.el.querySelectorAll("[role=option]")[1].click();
	await wait(6000);
	expect(view.model.get("selected")).toEqual(["a"]);
	expect(view.el.querySelector("button").textContent).toBe("Control1 of 2");
});

test("a class that a linked view chooses is asked for, too", async () => {
	await show(classPicker, {
		labels: LABELS,
		target: 0,
		probabilities: [],
		_channels: { target: "kernel-test" },
	});
	const other = await mount(classPicker, {
		...CONTROL,
		_needs_kernel: false,
		labels: LABELS,
		target: 0,
		probabilities: [],
		_channels: { target: "kernel-test" },
	});
	other.el.querySelector("input").click();
	other.el.querySelectorAll("[role=option]")[1].click();
	expect(view.model.get("target")).toBe(1);
	await wait(6000);
	expect([view.model.get("target"), other.model.get("target")]).toEqual([0, 0]);
	expect(notice()).toMatch(/^No kernel/);
	await other.unmount();
});
