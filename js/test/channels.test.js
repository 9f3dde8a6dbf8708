import { afterEach, describe, expect, test, vi } from "vitest";
import { view } from "../src/lib/figure.js";
import { Model } from "./model.js";

const { initialize } = view("", /** @type {any} */ (() => {}));
/** @type {(() => void)[]} */
const living = [];
afterEach(() => {
	for (const end of living.splice(0)) end();
	vi.useRealTimers();
});

/** @param {Record<string, unknown>} state */
function born(state) {
	const model = new Model(state);
	const end = /** @type {() => void} */ (initialize(/** @type {any} */ ({ model })));
	living.push(end);
	return { model, end };
}

describe("_channels", () => {
	test("joined traits follow at once, others do not", () => {
		const { model: a } = born({ fraction: 0, frame: 0, _channels: { fraction: "f" } });
		const { model: b } = born({ fraction: 0, frame: 0, _channels: { fraction: "f" } });
		const { model: c } = born({ fraction: 0, _channels: { fraction: "other" } });
		a.set("fraction", 0.5);
		a.set("frame", 2);
		expect([b.get("fraction"), b.get("frame"), c.get("fraction")]).toEqual([0.5, 0, 0]);
		b.set("fraction", 0.25);
		expect(a.get("fraction")).toBe(0.25);
	});

	test("traits of different names join, and lists are compared by content", () => {
		const { model: a } = born({ position: null, _channels: { position: "p" } });
		const { model: b } = born({ position: null, _channels: { position: "p" } });
		let changes = 0;
		b.on("change:position", () => changes++);
		a.set("position", [0.5, 0.25]);
		a.set("position", [0.5, 0.25]);
		expect(b.get("position")).toEqual([0.5, 0.25]);
		expect(changes).toBe(1);
		a.set("position", null);
		expect(b.get("position")).toBe(null);
	});

	test("followers notify the kernel once, when the pointer rests", () => {
		vi.useFakeTimers();
		const { model: a } = born({ fraction: 0, _channels: { fraction: "f" } });
		const { model: b } = born({ fraction: 0, _channels: { fraction: "f" } });
		for (const fraction of [0.1, 0.2, 0.3]) {
			a.set("fraction", fraction);
			vi.advanceTimersByTime(50);
		}
		expect(b.saved).toEqual([]);
		vi.advanceTimersByTime(1000);
		expect(b.saved).toEqual([{ fraction: 0.3 }]);
		expect(a.saved).toEqual([]);
	});

	test("channels change with the trait, and end with the model", () => {
		const { model: a } = born({ frame: 0, _channels: {} });
		const { model: b, end } = born({ frame: 0, _channels: { frame: "x" } });
		a.set("frame", 1);
		expect(b.get("frame")).toBe(0);
		a.set("_channels", { frame: "x" });
		a.set("frame", 2);
		expect(b.get("frame")).toBe(2);
		end();
		a.set("frame", 3);
		expect(b.get("frame")).toBe(2);
		expect(b.listeners).toBe(0);
	});
});
