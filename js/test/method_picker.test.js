import { afterEach, expect, test } from "vitest";
import { userEvent } from "vitest/browser";
import { lookOf, PALETTE_SIZE } from "../src/lib/palette.js";
import methodPicker from "../src/method_picker.js";
import { mount, painted } from "./model.js";

/** @type {{model: import("./model.js").Model, el: HTMLElement, unmount: () => Promise<void>}} */
let view;
async function show(over = {}) {
	const state = {
		options: ["gradient", "lrp", "cam"],
		labels: { lrp: "Layer-wise relevance propagation" },
		selected: ["lrp"],
		families: { gradient: "Gradients", lrp: "Rules", cam: "Gradients" },
		sentences: { gradient: "Gradient of the class score." },
		costs: { gradient: "2 passes" },
		notes: {},
		reasons: {},
		title: "Methods",
		width: 0,
	};
	view = await mount(methodPicker, { ...state, ...over }, { width: 300 });
	await painted();
}
const all = (/** @type {string} */ selector) => [...view.el.querySelectorAll(selector)];
const button = () => view.el.querySelector("button");
const open = () => button().click();
const rows = () => all("[role=option]");
const labels = () => all(".xw-method-label").map((node) => node.textContent);
const selected = () =>
	rows()
		.filter((row) => row.getAttribute("aria-selected") === "true")
		.map((row) => row.querySelector(".xw-method-label").textContent);
afterEach(() => view.unmount());

test("the button counts the selected methods, in one line of 28 px", async () => {
	await show();
	expect(button().textContent).toBe("Methods1 of 3");
	expect(view.el.querySelector(".xw").getBoundingClientRect().height).toBe(28);
	expect(rows()).toEqual([]);
});

test("the list has families, sentences and costs", async () => {
	await show();
	open();
	expect(all(".xw-method-family").map((node) => node.textContent)).toEqual(["Gradients", "Rules"]);
	expect(labels()).toEqual(["gradient", "cam", "Layer-wise relevance propagation"]);
	expect(rows()[0].textContent).toContain("Gradient of the class score.");
	expect(rows()[0].querySelector(".xw-method-cost").textContent).toBe("2 passes");
	expect(selected()).toEqual(["Layer-wise relevance propagation"]);
	expect(button().getAttribute("aria-expanded")).toBe("true");
});

test("a click selects, another takes back; the order is that of the options", async () => {
	await show();
	open();
	rows()[1].click();
	rows()[0].click();
	expect(view.model.get("selected")).toEqual(["gradient", "lrp", "cam"]);
	rows()[2].click();
	expect(view.model.get("selected")).toEqual(["gradient", "cam"]);
	expect(view.model.saved.at(-1)).toEqual({ selected: ["gradient", "cam"] });
	await painted();
	expect(button().textContent).toBe("Methods2 of 3");
	expect(selected()).toEqual(["gradient", "cam"]);
});

test("typing searches with typing errors forgiven, Enter selects the best match", async () => {
	await show();
	open();
	await userEvent.keyboard("graident{Enter}");
	expect(labels()).toEqual(["gradient"]);
	expect(view.model.get("selected")).toEqual(["gradient", "lrp"]);
	await userEvent.keyboard("xyz");
	expect(all(".xw-method-list")[0].textContent).toBe("no method matches");
});

test("the space bar selects after an arrow, and belongs to the search before", async () => {
	await show();
	open();
	await userEvent.keyboard("{ArrowDown} ");
	expect(view.model.get("selected")).toEqual(["gradient", "lrp"]);
	await userEvent.keyboard("layer wise");
	expect(labels()).toEqual(["Layer-wise relevance propagation"]);
	expect(view.model.get("selected")).toEqual(["gradient", "lrp"]);
});

test("Escape and a press outside close the list", async () => {
	await show();
	open();
	await userEvent.keyboard("{Escape}");
	expect(view.el.querySelector(":popover-open")).toBeNull();
	expect(document.activeElement).toBe(button());
	open();
	document.body.dispatchEvent(new PointerEvent("pointerdown", { bubbles: true }));
	expect(view.el.querySelector(":popover-open")).toBeNull();
	expect(button().getAttribute("aria-expanded")).toBe("false");
});

test("a method that cannot run is listed last, with the reason, and is not selected", async () => {
	await show({ reasons: { gradient: "needs a network with ReLU" } });
	expect(button().textContent).toBe("Methods1 of 2");
	open();
	expect(labels().at(-1)).toBe("gradient");
	const last = rows().at(-1);
	expect([last.getAttribute("aria-disabled"), last.textContent]).toEqual([
		"true",
		expect.stringContaining("needs a network with ReLU"),
	]);
	last.click();
	expect(view.model.get("selected")).toEqual(["lrp"]);
});

test("a method with a look has its color and its marker after the name, others have none", async () => {
	await show({ looks: { gradient: 1, lrp: 1 + PALETTE_SIZE } });
	open();
	const samples = () => rows().map((row) => [...row.querySelectorAll(".xw-swatch path")]);
	expect(samples().map((parts) => parts.length)).toEqual([1, 0, 2]);
	expect(samples()[0][0].style.stroke).toBe(lookOf(1).color);
	expect(samples()[2].map(({ style }) => style.stroke || style.fill)).toEqual([
		lookOf(1).color,
		lookOf(1).color,
	]);
	view.model.set("looks", {});
	await painted();
	expect(samples().flat()).toEqual([]);
});

test("other options replace those of the open list; an empty choice is announced", async () => {
	await show();
	open();
	view.model.set("options", ["x", "cam"]);
	await painted();
	expect(labels()).toEqual(["cam", "x"]);
	view.model.set("options", []);
	await painted();
	expect(view.el.textContent).toContain("nothing to choose from");
});

test("a remark stands in place of the sentence", async () => {
	await show();
	open();
	view.model.set("notes", { gradient: "expected a network with ReLU" });
	await painted();
	expect(rows()[0].querySelector(".xw-method-remark").textContent).toBe("expected a network with ReLU");
});

test("a card has the facts of a method; Escape leads back to the list", async () => {
	await show({
		cards: { gradient: { Formula: "dS_c/dx", Source: "Simonyan et al. 2014" } },
		_card: "",
		_image: null,
	});
	open();
	expect(all(".xw-method-info")).toHaveLength(1);
	await userEvent.keyboard("{ArrowDown}{ArrowRight}");
	const card = view.el.querySelector(".xw-card");
	expect([...card.querySelectorAll("dt, dd")].map((node) => node.textContent)).toEqual([
		...["Formula", "dS_c/dx", "Source", "Simonyan et al. 2014"],
	]);
	expect(view.model.saved.at(-1)).toEqual({ _card: "gradient" });
	expect(card.querySelector("img").hidden).toBe(true);
	view.model.set("_image", new DataView(new Uint8Array([1, 2]).buffer));
	expect(card.querySelector("img").hidden).toBe(false);
	await userEvent.keyboard("{Escape}");
	expect([card.hidden, document.activeElement]).toEqual([true, view.el.querySelector("input")]);
	expect(view.el.querySelector(":popover-open")).not.toBeNull();
});

test("after its cleanup nothing listens and nothing is left", async () => {
	await show();
	open();
	await view.unmount();
	expect(view.model.listeners).toBe(0);
	expect(view.el.childElementCount).toBe(0);
});
