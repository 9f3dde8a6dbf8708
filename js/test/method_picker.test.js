import { afterEach, expect, test } from "vitest";
import { userEvent } from "vitest/browser";
import { seriesColor } from "../src/lib/palette.js";
import methodPicker from "../src/method_picker.js";
import { mount, painted } from "./model.js";

/** @type {{model: import("./model.js").Model, el: HTMLElement, unmount: () => Promise<void>}} */
let view;
async function show(over = {}) {
	const state = {
		options: ["a", "b", "c"],
		labels: { b: "the B" },
		selected: ["b"],
		title: "Methods",
		width: 0,
	};
	view = await mount(methodPicker, { ...state, ...over }, { width: 300 });
	await painted();
}
const all = (/** @type {string} */ selector) => [...view.el.querySelectorAll(selector)];
const checked = () => all("input").map((box) => box.checked);
afterEach(() => view.unmount());

test("a chip an option, named by its label, checked when selected", async () => {
	await show();
	expect(all(".xw-chip").map((node) => node.textContent)).toEqual(["a", "the B", "c"]);
	expect(checked()).toEqual([false, true, false]);
	expect(view.el.querySelector("[role=group]").getAttribute("aria-label")).toBe("Methods");
});

test("a click chooses, another takes back; the order is that of the options", async () => {
	await show();
	all(".xw-chip")[2].click();
	all(".xw-chip")[0].click();
	expect(view.model.get("selected")).toEqual(["a", "b", "c"]);
	all(".xw-chip")[1].click();
	expect(view.model.get("selected")).toEqual(["a", "c"]);
	expect(view.model.saved.at(-1)).toEqual({ selected: ["a", "c"] });
});

test("by keyboard", async () => {
	await show();
	all("input")[0].focus();
	await userEvent.keyboard(" ");
	expect(view.model.get("selected")).toEqual(["a", "b"]);
	await userEvent.keyboard("{Tab} ");
	expect(view.model.get("selected")).toEqual(["a"]);
});

test("the color is that of the index among the options, chosen or not", async () => {
	await show();
	expect(all(".xw-chip").map((chip) => chip.style.getPropertyValue("--xw-chip"))).toEqual(
		[0, 1, 2].map(seriesColor),
	);
	view.model.set("selected", ["c"]);
	await painted();
	expect(checked()).toEqual([false, false, true]);
	const fill = getComputedStyle(all(".xw-chip-color")[2]).backgroundColor;
	expect(fill).toBe(getComputedStyle(all(".xw-chip-color")[2]).borderColor);
});

test("other options replace the chips; an empty choice is announced", async () => {
	await show();
	view.model.set("options", ["x", "b"]);
	await painted();
	expect(all(".xw-chip").map((node) => node.textContent)).toEqual(["x", "the B"]);
	view.model.set("options", []);
	await painted();
	expect(view.el.textContent).toContain("nothing to choose from");
});

test("a remark is shown under the pointer, and read out", async () => {
	await show({ notes: { c: "expected a network with ReLU" } });
	const [, , noted] = all(".xw-chip");
	expect(noted.title).toBe("expected a network with ReLU");
	expect(noted.querySelector("input").getAttribute("aria-description")).toBe(noted.title);
	view.model.set("notes", {});
	await painted();
	expect([noted.title, noted.classList.contains("xw-chip-noted")]).toEqual(["", false]);
});

test("after its cleanup nothing listens and nothing is left", async () => {
	await show();
	await view.unmount();
	expect(view.model.listeners).toBe(0);
	expect(view.el.childElementCount).toBe(0);
});
