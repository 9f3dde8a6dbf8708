import { afterEach, expect, test, vi } from "vitest";
import widget from "../src/display_menu.js";
import { mount } from "./model.js";

const STATE = {
	...{ title: "Display", shown: ["opacity", "threshold"], opacity: 0.7, threshold: 0, colormap: "auto" },
	...{
		fade: true,
		smoothing: 0,
		gray: true,
		sign: "auto",
		percentile: 99,
		scale: "map",
		interpolation: "smooth",
	},
	...{ controls: true, width: 0, help: "" },
};

afterEach(() => vi.useRealTimers());

test("a dragged setting is set at once, changes no node but a text, and goes to the kernel when it rests", async () => {
	const view = await mount(widget, STATE);
	vi.useFakeTimers();
	const slider = /** @type {HTMLInputElement} */ (document.querySelector("[aria-valuetext='0 %']"));
	const number = slider.parentElement.querySelector(".xw-number");
	const text = number.firstChild;
	for (const value of [0.1, 0.2, 0.3]) {
		slider.value = String(value);
		slider.dispatchEvent(new Event("input", { bubbles: true }));
		expect(view.model.get("threshold")).toBe(value);
		vi.advanceTimersByTime(100);
	}
	expect([number.textContent, number.firstChild === text]).toEqual(["30 %", true]);
	expect(view.model.saved).toEqual([]);
	vi.advanceTimersByTime(1000);
	expect(view.model.saved).toEqual([{ threshold: 0.3 }]);
	vi.useRealTimers();
	await view.unmount();
});
