import { afterEach, expect, test } from "vitest";
import { actOnKeys, keepKeys } from "../src/lib/keys.js";

/** @type {(() => void)[]} */
const undo = [];
afterEach(() => {
	for (const step of undo.splice(0)) step();
});

/** A host like JupyterLab, which looks for the attribute while the event comes down, and one that listens outside. */
function setUp() {
	const controller = new AbortController();
	const root = document.createElement("div");
	const stage = document.createElement("div");
	const button = document.createElement("button");
	stage.tabIndex = 0;
	root.append(stage, button);
	document.body.append(root);
	/** @type {string[]} */
	const lab = [];
	/** @type {string[]} */
	const outer = [];
	/** @type {Record<string, unknown>[]} */
	const set = [];
	const { signal } = controller;
	document.addEventListener(
		"keydown",
		(event) => {
			const node = /** @type {Element} */ (event.target);
			// A shortcut for whatever has the focus is found before the attribute of a node further out.
			if (!node.hasAttribute("data-lm-suppress-shortcuts")) lab.push(event.key);
		},
		{ capture: true, signal: undoSignal() },
	);
	document.addEventListener("keydown", (event) => outer.push(event.key), { signal: undoSignal() });
	keepKeys(root, signal);
	actOnKeys(
		stage,
		({ key }) => (key === "c" ? { key } : null),
		(values) => set.push(values),
		signal,
	);
	undo.push(() => root.remove());
	/** @param {Element} node @param {KeyboardEventInit} init */
	const press = (node, init) => {
		const event = new KeyboardEvent("keydown", { bubbles: true, composed: true, cancelable: true, ...init });
		node.dispatchEvent(event);
		return event;
	};
	return { root, stage, button, lab, outer, set, press, controller };
}

function undoSignal() {
	const controller = new AbortController();
	undo.push(() => controller.abort());
	return controller.signal;
}

test("plain keys stay in the view and act only on the stage", () => {
	const { stage, button, lab, outer, set, press } = setUp();
	expect(press(stage, { key: "c" }).defaultPrevented).toBe(true);
	expect(press(stage, { key: "x" }).defaultPrevented).toBe(false);
	press(button, { key: "c" });
	expect(set).toEqual([{ key: "c" }]);
	expect([lab, outer]).toEqual([[], []]);
});

test("chords, Tab and Shift+Enter reach the host and do not act", () => {
	const { stage, lab, outer, set, press } = setUp();
	press(stage, { key: "c", ctrlKey: true });
	press(stage, { key: "c", metaKey: true });
	press(stage, { key: "Tab" });
	press(stage, { key: "Enter", shiftKey: true });
	const all = ["c", "c", "Tab", "Enter"];
	expect([lab, outer, set]).toEqual([all, all, []]);
});

test("keys elsewhere are none of its business, and after the abort none are", () => {
	const { root, stage, lab, outer, set, press, controller } = setUp();
	press(stage, { key: "c" });
	press(document.body, { key: "c" });
	controller.abort();
	press(stage, { key: "c" });
	expect([lab, outer]).toEqual([
		["c", "c"],
		["c", "c"],
	]);
	expect(set).toHaveLength(1);
	expect(root.querySelector("[data-lm-suppress-shortcuts]")).toBeNull();
});
