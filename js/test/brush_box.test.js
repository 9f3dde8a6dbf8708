import { afterEach, describe, expect, test } from "vitest";
import { userEvent } from "vitest/browser";
import { drag, find, HEIGHT, mask, named, pixels, result, set, show, view, WIDTH } from "./brush.js";
import { array, painted } from "./model.js";

/** The mask of a box: right and bottom are outside. */
const boxOf = (left, top, right, bottom, [on, off] = [255, 0]) =>
	Array.from({ length: HEIGHT * WIDTH }, (_, i) => {
		const [x, y] = [i % WIDTH, Math.floor(i / WIDTH)];
		return x >= left && x < right && y >= top && y < bottom ? on : off;
	});

afterEach(() => view.unmount());

describe("the button that copies", () => {
	test("is there if it has a text, and sends the mask as it is drawn", async () => {
		await show({ shape: "box", copy_label: "", _copied: 0 });
		const buttons = () =>
			[...find('[aria-label="Whole mask"]').querySelectorAll("button:not([hidden])")].length;
		expect(buttons()).toBe(5);
		await set({ copy_label: "Copy to B" });
		expect(buttons()).toBe(6);
		drag([
			[2.5, 3.5],
			[9.5, 8.5],
		]);
		named("Copy to B").click();
		expect(view.model.get("_copied")).toBe(1);
		expect(mask()).toEqual(boxOf(2, 3, 10, 9));
	});
});

describe("a box", () => {
	test.each([
		[
			"from the top left",
			[
				[2.5, 3.5],
				[6, 5],
				[9.5, 8.5],
			],
		],
		[
			"from the bottom right",
			[
				[9.5, 8.5],
				[3, 4],
				[2.5, 3.5],
			],
		],
	])("%s fills all pixels that it touches, whatever its path", async (_name, points) => {
		await show({ shape: "box" });
		drag([points[0], [15, 11], ...points.slice(1)]);
		await painted();
		expect(mask()).toEqual(boxOf(2, 3, 10, 9));
		expect(pixels()).toEqual(result(mask()));
	});

	test("erases, by the tool or by the right button", async () => {
		const all = array("uint8", [HEIGHT, WIDTH], Array(HEIGHT * WIDTH).fill(255));
		await show({ shape: "box", mask: all });
		drag(
			[
				[2.5, 3.5],
				[9.5, 8.5],
			],
			{ button: 2 },
		);
		expect(mask()).toEqual(boxOf(2, 3, 10, 9, [0, 255]));
		await set({ tool: "erase" });
		drag([
			[-3, -3],
			[20, 20],
		]);
		expect(mask().every((value) => value === 0)).toBe(true);
	});

	test("is one step to undo, and keeps what was painted around it", async () => {
		await show({ shape: "box" });
		drag([
			[0.5, 0.5],
			[3.5, 3.5],
		]);
		const first = mask();
		drag([
			[2.5, 2.5],
			[14, 11],
			[5.5, 5.5],
		]);
		const both = boxOf(2, 2, 6, 6).map((value, index) => Math.max(value, first[index]));
		expect(mask()).toEqual(both);
		named("Undo").click();
		expect(mask()).toEqual(first);
		named("Redo").click();
		expect(mask()).toEqual(both);
	});

	test("is drawn by the keys: b, Space held, arrows", async () => {
		await show();
		find(".xw-stage").focus();
		await userEvent.keyboard("b");
		expect(view.model.get("shape")).toBe("box");
		expect(named("Box").getAttribute("aria-pressed")).toBe("true");
		// From the middle, two pixels to the right and one down.
		await userEvent.keyboard("{ >}{ArrowRight}{ArrowRight}{ArrowDown}{/ }");
		await painted();
		expect(mask()).toEqual(boxOf(WIDTH / 2, HEIGHT / 2, WIDTH / 2 + 2, HEIGHT / 2 + 1));
	});

	test("has neither a size nor a softness", async () => {
		await show();
		const range = find(".xw-brush input");
		expect(getComputedStyle(range).visibility).toBe("visible");
		named("Box").click();
		await painted();
		expect(view.model.get("shape")).toBe("box");
		expect(getComputedStyle(range).visibility).toBe("hidden");
	});
});
