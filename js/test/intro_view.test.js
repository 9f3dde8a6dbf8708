import { afterEach, expect, test } from "vitest";
import introView from "../src/intro_view.js";
import { mount, painted } from "./model.js";

/** @type {{model: import("./model.js").Model, el: HTMLElement, unmount: () => Promise<void>}} */
let view;
let figure;
async function show(over = {}) {
	const state = {
		title: "",
		width: 0,
		question: "How little is enough?",
		hint: "Drag the line.",
		gesture: "press",
	};
	view = await mount(introView, { ...state, ...over });
	view.el.classList.add("xw-explorer");
	figure = document.createElement("div");
	figure.className = "xw xw-heatmap-view";
	view.el.append(figure);
	await painted();
}
const isUsed = () => view.el.querySelector(".xw-hint").classList.contains("xw-used");
const press = (/** @type {Element} */ node) =>
	node.dispatchEvent(new PointerEvent("pointerdown", { bubbles: true }));
afterEach(() => view.unmount());

test("the hint goes after the first press in a view of the explorer, and nothing moves", async () => {
	await show();
	expect(view.el.textContent).toBe("How little is enough?Drag the line.");
	const height = view.el.offsetHeight;
	press(document.body);
	press(view.el.querySelector(".xw-question"));
	expect(isUsed()).toBe(false);
	press(figure);
	expect(isUsed()).toBe(true);
	expect(view.el.offsetHeight).toBe(height);
});

test("a hint to hover goes after the pointer has moved for a while", async () => {
	await show({ gesture: "hover" });
	figure.dispatchEvent(new PointerEvent("pointermove", { bubbles: true }));
	expect(isUsed()).toBe(false);
	await expect.poll(isUsed, { timeout: 5000 }).toBe(true);
});

test("after its cleanup nothing listens", async () => {
	await show();
	await view.unmount();
	expect(view.model.listeners).toBe(0);
});
