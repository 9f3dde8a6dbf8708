import { afterEach, expect, test, vi } from "vitest";
import { SILENCE } from "../src/lib/kernel.js";
import networkView from "../src/network_view.js";
import { mount, painted } from "./model.js";

const STATE = { status: "waiting", reason: "", _version: 0, _acknowledged: 0, width: 0, title: "" };
/** @type {Awaited<ReturnType<typeof mount>>} */
let view;
const text = () => view.el.querySelector(".xw-network-line")?.textContent;

afterEach(async () => {
	vi.useRealTimers();
	await view.unmount();
});

test("it asks for the network once, and again when it is another one", async () => {
	view = await mount(networkView, STATE);
	expect(view.model.sent.map(({ content }) => content)).toEqual([{ type: "open", id: 1 }]);
	view.model.set("_acknowledged", 1);
	view.model.set("_version", 1);
	expect(view.model.sent.map(({ content }) => content)).toEqual([
		{ type: "open", id: 1 },
		{ type: "open", id: 2 },
	]);
});

test("without a kernel it states that none answered", async () => {
	vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
	view = await mount(networkView, STATE);
	vi.advanceTimersByTime(10_000);
	await painted();
	expect(text()).toBe(SILENCE);
});

test("a host that does not find the brush leaves the answers to the kernel, and states why", async () => {
	view = await mount(networkView, STATE);
	view.model.receive({ type: "network", version: 0, size: 2e6, brushes: [{ brush: "a", scores: "b" }] });
	await painted();
	await painted();
	expect(text()).toMatch(/^Scored by the kernel, as the network does not run in this browser: ./);
	expect(view.model.get("status")).toBe("failed");
	expect(view.model.saved.at(-1)).toMatchObject({ status: "failed" });
});

test("a network that was replaced meanwhile is not started", async () => {
	view = await mount(networkView, { ...STATE, _version: 2 });
	view.model.receive({ type: "network", version: 1, size: 2e6, brushes: [] });
	await painted();
	expect(text()).toBe("");
});
