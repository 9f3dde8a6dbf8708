import { element, setText } from "./dom.js";
import { createCard } from "./pair_card.js";

/** Width of a map that its pixels are made for, CSS px. */
const LARGE = 480;

/**
 * An item over the window.
 *
 * @param {{close: () => void, step: (by: number) => void, signal: AbortSignal}} acts
 */
export function createLightbox({ close, step, signal }) {
	/** @param {string} text @param {string} label @param {() => void} act */
	const button = (text, label, act) => {
		const made = element("button", { type: "button", "aria-label": label, title: label }, [text]);
		made.addEventListener("click", act, { signal });
		return made;
	};
	const title = element("span", { class: "xw-title" });
	const card = createCard();
	const node = element("dialog", { class: "xw-pair-box" }, [
		element("div", { class: "xw-bar" }, [
			title,
			element("span", { class: "xw-pair-buttons" }, [
				button("‹", "Previous image (left arrow)", () => step(-1)),
				button("›", "Next image (right arrow)", () => step(1)),
				button("✕", "Close (Esc)", close),
			]),
		]),
		...card.parts,
	]);
	node.addEventListener("click", ({ target }) => target === node && close(), { signal });
	node.addEventListener("close", close, { signal });
	node.addEventListener(
		"keydown",
		(event) => {
			const by = /** @type {Record<string, number>} */ ({ ArrowRight: 1, ArrowLeft: -1 })[event.key];
			if (!by) return;
			step(by);
			event.preventDefault();
		},
		{ signal },
	);
	signal.addEventListener("abort", () => node.close());
	return {
		node,
		/** @param {import("./pair_card.js").Content | null} content @param {string} words */
		show(content, words) {
			if (!content) {
				if (node.open) node.close();
				return;
			}
			setText(title, words);
			card.draw({ ...content, pixels: LARGE * devicePixelRatio });
			if (!node.open && node.isConnected) node.showModal();
		},
	};
}
