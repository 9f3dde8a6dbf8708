import { afterEach, expect, test } from "vitest";
import widget from "../src/heatmap_view.js";
import { array, mount, painted } from "./model.js";

const page = /** @type {{xaiWidgetsPage?: boolean}} */ (globalThis);
/** @type {{model: import("./model.js").Model, el: HTMLElement, unmount: () => Promise<void>}} */
let view;
afterEach(() => {
	delete page.xaiWidgetsPage;
	return view.unmount();
});

/** An image of one gray. @param {number} value */
const gray = (value) => array("uint8", [2, 2, 3], Array(12).fill(value));
async function show(over = {}) {
	const state = { image: gray(0), images: null, maps: null, frame: 0, groups: 1, group: 0, notes: [] };
	const more = { labels: [], interpolation: "pixelated", controls: false, width: 60, title: "", _sent: 0 };
	view = await mount(widget, { ...state, ...more, position: null, ...over });
	await painted();
}
const sent = () => view.model.sent.map(({ content }) => content);

test("each frame is confirmed once, when it was drawn", async () => {
	await show();
	expect(sent()).toEqual([]);
	view.model.set("image", gray(9));
	view.model.set("_sent", 1);
	expect(sent()).toEqual([]);
	await painted();
	expect(sent()).toEqual([{ type: "drawn", frame: 1 }]);
	view.model.set("title", "another title");
	await painted();
	expect(sent()).toHaveLength(1);
	// Two frames within one animation frame are drawn once.
	view.model.set("_sent", 2);
	view.model.set("_sent", 3);
	await painted();
	expect(sent().slice(1)).toEqual([{ type: "drawn", frame: 3 }]);
});

test("a frame that was sent before the view existed is confirmed, but not on an exported page", async () => {
	await show({ _sent: 4 });
	expect(sent()).toEqual([{ type: "drawn", frame: 4 }]);
	await view.unmount();
	page.xaiWidgetsPage = true;
	await show({ _sent: 4 });
	expect(sent()).toEqual([]);
});
