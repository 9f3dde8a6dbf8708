import { afterEach, expect, test } from "vitest";
import { userEvent } from "vitest/browser";
import checkView from "../src/check_view.js";
import displayMenu from "../src/display_menu.js";
import selectView from "../src/select_view.js";
import { mount, painted } from "./model.js";

/** @type {{model: import("./model.js").Model, el: HTMLElement, unmount: () => Promise<void>}} */
let view;
const OPTIONS = ["block1", "block2", "conv", "fc"];
async function show(widget, state) {
	view = await mount(widget, { width: 0, help: "", ...state }, { width: 300 });
	await painted();
}
const select = (over = {}) =>
	show(selectView, {
		title: "Layer",
		options: OPTIONS,
		labels: { fc: "last" },
		value: "conv",
		notes: {},
		...over,
	});
const field = () => view.el.querySelector("button");
const rows = () => [...view.el.querySelectorAll("[role=option]")];
const isOpen = () => view.el.querySelector(":popover-open") !== null;
const height = () => view.el.querySelector(".xw").getBoundingClientRect().height;
afterEach(() => view.unmount());

test("label and field stand in one line of 28 px", async () => {
	await select();
	expect([field().textContent, field().getAttribute("aria-label"), height()]).toEqual(["conv", "Layer", 28]);
	expect(view.el.querySelector("label").textContent).toBe("Layer");
});

test("a click opens the list, another on an option chooses it", async () => {
	await select();
	field().click();
	expect(rows().map((row) => row.textContent)).toEqual(["block1", "block2", "conv", "last"]);
	expect(rows().findIndex((row) => row.getAttribute("aria-selected") === "true")).toBe(2);
	rows()[3].click();
	expect([view.model.get("value"), isOpen()]).toEqual(["fc", false]);
	expect(view.model.saved).toEqual([{ value: "fc" }]);
	await painted();
	expect(field().textContent).toBe("last");
});

test("arrows, Home and End move, Enter chooses, Escape does not", async () => {
	await select();
	field().focus();
	await userEvent.keyboard("{ArrowDown}{ArrowDown}{Enter}");
	expect(view.model.get("value")).toBe("fc");
	await userEvent.keyboard("{ArrowDown}{Home}{Escape}");
	expect([view.model.get("value"), isOpen()]).toEqual(["fc", false]);
	await userEvent.keyboard(" {Home} ");
	expect(view.model.get("value")).toBe("block1");
});

test("letters find an option, the same letter the next one", async () => {
	await select();
	field().focus();
	await userEvent.keyboard("b");
	const marked = () => view.el.querySelector(".xw-active").textContent;
	expect(marked()).toBe("block1");
	await userEvent.keyboard("b");
	expect(marked()).toBe("block2");
});

test("a disabled option shows its reason and is skipped", async () => {
	await select({ notes: { fc: "has no positions" } });
	field().click();
	expect(rows()[3].textContent).toBe("lasthas no positions");
	rows()[3].click();
	expect([view.model.get("value"), isOpen()]).toEqual(["conv", true]);
	field().focus();
	await userEvent.keyboard("{ArrowDown}{Enter}");
	expect(view.model.get("value")).toBe("conv");
});

test("leaving the field closes the list", async () => {
	await select();
	field().focus();
	field().click();
	field().blur();
	expect(isOpen()).toBe(false);
});

test("a check box follows its trait and sets it", async () => {
	await show(checkView, { title: "Gray image", value: false });
	const box = view.el.querySelector("input");
	expect([box.checked, height()]).toEqual([false, 28]);
	view.el.querySelector("label").click();
	expect(view.model.saved).toEqual([{ value: true }]);
	view.model.set("value", false);
	await painted();
	expect(box.checked).toBe(false);
});

test("the display menu offers the settings that are shown", async () => {
	await show(displayMenu, {
		title: "Display",
		shown: ["opacity", "gray"],
		opacity: 0.5,
		colormap: "auto",
		sign: "auto",
		percentile: 99,
		fade: false,
		gray: true,
		interpolation: "smooth",
	});
	expect([field().textContent, height()]).toEqual(["Display", 28]);
	field().click();
	const shown = [...view.el.querySelectorAll(".xw-control:not([hidden])")].map((node) => node.textContent);
	expect(shown).toEqual(["Opacity50 %", "Gray image"]);
	view.el.querySelector("[type=checkbox]:not([hidden] *)").click();
	expect(view.model.get("gray")).toBe(false);
	expect(isOpen()).toBe(true);
	await userEvent.keyboard("{Escape}");
	expect(isOpen()).toBe(false);
});

test("after its cleanup nothing listens and nothing is left", async () => {
	await select();
	field().click();
	await view.unmount();
	expect([view.model.listeners, view.el.childElementCount]).toEqual([0, 0]);
});
