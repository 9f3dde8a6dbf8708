import { afterEach, describe, expect, test, vi } from "vitest";
import { userEvent } from "vitest/browser";
import scoresView from "../src/scores_view.js";
import { array, mount, painted } from "./model.js";

const NAN = Number.NaN;
// One method, both modes, three steps, two best classes.
const VALUES = [0.7, 0.2, 0.5, 0.4, NAN, NAN, 0.1, 0.3, 0.6, 0.2, 0.9, 0.05];
const INDICES = [0, 1, 1, 0, 0, 0, 0, 2, 2, 0, 2, 1];

/** @param {string} deleted @param {string} inserted */
const series = (deleted, inserted) => [
	{ label: deleted, frame: 0, mode: "deletion" },
	{ label: inserted, frame: 0, mode: "insertion" },
];

function state(over = {}) {
	return {
		x: array("float32", [3], [0, 0.5, 1]),
		values: array("float32", [2, 3, 2], VALUES),
		indices: array("int32", [2, 3, 2], INDICES),
		target_values: array("float32", [2, 3], [0.05, 0.06, NAN, 0.3, 0.6, 0.9]),
		reference: null,
		labels: ["cat", "dog", "fox"],
		target: 2,
		frame: 0,
		mode: "deletion",
		fraction: 0,
		series: series("deleted", "inserted"),
		title: "Scores",
		width: 0,
		...over,
	};
}

/** @type {{model: import("./model.js").Model, el: HTMLElement, unmount: () => Promise<void>}} */
let view;
async function show(over) {
	view = await mount(scoresView, state(over), { width: 300 });
	await painted();
}
const find = (/** @type {string} */ selector) => view.el.querySelector(selector);
/** The visible texts from top to bottom. */
function rows() {
	return [...view.el.querySelectorAll(".xw-score")]
		.map((node) => ({
			top: Number(/translateY\((.*)px\)/.exec(node.style.transform)[1]),
			text: `${node.querySelector(".xw-score-label").textContent} ${node.querySelector(".xw-score-number").textContent}`,
			target: node.classList.contains("xw-target"),
			extra: node.classList.contains("xw-extra"),
		}))
		.sort((a, b) => a.top - b.top);
}
const read = () => rows().map(({ text }) => text);
const set = async (/** @type {Record<string, unknown>} */ values) => {
	for (const [name, value] of Object.entries(values)) view.model.set(name, value);
	await painted();
};

afterEach(() => {
	vi.useRealTimers();
	return view.unmount();
});

describe("bars", () => {
	const filled = () =>
		[...view.el.querySelectorAll(".xw-score-fill")].map((node) =>
			Number(/scaleX\((.*)\)/.exec(/** @type {HTMLElement} */ (node).style.transform)[1]),
		);

	test("of probabilities are full at 1", async () => {
		await show({ target: -1 });
		expect(filled()[0]).toBeCloseTo(0.7);
	});

	test("of plain numbers are full and empty at the limits", async () => {
		const values = array("float32", [2, 1, 2], [6, -2, 6, -2]);
		const indices = array("int32", [2, 1, 2], [0, 1, 0, 1]);
		await show({ x: null, values, indices, target_values: null, target: -1, value_limits: [-2, 8] });
		expect(filled()[0]).toBeCloseTo(0.8);
		expect(filled()[1]).toBe(0);
		expect(read()).toEqual(["cat 6.000", "dog −2.000"]);
	});
});

describe("rows", () => {
	test("the best first, and the target in a row of its own when it is not among them", async () => {
		await show();
		expect(read()).toEqual(["cat 0.700", "dog 0.200", "fox 0.050"]);
		expect(rows().map(({ target }) => target)).toEqual([false, false, true]);
		expect(rows()[2].extra).toBe(true);
	});

	test("they are sorted by score, whatever the order in the array", async () => {
		await show({ mode: "insertion" });
		expect(read()).toEqual(["fox 0.300", "cat 0.100"]);
		expect(rows()[0]).toMatchObject({ target: true, extra: false });
	});

	test("bars are as long as their scores", async () => {
		await show();
		await Promise.all(
			find(".xw")
				.getAnimations({ subtree: true })
				.map((it) => it.finished),
		);
		const width = (node) => node.getBoundingClientRect().width;
		for (const bar of view.el.querySelectorAll(".xw-score")) {
			const part = width(bar.querySelector(".xw-score-fill")) / width(bar.querySelector(".xw-score-track"));
			expect(part).toBeCloseTo(Number(bar.querySelector(".xw-score-number").textContent), 2);
		}
	});

	test("the nearest computed step is shown, with its own fraction", async () => {
		await show({ fraction: 0.3 });
		expect(read()[0]).toBe("dog 0.500");
		expect(find(".xw-muted").textContent).toBe("0.500 deleted");
		await set({ fraction: 1 });
		expect(find(".xw-muted").textContent).toBe("0.500 deleted");
		await set({ mode: "insertion" });
		expect(find(".xw-muted").textContent).toBe("1.000 inserted");
		expect(read()[0]).toBe("fox 0.900");
	});

	test("a step has its own words, and whole numbers of something stay whole", async () => {
		const x = array("float32", [3], [1, 4, 16]);
		await show({ x, fraction: 0.3, series: series("channels deleted", "channels alone") });
		expect(find(".xw-muted").textContent).toBe("4 channels deleted");
		await set({ mode: "insertion", fraction: 1 });
		expect(find(".xw-muted").textContent).toBe("16 channels alone");
		await set({ series: series("gone", "kept") });
		expect(find(".xw-muted").textContent).toBe("16 kept");
	});

	test("a class keeps its element and its color, and the view its height", async () => {
		await show();
		const cat = [...view.el.querySelectorAll(".xw-score")].find((node) => node.textContent.startsWith("cat"));
		const color = cat.querySelector(".xw-score-fill").style.getPropertyValue("--xw-bar");
		const height = find(".xw").clientHeight;
		await set({ fraction: 0.5 });
		expect(read()).toEqual(["dog 0.500", "cat 0.400", "fox 0.060"]);
		expect(cat.isConnected).toBe(true);
		expect(cat.querySelector(".xw-score-fill").style.getPropertyValue("--xw-bar")).toBe(color);
		await set({ mode: "insertion" });
		expect(find(".xw").clientHeight).toBe(height);
	});

	test("a class without a label is shown by its number", async () => {
		await show({ labels: [] });
		expect(read()[0]).toBe("class 0 0.700");
	});
});

describe("a reference", () => {
	const REFERENCE = array("float32", [3], [0.91, NAN, 0.02]);

	test("is a tick on the bar and a number before the score, where there is one", async () => {
		await show({ reference: REFERENCE });
		const shown = Object.fromEntries(
			[...view.el.querySelectorAll(".xw-score")].map((row) => {
				const [tick, track] = [".xw-score-tick", ".xw-score-track"].map((name) => row.querySelector(name));
				const [at, all] = [tick, track].map((node) => node.getBoundingClientRect());
				const part = tick.checkVisibility() ? (at.left + at.width / 2 - all.left) / all.width : null;
				const before = row.querySelector(".xw-score-before");
				return [
					row.querySelector(".xw-score-label").textContent,
					[part && Math.round(100 * part), before.checkVisibility() ? before.textContent : ""],
				];
			}),
		);
		expect(shown).toEqual({ cat: [91, "0.910 →"], dog: [null, ""], fox: [2, "0.020 →"] });
		await set({ reference: null });
		expect(find(".xw-score-tick").checkVisibility()).toBe(false);
	});

	test("a legend line names the ticks", async () => {
		await show({ reference: REFERENCE, reference_label: "original image" });
		expect(find(".xw-scores-legend").textContent).toContain("original image");
		await set({ reference: null });
		expect(find(".xw-scores-legend").innerText).not.toContain("original image");
	});

	test("one step without x: no fraction is shown, and the change is announced", async () => {
		vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
		await show({
			x: null,
			values: array("float32", [2, 1, 2], [0.7, 0.2, NAN, NAN]),
			indices: array("int32", [2, 1, 2], [0, 1, 0, 0]),
			target_values: null,
			reference: REFERENCE,
		});
		expect(read()).toEqual(["cat 0.700", "dog 0.200"]);
		expect(find(".xw-muted").textContent).toBe("");
		vi.advanceTimersByTime(800);
		expect(find("[aria-live]").textContent).toBe("cat 0.910 to 0.700, dog 0.200");
	});
});

describe("without data", () => {
	test("not computed yet: no arrays, no such method, only NaN; then late arrays", async () => {
		await show({ values: null });
		expect(find(".xw-message").textContent).toBe("not computed yet");
		await set({
			values: array(
				"float32",
				[2, 3, 2],
				VALUES.map(() => NAN),
			),
		});
		expect(find(".xw-message").textContent).toBe("not computed yet");
		expect(rows()).toEqual([]);
		await set({ values: state().values, frame: 1 });
		expect(find(".xw-message").textContent).toBe("not computed yet");
		await set({ frame: 0 });
		expect(find(".xw-message").hidden).toBe(true);
		expect(read()[0]).toBe("cat 0.700");
	});

	test("the view has the height from the first paint on that it has later", async () => {
		await show({ values: null, target_values: null });
		const height = find(".xw").clientHeight;
		await set({
			values: array("float32", [1, 1, 5], [0.5, 0.2, 0.1, 0.1, 0.05]),
			indices: array("int32", [1, 1, 5], [0, 1, 3, 4, 5]),
			target_values: array("float32", [1, 1], [0.01]),
			x: null,
		});
		expect(rows()).toHaveLength(6);
		expect(find(".xw").clientHeight).toBe(height);
	});

	test("where only the step itself counts, another one is not shown in its place", async () => {
		await show({ exact: true, fraction: 1 });
		expect(find(".xw-message").textContent).toBe("not computed yet");
		await set({ fraction: 0.5 });
		expect(read()[0]).toBe("dog 0.500");
	});

	test("arrays that do not fit together show an error", async () => {
		await show({ indices: array("int32", [2, 3, 1], [0, 0, 0, 0, 0, 0]) });
		expect(find(".xw-message").textContent).toBe(
			"This view cannot be drawn: values has shape [2,3,2], indices [2,3,1]: expected the same.",
		);
	});
});

describe("bars as buttons", () => {
	const named = (/** @type {string} */ name) =>
		[...view.el.querySelectorAll(".xw-score")].find((node) => node.textContent.startsWith(name));

	test("a click asks to explain the class, once, until the kernel answers", async () => {
		await show({ explains: true });
		named("dog").click();
		named("cat").click();
		expect(view.model.sent.map(({ content }) => content)).toEqual([{ type: "explain", index: 1 }]);
		await painted();
		expect(named("dog").getAttribute("aria-busy")).toBe("true");
		await set({ target: 1, _answered: 1 });
		expect(named("dog").getAttribute("aria-busy")).toBe("false");
		expect(named("dog").getAttribute("aria-current")).toBe("true");
		named("cat").click();
		expect(view.model.sent).toHaveLength(2);
	});

	test("the explained class does nothing, nor does any where nobody listens", async () => {
		await show({ explains: true });
		named("fox").click();
		expect(named("fox").title).toBe("fox (class 2): is explained");
		await set({ explains: false });
		named("dog").click();
		expect(view.model.sent).toEqual([]);
		expect(named("dog").getAttribute("aria-disabled")).toBe("true");
	});

	test("in a page without a kernel they give the reason", async () => {
		globalThis.xaiWidgetsPage = true;
		await show({ explains: true });
		delete globalThis.xaiWidgetsPage;
		named("dog").click();
		expect(view.model.sent).toEqual([]);
		expect(named("dog").title).toBe("dog (class 1): to explain another class needs a running kernel");
	});

	test("a kernel that does not answer is named", async () => {
		vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
		await show({ explains: true });
		named("dog").click();
		vi.advanceTimersByTime(5000);
		await painted();
		expect(find(".xw-score-silence").textContent).toMatch(/No kernel answered/);
		expect(named("dog").getAttribute("aria-busy")).toBe("false");
	});

	test("one stop of Tab; up and down go along the bars as they stand", async () => {
		await show({ explains: true, fraction: 0.5 });
		const stops = () =>
			[...view.el.querySelectorAll(".xw-score")]
				.filter((node) => node.tabIndex === 0)
				.map((n) => n.textContent);
		expect(stops()).toHaveLength(1);
		named("dog").focus();
		await userEvent.keyboard("{ArrowDown}");
		expect(document.activeElement).toBe(named("cat"));
		await userEvent.keyboard("{ArrowDown}{ArrowDown}");
		expect(document.activeElement).toBe(named("fox"));
		expect(stops()).toEqual([named("fox").textContent]);
	});
});

test("a screen reader announces the scores when the pointer rests", async () => {
	vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
	await show();
	const spoken = find("[aria-live]");
	await set({ fraction: 0.5 });
	vi.advanceTimersByTime(400);
	expect(spoken.textContent).toBe("");
	await set({ fraction: 0 });
	vi.advanceTimersByTime(400);
	expect(spoken.textContent).toBe("");
	vi.advanceTimersByTime(200);
	expect(spoken.textContent).toBe("0.000 deleted: cat 0.700, dog 0.200, fox 0.050");
});

test("after its cleanup nothing listens and nothing is left", async () => {
	await show();
	await view.unmount();
	expect(view.model.listeners).toBe(0);
	expect(view.el.childElementCount).toBe(0);
});
