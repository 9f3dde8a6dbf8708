import { afterEach, describe, expect, test } from "vitest";
import { userEvent } from "vitest/browser";
import classPicker from "../src/class_picker.js";
import { closest, errorsIn, search } from "../src/lib/labels.js";
import { mount, painted } from "./model.js";

const LABELS = ["tench", "tiger shark", "tabby cat", "tiger cat", "Egyptian cat", "crane", "crane"];
const MANY = Array.from({ length: 1000 }, (_, i) => `label ${i}`);

/** @type {{model: import("./model.js").Model, el: HTMLElement, unmount: () => Promise<void>}} */
let view;
async function show(over = {}) {
	view = await mount(classPicker, {
		labels: LABELS,
		target: 2,
		probabilities: [],
		title: "Class",
		width: 0,
		...over,
	});
	await painted();
}
const find = (/** @type {string} */ selector) => view.el.querySelector(selector);
const input = () => find("[role=combobox]");
const options = () => [...view.el.querySelectorAll("[role=option]")];
const names = () => options().map((node) => node.querySelector(".xw-option-label").textContent);
const isOpen = () => find("[role=listbox]").matches(":popover-open");
afterEach(() => view?.unmount());

describe("the search", () => {
	const found = (/** @type {string} */ query, hints = []) =>
		search(LABELS, query, hints).map(({ index }) => index);
	test("beginnings before words before the rest, without regard of case; numbers too", () => {
		expect(found("T")).toEqual([0, 1, 2, 3, 4]);
		expect(found("cat")).toEqual([2, 3, 4]);
		expect(found("tiger")).toEqual([1, 3]);
		expect(found("an")).toEqual([4, 5, 6]);
		expect(found("4")).toEqual([4]);
		expect(found("zebra")).toEqual([]);
	});

	test("empty: all classes, the most probable first", () => {
		const hints = MANY.map((_, i) => (i % 100 === 7 ? 1 - i / 1000 : i / 1e6));
		const indices = search(MANY, " ", hints).map(({ index }) => index);
		expect(indices.slice(0, 10)).toEqual([7, 107, 207, 307, 407, 507, 607, 707, 807, 907]);
		expect(indices.slice(10, 13)).toEqual([999, 998, 997]);
		expect(new Set(indices).size).toBe(1000);
		expect(found("")).toEqual([0, 1, 2, 3, 4, 5, 6]);
		expect(found("", [null, 0.1, 0.2])).toEqual([2, 1, 0, 3, 4, 5, 6]);
	});

	test("of labels that match equally well the most probable comes first, with its own number", () => {
		expect(found("crane", [0, 0, 0, 0, 0, 0.1, 0.6])).toEqual([6, 5]);
		expect(found("tiger", [0, 0.1, 0, 0.2])).toEqual([3, 1]);
		const cats = ["catamaran", "tiger cat", "polecat", "cat"];
		expect(search(cats, "cat", [0, 0.3, 0.1, 0.01]).map(({ index }) => index)).toEqual([3, 1, 2, 0]);
	});

	test("words in any order, with a typing error, and without accents", () => {
		expect(found("cat egyptian")).toEqual([4]);
		expect(found("egyptain")).toEqual([4]);
		expect(found("tigr shark")).toEqual([1]);
		expect(found("sharrk")).toEqual([1]);
		expect(found("taby")).toEqual([2]);
		expect(found("xat")).toEqual([]);
		expect(search(["Löwchen", "café"], "lowchen", []).map(({ index }) => index)).toEqual([0]);
	});

	test("typing errors in the middle of a text", () => {
		expect(errorsIn("shark", "great white shark, man-eater")).toBe(0);
		expect(errorsIn("shrak", "great white shark")).toBe(1);
		expect(errorsIn("espreso", "espresso maker")).toBe(1);
	});

	test("a typing error is found among twenty thousand labels", () => {
		const animals = ["Egyptian cat", "great white shark", "bald eagle", "American alligator"];
		const huge = Array.from({ length: 22000 }, (_, i) => `${animals[i % 4]} ${i}`);
		const hints = huge.map((_, i) => i / 22000);
		const indices = search(huge, "egyptain", hints).map(({ index }) => index);
		expect(indices).toHaveLength(5500);
		expect(indices.slice(0, 2)).toEqual([21996, 21992]);
	});

	test("the closest label of a wrong one", () => {
		expect(LABELS[closest(LABELS, "egyptain cta")]).toBe("Egyptian cat");
		expect(LABELS[closest(LABELS, "tigershark")]).toBe("tiger shark");
		expect(closest(LABELS, "xyz")).toBe(-1);
	});
});

describe("the field", () => {
	test("it shows the chosen class with its number and probability, and follows a linked change", async () => {
		await show({ probabilities: [0, 0, 0.25, 0.5, 0, 0, 0] });
		expect(input().value).toBe("tabby cat");
		expect(find(".xw-class-chosen").textContent).toBe("#2 · 0.250");
		view.model.set("target", 3);
		await painted();
		expect(input().value).toBe("tiger cat");
		expect(find(".xw-class-chosen").textContent).toBe("#3 · 0.500");
	});

	test("typing filters, arrows and Enter choose", async () => {
		await show();
		await userEvent.click(input());
		expect(isOpen()).toBe(true);
		expect(names()).toEqual(LABELS);
		await userEvent.keyboard("tiger");
		expect(names()).toEqual(["tiger shark", "tiger cat"]);
		expect(input().getAttribute("aria-activedescendant")).toBe(options()[0].id);
		await userEvent.keyboard("{ArrowDown}");
		expect(input().getAttribute("aria-activedescendant")).toBe(options()[1].id);
		await userEvent.keyboard("{Enter}");
		await painted();
		expect(view.model.get("target")).toBe(3);
		expect(view.model.saved).toEqual([{ target: 3 }]);
		expect(input().value).toBe("tiger cat");
		expect([isOpen(), input().getAttribute("aria-expanded")]).toEqual([false, "false"]);
	});

	test("a click on an option chooses that very one among equal names", async () => {
		await show();
		await userEvent.click(input());
		await userEvent.keyboard("crane");
		await userEvent.click(options()[1]);
		expect(view.model.get("target")).toBe(6);
	});

	test("Enter takes the class of a name with a typing error", async () => {
		await show();
		await userEvent.click(input());
		await userEvent.keyboard("Egyptain{Enter}");
		expect(view.model.get("target")).toBe(4);
	});

	test("a wrong name keeps the old class and offers the nearest", async () => {
		await show();
		await userEvent.click(input());
		await userEvent.keyboard("Egyptain cat{Tab}");
		await painted();
		expect(view.model.get("target")).toBe(2);
		expect(input().value).toBe("tabby cat");
		expect(find("[role=status]").textContent).toBe(
			"No class is named “Egyptain cat”. Did you mean Egyptian cat?",
		);
		find("[role=status] button").click();
		await painted();
		expect(view.model.get("target")).toBe(4);
		expect(find("[role=status]").textContent).toBe("");
	});

	test("Escape and an emptied field keep the old class without a word", async () => {
		await show();
		await userEvent.click(input());
		await userEvent.keyboard("tig{Escape}");
		await painted();
		expect([view.model.get("target"), input().value, isOpen()]).toEqual([2, "tabby cat", false]);
		await userEvent.keyboard("{Control>}a{/Control}{Backspace}{Tab}");
		await painted();
		expect([view.model.get("target"), input().value, isOpen()]).toEqual([2, "tabby cat", false]);
		expect(find("[role=status]").textContent).toBe("");
	});

	test("leaving with the full name of a class chooses it", async () => {
		await show();
		await userEvent.click(input());
		await userEvent.keyboard("TENCH{Tab}");
		expect(view.model.get("target")).toBe(0);
	});

	test("of a thousand classes a hundred are listed, and the rest is counted", async () => {
		await show({ labels: MANY, target: 999 });
		await userEvent.click(input());
		expect(options()).toHaveLength(100);
		expect(find("[role=listbox]").textContent).toContain("and 900 more");
	});

	test("the five most probable classes stand apart at the top of an empty search", async () => {
		await show({ probabilities: [0.1, 0.2, 0.3, 0.05, 0.05, 0.2, 0.1] });
		await userEvent.click(input());
		expect(names().slice(0, 2)).toEqual(["tabby cat", "tiger shark"]);
		expect(options().findIndex((row) => row.classList.contains("xw-option-last"))).toBe(4);
		await userEvent.keyboard("c");
		expect(find(".xw-option-last")).toBe(null);
	});

	test("the list lies under the field, inside the window", async () => {
		await show();
		await userEvent.click(input());
		const field = find(".xw-class-field").getBoundingClientRect();
		const list = find("[role=listbox]").getBoundingClientRect();
		expect(list.left).toBeCloseTo(field.left, 0);
		expect(list.top).toBeGreaterThanOrEqual(field.bottom);
		expect(list.bottom).toBeLessThanOrEqual(innerHeight);
	});
});

test("without labels the class is shown by its number", async () => {
	await show({ labels: [], target: 5 });
	expect(input().value).toBe("class 5");
});

test("after its cleanup nothing listens and nothing is left", async () => {
	await show();
	await userEvent.click(input());
	await view.unmount();
	expect(view.model.listeners).toBe(0);
	expect(view.el.childElementCount).toBe(0);
});

test("in a narrow field the index gives way to the name, and stays in the tooltip", async () => {
	await show({ probabilities: [0, 0, 0.5, 0, 0, 0, 0] });
	const chosen = find(".xw-class-chosen");
	expect(chosen.textContent).toBe("#2 · 0.500");
	view.el.style.width = "400px";
	await painted();
	const wide = chosen.getBoundingClientRect().width;
	view.el.style.width = "200px";
	await painted();
	expect(chosen.getBoundingClientRect().width).toBeLessThan(wide - 10);
	expect(chosen.innerText).toBe("0.500");
	expect(chosen.title).toBe("class 2: 0.500");
});
