import { afterEach, describe, expect, test, vi } from "vitest";
import { userEvent } from "vitest/browser";
import {
	drag,
	find,
	HEIGHT,
	IMAGE,
	mask,
	named,
	pixels,
	pointer,
	result,
	set,
	show,
	strokeOf,
	view,
	WIDTH,
} from "./brush.js";
import { array, choose, optionsOf, painted } from "./model.js";

const TOTAL = HEIGHT * WIDTH;
const LINE = [
	[3, 3],
	[11.5, 7],
	[12, 2],
];

/** A pixel may be off by one, because positions on the screen are rounded. */
function expectClose(have, want) {
	const worst = Math.max(...have.flat().map((value, i) => Math.abs(value - want.flat()[i])));
	expect(worst).toBeLessThanOrEqual(2);
}

afterEach(() => view.unmount());

describe("painting", () => {
	test("a stroke is the brush along its path, and the image follows its definition", async () => {
		await show();
		expect(pixels()).toEqual(IMAGE);
		drag(LINE);
		await painted();
		expectClose(mask(), strokeOf(LINE));
		expect(pixels()).toEqual(result(mask()));
		expect(find(".xw-amount").textContent).toMatch(/^\d+(\.\d)? % painted$/);
		const share = mask().reduce((sum, value) => sum + value, 0) / (255 * TOTAL);
		expect(Number.parseFloat(find(".xw-amount").textContent)).toBeCloseTo(100 * share, 1);
	});

	test.each([0, 0.3, 1])("softness %f, one dab", async (softness) => {
		await show({ softness });
		drag([[8, 6]]);
		expectClose(mask(), strokeOf([[8, 6]], { softness }));
	});

	test("painting over a position twice paints it once; another size paints more", async () => {
		await show();
		drag([[8, 6]]);
		const once = mask();
		drag([[8, 6]]);
		expect(mask()).toEqual(once);
		await set({ brush_size: 0.8 });
		drag([[8, 6]]);
		expectClose(mask(), strokeOf([[8, 6]], { size: 0.8 }));
	});

	test.each([
		["the tool", { tool: "erase" }, {}],
		["the right button", {}, { button: 2 }],
		["Alt", {}, { altKey: true }],
		["the end of a pen", {}, { button: 5, buttons: 32, pointerType: "pen" }],
	])("%s erases", async (_name, state, options) => {
		await show({ ...state, mask: array("uint8", [HEIGHT, WIDTH], new Uint8Array(TOTAL).fill(255)) });
		drag(LINE, options);
		await painted();
		expectClose(
			mask(),
			strokeOf(LINE).map((value) => 255 - value),
		);
		expect(pixels()).toEqual(result(mask()));
	});

	test("every pointer event between two frames counts", async () => {
		await show();
		pointer("pointerdown", 3, 3);
		const rect = find(".xw-stage").getBoundingClientRect();
		const between = [
			[8, 10],
			[12, 3],
		].map(([x, y]) => ({
			clientX: rect.left + (x / WIDTH) * rect.width,
			clientY: rect.top + (y / HEIGHT) * rect.height,
		}));
		const move = new PointerEvent("pointermove", { ...between[1], isPrimary: true, pointerId: 1 });
		Object.defineProperty(move, "getCoalescedEvents", { value: () => between });
		find(".xw-stage").dispatchEvent(move);
		pointer("pointerup", 12, 3);
		expectClose(
			mask(),
			strokeOf([
				[3, 3],
				[8, 10],
				[12, 3],
			]),
		);
	});

	test("a second finger and other buttons paint nothing; a finger leaves no ring", async () => {
		await show();
		pointer("pointerdown", 3, 3, { button: 1 });
		pointer("pointermove", 8, 3);
		pointer("pointerdown", 3, 3, { pointerType: "touch", isPrimary: false, pointerId: 7 });
		pointer("pointermove", 9, 9, { pointerType: "touch", pointerId: 7 });
		expect(view.model.get("mask")).toBe(null);
		const heard = vi.fn();
		document.addEventListener("contextmenu", heard);
		expect(pointer("contextmenu", 3, 3).defaultPrevented).toBe(true);
		// A notebook would open its own menu over the stroke.
		expect(heard).not.toHaveBeenCalled();
		document.removeEventListener("contextmenu", heard);
	});

	test("the wheel goes on scrolling the page", async () => {
		await show();
		const wheel = new WheelEvent("wheel", { bubbles: true, cancelable: true, deltaY: 50 });
		find(".xw-stage").dispatchEvent(wheel);
		expect(wheel.defaultPrevented).toBe(false);
	});
});

describe("displays", () => {
	const PAINT = Array.from({ length: TOTAL }, (_, i) => (i * 7) % 256);
	const message = array("uint8", [HEIGHT, WIDTH], PAINT);

	test("another fill, the tint and the outline", async () => {
		await show({ mask: message, fill: 1 });
		expect(pixels()).toEqual(result(PAINT, 1));
		await set({ display: "tint" });
		const tint = IMAGE.map(() => [255, 0, 128]);
		expect(pixels()).toEqual(result(PAINT, 0, 0.5, tint));
		await set({ opacity: 0.25 });
		expect(pixels()).toEqual(result(PAINT, 0, 0.25, tint));
		await set({ display: "outline", mask: array("uint8", [HEIGHT, WIDTH], new Uint8Array(TOTAL)) });
		expect(pixels()).toEqual(IMAGE);
		await set({ mask: array("uint8", [HEIGHT, WIDTH], new Uint8Array(TOTAL).fill(255)) });
		// The line runs along the border: it misses the middles of the pixels.
		expect(pixels()).toEqual(IMAGE);
		const canvas = find(".xw-stage > canvas");
		const { data } = canvas.getContext("2d").getImageData(0, canvas.height / 2, 20, 1);
		expect(Math.max(...data.filter((_, i) => i % 4 === 2))).toBeGreaterThan(200);
	});

	test("without fills the paint is a tint", async () => {
		await show({ mask: message, fills: null });
		expect(pixels()).toEqual(
			result(
				PAINT,
				0,
				0.5,
				IMAGE.map(() => [255, 0, 128]),
			),
		);
	});

	test("the list of fills is there when there is a choice", async () => {
		await show({ mask: message });
		expect(optionsOf(view.el, "Fill")).toEqual(["gray", "noise"]);
		choose(view.el, "Fill", "noise");
		expect(view.model.get("fill")).toBe(1);
		await painted();
		expect(pixels()).toEqual(result(PAINT, 1));
		await set({ fill_labels: [] });
		expect(find(".xw-fill").checkVisibility()).toBe(false);
	});

	test("no image: words; fills that do not fit: an error, and the view recovers", async () => {
		await show({ image: null });
		expect(find(".xw-message").textContent).toMatch(/No image yet/);
		pointer("pointerdown", 3, 3);
		pointer("pointerup", 3, 3);
		await set({ image: array("uint8", [4, 4, 3], new Uint8Array(48)) });
		expect(find("[role=alert]").textContent).toMatch(/fills is .* expected .* \[any, 4, 4, 3\]/);
		await set({ fills: null });
		expect(find("[role=alert]")).toBeNull();
	});

	test("the ring shows where the brush is and how large, and goes with the pointer", async () => {
		await show();
		const marks = find(".xw-stage > canvas:nth-of-type(2)");
		const ink = () => {
			const { data } = marks.getContext("2d").getImageData(0, 0, marks.width, marks.height);
			const columns = [];
			for (let i = 3; i < data.length; i += 4) if (data[i]) columns.push(((i - 3) / 4) % marks.width);
			return columns.length ? (Math.max(...columns) - Math.min(...columns)) / (marks.width / WIDTH) : 0;
		};
		expect(ink()).toBe(0);
		pointer("pointermove", 8, 6);
		await painted();
		expect(ink()).toBeGreaterThan(5.9);
		expect(ink()).toBeLessThan(6.7);
		await set({ brush_size: 0.25 });
		expect(ink()).toBeLessThan(3.7);
		pointer("pointerleave", 20, 6);
		await painted();
		expect(ink()).toBe(0);
	});
});

describe("steps", () => {
	test("undo, redo, and a new stroke after an undo", async () => {
		await show();
		drag([[3, 3]]);
		const first = mask();
		drag([[12, 9]]);
		const second = mask();
		await userEvent.click(named("Undo"));
		await painted();
		expect(pixels()).toEqual(result(first));
		await userEvent.click(named("Undo"));
		await painted();
		expect(pixels()).toEqual(IMAGE);
		expect(named("Undo").ariaDisabled).toBe("true");
		await userEvent.click(named("Redo"));
		await userEvent.click(named("Redo"));
		await painted();
		expect(pixels()).toEqual(result(second));
		await userEvent.click(named("Undo"));
		drag([[3, 9]]);
		expect(named("Redo").ariaDisabled).toBe("true");
	});

	test("clear, invert and fill are steps", async () => {
		await show();
		drag([[3, 3]]);
		const first = mask();
		for (const [name, values] of [
			["Invert", first.map((value) => 255 - value)],
			["Fill all", first.map(() => 255)],
			["Clear", first.map(() => 0)],
		]) {
			await userEvent.click(named(name));
			await painted();
			expect(pixels()).toEqual(result(values));
		}
		for (let i = 0; i < 3; i++) await userEvent.click(named("Undo"));
		await painted();
		expect(pixels()).toEqual(result(first));
	});

	test("Ctrl+Z anywhere in the view, and the host never hears of it", async () => {
		await show();
		const heard = vi.fn();
		document.addEventListener("keydown", heard);
		drag([[3, 3]]);
		const first = mask();
		find("input[type=range]").focus();
		await userEvent.keyboard("{Control>}z{/Control}");
		await painted();
		expect(pixels()).toEqual(IMAGE);
		await userEvent.keyboard("{Control>}{Shift>}Z{/Shift}{/Control}");
		await painted();
		expect(pixels()).toEqual(result(first));
		await userEvent.keyboard("{Meta>}z{/Meta}{Control>}y{/Control}");
		await painted();
		expect(pixels()).toEqual(result(first));
		const chords = heard.mock.calls.filter(([event]) => /^[zy]$/i.test(event.key));
		expect(chords).toEqual([]);
		document.removeEventListener("keydown", heard);
	});

	test("a mask from Python replaces the paint, in one step", async () => {
		await show();
		drag([[3, 3]]);
		const first = mask();
		const given = Array.from({ length: TOTAL }, (_, i) => i);
		const saved = view.model.saved.length;
		await set({ mask: array("uint8", [HEIGHT, WIDTH], given) });
		expect(pixels()).toEqual(result(given));
		// Values from the kernel are not sent back.
		expect(view.model.saved).toHaveLength(saved);
		await userEvent.click(named("Undo"));
		await painted();
		expect(pixels()).toEqual(result(first));
		await set({ mask: null });
		expect(pixels()).toEqual(IMAGE);
	});
});

describe("keys", () => {
	test("the arrows and Space paint", async () => {
		await show();
		find(".xw-stage").focus();
		await userEvent.keyboard(" ");
		expectClose(mask(), strokeOf([[8, 6]]));
		await userEvent.keyboard("{ArrowLeft}{ArrowLeft}{ArrowUp}{ >}{ArrowLeft}{ArrowLeft}{/ }{ArrowDown}");
		const dab = strokeOf([[8, 6]]);
		const line = strokeOf([
			[6, 5],
			[4, 5],
		]);
		expectClose(
			mask(),
			dab.map((value, i) => Math.max(value, line[i])),
		);
		// Held, it was one step.
		await userEvent.click(named("Undo"));
		await vi.waitUntil(() => view.model.get("_stroke") > 0);
		await painted();
		expect(pixels()).toEqual(result(dab));
	});

	test("settings", async () => {
		await show();
		find(".xw-stage").focus();
		await userEvent.keyboard("x");
		expect(view.model.get("tool")).toBe("erase");
		await userEvent.keyboard("x");
		expect(view.model.get("tool")).toBe("paint");
		await userEvent.keyboard("]");
		expect(view.model.get("brush_size")).toBe(0.6);
		await userEvent.keyboard("[[[[]");
		expect(view.model.get("brush_size")).toBe(0.5);
		await userEvent.keyboard("f");
		expect(view.model.get("fill")).toBe(1);
		for (const display of ["tint", "outline", "result"]) {
			await userEvent.keyboard("d");
			expect(view.model.get("display")).toBe(display);
		}
	});
});

test.each([280, 320, 380, 700])(
	"nothing overflows a column of %i px, and controls can be left out",
	async (width) => {
		await show({ width: 0, display: "tint" }, { width });
		expect(view.el.scrollWidth).toBeLessThanOrEqual(width);
		for (const node of view.el.querySelectorAll("button, input, canvas")) {
			expect(node.getBoundingClientRect().right).toBeLessThanOrEqual(
				view.el.getBoundingClientRect().right + 0.5,
			);
		}
		view.model.set("controls", false);
		await painted();
		expect(find(".xw-tools").checkVisibility()).toBe(false);
	},
);

test("the cleanup leaves no listener and no element behind", async () => {
	await show();
	expect(view.model.listeners).toBeGreaterThan(0);
	await view.unmount();
	expect(view.model.listeners).toBe(0);
	expect(view.el.childElementCount).toBe(0);
});
