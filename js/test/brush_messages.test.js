import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { drag, FILLS, HEIGHT, mask, pixels, pointer, result, set, show, view, WIDTH } from "./brush.js";
import { array, painted } from "./model.js";

/** The numbers of the masks that were sent. */
const sent = () => view.model.saved.filter((one) => "mask" in one).map((one) => one._stroke);

beforeEach(() => {
	vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});
afterEach(async () => {
	vi.useRealTimers();
	await view.unmount();
});

describe("messages", () => {
	test("one message at a time, the next when the kernel has seen the last", async () => {
		await show();
		pointer("pointerdown", 3, 3);
		expect(sent()).toEqual([1]);
		for (let x = 4; x < 9; x++) pointer("pointermove", x, 3);
		vi.advanceTimersByTime(200);
		expect(sent()).toEqual([1]);
		view.model.set("_seen", 1);
		expect(sent()).toEqual([1, 2]);
		const now = mask();
		pointer("pointermove", 14, 10);
		// The mask in flight differs from the present one.
		expect(mask()).toEqual(now);
		view.model.set("_seen", 2);
		vi.advanceTimersByTime(60);
		expect(sent()).toEqual([1, 2, 3]);
		expect(mask()).not.toEqual(now);
	});

	test("the last state is always sent, and nothing after it", async () => {
		await show();
		drag([
			[3, 3],
			[8, 8],
			[12, 3],
		]);
		expect(sent()).toEqual([1]);
		view.model.set("_seen", 1);
		vi.advanceTimersByTime(60);
		expect(sent()).toEqual([1, 2]);
		vi.useRealTimers();
		await painted();
		expect(pixels()).toEqual(result(mask()));
		vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
		view.model.set("_seen", 2);
		vi.advanceTimersByTime(5000);
		expect(sent()).toEqual([1, 2]);
	});

	test("a kernel that is silent for half a second does not block messages", async () => {
		await show();
		pointer("pointerdown", 3, 3);
		pointer("pointermove", 8, 3);
		vi.advanceTimersByTime(499);
		expect(sent()).toEqual([1]);
		vi.advanceTimersByTime(1);
		expect(sent()).toEqual([1, 2]);
		pointer("pointermove", 9, 3);
		vi.advanceTimersByTime(499);
		expect(sent()).toEqual([1, 2]);
		vi.advanceTimersByTime(1);
		expect(sent()).toEqual([1, 2, 3]);
		pointer("pointerup", 9, 3);
		// A late answer to an older one frees nothing.
		view.model.set("_seen", 1);
		vi.advanceTimersByTime(100);
		expect(sent()).toEqual([1, 2, 3]);
	});

	test("a kernel that answers at once hears twenty times a second at most", async () => {
		await show();
		pointer("pointerdown", 3, 3);
		for (let i = 0; i < 100; i++) {
			pointer("pointermove", 3 + i / 10, 3);
			view.model.set("_seen", view.model.get("_stroke"));
			vi.advanceTimersByTime(10);
		}
		expect(sent().length).toBeGreaterThan(15);
		expect(sent().length).toBeLessThanOrEqual(21);
	});

	test("numbers go on from those of an earlier view", async () => {
		await show({ _stroke: 41, _seen: 41 });
		drag([[3, 3]]);
		expect(sent()).toEqual([42]);
	});

	test("a view that is removed sends the pending mask", async () => {
		await show();
		drag([
			[3, 3],
			[8, 8],
		]);
		expect(sent()).toEqual([1]);
		await view.unmount();
		expect(sent()).toEqual([1, 2]);
		vi.advanceTimersByTime(5000);
		expect(sent()).toEqual([1, 2]);
	});
});

test("each message has its own bytes: painting on does not change one that is on its way", async () => {
	await show();
	drag([[3, 3]]);
	const before = mask();
	const message = view.model.get("mask");
	drag([[12, 9]]);
	expect([...new Uint8Array(message.data.buffer)]).toEqual(before);
	await set({});
});

describe("with the network in the browser", () => {
	test("the mask is in the page while the pointer is down, and goes to the kernel when it rests", async () => {
		await show({ _live: true });
		const masks = [];
		view.model.on("change:mask", () => masks.push(mask()));
		pointer("pointerdown", 3, 3);
		pointer("pointermove", 8, 3);
		await painted();
		pointer("pointermove", 8, 9);
		await painted();
		expect(masks.length).toBeGreaterThan(1);
		expect(sent()).toEqual([]);
		pointer("pointerup", 8, 9);
		expect(sent()).toEqual([1]);
		expect(mask()).toEqual(masks.at(-1));
	});

	test("a mask that Python sends during a stroke gives way to the painted one", async () => {
		await show({ _live: true });
		pointer("pointerdown", 3, 3);
		await painted();
		const drawn = mask();
		await set({ mask: array("uint8", [HEIGHT, WIDTH], Array(HEIGHT * WIDTH).fill(255)) });
		pointer("pointerup", 3, 3);
		expect(sent()).toEqual([1]);
		expect(mask()).toEqual(drawn);
	});

	test("the last fill is drawn as the network got it", async () => {
		await show({ fill: 1, _live: true });
		pointer("pointerdown", 3, 3);
		pointer("pointerup", 3, 3);
		const filled = FILLS[0];
		await set({ _filled: array("uint8", [HEIGHT, WIDTH, 3], filled.flat()) });
		expect(pixels()).toEqual(result(mask(), 1, 1, filled));
		await set({ fill: 0, _filled: array("uint8", [HEIGHT, WIDTH, 3], FILLS[1].flat()) });
		expect(pixels()).toEqual(result(mask(), 0));
	});
});
