import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import runBar from "../src/run_bar.js";
import { mount, painted } from "./model.js";

/** @type {{model: import("./model.js").Model, el: HTMLElement, unmount: () => Promise<void>}} */
let view;
async function show(over = {}) {
	const state = { status: "idle", progress: 0, message: "", error: "", label: "Run", _acknowledged: 0 };
	const more = { runnable: true, restart: "", queued: false, remaining: null };
	view = await mount(runBar, { ...state, ...more, title: "", width: 0, ...over }, { width: 400 });
	await painted();
}
const find = (/** @type {string} */ selector) => view.el.querySelector(selector);
const button = () => find(".xw-run");
const messages = () => view.model.sent.map(({ content }) => content);
const sent = () => messages().filter((/** @type {{type: string}} */ { type }) => type !== "view");
const states = () =>
	messages().flatMap((/** @type {{type: string, state: string}} */ { type, state }) =>
		type === "view" ? [state] : [],
	);
const set = async (/** @type {Record<string, unknown>} */ values) => {
	for (const [name, value] of Object.entries(values)) view.model.set(name, value);
	await painted();
};

beforeEach(() => vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }));
afterEach(() => {
	vi.useRealTimers();
	return view.unmount();
});

describe("clicks", () => {
	test("run, then cancel, each with a number of its own", async () => {
		await show();
		expect(button().textContent).toBe("Run");
		button().click();
		expect(sent()).toEqual([{ type: "run", id: 1 }]);
		await set({ _acknowledged: 1, status: "running" });
		expect(button().textContent).toBe("Stop");
		button().click();
		expect(sent()[1]).toEqual({ type: "cancel", id: 2 });
		await set({ _acknowledged: 2, status: "cancelled" });
		expect(button().textContent).toBe("Run");
	});

	test("a second click waits for the answer to the first; the second half of a double click counts not", async () => {
		await show();
		button().click();
		await painted();
		expect(button().getAttribute("aria-disabled")).toBe("true");
		button().click();
		expect(sent()).toHaveLength(1);
		await set({ _acknowledged: 1, status: "running" });
		expect(button().getAttribute("aria-disabled")).toBe("false");
		button().dispatchEvent(new MouseEvent("click", { detail: 2 }));
		expect(sent()).toHaveLength(1);
	});

	test("step is shown with its tooltip, and sent", async () => {
		await show();
		expect(find(".xw-step").hidden).toBe(true);
		await set({ step: "Step: one more" });
		expect(find(".xw-step").hidden).toBe(false);
		expect(find(".xw-step").title).toBe("Step: one more");
		find(".xw-step").click();
		expect(sent()).toEqual([{ type: "step", id: 1 }]);
	});

	test("restart is apart, and its tooltip lists what it discards", async () => {
		await show({ status: "done", runnable: false });
		const restart = find("[aria-label=Restart]");
		expect(restart.checkVisibility()).toBe(false);
		expect(button().getAttribute("aria-disabled")).toBe("true");
		button().click();
		expect(sent()).toEqual([]);
		await set({ restart: "Restart: discard 4 maps" });
		expect(restart.title).toBe("Restart: discard 4 maps");
		restart.click();
		expect(sent()).toEqual([{ type: "restart", id: 1 }]);
	});
});

describe("a kernel that does not answer", () => {
	test("shows an error after five seconds, and the button stays usable", async () => {
		await show();
		button().click();
		vi.advanceTimersByTime(4900);
		await painted();
		expect(find("[role=alert]").hidden).toBe(true);
		vi.advanceTimersByTime(200);
		await painted();
		expect(find("[role=alert]").hidden).toBe(false);
		expect(find("[role=alert]").textContent).toMatch(/^No kernel answered: run the cell again/);
		button().click();
		expect(sent()).toHaveLength(2);
		// The answer comes after all.
		await set({ _acknowledged: 1 });
		expect(find("[role=alert]").hidden).toBe(true);
	});

	test("one that answers in time shows no error", async () => {
		await show();
		button().click();
		await set({ _acknowledged: 1 });
		vi.advanceTimersByTime(10000);
		await painted();
		expect(find("[role=alert]").hidden).toBe(true);
	});
});

describe("display", () => {
	test("progress, for eyes and for screen readers", async () => {
		await show({ status: "running", progress: 0.25 });
		const bar = find("[role=progressbar]");
		expect(bar.getAttribute("aria-valuenow")).toBe("25");
		await set({ progress: 0.5, message: "batch 7 of 14" });
		expect(bar.getAttribute("aria-valuenow")).toBe("50");
		await Promise.all(bar.getAnimations({ subtree: true }).map((it) => it.finished));
		expect(bar.firstElementChild.getBoundingClientRect().width).toBeCloseTo(bar.clientWidth / 2, 0);
		expect(find("[aria-live]").textContent).toBe("batch 7 of 14");
	});

	test("one line of 28 px, with a long message cut off and in full as a tooltip", async () => {
		const message = "Integrated gradients: insertion, and many words more that do not fit into a header";
		await show({ status: "running", message, remaining: 41 });
		expect(find(".xw-bar").getBoundingClientRect().height).toBe(28);
		const shown = find(".xw-run-message");
		expect(shown.scrollWidth).toBeGreaterThan(shown.clientWidth);
		expect(shown.title).toBe(message);
		expect(find(".xw-run-remaining").textContent).toBe("about 45 s left");
	});

	test.each([
		[null, ""],
		[1, "a few seconds left"],
		[130, "about 2 min left"],
		[7300, "about 2 h left"],
	])("remaining time: %s", async (remaining, words) => {
		await show({ status: "running", remaining });
		expect(find(".xw-run-remaining").textContent).toBe(words);
		await set({ status: "done" });
		expect(find(".xw-run-remaining").textContent).toBe("");
	});

	test("a computation that waits for another one shows that", async () => {
		await show({ status: "running", queued: true, message: "Grad-CAM" });
		expect(find(".xw-run-message").textContent).toBe("waiting for another explorer");
		await set({ queued: false });
		expect(find(".xw-run-message").textContent).toBe("Grad-CAM");
	});

	test("an error, until it is dismissed", async () => {
		await show({ status: "error", error: "ValueError: no such layer" });
		expect(find("[role=alert]").hidden).toBe(false);
		expect(find("[role=alert] span").textContent).toBe("ValueError: no such layer");
		find("[aria-label='dismiss the error']").click();
		expect(view.model.get("error")).toBe("");
		expect(view.model.saved).toEqual([{ error: "" }]);
		await painted();
		expect(find("[role=alert]").checkVisibility()).toBe(false);
		expect(document.activeElement).toBe(button());
		button().click();
		expect(sent()).toEqual([{ type: "run", id: 1 }]);
	});
});

describe("visibility", () => {
	test("is reported when the explorer comes, is out of sight, and goes", async () => {
		await show();
		await vi.waitFor(() => expect(states()).toEqual(["visible"]));
		view.el.style.display = "none";
		await vi.waitFor(() => expect(states()).toEqual(["visible", "unseen"]));
		view.el.style.display = "";
		await vi.waitFor(() => expect(states()).toHaveLength(3));
		await view.unmount();
		expect(states()).toEqual(["visible", "unseen", "visible", "gone"]);
	});
});

test("after its cleanup nothing listens, nothing is left, no timer fires", async () => {
	await show();
	button().click();
	await view.unmount();
	expect(view.model.listeners).toBe(0);
	expect(view.el.childElementCount).toBe(0);
	expect(vi.getTimerCount()).toBe(0);
});
