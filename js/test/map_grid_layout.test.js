import { describe, expect, test } from "vitest";
import { CAPTION, fitGallery, GAP, spans } from "../src/lib/map_grid_layout.js";

describe("fitGallery", () => {
	const room = { width: 848, height: 480, ratio: 1, largest: 360 };

	test("all cells are visible, as large as they can be", () => {
		for (const count of [1, 2, 3, 4, 5, 6, 8, 10]) {
			for (const ratio of [0.5, 1, 1.4]) {
				const { columns, size } = fitGallery({ ...room, count, ratio });
				const rows = Math.ceil(count / columns);
				expect(columns * (size + GAP) - GAP).toBeLessThanOrEqual(848);
				expect(rows * (size * ratio + CAPTION + GAP) - GAP).toBeLessThanOrEqual(480);
				expect(size).toBeLessThanOrEqual(360);
				// One pixel more would neither fit with these columns nor with any other number.
				for (let other = 1; other <= count; other++) {
					const tall = Math.ceil(count / other) * ((size + 1) * ratio + CAPTION + GAP) - GAP <= 480;
					const wide = other * (size + 1 + GAP) - GAP <= 848;
					expect(size === 360 || !(tall && wide)).toBe(true);
				}
			}
		}
	});

	test("the rows are as even as can be", () => {
		for (let count = 1; count <= 45; count++) {
			for (const [width, height] of [
				[848, 480],
				[600, 480],
				[1500, 480],
				[848, 0],
			]) {
				const { columns } = fitGallery({ ...room, count, width, height });
				const rows = Math.ceil(count / columns);
				expect(columns === 1 || Math.ceil(count / (columns - 1)) > rows).toBe(true);
			}
		}
		expect([5, 6].map((count) => fitGallery({ ...room, count }).columns)).toEqual([3, 3]);
	});

	test("many cells are scrolled to rather than too small", () => {
		const { columns, size } = fitGallery({ ...room, count: 40 });
		expect(size).toBeGreaterThanOrEqual(180);
		expect(columns * (size + GAP) - GAP).toBeLessThanOrEqual(848);
	});

	test("without a limit of the height the cells fill the width", () => {
		expect(fitGallery({ ...room, height: 0, count: 6 })).toEqual({ columns: 3, size: 277 });
		expect(fitGallery({ ...room, height: 0, count: 2 })).toEqual({ columns: 2, size: 360 });
	});

	test("a view that has no size yet has one column", () => {
		expect(fitGallery({ ...room, width: 0, count: 6 }).columns).toBe(1);
	});
});

test("neighbors without a map for the same reason share a cell", () => {
	const notes = ["", "a", "a", "b", "", "c", "c"];
	const states = ["done", "failed", "failed", "failed", "waiting", "absent", "absent"];
	expect(spans(states, (column) => notes[column])).toEqual([1, 2, 0, 1, 1, 2, 0]);
	expect(spans(["done", "done"], () => "a")).toEqual([1, 1]);
});
