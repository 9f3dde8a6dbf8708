import { element, setText } from "./dom.js";
import { createLayers } from "./map_grid_layers.js";

/**
 * @typedef {{
 *   item: number, label: string, className: string, gain: number,
 *   image: {shape: number[], words: Uint32Array} | null,
 *   sides: {letter: string, name: string, score: string, better: boolean, map: ReturnType<import("./pair_images.js").Sent["map"]>}[],
 *   missing: string, opacity: number, interpolation: import("./resample.js").Interpolation, pixels: number,
 * }} Content
 */

/** An item with the map of A and that of B side by side. */
export function createCard() {
	const sides = ["A", "B"].map((letter) => {
		const layers = createLayers();
		const words = element("div", { class: "xw-pair-words", hidden: true });
		layers.stage.append(words);
		const badge = element("span", { class: "xw-letter" }, [letter]);
		const score = element("span", { class: "xw-pair-score" });
		const node = element("span", { class: `xw-pair-side xw-side-${letter}` }, [
			layers.stage,
			element("span", { class: "xw-pair-line" }, [badge, score]),
		]);
		return { layers, words, score, node };
	});
	const label = element("span", { class: "xw-pair-label" });
	const className = element("span", { class: "xw-muted" });
	return {
		sides,
		parts: [
			element(
				"span",
				{ class: "xw-pair-sides" },
				sides.map(({ node }) => node),
			),
			element("span", { class: "xw-pair-caption" }, [label, className]),
		],
		/** @param {Content | null} content  null for the room of one */
		draw(content) {
			if (!content) {
				for (const { layers, words, score } of sides) {
					for (const { canvas } of [layers.base, layers.map]) canvas.hidden = true;
					words.hidden = true;
					setText(score, "\u00a0");
				}
				setText(label, "\u00a0");
				setText(className, "");
				return;
			}
			setText(label, content.label);
			// The images of many data sets are named by their class.
			setText(className, content.className === content.label ? "" : content.className);
			for (const [at, { layers, words, score, node }] of sides.entries()) {
				const side = content.sides[at];
				layers.paintBase(content.image, content.image?.shape ?? side.map?.values.shape ?? [1, 1]);
				layers.map.canvas.style.opacity = String(content.image ? content.opacity : 1);
				layers.paintMap(
					side.map?.values ?? null,
					side.map?.look ?? { limit: 0, sign: "positive", table: new Uint32Array(257) },
					{
						interpolation: content.interpolation,
						pixels: content.pixels,
					},
				);
				// An image without its map is not taken for one with a map of zeros.
				layers.stage.classList.toggle("xw-no-map", !side.map);
				setText(words, side.map ? "" : content.missing);
				words.hidden = Boolean(side.map);
				setText(score, side.score);
				node.classList.toggle("xw-better", side.better);
			}
		},
	};
}
