import { afterEach, expect, test } from "vitest";
import widget from "../src/heatmap_view.js";
import { array, mount, painted } from "./model.js";

/** @type {Awaited<ReturnType<typeof mount>>} */
let view;
afterEach(async () => {
	await view.unmount();
});

const STATE = {
	image: array("uint8", [1, 1, 3], [10, 20, 30]),
	images: null,
	maps: null,
	labels: [],
	frame: 0,
	groups: 1,
	group: 0,
	colormap: "viridis",
	opacity: 1,
	fade: false,
	gray: false,
	sign: "both",
	percentile: 100,
	interpolation: "pixelated",
	position: [0.5, 0.5],
	controls: false,
	width: 300,
	title: "",
};

/** @param {Record<string, unknown>} state */
async function show(state) {
	view = await mount(widget, { ...STATE, ...state });
	await painted();
}

/** @param {Record<string, unknown>} state */
async function set(state) {
	for (const [name, value] of Object.entries(state)) view.model.set(name, value);
	await painted();
}

const value = () => view.el.querySelector(".xw-value").textContent;
const color = () => view.el.querySelector(".xw-channels").textContent;
const pixel = () => {
	const canvas = /** @type {HTMLCanvasElement} */ (view.el.querySelector(".xw-stage > canvas"));
	return [...canvas.getContext("2d").getImageData(5, 5, 1, 1).data];
};

test("maps of several resolutions share an array; each is enlarged from its own", async () => {
	const nan = Number.NaN;
	const maps = array("float32", [2, 2, 2], [1, 2, 3, 4, 7, nan, nan, nan]);
	await show({
		maps,
		sizes: [
			[2, 2],
			[1, 1],
		],
		position: [0.9, 0.9],
	});
	expect(value()).toBe("4.00");
	await set({ frame: 1 });
	expect(value()).toBe("7.00");
	expect(view.el.querySelector(".xw-cell").textContent).toBe("row 0, col 0");
	await set({ frame: 0, sizes: [[3, 2]] });
	expect(view.el.textContent).toContain("expected at most [2,2]");
});

test("group and frame together choose a map", async () => {
	await show({ maps: array("float32", [6, 1, 1], [1, 2, 3, 4, 5, 6]), groups: 2 });
	const seen = [];
	for (const [group, frame] of [
		[0, 0],
		[0, 2],
		[1, 0],
		[1, 1],
		[1, 9],
		[7, 2],
	]) {
		await set({ group, frame });
		seen.push(Number(value()));
	}
	expect(seen).toEqual([1, 3, 4, 5, 6, 6]);
});

test("the list of maps has those of one group", async () => {
	await show({
		maps: array("float32", [4, 1, 1], [1, 2, 3, 4]),
		groups: 2,
		labels: ["a", "b"],
		controls: true,
	});
	view.el.querySelector(".xw-head button").click();
	await painted();
	const options = [...view.el.querySelectorAll(".xw-head [role=option]")].map((option) => option.textContent);
	expect(options).toEqual(["a", "b"]);
});

test("maps that do not fall into the groups are named", async () => {
	await show({ maps: array("float32", [3, 1, 1], [1, 2, 3]), groups: 2 });
	expect(view.el.textContent).toContain("maps has 3 maps, expected a multiple of 2");
	await set({ groups: 3, group: 2 });
	expect(Number(value())).toBe(3);
});

test("each frame has its image, with maps and without", async () => {
	const images = array("uint8", [2, 1, 1, 3], [255, 0, 0, 0, 0, 255]);
	await show({ images });
	expect([pixel(), color()]).toEqual([[255, 0, 0, 255], "255 0 0"]);
	expect(view.el.querySelector(".xw-scale").checkVisibility()).toBe(false);
	expect(view.el.querySelector(".xw-swatch").checkVisibility()).toBe(true);
	await set({ position: null });
	expect(view.el.querySelector(".xw-swatch").checkVisibility()).toBe(false);
	await set({ position: [0.5, 0.5] });
	await set({ frame: 1 });
	expect([pixel(), color()]).toEqual([[0, 0, 255, 255], "0 0 255"]);
	await set({ frame: 5 });
	expect(color()).toBe("0 0 255");
	await set({ maps: array("float32", [4, 1, 1], [1, 2, 3, 4]), groups: 2, group: 1, frame: 0 });
	expect([Number(value()), color()]).toEqual([3, "255 0 0"]);
	expect(view.el.querySelector(".xw-scale").checkVisibility()).toBe(true);
	await set({ images: null });
	expect(color()).toBe("10 20 30");
});

test("shows the note of the image where there are no maps", async () => {
	const images = array("uint8", [2, 1, 1, 3], [255, 255, 255, 0, 0, 0]);
	await show({ maps: null, images, notes: ["", "Black."], groups: 1, frame: 0 });
	const note = view.el.querySelector(".xw-note");
	expect(note.hidden).toBe(true);
	await set({ frame: 1 });
	expect(note.hidden).toBe(false);
	expect(note.textContent).toBe("Black.");
});
