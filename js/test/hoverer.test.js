import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { hoverer } from "../src/lib/state.js";

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

function setUp() {
	const controller = new AbortController();
	const model = { set: vi.fn(), save_changes: vi.fn() };
	// @ts-expect-error: as much of a model as a setter needs
	return { controller, model, set: hoverer(model, controller.signal) };
}

test("the page gets every position at once, the kernel the one at which the pointer rests", () => {
	const { model, set } = setUp();
	for (let x = 0; x < 20; x++) {
		set({ position: [x / 20, 0.5] });
		expect(model.set).toHaveBeenLastCalledWith("position", [x / 20, 0.5]);
		vi.advanceTimersByTime(50);
	}
	expect(model.save_changes).not.toHaveBeenCalled();
	vi.advanceTimersByTime(1000);
	expect(model.save_changes).toHaveBeenCalledTimes(1);
});

test("a view that goes saves what is not saved, once", () => {
	const { controller, model, set } = setUp();
	set({ frame: 1 });
	controller.abort();
	vi.runAllTimers();
	expect(model.save_changes).toHaveBeenCalledTimes(1);
	const other = setUp();
	other.controller.abort();
	expect(other.model.save_changes).not.toHaveBeenCalled();
});
